//! What is said of a cloud outside of the pipeline file: in a clouds.yaml, or in the `OS_*` variables of an openrc file.
//! Must not repeat a secret in a message.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// As an openrc file sets them.
pub(super) fn variables(variable: impl Fn(&str) -> Option<String>) -> Result<BTreeMap<String, String>, String> {
    const NAMES: &[(&str, &[&str])] = &[
        ("auth_url", &["OS_AUTH_URL"]),
        ("username", &["OS_USERNAME"]),
        ("password", &["OS_PASSWORD"]),
        ("project_name", &["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
        ("project_id", &["OS_PROJECT_ID", "OS_TENANT_ID"]),
        ("user_domain_name", &["OS_USER_DOMAIN_NAME"]),
        ("user_domain_id", &["OS_USER_DOMAIN_ID"]),
        ("project_domain_name", &["OS_PROJECT_DOMAIN_NAME"]),
        ("project_domain_id", &["OS_PROJECT_DOMAIN_ID"]),
        ("domain_name", &["OS_DOMAIN_NAME"]),
        ("application_credential_id", &["OS_APPLICATION_CREDENTIAL_ID"]),
        ("application_credential_secret", &["OS_APPLICATION_CREDENTIAL_SECRET"]),
        ("region_name", &["OS_REGION_NAME"]),
        ("interface", &["OS_INTERFACE", "OS_ENDPOINT_TYPE"]),
        ("cacert", &["OS_CACERT"]),
    ];
    let one = |(key, names): &(&str, &[&str])| Some(((*key).to_owned(), names.iter().find_map(|n| variable(n))?));
    let facts: BTreeMap<String, String> = NAMES.iter().filter_map(one).collect();
    if facts.contains_key("auth_url") {
        return Ok(facts);
    }
    Err("no cloud is named: write `cloud = \"NAME\"` for an entry of clouds.yaml, or start `pointsman serve` with the \
         OS_* variables of an openrc file"
        .to_owned())
}

#[derive(Deserialize)]
struct CloudsFile {
    clouds: BTreeMap<String, serde_yaml::Mapping>,
}

/// An entry of a clouds.yaml, with what a secure.yaml beside it adds.
pub(super) fn entry(name: &str, file: Option<&Path>) -> Result<BTreeMap<String, String>, String> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => usual_places().find(|path| path.is_file()).ok_or_else(|| {
            "there is no clouds.yaml in this folder, in ~/.config/openstack or in /etc/openstack, and none named by \
             OS_CLIENT_CONFIG_FILE"
                .to_owned()
        })?,
    };
    let mut facts = BTreeMap::new();
    let clouds = read_clouds(&path)?;
    let known = || clouds.keys().cloned().collect::<Vec<_>>().join(", ");
    let found = clouds.get(name).ok_or_else(|| {
        format!("there is no cloud \"{}\" in {}; there are: {}", crate::text::excerpt(name), path.display(), known())
    })?;
    flatten(found, &mut facts);
    let secure = path.with_file_name("secure.yaml");
    if secure.is_file()
        && let Some(more) = read_clouds(&secure)?.get(name)
    {
        flatten(more, &mut facts);
    }
    if facts.get("verify").is_some_and(|v| v == "false") {
        return Err(format!(
            "{}: `verify: false` is not done; name the authority's certificate as `cacert`",
            path.display()
        ));
    }
    if let Some(key) = ["cert", "key"].into_iter().find(|key| facts.contains_key(*key)) {
        return Err(format!("{}: `{key}`: certificates of clients are not supported", path.display()));
    }
    Ok(facts)
}

fn usual_places() -> impl Iterator<Item = PathBuf> {
    let named = std::env::var_os("OS_CLIENT_CONFIG_FILE").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/openstack/clouds.yaml"));
    let fixed = [PathBuf::from("clouds.yaml"), PathBuf::from("/etc/openstack/clouds.yaml")];
    let [here, system] = fixed;
    named.into_iter().chain([here]).chain(home).chain([system])
}

fn read_clouds(path: &Path) -> Result<BTreeMap<String, serde_yaml::Mapping>, String> {
    let text = fs::read_to_string(path).map_err(|cause| format!("{} can not be read: {cause}", path.display()))?;
    let read: Result<CloudsFile, _> = serde_yaml::from_str(&text);
    // What the reader says might repeat a secret; where it is does not.
    let place =
        |error: &serde_yaml::Error| error.location().map_or(String::new(), |l| format!(":{}:{}", l.line(), l.column()));
    read.map(|file| file.clouds).map_err(|error| {
        format!("{}{}: this is no clouds.yaml, with entries below `clouds`", path.display(), place(&error))
    })
}

/// `auth` and everything beside it, as one table.
fn flatten(mapping: &serde_yaml::Mapping, facts: &mut BTreeMap<String, String>) {
    for (key, value) in mapping {
        let Some(key) = key.as_str() else { continue };
        match value {
            serde_yaml::Value::Mapping(inner) if key == "auth" => flatten(inner, facts),
            serde_yaml::Value::String(text) => drop(facts.insert(key.to_owned(), text.clone())),
            serde_yaml::Value::Number(number) => drop(facts.insert(key.to_owned(), number.to_string())),
            serde_yaml::Value::Bool(flag) => drop(facts.insert(key.to_owned(), flag.to_string())),
            _ => {}
        }
    }
}
