//! `stack` of an environment: its driver, its definition, and what the definition is filled with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
    sync::Arc,
};

use super::{
    super::{DefinitionFile, DefinitionSource, StackDefinition, frozen::digest, keys},
    Reader,
    environment::at_their_keys,
    example, known_driver, meant, placed,
};
use crate::{
    stacks::{Needs, StackDriver},
    text::excerpt,
    toml_file::{Table, Value},
};

/// The largest stack definition, and the largest file that it names, in bytes.
const LARGEST_DEFINITION: u64 = 256 << 10;

impl Reader<'_, '_> {
    pub(super) fn stack(&mut self, table: &Table<'_, '_>) -> Option<StackDefinition> {
        let drivers = self.registry.stack_drivers();
        let own = drivers.iter().flat_map(|driver| driver.settings).map(|(key, _)| *key);
        table.only(&keys::STACK.iter().copied().chain(own).collect::<Vec<_>>());
        let names: Vec<_> = drivers.iter().map(|driver| driver.name).collect();
        let driver = table.require("driver", &example("driver", names.first()));
        let driver = driver.and_then(|v| known_driver(&v, &names, "stack"));
        let entry = driver.as_deref().and_then(|name| self.registry.stack_driver(name));
        let parameters = table.get("parameters").and_then(|v| v.table());
        let values = parameters.as_ref().map(|t| self.parameters(t)).unwrap_or_default();
        let list = table.get("secrets");
        let secrets = list.as_ref().map(|v| self.secrets.handed_over(v)).unwrap_or_default();
        let settings = self.settings(table)?;
        let opened = driver.as_deref().and_then(|d| self.registry.open_stack(d, &settings, &self.folder));
        let opened = opened.and_then(|o| o.map_err(|found| at_their_keys(table, "stack.", &found)).ok());
        let definition = entry.or(drivers.first()).map(|driver| driver.definition);
        let value = table.require("definition", &example("definition", definition.as_ref()))?;
        let definition = self.definition(&value, opened.as_deref())?;
        if let DefinitionSource::File(DefinitionFile { needs: Some(needs), .. }) = &definition {
            for (name, _) in parameters.iter().flat_map(Table::entries) {
                if let (Some(why), Some(table)) = (unknown_parameter(needs, name), &parameters) {
                    table.wrong_at(name, &why);
                }
            }
            for missing in needs.secrets.iter().filter(|name| !secrets.contains_key(name.as_str())) {
                let at = list.as_ref().unwrap_or(&value);
                at.wrong(&format!("the definition needs the secret `{missing}`; name it in `stack.secrets`"));
            }
        }
        let folder = self.folder.clone();
        let can_restart = opened.as_ref().is_some_and(|driver| driver.can_restart());
        let reads_this_host = opened.as_ref().is_some_and(|driver| driver.reads_this_host());
        let mut notes = opened.as_ref().map(|driver| driver.settings_notes()).unwrap_or_default();
        if let (Some(driver), DefinitionSource::File(file)) = (&opened, &definition) {
            notes.extend(driver.notes(&file.text));
        }
        let (driver, parameters) = (driver?, values);
        Some(StackDefinition {
            driver,
            settings,
            folder,
            definition,
            parameters,
            secrets,
            can_restart,
            reads_this_host,
            notes,
        })
    }

    fn parameters(&self, table: &Table<'_, '_>) -> BTreeMap<Arc<str>, Arc<str>> {
        let names = self.secrets.names();
        let one = |(name, value): (&str, Value<'_, '_>)| {
            let text = self.variables.expand(&value, value.text()?, &names)?;
            Some((name.into(), text.into()))
        };
        table.entries().filter_map(one).collect()
    }

    /// What of the table is the driver's own.
    fn settings(&self, table: &Table<'_, '_>) -> Option<toml::Table> {
        let own =
            |key: &str| self.registry.stack_drivers().iter().any(|d| d.settings.iter().any(|(own, _)| *own == key));
        let mut settings = self.variables.fill(table, keys::STACK, &self.secrets.names())?;
        settings.retain(|key, _| own(key));
        Some(settings)
    }

    fn definition(&mut self, value: &Value<'_, '_>, driver: Option<&dyn StackDriver>) -> Option<DefinitionSource> {
        if value.is_table() {
            let table = value.table()?;
            table.only(keys::DEFINITION);
            let path = table.require("git", "definition = { git = \"deploy/stack.toml\" }")?;
            if !self.has_source {
                path.wrong("a definition in git needs to know where: add `[source]` with `git = \"...\"`");
            }
            return path_in_git(&path).map(DefinitionSource::Git);
        }
        let path = self.folder.join(value.full_text()?);
        let mut text = read_file(&path, "the stack definition ").map_err(|why| value.wrong(&why)).ok()?;
        let mut needs = None;
        if let Some(driver) = driver {
            let beside = |name: &str| read_beside(&path, name);
            let whole = driver.gather(&text, &beside).and_then(|t| driver.check_definition(&t).map(|()| t));
            match whole {
                Ok(whole) => {
                    needs = driver.needs(&whole);
                    text = whole;
                }
                Err(found) => self.elsewhere.extend(found.into_iter().map(|text| placed(&path, &text))),
            }
        }
        let digest = digest(&text);
        Some(DefinitionSource::File(DefinitionFile { path, text: text.into(), digest, needs }))
    }
}

/// Says why a definition cannot be given this parameter.
pub(in crate::pipelines) fn unknown_parameter(needs: &Needs, name: &str) -> Option<String> {
    if needs.parameters.contains(name) {
        return None;
    }
    let otherwise = match needs.parameters.len() {
        0 => "it knows none".to_owned(),
        _ => format!("it knows: {}", needs.parameters.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    let hint = meant(name, needs.parameters.iter().map(String::as_str), &otherwise);
    Some(format!("the stack definition knows no parameter `{}`; {hint}", excerpt(name)))
}

/// Where in a repository a definition stands: never outside of it, and written in one way only.
fn path_in_git(value: &Value<'_, '_>) -> Option<Arc<str>> {
    let text = value.full_text()?;
    let plain = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
    let normal = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !plain || !normal || text.contains('\\') || text.chars().any(char::is_control) {
        value.wrong(&format!(
            "\"{}\" is not a path inside the repository: write it from its top, without `..`, such as \"deploy/stack.toml\"",
            excerpt(text)
        ));
        return None;
    }
    Some(text.into())
}

/// A file that a definition names, which must lie beside or below it: what is deployed is one folder.
fn read_beside(definition: &Path, name: &str) -> Result<String, String> {
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("\"{}\" is not a path beside the definition: write it without `..`", excerpt(name)));
    }
    let path = definition.parent().unwrap_or(Path::new(".")).join(name);
    read_file(&path, "")
}

fn read_file(path: &Path, what: &str) -> Result<String, String> {
    let length = fs::metadata(path).map(|m| m.len());
    let name = path.display();
    if length.is_ok_and(|length| length > LARGEST_DEFINITION) {
        return Err(format!("{what}{name} is larger than {LARGEST_DEFINITION} bytes"));
    }
    fs::read_to_string(path)
        .map_err(|cause| format!("{what}{name} cannot be read: {cause}; paths are meant from the folder of this file"))
}
