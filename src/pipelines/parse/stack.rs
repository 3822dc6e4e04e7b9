//! `stack` of an environment: its driver, its definition, and what the definition is filled with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
    sync::Arc,
};

use super::{
    super::{DefinitionFile, DefinitionSource, StackDefinition, frozen::digest, keys},
    Reader, known_driver, meant, placed,
};
use crate::{
    stacks::Needs,
    text::excerpt,
    toml_file::{Table, Value},
};

/// The largest stack definition, in bytes.
const LARGEST_DEFINITION: u64 = 256 << 10;

impl Reader<'_, '_> {
    pub(super) fn stack(&mut self, table: &Table<'_, '_>) -> Option<StackDefinition> {
        table.only(keys::STACK);
        let driver = table.require("driver", "driver = \"process\"");
        let driver = driver.and_then(|v| known_driver(&v, &self.registry.stack_names(), "stack"));
        let parameters = table.get("parameters").and_then(|v| v.table());
        let values = parameters.as_ref().map(|t| self.parameters(t)).unwrap_or_default();
        let list = table.get("secrets");
        let secrets = list.as_ref().map(|v| self.secrets.handed_over(v)).unwrap_or_default();
        let value = table.require("definition", "definition = \"../stacks/process/NAME.toml\"")?;
        let definition = self.definition(&value, driver.as_deref())?;
        if let DefinitionSource::File(DefinitionFile { needs: Some(needs), .. }) = &definition {
            for (name, _) in parameters.iter().flat_map(Table::entries) {
                if let (Some(why), Some(table)) = (unknown_parameter(needs, name), &parameters) {
                    table.wrong_at(name, &why);
                }
            }
            for missing in needs.secrets.iter().filter(|name| !secrets.iter().any(|s| **s == ***name)) {
                let at = list.as_ref().unwrap_or(&value);
                at.wrong(&format!("the definition wants the secret `{missing}`; name it in `stack.secrets`"));
            }
        }
        Some(StackDefinition { driver: driver?, definition, parameters: values, secrets })
    }

    fn parameters(&self, table: &Table<'_, '_>) -> BTreeMap<Arc<str>, Arc<str>> {
        let names = self.secrets.names();
        let one = |(name, value): (&str, Value<'_, '_>)| {
            let text = self.variables.expand(&value, value.text()?, &names)?;
            Some((name.into(), text.into()))
        };
        table.entries().filter_map(one).collect()
    }

    fn definition(&mut self, value: &Value<'_, '_>, driver: Option<&str>) -> Option<DefinitionSource> {
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
        let text = read_definition(&path).map_err(|why| value.wrong(&why)).ok()?;
        let mut needs = None;
        if let Some(driver) = driver {
            match self.registry.check_stack(driver, &text) {
                Ok(()) => needs = self.registry.needs(driver, &text),
                Err(found) => self.elsewhere.extend(found.into_iter().map(|text| placed(&path, &text))),
            }
        }
        let digest = digest(&text);
        Some(DefinitionSource::File(DefinitionFile { path, text: text.into(), digest, needs }))
    }
}

/// Why a definition can not be given this parameter.
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
            "\"{}\" is no path inside the repository: write it from its top, without `..`, such as \"deploy/stack.toml\"",
            excerpt(text)
        ));
        return None;
    }
    Some(text.into())
}

fn read_definition(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map(|m| m.len());
    let name = path.display();
    if length.is_ok_and(|length| length > LARGEST_DEFINITION) {
        return Err(format!("the stack definition {name} is larger than {LARGEST_DEFINITION} bytes"));
    }
    fs::read_to_string(path).map_err(|cause| {
        format!("the stack definition {name} can not be read: {cause}; paths are meant from the folder of this file")
    })
}
