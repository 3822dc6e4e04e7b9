//! The definition of a Heat stack, `stacks/heat/*.toml`: which template with which files, where its endpoints are found, how
//! long it may take. Reads it, makes it whole with everything it names, and says all that is wrong with it at once. Must
//! not talk to Heat.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    tags,
    template::{Reference, Template, of_environment},
};
use crate::{
    stacks::{Needs, ReadBeside},
    text::{did_you_mean, excerpt},
    toml_file::{Document, Table, Value},
};

/// The keys of a definition.
pub const KEYS: &[&str] =
    &["template", "environments", "endpoints", "timeout", "parameters", "secrets", "tags", "files"];

/// What Heat takes in one request, in bytes, less what is around the files.
const LARGEST: usize = 1_000_000;
const LIMIT: Duration = Duration::from_secs(30 * 60);
const PLACEHOLDERS: [&str; 7] = ["version", "artifact", "commit", "release", "stack", "pipeline", "environment"];

/// What is to be stood up, and how.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) template: String,
    /// Heat's own environment files, by name, in order.
    pub(super) environments: Vec<String>,
    pub(super) endpoints: Endpoints,
    pub(super) limit: Duration,
    /// Values of the template's parameters for releases that give none, with placeholders.
    pub(super) parameters: BTreeMap<String, String>,
    /// Where each secret of the pipeline goes.
    pub(super) secrets: BTreeMap<String, Place>,
    /// Tags besides our own.
    pub(super) tags: Vec<String>,
    /// Everything it names, by the name it uses.
    pub(super) files: BTreeMap<String, String>,
    pub(super) known: Template,
}

/// Which output says where the stack serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) output: String,
    /// For outputs that say none.
    pub(super) port: Option<u16>,
}

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a parameter of the template.
    Parameter(String),
    /// Into a file that the template gets.
    File(String),
}

impl Definition {
    /// Reads a whole definition.
    ///
    /// # Errors
    /// Every mistake, each beginning with `line:column: `.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let (document, root) = Document::parse("", text);
        let definition = Self::read(&document.root(&root));
        let mistakes = document.into_mistakes();
        match definition {
            Some(definition) if mistakes.is_empty() => Ok(definition),
            _ => Err(mistakes
                .into_iter()
                .map(|m| format!("{}:{}: {}", m.line.max(1), m.column.max(1), m.text))
                .collect()),
        }
    }

    fn read(table: &Table<'_, '_>) -> Option<Self> {
        table.only(KEYS);
        let files = table.get("files").and_then(|v| v.table()).map(|t| texts(&t)).unwrap_or_default();
        let template = table.require("template", "template = \"reporting.yaml\"")?;
        let known = template.full_text().and_then(|name| template_of(&template, name, &files))?;
        let secrets = table.get("secrets").and_then(|v| v.table()).map(|t| secrets(&t, &known)).unwrap_or_default();
        let filled: BTreeSet<&str> =
            secrets.values().filter_map(|p| if let Place::File(f) = p { Some(f.as_str()) } else { None }).collect();
        missing(&template, &known.files, &files, &filled);
        let environments = table.get("environments").and_then(|v| v.texts()).unwrap_or_default();
        for (name, value) in &environments {
            match files.get(*name).map(|text| of_environment(text)) {
                Some(Ok(found)) => missing(value, &found, &files, &filled),
                Some(Err(why)) => value.wrong(&format!("{name}:{why}")),
                None => value.wrong(&format!("\"{}\" is not in `files`", excerpt(name))),
            }
        }
        let endpoints = table.require("endpoints", "endpoints = { output = \"address\", port = 80 }")?;
        let endpoints = endpoints.table().and_then(|t| self::endpoints(&t, &known));
        let limit = match table.get("timeout") {
            Some(value) => Duration::from_millis(value.some_duration()?.0),
            None => LIMIT,
        };
        Some(Self {
            template: template.full_text()?.to_owned(),
            environments: environments.into_iter().map(|(name, _)| name.to_owned()).collect(),
            endpoints: endpoints?,
            limit,
            parameters: table
                .get("parameters")
                .and_then(|v| v.table())
                .map(|t| parameters(&t, &known))
                .unwrap_or_default(),
            secrets,
            tags: table.get("tags").and_then(|v| v.texts()).map(|list| own_tags(&list)).unwrap_or_default(),
            files,
            known,
        })
    }

    /// What it is to be filled with.
    pub(super) fn needs(&self) -> Needs {
        let secret = |name: &String| self.secrets.values().any(|place| *place == Place::Parameter(name.clone()));
        let parameters = self.known.parameters.iter().filter(|name| !secret(name)).cloned().collect();
        Needs { parameters, secrets: self.secrets.keys().cloned().collect() }
    }
}

/// A definition with everything that it names, read from beside it. One that has `files` is whole already.
///
/// # Errors
/// As [`Definition::parse`].
pub(super) fn gather(text: &str, read: &ReadBeside<'_>) -> Result<String, Vec<String>> {
    let (document, root) = Document::parse("", text);
    let table = document.root(&root);
    if table.get("files").is_some() {
        return Ok(text.to_owned());
    }
    let mut found = Found { read, files: BTreeMap::new() };
    if let Some(value) = table.get("template")
        && let Some(name) = value.as_text()
    {
        found.add(&Reference { name: name.to_owned(), template: true }, "", &value, &[]);
    }
    let filled = secret_files(&table);
    if let Some(value) = table.get("template")
        && let Some(name) = value.as_text()
    {
        found.nested(name, &value, &filled);
    }
    for (name, value) in table.get("environments").and_then(|v| v.texts()).unwrap_or_default() {
        found.add(&Reference { name: name.to_owned(), template: false }, "", &value, &filled);
        let named = found.files.get(name).and_then(|(_, text)| of_environment(text).ok()).unwrap_or_default();
        for reference in named {
            found.add(&reference, name, &value, &filled);
            found.nested(&reference.name, &value, &filled);
        }
    }
    let size: usize = found.files.values().map(|(_, text)| text.len()).sum();
    if let Some(value) = table.get("template").filter(|_| size > LARGEST) {
        value.wrong(&format!("with its files it has {size} bytes, and Heat takes no more than {LARGEST}"));
    }
    let files = found.files;
    let mistakes = document.into_mistakes();
    if !mistakes.is_empty() {
        return Err(mistakes
            .into_iter()
            .map(|m| format!("{}:{}: {}", m.line.max(1), m.column.max(1), m.text))
            .collect());
    }
    let mut whole = format!("{}\n\n# What it names, as it was when it was read.\n[files]\n", text.trim_end());
    for (name, (_, content)) in files {
        whole.push_str(&format!("{} = {}\n", toml::Value::String(name), literal(&content)));
    }
    Ok(whole)
}

/// What was found beside a definition.
struct Found<'a> {
    read: &'a ReadBeside<'a>,
    /// By the name that is used for it: its path, and its text.
    files: BTreeMap<String, (String, String)>,
}

impl Found<'_> {
    /// Reads one. Names are meant from the file that says them.
    fn add(&mut self, reference: &Reference, said_in: &str, at: &Value<'_, '_>, but: &[String]) {
        let name = &reference.name;
        if but.contains(name) {
            return;
        }
        if name.contains("://") {
            at.wrong(&format!(
                "\"{}\" would be read from the network by Heat: put the file beside the definition",
                excerpt(name)
            ));
            return;
        }
        let path = match said_in.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.clone(),
        };
        if let Some((other, _)) = self.files.get(name) {
            if *other != path {
                at.wrong(&format!("{other} and {path} are both called \"{}\"; rename one", excerpt(name)));
            }
            return;
        }
        match (self.read)(&path) {
            Ok(text) => drop(self.files.insert(name.clone(), (path, text))),
            Err(why) => at.wrong(&why),
        }
    }

    /// Reads what a template names, and what those templates name.
    fn nested(&mut self, name: &str, at: &Value<'_, '_>, but: &[String]) {
        let mut open = vec![name.to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some((path, text)) = self.files.get(&name).cloned() else { continue };
            let Ok(template) = Template::parse(&text) else { continue };
            for reference in template.files {
                self.add(&reference, &path, at, but);
                if reference.template && seen.insert(reference.name.clone()) {
                    open.push(reference.name);
                }
            }
        }
    }
}

/// A text as TOML, readable where that is possible.
fn literal(text: &str) -> String {
    let plain = text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t');
    if plain && !text.contains("'''") && !text.ends_with('\'') {
        format!("'''\n{text}'''")
    } else {
        toml::Value::String(text.to_owned()).to_string()
    }
}

fn secret_files(table: &Table<'_, '_>) -> Vec<String> {
    let places = table.get("secrets").and_then(|v| v.table());
    let file = |(_, value): (&str, Value<'_, '_>)| {
        let place = value.is_table().then(|| value.table()).flatten()?;
        Some(place.get("file")?.as_text()?.to_owned())
    };
    places.iter().flat_map(Table::entries).filter_map(file).collect()
}

fn texts(table: &Table<'_, '_>) -> BTreeMap<String, String> {
    table.entries().filter_map(|(name, value)| Some((name.to_owned(), value.text()?.to_owned()))).collect()
}

fn template_of(at: &Value<'_, '_>, name: &str, files: &BTreeMap<String, String>) -> Option<Template> {
    let Some(text) = files.get(name) else {
        at.wrong(&format!(
            "\"{}\" is not in `files`: where a definition has `files`, it has everything that it names there",
            excerpt(name)
        ));
        return None;
    };
    Template::parse(text).map_err(|why| at.wrong(&format!("{name}:{why}"))).ok()
}

/// Tells of what is named and not there, in nested templates too.
fn missing(at: &Value<'_, '_>, named: &BTreeSet<Reference>, files: &BTreeMap<String, String>, filled: &BTreeSet<&str>) {
    let mut open: Vec<Reference> = named.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(reference) = open.pop() {
        if filled.contains(reference.name.as_str()) || !seen.insert(reference.name.clone()) {
            continue;
        }
        let name = &reference.name;
        match files.get(name) {
            None => at.wrong(&format!("it names \"{}\", which is not in `files`", excerpt(name))),
            Some(text) if reference.template => match Template::parse(text) {
                Ok(template) => open.extend(template.files),
                Err(why) => at.wrong(&format!("{name}:{why}")),
            },
            Some(_) => {}
        }
    }
}

fn one_of<'a>(word: &str, known: impl IntoIterator<Item = &'a String> + Clone) -> String {
    match did_you_mean(word, known.clone().into_iter().map(String::as_str)) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("it has: {}", known.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    }
}

fn endpoints(table: &Table<'_, '_>, known: &Template) -> Option<Endpoints> {
    table.only(&["output", "port"]);
    let value = table.require("output", "output = \"address\"")?;
    let output = value.full_text()?;
    if !known.outputs.contains(output) {
        value.wrong(&format!("the template has no output `{}`; {}", excerpt(output), one_of(output, &known.outputs)));
    } else if output.chars().count() > tags::LONGEST_OUTPUT || output.contains(',') {
        value.wrong(&format!(
            "the name of the output has to fit into a tag: {} characters, and no comma",
            tags::LONGEST_OUTPUT
        ));
    }
    let port = match table.get("port") {
        Some(value) => Some(u16::try_from(value.integer(1..=65535)?).ok()?),
        None => None,
    };
    Some(Endpoints { output: output.to_owned(), port })
}

fn parameters(table: &Table<'_, '_>, known: &Template) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (name, value) in table.entries() {
        if !known.parameters.contains(name) {
            value.wrong(&format!(
                "the template has no parameter `{}`; {}",
                excerpt(name),
                one_of(name, &known.parameters)
            ));
        }
        let Some(text) = value.text() else { continue };
        if let Err(why) = expand(text, |name| name.to_owned()) {
            value.wrong(&why);
        }
        values.insert(name.to_owned(), text.to_owned());
    }
    values
}

fn secrets(table: &Table<'_, '_>, known: &Template) -> BTreeMap<String, Place> {
    const SHAPE: &str =
        "say where the secret goes: { parameter = \"...\" } of the template, or { file = \"...\" } that it gets";
    let mut places = BTreeMap::new();
    for (name, value) in table.entries() {
        if !value.is_table() {
            value.wrong(SHAPE);
            continue;
        }
        let Some(place) = value.table() else { continue };
        place.only(&["parameter", "file"]);
        match (place.get("parameter"), place.get("file")) {
            (Some(to), None) => {
                let Some(parameter) = to.full_text() else { continue };
                if !known.parameters.contains(parameter) {
                    let hint = one_of(parameter, &known.parameters);
                    to.wrong(&format!("the template has no parameter `{}`; {hint}", excerpt(parameter)));
                }
                places.insert(name.to_owned(), Place::Parameter(parameter.to_owned()));
            }
            (None, Some(to)) => {
                let Some(file) = to.full_text() else { continue };
                places.insert(name.to_owned(), Place::File(file.to_owned()));
            }
            _ => value.wrong(SHAPE),
        }
    }
    places
}

fn own_tags(list: &[(&str, Value<'_, '_>)]) -> Vec<String> {
    for (tag, value) in list {
        if tag.contains(',') || tag.chars().count() > tags::LONGEST || tag.starts_with("pointsman") {
            value.wrong(&format!(
                "a tag has at most {} characters and no comma, and does not begin with `pointsman`",
                tags::LONGEST
            ));
        }
    }
    list.iter().map(|(tag, _)| (*tag).to_owned()).collect()
}

/// Puts values in the place of `{version}` and the like; `{{` and `}}` stand for braces.
///
/// # Errors
/// The first that is wrong, and what would be accepted.
pub(super) fn expand(text: &str, value: impl Fn(&str) -> String) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(literal) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = literal;
            continue;
        }
        let named = (brace == "{").then(|| after.split_once('}')).flatten();
        let Some((name, left)) = named.filter(|(name, _)| PLACEHOLDERS.contains(name)) else {
            let known = PLACEHOLDERS.map(|n| format!("{{{n}}}")).join(", ");
            return Err(format!(
                "a brace that begins no placeholder: there are {known}; `{{{{` and `}}}}` are the characters themselves"
            ));
        };
        out.push_str(&value(name));
        rest = left;
    }
    out.push_str(rest);
    Ok(out)
}
