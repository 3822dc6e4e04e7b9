//! The definition of a Heat stack, `stacks/heat/*.toml`: which template with which files, where its endpoints are found, how
//! long it may take. Reads it, and says all that is wrong with it at once. Must not talk to Heat.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    tags,
    template::{Reference, Template, of_environment},
};
use crate::{
    stacks::Needs,
    text::{did_you_mean, excerpt},
    toml_file::{Document, Table, Value},
};

/// The keys of a definition.
pub const KEYS: &[&str] =
    &["template", "environments", "endpoints", "timeout", "parameters", "secrets", "tags", "files"];

/// Heat's own time limit, where nobody says one.
pub(super) const LIMIT: Duration = Duration::from_secs(30 * 60);
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

/// The output that says where the stack serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) output: String,
    /// Port for outputs that name none.
    pub(super) port: Option<u16>,
}

/// Where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A parameter of the template.
    Parameter(String),
    /// A file that the template gets.
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
