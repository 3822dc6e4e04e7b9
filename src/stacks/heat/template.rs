//! What a HOT template says of itself: its parameters, its outputs, the files that it names, the servers that it wants.
//! Whether Heat will take it is Heat's to say. Must not read any file.

use std::collections::BTreeSet;

use crate::yaml::{self, Node};

/// A template as far as we need to know it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Template {
    pub(super) parameters: BTreeSet<String>,
    pub(super) outputs: BTreeSet<String>,
    pub(super) files: BTreeSet<Reference>,
    /// The flavour of each server that it names itself: a text, or the parameter that says it.
    pub(super) servers: Vec<Flavor>,
}

/// Where the flavour of a server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flavor {
    Named(String),
    Parameter(String, Option<String>),
    Unknown,
}

/// A file that a template or an environment names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) name: String,
    /// It is a template itself.
    pub(super) template: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong, beginning with `line:column: ` where that is known.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let root = map(text)?;
        if root.get("heat_template_version").is_none() {
            return Err(
                "1:1: `heat_template_version` is missing, for example 2021-04-16: is this a HOT template?".into()
            );
        }
        if section(&root, "resources").next().is_none() {
            return Err("1:1: it has no `resources`: nothing would be created".into());
        }
        let names = |key: &str| -> BTreeSet<String> { section(&root, key).map(|(name, _)| name.to_owned()).collect() };
        let mut files = BTreeSet::new();
        references(&root, &mut files);
        let is_server = |resource: &Node| resource.get("type").and_then(Node::text) == Some("OS::Nova::Server");
        let servers = section(&root, "resources").filter(|(_, r)| is_server(r));
        let servers = servers.map(|(_, server)| flavor(server, &root)).collect();
        Ok(Self { parameters: names("parameters"), outputs: names("outputs"), files, servers })
    }
}

/// The files that a Heat environment names, as templates of types of its own.
///
/// # Errors
/// The environment is not valid, as with [`Template::parse`].
pub(super) fn of_environment(text: &str) -> Result<BTreeSet<Reference>, String> {
    const SECTIONS: &[&str] = &[
        "parameters",
        "parameter_defaults",
        "parameter_merge_strategies",
        "resource_registry",
        "encrypted_param_names",
        "event_sinks",
    ];
    let root = map(text)?;
    for entry in root.entries() {
        let shown = crate::text::excerpt(&entry.key);
        if !SECTIONS.contains(&entry.key.as_str()) {
            let known = SECTIONS.join(", ");
            return Err(format!("{}: a Heat environment has no section `{shown}`; there are {known}", entry.at));
        }
        if entry.value.is_absent() {
            return Err(format!("{}: the section `{shown}` is empty, which Heat refuses: leave it out", entry.at));
        }
    }
    let mut files = BTreeSet::new();
    if let Some(registry) = root.get("resource_registry") {
        templates_in(registry, &mut files);
    }
    Ok(files)
}

fn map(text: &str) -> Result<Node, String> {
    let root = yaml::read(text).map_err(|fault| fault.to_string())?;
    if root.map().is_some() { Ok(root) } else { Err(format!("{}: not YAML with keys and values", root.at)) }
}

fn section<'a>(root: &'a Node, key: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
    let section = root.get(key).map(Node::entries);
    section.into_iter().flatten().map(|entry| (entry.key.as_str(), &entry.value))
}

fn is_template(name: &str) -> bool {
    [".yaml", ".yml", ".template"].iter().any(|ending| name.ends_with(ending))
}

/// Everything that `get_file` and the types of resources name.
fn references(value: &Node, found: &mut BTreeSet<Reference>) {
    for entry in value.entries() {
        match (entry.key.as_str(), entry.value.text()) {
            ("get_file", Some(name)) => drop(found.insert(Reference { name: name.to_owned(), template: false })),
            ("type", Some(name)) if is_template(name) => {
                found.insert(Reference { name: name.to_owned(), template: true });
            }
            _ => references(&entry.value, found),
        }
    }
    value.list().into_iter().flatten().for_each(|inner| references(inner, found));
}

fn templates_in(value: &Node, found: &mut BTreeSet<Reference>) {
    if let Some(name) = value.text().filter(|name| is_template(name)) {
        found.insert(Reference { name: name.to_owned(), template: true });
    }
    value.entries().iter().for_each(|entry| templates_in(&entry.value, found));
}

fn flavor(server: &Node, root: &Node) -> Flavor {
    let Some(said) = server.get("properties").and_then(|p| p.get("flavor")) else { return Flavor::Unknown };
    if let Some(name) = said.text() {
        return Flavor::Named(name.to_owned());
    }
    match said.get("get_param").and_then(Node::text) {
        Some(name) => {
            let default = root.get("parameters").and_then(|p| p.get(name)).and_then(|p| p.get("default"));
            Flavor::Parameter(name.to_owned(), default.and_then(Node::text).map(str::to_owned))
        }
        None => Flavor::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: &str = "heat_template_version: 2014-10-16\nparameters:\n  flavor: {type: string, default: m1.small}\nresources:\n  \
                       web:\n    type: OS::Nova::Server\n    properties:\n      flavor: {get_param: flavor}\n      user_data:\n        \
                       str_replace: {template: {get_file: boot.sh}, params: {}}\n  pool: {type: lib/pool.yaml}\n\
                       outputs:\n  address: {value: {get_attr: [web, first_address]}}\n";

    #[test]
    fn a_template_tells_what_it_needs() {
        let hot = Template::parse(HOT).unwrap();
        let names: Vec<_> = hot.files.iter().map(|f| (f.name.as_str(), f.template)).collect();
        assert_eq!(names, [("boot.sh", false), ("lib/pool.yaml", true)]);
        assert!(hot.outputs.contains("address") && hot.parameters.contains("flavor"));
        assert_eq!(hot.servers, [Flavor::Parameter("flavor".into(), Some("m1.small".into()))]);
    }

    #[test]
    fn what_is_merged_or_named_by_an_alias_is_found_and_numbers_are_names_too() {
        let hot = "heat_template_version: 2021-04-16\nparameters: {flavor: {type: string, default: 0042}}\nresources:\n  one: &one\n    \
                   type: OS::Nova::Server\n    properties: &p {flavor: 1e5, user_data: {get_file: &boot boot.sh}}\n  two:\n    <<: *one\n    \
                   properties: {<<: *p, flavor: {get_param: flavor}}\n  three: {type: My::Own, properties: {x: {get_file: *boot}}}\n";
        let hot = Template::parse(hot).unwrap();
        assert_eq!(hot.files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["boot.sh"]);
        let by_parameter = Flavor::Parameter("flavor".into(), Some("0042".into()));
        assert_eq!(hot.servers, [Flavor::Named("1e5".into()), by_parameter]);
    }

    #[test]
    fn what_is_no_template_is_said_with_its_place() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert!(wrong("a: [1\nb: 2").starts_with("2:"), "{}", wrong("a: [1\nb: 2"));
        assert!(wrong("just words").starts_with("1:1: "));
        assert!(wrong("resources: {}").contains("heat_template_version"));
        assert!(wrong("heat_template_version: 2021-04-16").contains("no `resources`"));
        assert!(wrong("heat_template_version: 2021-04-16\nresources: {}\nresources: {}").starts_with("3:1: "));
        assert!(of_environment("parameters: ~").unwrap_err().starts_with("1:1: the section `parameters` is empty"));
        assert!(of_environment("paramters: {}").unwrap_err().contains("no section `paramters`"));
        let files = of_environment("resource_registry: {'My::Server': server.yaml}").unwrap();
        assert_eq!(files.into_iter().map(|f| f.name).collect::<Vec<_>>(), ["server.yaml"]);
    }
}
