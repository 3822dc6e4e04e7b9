//! What a HOT template says of itself: its parameters, its outputs, the files that it names, the servers that it wants.
//! Whether Heat will take it is Heat's to say. Must not read any file.

use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};

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
        let root = mapping(text)?;
        if !root.contains_key("heat_template_version") {
            return Err(
                "1:1: `heat_template_version` is missing, for example 2021-04-16: is this a HOT template?".into()
            );
        }
        if root.get("resources").and_then(Value::as_mapping).is_none_or(Mapping::is_empty) {
            return Err("1:1: it has no `resources`: nothing would be stood up".into());
        }
        let names = |key: &str| -> BTreeSet<String> { entries(&root, key).map(|(name, _)| name.to_owned()).collect() };
        let mut files = BTreeSet::new();
        references(&Value::Mapping(root.clone()), &mut files);
        let is_server = |resource: &Value| resource.get("type").and_then(Value::as_str) == Some("OS::Nova::Server");
        let servers = entries(&root, "resources").filter(|(_, r)| is_server(r));
        let servers = servers.map(|(_, server)| flavor(server, &root)).collect();
        Ok(Self { parameters: names("parameters"), outputs: names("outputs"), files, servers })
    }
}

/// The files that a Heat environment names, as templates of types of its own.
///
/// # Errors
/// As [`Template::parse`].
pub(super) fn of_environment(text: &str) -> Result<BTreeSet<Reference>, String> {
    const SECTIONS: &[&str] = &[
        "parameters",
        "parameter_defaults",
        "parameter_merge_strategies",
        "resource_registry",
        "encrypted_param_names",
        "event_sinks",
    ];
    let root = mapping(text)?;
    let unknown = root.keys().filter_map(Value::as_str).find(|key| !SECTIONS.contains(key));
    if let Some(key) = unknown {
        return Err(format!(
            "1:1: a Heat environment has no section `{}`; there are {}",
            crate::text::excerpt(key),
            SECTIONS.join(", ")
        ));
    }
    let mut files = BTreeSet::new();
    if let Some(registry) = root.get("resource_registry") {
        templates_in(registry, &mut files);
    }
    Ok(files)
}

fn mapping(text: &str) -> Result<Mapping, String> {
    let read: Result<Value, _> = serde_yaml::from_str(text);
    match read {
        Ok(Value::Mapping(mapping)) => Ok(mapping),
        Ok(_) => Err("1:1: this is no YAML with keys and values".to_owned()),
        Err(error) => {
            let place = error.location().map_or("1:1".to_owned(), |at| format!("{}:{}", at.line(), at.column()));
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            Err(format!("{place}: this is no YAML: {why}"))
        }
    }
}

fn entries<'a>(root: &'a Mapping, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let section = root.get(key).and_then(Value::as_mapping);
    section.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str()?, value)))
}

fn is_template(name: &str) -> bool {
    [".yaml", ".yml", ".template"].iter().any(|ending| name.ends_with(ending))
}

/// Everything that `get_file` and the types of resources name.
fn references(value: &Value, found: &mut BTreeSet<Reference>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, inner) in mapping {
                match (key.as_str(), inner.as_str()) {
                    (Some("get_file"), Some(name)) => {
                        found.insert(Reference { name: name.to_owned(), template: false });
                    }
                    (Some("type"), Some(name)) if is_template(name) => {
                        found.insert(Reference { name: name.to_owned(), template: true });
                    }
                    _ => references(inner, found),
                }
            }
        }
        Value::Sequence(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

fn templates_in(value: &Value, found: &mut BTreeSet<Reference>) {
    match value {
        Value::String(name) if is_template(name) => {
            found.insert(Reference { name: name.clone(), template: true });
        }
        Value::Mapping(mapping) => mapping.values().for_each(|inner| templates_in(inner, found)),
        _ => {}
    }
}

fn flavor(server: &Value, root: &Mapping) -> Flavor {
    let said = server.get("properties").and_then(|p| p.get("flavor"));
    match said {
        Some(Value::String(name)) => Flavor::Named(name.clone()),
        Some(value) => match value.get("get_param").and_then(Value::as_str) {
            Some(name) => {
                let default = root.get("parameters").and_then(|p| p.get(name)).and_then(|p| p.get("default"));
                Flavor::Parameter(name.to_owned(), default.and_then(Value::as_str).map(str::to_owned))
            }
            None => Flavor::Unknown,
        },
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
    fn what_is_no_template_is_said_with_its_place() {
        let wrong = |text: &str| Template::parse(text).unwrap_err();
        assert!(wrong("a: [1\nb: 2").starts_with("2:"), "{}", wrong("a: [1\nb: 2"));
        assert!(wrong("just words").starts_with("1:1: "));
        assert!(wrong("resources: {}").contains("heat_template_version"));
        assert!(wrong("heat_template_version: 2021-04-16").contains("no `resources`"));
        assert!(of_environment("paramters: {}").unwrap_err().contains("no section `paramters`"));
        let files = of_environment("resource_registry: {'My::Server': server.yaml}").unwrap();
        assert_eq!(files.into_iter().map(|f| f.name).collect::<Vec<_>>(), ["server.yaml"]);
    }
}
