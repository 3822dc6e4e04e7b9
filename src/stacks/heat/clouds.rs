//! What is said of a cloud outside of the pipeline file: in a clouds.yaml, or in the `OS_*` variables of an openrc file.
//! Must not repeat a secret in a message.

use std::path::{Path, PathBuf};

use super::{
    cloud_keys::{Meaning, guess, meaning},
    credentials::{Facts, interface, overlay},
};
use crate::{
    text::excerpt,
    toml_file::shown,
    yaml::{self, Fault, Node},
};

/// How a file may end; JSON is YAML.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Variables that say which clouds.yaml is meant and what of it, and nothing of a cloud themselves.
const SELECTORS: [&str; 5] =
    ["OS_CLOUD", "OS_REGION_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLOUD_NAME"];

/// What one place says, and what people should know of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) facts: Facts,
    /// Keys that are left alone, each in a sentence.
    pub(super) notes: Vec<String>,
}

/// One table of an entry, or the variables.
#[derive(Default)]
struct Layer {
    said: Said,
    regions: Vec<(String, Option<Node>)>,
    profile: Option<String>,
    /// Where it stands.
    file: PathBuf,
}

/// Reads the variables as an openrc file sets them.
///
/// # Errors
/// The variable that cannot be done, and what to do instead.
pub(super) fn variables(all: &[(String, String)]) -> Result<Facts, String> {
    let mut facts = Facts::new();
    for (name, value) in all {
        let Some(key) = name.strip_prefix("OS_").filter(|_| !SELECTORS[2..].contains(&name.as_str())) else { continue };
        if value.is_empty() || name == "OS_CLOUD" {
            continue;
        }
        match meaning(&key.to_ascii_lowercase(), false) {
            Meaning::Done(key) if key == "profile" || key == "regions" => {
                return Err(format!("{name} is set, and means something in a clouds.yaml only: unset it"));
            }
            Meaning::Done(key) => {
                add(&mut facts, &key, placed(&key, value, None)?).map_err(|why| format!("{name}: {why}"))?
            }
            Meaning::Refused(instead) => return Err(format!("{name} is set and cannot be done: {instead}")),
            // Variables of others may be called anything.
            Meaning::Harmless | Meaning::Suspicious | Meaning::Unknown => {}
        }
    }
    if facts.contains_key("auth_url") {
        return Ok(facts);
    }
    Err("no cloud is named: write `cloud = \"NAME\"` for an entry of clouds.yaml, or start `pointsman serve` with the \
         OS_* variables of an openrc file"
        .to_owned())
}

/// The entry that `OS_CLOUD` names, if it is set.
///
/// # Errors
/// Other variables that say something of a cloud: other clients do not agree on what goes before what.
pub(super) fn entry_of_variables(all: &[(String, String)]) -> Result<Option<String>, String> {
    let Some((_, cloud)) = all.iter().find(|(name, value)| name == "OS_CLOUD" && !value.is_empty()) else {
        return Ok(None);
    };
    for (name, value) in all.iter().filter(|(name, value)| !value.is_empty() && !SELECTORS.contains(&name.as_str())) {
        let Some(key) = name.strip_prefix("OS_") else { continue };
        let is_same = key == "AUTH_TYPE" && value == "password";
        if let Meaning::Done(_) | Meaning::Refused(_) = meaning(&key.to_ascii_lowercase(), false)
            && !is_same
        {
            return Err(format!(
                "OS_CLOUD and {name} are both set: unset one of them, or name the cloud in the pipeline file"
            ));
        }
    }
    Ok(Some(cloud.clone()))
}

/// An entry of a clouds.yaml, with its profile, what a secure.yaml adds, and what it says of its region.
///
/// # Errors
/// What is wrong, with its file and place; keys that cannot be done.
pub(super) fn entry(name: &str, file: Option<&Path>, region: Option<&str>) -> Result<Said, String> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => usual_places("OS_CLIENT_CONFIG_FILE", "clouds").find(|path| yaml::is_there(path)).ok_or_else(|| {
            "there is no clouds.yaml in this folder, in ~/.config/openstack or in /etc/openstack, and none named by \
             OS_CLIENT_CONFIG_FILE"
                .to_owned()
        })?,
    };
    let clouds = clouds(&path, "clouds")?.ok_or_else(|| format!("{}:1:1: it has no `clouds`", path.display()))?;
    let beside = ENDINGS.iter().map(|ending| path.with_file_name(format!("secure.{ending}")));
    let others = usual_places("OS_CLIENT_SECURE_FILE", "secure").filter(|_| file.is_none());
    let secure = others.chain(beside).find(|path| yaml::is_there(path));
    let layer = |path: &Path, clouds: &Node| match clouds.get(name) {
        Some(node) => layer(node, path).map(Some).map_err(|fault| format!("{}:{fault}", path.display())),
        None => Ok(None),
    };
    let mut layers = vec![layer(&path, &clouds)?];
    if let Some(secure) = secure
        && let Some(clouds) = self::clouds(&secure, "clouds")?
    {
        layers.push(layer(&secure, &clouds)?);
    }
    let mut layers: Vec<Layer> = layers.into_iter().flatten().collect();
    if layers.is_empty() {
        let known: Vec<_> = clouds.entries().iter().map(|entry| entry.key.as_str()).collect();
        let (name, known) = (excerpt(name), known.join(", "));
        return Err(format!("there is no cloud \"{name}\" in {}; there are: {known}", path.display()));
    }
    if let Some(named) = layers.iter().rev().find_map(|layer| layer.profile.as_ref()) {
        layers.insert(0, profile(named, &path)?);
    }
    joined(layers, region).map_err(|why| format!("{}: cloud \"{}\": {why}", path.display(), excerpt(name)))
}

/// Puts layers over one another, each over the one before, and what is said of the region over all.
fn joined(layers: Vec<Layer>, region: Option<&str>) -> Result<Said, String> {
    let (mut all, mut regions, mut file) = (Said::default(), Vec::new(), PathBuf::new());
    for layer in layers {
        overlay(&mut all.facts, &layer.said.facts);
        all.notes.extend(layer.said.notes);
        if !layer.regions.is_empty() {
            (regions, file) = (layer.regions, layer.file);
        }
    }
    let named = region.map(str::to_owned).or_else(|| all.facts.get("region_name").cloned());
    let names = || regions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen = match (named, regions.as_slice()) {
        (Some(name), _) => name,
        (None, []) => return Ok(all),
        (None, [(one, _)]) => one.clone(),
        (None, _) => {
            return Err(format!("it has several `regions`: say which by `region_name`; there are {}", names()));
        }
    };
    let known = regions.iter().find(|(name, _)| *name == chosen);
    if known.is_none() && !regions.is_empty() {
        return Err(format!("region {} is not among its `regions`: {}", excerpt(&chosen), names()));
    }
    if let Some((_, Some(values))) = known {
        let layer = layer(values, &file).map_err(|fault| format!("{}:{fault}", file.display()))?;
        overlay(&mut all.facts, &layer.said.facts);
        all.notes.extend(layer.said.notes);
    }
    all.facts.insert("region_name".to_owned(), chosen);
    Ok(all)
}

/// What a profile says, of a clouds-public.yaml beside the clouds.yaml or in the usual places.
fn profile(name: &str, clouds_yaml: &Path) -> Result<Layer, String> {
    let beside = ENDINGS.iter().map(|ending| clouds_yaml.with_file_name(format!("clouds-public.{ending}")));
    let file = beside.chain(usual_places("", "clouds-public")).find(|path| yaml::is_there(path));
    if let Some(file) = &file
        && let Some(public) = clouds(file, "public-clouds")?
        && let Some(node) = public.get(name)
    {
        let layer = layer(node, file).map_err(|fault| format!("{}:{fault}", file.display()))?;
        return match layer.profile {
            None => Ok(layer),
            Some(_) => Err(format!("{}: a profile that names another one: write out what it says", file.display())),
        };
    }
    Err(format!(
        "{}: `profile` {}: there is no such entry below `public-clouds` of a clouds-public.yaml, and those that come with \
         openstacksdk are not known here: write what it says into the cloud itself",
        clouds_yaml.display(),
        excerpt(name)
    ))
}

/// Where a file may be: named by a variable, in this folder, in the home folder, in /etc.
fn usual_places(variable: &str, name: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/openstack"));
    let folders = [Some(PathBuf::new()), home, Some(PathBuf::from("/etc/openstack"))].into_iter().flatten();
    let files = folders.flat_map(move |folder| ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))));
    named.into_iter().chain(files)
}

/// The entries of a file; none in one that is empty.
fn clouds(path: &Path, below: &str) -> Result<Option<Node>, String> {
    let root = yaml::read_file(path)?;
    let place = |node: &Node| format!("{}:{}", path.display(), node.at);
    match root.get(below) {
        Some(clouds) if clouds.map().is_some() => Ok(Some(clouds.clone())),
        Some(other) => Err(format!("{}: `{below}` has no entries", place(other))),
        None if root.is_absent() => Ok(None),
        None => Err(format!("{}: it has no `{below}`", place(&root))),
    }
}

/// Whether there is nothing, or nothing in quotes, which other clients take for the same.
fn is_empty(value: &Node) -> bool {
    value.is_absent() || value.text() == Some("")
}

/// Reads one table: `auth` and everything beside it. `file`: paths are meant from its folder.
fn layer(node: &Node, file: &Path) -> Result<Layer, Fault> {
    let mut layer = Layer { file: file.to_owned(), ..Layer::default() };
    if node.map().is_none() {
        return Err(node.at.fault("a cloud has keys and values"));
    }
    for entry in node.entries().iter().filter(|entry| !is_empty(&entry.value)) {
        if entry.key != "auth" {
            layer.take(entry, false)?;
            continue;
        }
        if entry.value.map().is_none() {
            return Err(entry.value.at.fault("`auth` has keys and values"));
        }
        for inner in entry.value.entries().iter().filter(|inner| !is_empty(&inner.value)) {
            layer.take(inner, true)?;
        }
    }
    Ok(layer)
}

impl Layer {
    fn take(&mut self, entry: &yaml::Entry, in_auth: bool) -> Result<(), Fault> {
        let (key, value) = (&entry.key, &entry.value);
        match meaning(key, in_auth) {
            Meaning::Done(name) => match name.as_str() {
                "regions" => self.regions = regions(value)?,
                "region_name" => self.regions_or_one(value)?,
                _ => self.fact(&name, value)?,
            },
            Meaning::Harmless => {}
            Meaning::Refused(instead) => return Err(entry.at.fault(format!("`{key}` cannot be done: {instead}"))),
            Meaning::Suspicious => {
                let what =
                    format!("the key{} is not known, and may change where or as whom Pointsman speaks", shown(key));
                return Err(entry.at.fault(match guess(key) {
                    Some(guess) => format!("{what}: did you mean `{guess}`?"),
                    None => format!("{what}: see \"What a clouds.yaml may say\" in docs/openstack.md, or remove it"),
                }));
            }
            Meaning::Unknown => {
                self.said.notes.push(format!(
                    "{}:{}: the key{} is not known and left alone",
                    self.file.display(),
                    entry.at,
                    shown(key)
                ));
            }
        }
        Ok(())
    }

    fn fact(&mut self, name: &str, value: &Node) -> Result<(), Fault> {
        let text = match value.list() {
            Some(items) if name.ends_with("interface") => {
                let names: Option<Vec<_>> = items.iter().map(Node::text).collect();
                names.map(|names| names.join(","))
            }
            _ => value.text().map(str::to_owned),
        };
        let Some(text) = text else {
            return Err(value.at.fault(format!("`{name}` is one text")));
        };
        if name == "profile" {
            self.profile = Some(text);
            return Ok(());
        }
        let placed = placed(name, &text, self.file.parent()).map_err(|why| value.at.fault(why))?;
        add(&mut self.said.facts, name, placed).map_err(|why| value.at.fault(why))
    }

    /// Older files have several in `region_name`, as a list or with commas.
    fn regions_or_one(&mut self, value: &Node) -> Result<(), Fault> {
        let names: Vec<String> = match (value.list(), value.text()) {
            (Some(_), _) => regions(value)?.into_iter().map(|(name, _)| name).collect(),
            (None, Some(text)) => {
                text.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect()
            }
            (None, None) => return Err(value.at.fault("`region_name` is one text")),
        };
        match names.as_slice() {
            [] => {}
            [one] => drop(self.said.facts.insert("region_name".to_owned(), one.clone())),
            _ if self.regions.is_empty() => self.regions = names.into_iter().map(|name| (name, None)).collect(),
            _ => {
                return Err(value.at.fault("several regions in `region_name`, and `regions` beside it: leave one out"));
            }
        }
        Ok(())
    }
}

/// Names, or tables of `name` and `values`.
fn regions(value: &Node) -> Result<Vec<(String, Option<Node>)>, Fault> {
    let wrong = |node: &Node| node.at.fault("`regions` is a list of names, or of tables with `name` and `values`");
    let one = |node: &Node| {
        if let Some(name) = node.text().filter(|name| !name.is_empty()) {
            return Ok((name.to_owned(), None));
        }
        let known = node.entries().iter().all(|entry| ["name", "values"].contains(&entry.key.as_str()));
        let name = node.get("name").and_then(Node::text).filter(|_| known).ok_or_else(|| wrong(node))?;
        Ok((name.to_owned(), node.get("values").cloned()))
    };
    value.list().ok_or_else(|| wrong(value))?.iter().map(one).collect()
}

/// The value as it is meant: the names of interfaces as they are today, paths from the folder of their file.
fn placed(key: &str, text: &str, folder: Option<&Path>) -> Result<String, String> {
    if key.ends_with("interface") {
        return Ok(text.split(',').map(interface).collect::<Result<Vec<_>, _>>()?.join(","));
    }
    if !["cacert", "cert", "key"].contains(&key) {
        return Ok(text.to_owned());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => folder.unwrap_or(Path::new("")).join(text),
    };
    path.into_os_string().into_string().map_err(|_| format!("the path of `{key}` is not UTF-8"))
}

/// Adds what is said once, or twice and the same.
fn add(facts: &mut Facts, key: &str, value: String) -> Result<(), String> {
    match facts.get(key) {
        Some(other) if *other != value => Err(format!(
            "`{key}` is said twice (in `auth` and beside it, or in another spelling), and not the same: leave one out"
        )),
        _ => {
            facts.insert(key.to_owned(), value);
            Ok(())
        }
    }
}
