//! `cloud` of an environment with Heat stacks: which cloud, and as whom. Read from clouds.yaml, from the `OS_*` variables of
//! an openrc file, or written out; secrets from files and variables. Must not connect to anything.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    clouds::{Said, entry, entry_of_variables, variables},
    credentials::{Credentials, Parts, User, overlay},
};
use crate::{
    text::line_end,
    toml_file::filled::{Reader, text},
};

/// The keys of `cloud`.
pub const KEYS: &[&str] = &[
    "name",
    "file",
    "auth_url",
    "username",
    "user_domain_name",
    "user_domain_id",
    "project_name",
    "project_id",
    "project_domain_name",
    "project_domain_id",
    "application_credential_id",
    "secret",
    "region_name",
    "interface",
    "cacert",
];

/// Where what is not written out comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// An entry of a clouds.yaml; without a file, that of the usual places.
    Entry { name: String, file: Option<PathBuf> },
    /// The variables of an openrc file, in the environment of `pointsman serve`.
    Variables,
    /// Nowhere else.
    Written,
}

/// The cloud as written. Its secrets are read again for every session.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    source: Source,
    written: BTreeMap<String, String>,
    secret: Option<Secret>,
    folder: PathBuf,
}

#[derive(Debug, Clone)]
enum Secret {
    File(PathBuf),
    Env(String),
}

impl Settings {
    /// Reads the settings of an environment. `folder`: that of the pipeline file.
    ///
    /// # Errors
    /// Every mistake, each beginning with its key.
    pub(super) fn read(settings: &toml::Table, folder: &Path) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut new =
            Self { source: Source::Variables, written: BTreeMap::new(), secret: None, folder: folder.to_owned() };
        match settings.get("cloud") {
            None => {}
            Some(toml::Value::String(name)) => new.source = Source::Entry { name: name.clone(), file: None },
            Some(toml::Value::Table(table)) => new.table(table, &mut mistakes),
            Some(_) => mistakes.push("`cloud` must be the name of an entry of clouds.yaml, or a table".to_owned()),
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // What cannot be had now would not be had later either.
        new.facts().and_then(|said| Parts::of(&said.facts).map(drop)).map_err(|why| vec![format!("`cloud`: {why}")])?;
        Ok(new)
    }

    fn table(&mut self, table: &toml::Table, mistakes: &mut Vec<String>) {
        let mut cloud = Reader::new(table, "cloud", mistakes);
        for key in KEYS {
            if *key == "secret" {
                self.secret = cloud.optional(key, |value| secret(value, &self.folder));
            } else if let Some(text) = cloud.optional(key, text) {
                self.written.insert((*key).to_owned(), text);
            }
        }
        cloud.refuse_the_rest();
        if let Some(path) = self.written.get_mut("cacert") {
            *path = self.folder.join(&path).display().to_string();
        }
        let file = self.written.remove("file").map(|file| self.folder.join(file));
        self.source = match self.written.remove("name") {
            Some(name) => Source::Entry { name, file },
            None if file.is_some() => {
                mistakes.push("`cloud.file` needs `name`: which entry of it is meant".to_owned());
                Source::Written
            }
            None if self.written.contains_key("auth_url") => Source::Written,
            None => Source::Variables,
        };
    }

    /// What the cloud is called, for people.
    pub(super) fn shown(&self) -> String {
        match &self.source {
            Source::Entry { name, .. } => name.clone(),
            Source::Variables => "of the OS_* variables".to_owned(),
            Source::Written => {
                self.written.get("auth_url").expect("`Source::Written` is taken where `auth_url` is written").clone()
            }
        }
    }

    /// Returns the credentials that files and variables hold at this moment.
    ///
    /// # Errors
    /// What is missing, in one sentence, without any secret.
    pub(super) fn credentials(&self) -> Result<Credentials, String> {
        let facts = self.facts()?.facts;
        let key = match Parts::of(&facts)?.user {
            User::Password { .. } => "password",
            User::ApplicationCredential { .. } => "application_credential_secret",
        };
        let secret = match &self.secret {
            Some(secret) => secret.read()?,
            None => facts.get(key).map(|text| SecretString::from(text.as_str())).ok_or_else(|| {
                format!("the {key} is missing: name where it is kept, `cloud.secret = {{ file = \"...\" }}`")
            })?,
        };
        Credentials::new(&facts, secret)
    }

    /// What people should know of it, a sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let Ok(said) = self.facts() else { return Vec::new() };
        let mut notes = said.notes;
        if Parts::of(&said.facts).is_ok_and(|parts| parts.is_unverified()) {
            let place = match &self.source {
                Source::Entry { name, file: Some(file) } => format!("cloud \"{name}\" of {}", file.display()),
                Source::Entry { name, file: None } => format!("cloud \"{name}\" of the clouds.yaml"),
                Source::Variables | Source::Written => "the OS_* variables".to_owned(),
            };
            notes.push(format!(
                "{place} is trusted with any certificate (`insecure` or `verify: false`): whoever intercepts the connection gets the password. Name its authority as `cacert` instead"
            ));
        }
        notes
    }

    /// Everything that is said of the cloud, by its key in clouds.yaml.
    fn facts(&self) -> Result<Said, String> {
        let region = self.written.get("region_name").map(String::as_str);
        let mut said = match &self.source {
            Source::Entry { name, file } => entry(name, file.as_deref(), region)?,
            Source::Variables => {
                let all: Vec<_> = std::env::vars_os()
                    .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                    .collect();
                let chosen = all.iter().find(|(name, value)| name == "OS_REGION_NAME" && !value.is_empty());
                match entry_of_variables(&all)? {
                    Some(name) => entry(&name, None, region.or(chosen.map(|(_, region)| region.as_str())))?,
                    None => Said { facts: variables(&all)?, notes: Vec::new() },
                }
            }
            Source::Written => Said::default(),
        };
        overlay(&mut said.facts, &self.written);
        Ok(said)
    }
}

fn secret(value: &toml::Value, folder: &Path) -> Result<Secret, String> {
    let kept = value.as_table().filter(|table| table.len() == 1).and_then(|table| table.iter().next());
    match kept.and_then(|(key, value)| Some((key.as_str(), value.as_str().filter(|text| !text.is_empty())?))) {
        Some(("file", path)) => Ok(Secret::File(folder.join(path))),
        Some(("env", name)) => Ok(Secret::Env(name.to_owned())),
        _ => Err(" is not written here, only where it is kept: { file = \"...\" } or { env = \"...\" }".to_owned()),
    }
}

impl Secret {
    fn read(&self) -> Result<SecretString, String> {
        let text = match self {
            Self::File(path) => {
                let text = fs::read_to_string(path);
                SecretString::from(text.map_err(|cause| format!("{} cannot be read: {cause}", path.display()))?)
            }
            Self::Env(name) => SecretString::from(std::env::var(name).map_err(|_| format!("${name} is not set"))?),
        };
        let text = text.expose_secret();
        let plain = &text[..text.len() - line_end(text.as_bytes())];
        if plain.trim().is_empty() { Err("the secret is empty".to_owned()) } else { Ok(SecretString::from(plain)) }
    }
}

#[cfg(test)]
mod tests;
