//! Turns the events of the parser into values: aliases and merge keys are put in place, within limits.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{Entry, Fault, Kind, Node, Place};
use crate::text::excerpt;

/// How deep values may stand in one another.
const DEPTH: usize = 100;
/// How much may come out, in bytes of text and [`WEIGHT`] for each value. Aliases of aliases grow without bounds.
const LARGEST: usize = 16 << 20;
/// What a value weighs besides its text.
const WEIGHT: usize = 16;

const CORE: &str = "tag:yaml.org,2002:";

/// A list or a map that is not at its end yet.
struct Open {
    at: Place,
    anchor: usize,
    items: Items,
    weight: usize,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: HashMap<String, usize>, merged: Vec<Node>, key: Option<Key> },
}

impl Items {
    fn map() -> Self {
        Self::Map { entries: Vec::new(), lines: HashMap::new(), merged: Vec::new(), key: None }
    }
}

enum Key {
    Named(String, Place),
    Merge,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// Values by the id of their anchor; `None` while what it names is not at its end.
    anchors: HashMap<usize, Option<(Node, usize)>>,
    root: Option<Node>,
    weight: usize,
}

pub(super) fn build(text: &str) -> Result<Node, Fault> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| place(error.marker()).fault(format!("not YAML: {}", error.info())))?;
        let at = place(&span.start);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(at.fault("a second document begins here: write one only"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_string(tag.as_deref(), at)?;
                let text = if tag_is(tag.as_deref(), "null") { String::new() } else { text.into_owned() };
                let weight = WEIGHT + text.len();
                builder.value(Node { at, kind: Kind::Scalar { text, plain } }, anchor, weight)?;
            }
            Event::SequenceStart(anchor, tag) => {
                only(tag.as_deref(), "seq", at)?;
                builder.begin(at, anchor, Items::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                only(tag.as_deref(), "map", at)?;
                builder.begin(at, anchor, Items::map())?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(anchor) => builder.alias(anchor, at)?,
            _ => {}
        }
    }
    Ok(builder
        .root
        .unwrap_or_else(|| Node { at: Place::START, kind: Kind::Scalar { text: String::new(), plain: true } }))
}

fn place(mark: &Marker) -> Place {
    Place { line: mark.line().max(1), column: mark.col() + 1 }
}

fn tag_is(tag: Option<&Tag>, name: &str) -> bool {
    tag.is_some_and(|tag| tag.handle == CORE && tag.suffix == name)
}

/// Whether a scalar is a string by its tag. Numbers and dates by their tags keep their text as well.
fn is_string(tag: Option<&Tag>, at: Place) -> Result<bool, Fault> {
    let Some(tag) = tag else { return Ok(false) };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        (CORE, "str") | ("!", "") | ("", "!") => Ok(true),
        (CORE, "null" | "bool" | "int" | "float" | "timestamp") => Ok(false),
        _ => Err(unknown(tag, at)),
    }
}

fn only(tag: Option<&Tag>, name: &str, at: Place) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag_is(Some(tag), name) => Err(unknown(tag, at)),
        _ => Ok(()),
    }
}

/// A tag is not repeated: it may be a password that begins with `!`.
fn unknown(tag: &Tag, at: Place) -> Fault {
    at.fault(match tag.handle.as_str() {
        CORE => format!("the tag !!{} is not known: write the value itself", excerpt(&tag.suffix)),
        _ => "what begins with `!` is a tag, and none is known here: put the value in quotes, or write it itself"
            .to_owned(),
    })
}

impl Builder {
    fn begin(&mut self, at: Place, anchor: usize, items: Items) -> Result<(), Fault> {
        if self.open.len() == DEPTH {
            return Err(at.fault(format!("more than {DEPTH} lists and maps in one another")));
        }
        if let Some(Open { items: Items::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(at.fault("a list or a map as a key: a key is a text"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open { at, anchor, items, weight: WEIGHT });
        self.grow(WEIGHT, at)
    }

    fn grow(&mut self, by: usize, at: Place) -> Result<(), Fault> {
        self.weight += by;
        if self.weight <= LARGEST {
            return Ok(());
        }
        Err(at.fault(format!("with its aliases put in place it has more than {} MB", LARGEST >> 20)))
    }

    fn alias(&mut self, anchor: usize, at: Place) -> Result<(), Fault> {
        let (node, weight) = match self.anchors.get(&anchor) {
            Some(Some(known)) => known,
            Some(None) => return Err(at.fault("an alias inside of what it stands for")),
            None => return Err(at.fault("an alias of an anchor that is not there")),
        };
        // Before it is copied: the copy is what is bounded.
        let (weight, depth) = (*weight, depth(node));
        if self.open.len() + depth > DEPTH {
            return Err(at.fault(format!("more than {DEPTH} lists and maps in one another")));
        }
        if self.weight + weight > LARGEST {
            return self.grow(weight, at);
        }
        let node = Node { at, ..node.clone() };
        self.value(node, 0, weight)
    }

    /// Takes a scalar or an alias.
    fn value(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Fault> {
        self.grow(weight, node.at)?;
        self.put(node, anchor, weight)
    }

    fn put(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, Some((node.clone(), weight)));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.weight += weight;
        match &mut open.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, lines, merged, key } => match key.take() {
                None => *key = Some(named(node, lines)?),
                Some(Key::Named(key, at)) => entries.push(Entry { key, at, value: node }),
                Some(Key::Merge) => merged.push(mergeable(node)?),
            },
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let open = self.open.pop().expect("the parser ends only what it began");
        let mut more = 0;
        let kind = match open.items {
            Items::List(items) => Kind::List(items),
            Items::Map { mut entries, merged, .. } => {
                let own = entries.len();
                merge(&mut entries, &merged);
                more = entries[own..].iter().map(|entry| entry.key.len() + weight(&entry.value)).sum();
                Kind::Map(entries)
            }
        };
        self.grow(more, open.at)?;
        self.put(Node { at: open.at, kind }, open.anchor, open.weight + more)
    }
}

/// `lines`: where each key before it stands.
fn named(node: Node, lines: &mut HashMap<String, usize>) -> Result<Key, Fault> {
    let at = node.at;
    if node.is_absent() {
        return Err(at.fault("a key is missing before the colon"));
    }
    let Kind::Scalar { text, plain } = node.kind else {
        return Err(at.fault("a list or a map as a key: a key is a text"));
    };
    if plain && text == "<<" {
        return Ok(Key::Merge);
    }
    if let Some(before) = lines.insert(text.clone(), at.line) {
        let shown = crate::toml_file::shown(&text);
        return Err(at.fault(format!("the key{shown} stands twice: it is in line {before} already")));
    }
    Ok(Key::Named(text, at))
}

/// What `<<` takes: a map, or a list of maps.
fn mergeable(node: Node) -> Result<Node, Fault> {
    let good = match &node.kind {
        Kind::Map(_) => true,
        Kind::List(items) => items.iter().all(|item| item.map().is_some()),
        Kind::Scalar { .. } => false,
    };
    if good { Ok(node) } else { Err(node.at.fault("`<<` takes a map, or a list of maps")) }
}

/// Own entries go before all merged ones, a later `<<` before an earlier one, and in a list the first map.
fn merge(entries: &mut Vec<Entry>, merged: &[Node]) {
    let maps = merged.iter().rev().flat_map(|node| node.list().unwrap_or(std::slice::from_ref(node)));
    let mut known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for entry in maps.flat_map(Node::entries) {
        if known.insert(entry.key.clone()) {
            entries.push(entry.clone());
        }
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    }
}

fn weight(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { text, .. } => WEIGHT + text.len(),
        Kind::List(items) => WEIGHT + items.iter().map(weight).sum::<usize>(),
        Kind::Map(entries) => {
            WEIGHT + entries.iter().map(|entry| entry.key.len() + weight(&entry.value)).sum::<usize>()
        }
    }
}
