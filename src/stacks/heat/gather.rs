//! Makes a definition whole: with its template, and everything that the template and Heat's environment files name, read
//! from beside it. Must not judge it; that is for whoever reads the whole.

use std::collections::{BTreeMap, BTreeSet};

use super::template::{Reference, Template, of_environment};
use crate::{
    stacks::ReadBeside,
    text::excerpt,
    toml_file::{Document, Table, Value},
};

/// What Heat takes in one request, in bytes, less what is around the files.
const LARGEST: usize = 1_000_000;

/// A definition with everything that it names, read from beside it. One that has `files` is whole already.
///
/// # Errors
/// Every mistake, each beginning with `line:column: `.
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
        // One that cannot be read is said where it was added.
        let Some(Ok(named)) = found.files.get(name).map(|(_, text)| of_environment(text)) else { continue };
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

/// Files that were found beside a definition.
struct Found<'a> {
    read: &'a ReadBeside<'a>,
    /// Path and text of each file, by the name that is used for it.
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
