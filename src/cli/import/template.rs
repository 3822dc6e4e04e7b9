//! What an existing HOT template has, as far as a profile can be fitted to it. Must not judge it: `check` does that.

use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};

/// A template's own words.
pub(super) struct Template {
    pub(super) parameters: BTreeSet<String>,
    /// Those of them that must be given a value.
    pub(super) wanted: BTreeSet<String>,
    /// Those of them that nobody is to read.
    pub(super) hidden: BTreeSet<String>,
    pub(super) outputs: BTreeSet<String>,
    /// What it takes by `get_file`.
    pub(super) files: BTreeSet<String>,
}

/// Reads it.
///
/// # Errors
/// Why it is no YAML.
pub(super) fn read(text: &str) -> Result<Template, String> {
    let root: Mapping = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let section = |key: &str| root.get(key).and_then(Value::as_mapping).cloned().unwrap_or_default();
    let names = |of: &Mapping| of.keys().filter_map(|key| Some(key.as_str()?.to_owned())).collect();
    let parameters = section("parameters");
    let needed = |(name, what): (&Value, &Value)| {
        what.get("default").is_none().then(|| name.as_str().map(str::to_owned)).flatten()
    };
    // YAML of 1.1 knows more words for it, and Heat takes them.
    let yes = |what: &Value| match what {
        Value::Bool(yes) => *yes,
        other => other.as_str().is_some_and(|t| ["true", "yes", "on", "1"].contains(&t.to_ascii_lowercase().as_str())),
    };
    let hidden = |(name, what): (&Value, &Value)| {
        what.get("hidden").is_some_and(yes).then(|| name.as_str().map(str::to_owned)).flatten()
    };
    let mut files = BTreeSet::new();
    named(&Value::Mapping(root.clone()), &mut files);
    Ok(Template {
        wanted: parameters.iter().filter_map(needed).collect(),
        hidden: parameters.iter().filter_map(hidden).collect(),
        parameters: names(&parameters),
        outputs: names(&section("outputs")),
        files,
    })
}

fn named(value: &Value, files: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    (Some("get_file"), Some(name)) => drop(files.insert(name.to_owned())),
                    _ => named(value, files),
                }
            }
        }
        Value::Sequence(list) => list.iter().for_each(|value| named(value, files)),
        _ => {}
    }
}
