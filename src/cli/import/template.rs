//! What an existing HOT template has, as far as a profile can be fitted to it. Must not judge it: `check` does that.

use std::collections::BTreeSet;

use crate::yaml::{self, Node, truth};

/// A template's own words.
pub(super) struct Template {
    pub(super) parameters: BTreeSet<String>,
    /// Parameters that must be given a value.
    pub(super) wanted: BTreeSet<String>,
    /// Parameters that are hidden.
    pub(super) hidden: BTreeSet<String>,
    pub(super) outputs: BTreeSet<String>,
    /// Files that it takes by `get_file`.
    pub(super) files: BTreeSet<String>,
}

/// Reads it.
///
/// # Errors
/// What is wrong with its YAML, and where.
pub(super) fn read(text: &str) -> Result<Template, String> {
    let root = yaml::read(text).map_err(|fault| fault.to_string())?;
    let section = |key: &str| root.get(key).map(Node::entries).into_iter().flatten();
    let those = |is: &dyn Fn(&Node) -> bool| {
        section("parameters").filter(|entry| is(&entry.value)).map(|entry| entry.key.clone()).collect()
    };
    let mut files = BTreeSet::new();
    named(&root, &mut files);
    Ok(Template {
        wanted: those(&|parameter| parameter.get("default").is_none()),
        hidden: those(&|parameter| parameter.get("hidden").and_then(Node::text).and_then(truth) == Some(true)),
        parameters: those(&|_| true),
        outputs: section("outputs").map(|entry| entry.key.clone()).collect(),
        files,
    })
}

fn named(value: &Node, files: &mut BTreeSet<String>) {
    for entry in value.entries() {
        match (entry.key.as_str(), entry.value.text()) {
            ("get_file", Some(name)) => drop(files.insert(name.to_owned())),
            _ => named(&entry.value, files),
        }
    }
    value.list().into_iter().flatten().for_each(|inner| named(inner, files));
}
