//! `cloud` of an environment with Heat stacks: which cloud, and as whom. Read from clouds.yaml, from the `OS_*` variables of
//! an openrc file, or written out; secrets from files and variables. Must not connect to anything.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

use super::clouds::{entry, variables};

/// The keys of `cloud`.
pub const KEYS: &[&str] = &[
    "name",
    "file",
    "auth_url",
    "username",
    "user_domain_name",
    "project_name",
    "project_id",
    "project_domain_name",
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

/// Which cloud, as written. The secrets in it are read anew for every session.
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

/// Who we are at which Keystone.
pub(super) struct Credentials {
    pub(super) auth_url: String,
    pub(super) user: User,
    pub(super) secret: SecretString,
    pub(super) region: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) cacert: Option<PathBuf>,
}

/// As whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    Password { name: String, domain: String, project: Project },
    ApplicationCredential { id: String },
}

/// A project by its name or its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Project {
    Name { name: String, domain: String },
    Id(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("auth_url", &self.auth_url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
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
            Some(_) => mistakes.push("`cloud`: name an entry of clouds.yaml, or write a table".to_owned()),
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // What can not be had now would not be had later either.
        new.facts().and_then(|facts| new.user(&facts).map(drop)).map_err(|why| vec![format!("`cloud`: {why}")])?;
        Ok(new)
    }

    fn table(&mut self, table: &toml::Table, mistakes: &mut Vec<String>) {
        for (key, value) in table {
            match (key.as_str(), value) {
                ("secret", value) => match secret(value, &self.folder) {
                    Some(secret) => self.secret = Some(secret),
                    None => mistakes.push(
                        "`cloud.secret` is not written here, only where it is kept: { file = \"...\" } or { env = \"...\" }"
                            .to_owned(),
                    ),
                },
                (key, toml::Value::String(text)) if KEYS.contains(&key) && !text.is_empty() => {
                    self.written.insert(key.to_owned(), text.clone());
                }
                (key, _) if KEYS.contains(&key) => mistakes.push(format!("`cloud.{key}` is a text that is not empty")),
                (key, _) => mistakes.push(format!(
                    "`cloud` has an unknown key{}; known are {}",
                    crate::toml_file::shown(key),
                    KEYS.join(", ")
                )),
            }
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

    /// Who we are, as the files and variables say at this moment.
    ///
    /// # Errors
    /// What is missing, in one sentence, without any secret.
    pub(super) fn credentials(&self) -> Result<Credentials, String> {
        let facts = self.facts()?;
        let user = self.user(&facts)?;
        let key = match user {
            User::Password { .. } => "password",
            User::ApplicationCredential { .. } => "application_credential_secret",
        };
        let secret = match &self.secret {
            Some(secret) => secret.read()?,
            None => facts.get(key).map(|text| SecretString::from(text.as_str())).ok_or_else(|| {
                format!("the {key} is missing: name where it is kept, `cloud.secret = {{ file = \"...\" }}`")
            })?,
        };
        let take = |key: &str| facts.get(key).cloned();
        Ok(Credentials {
            auth_url: take("auth_url").ok_or("`auth_url` is missing")?,
            user,
            secret,
            region: take("region_name"),
            interface: take("interface"),
            cacert: take("cacert").map(|path| self.folder.join(path)),
        })
    }

    fn user(&self, facts: &BTreeMap<String, String>) -> Result<User, String> {
        let need = |key: &str| facts.get(key).cloned().ok_or_else(|| format!("`{key}` is missing"));
        need("auth_url")?;
        if let Some(id) = facts.get("application_credential_id") {
            return Ok(User::ApplicationCredential { id: id.clone() });
        }
        let domain = |whose: &str| domain(facts, whose);
        let project = match facts.get("project_id") {
            Some(id) => Project::Id(id.clone()),
            None => Project::Name { name: need("project_name")?, domain: domain("project")? },
        };
        Ok(User::Password { name: need("username")?, domain: domain("user")?, project })
    }

    /// Everything that is said of the cloud, by its key in clouds.yaml.
    fn facts(&self) -> Result<BTreeMap<String, String>, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut facts = match &self.source {
            Source::Entry { name, file } => entry(name, file.as_deref())?,
            Source::Variables => match variable("OS_CLOUD") {
                Some(name) => entry(&name, None)?,
                None => variables(variable)?,
            },
            Source::Written => BTreeMap::new(),
        };
        facts.extend(self.written.clone());
        Ok(facts)
    }
}

/// `Default` is the only domain whose id is the same everywhere.
fn domain(facts: &BTreeMap<String, String>, whose: &str) -> Result<String, String> {
    let said = |key: &str| facts.get(&format!("{whose}_domain_{key}")).or_else(|| facts.get(&format!("domain_{key}")));
    match (said("name"), said("id")) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(id)) if id != "default" => {
            Err(format!("`{whose}_domain_id` is not understood: write `{whose}_domain_name`"))
        }
        _ => Ok("Default".to_owned()),
    }
}

fn secret(value: &toml::Value, folder: &Path) -> Option<Secret> {
    let table = value.as_table().filter(|table| table.len() == 1)?;
    let (key, value) = table.iter().next()?;
    let text = value.as_str().filter(|text| !text.is_empty())?;
    match key.as_str() {
        "file" => Some(Secret::File(folder.join(text))),
        "env" => Some(Secret::Env(text.to_owned())),
        _ => None,
    }
}

impl Secret {
    fn read(&self) -> Result<SecretString, String> {
        let text = match self {
            Self::File(path) => {
                let text = fs::read_to_string(path);
                SecretString::from(text.map_err(|cause| format!("{} can not be read: {cause}", path.display()))?)
            }
            Self::Env(name) => SecretString::from(std::env::var(name).map_err(|_| format!("${name} is not set"))?),
        };
        let plain = text.expose_secret().trim_end_matches(['\r', '\n']);
        if plain.is_empty() { Err("the secret is empty".to_owned()) } else { Ok(SecretString::from(plain)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUDS: &str = "clouds:\n  qa:\n    auth:\n      auth_url: https://keystone.example/v3\n      username: ci\n      \
                          password: canary\n      project_name: shop\n      user_domain_id: default\n    region_name: One\n";

    fn read(settings: &str) -> Result<Settings, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("clouds.yaml"), CLOUDS).unwrap();
        fs::write(folder.path().join("key"), "from a file\n").unwrap();
        let read = Settings::read(&toml::from_str(settings).unwrap(), folder.path());
        // The folder must outlive what reads from it.
        let _ = folder.keep();
        read
    }

    #[test]
    fn an_entry_is_read_and_what_is_written_out_goes_before_it() {
        let found = read("cloud = { name = \"qa\", file = \"clouds.yaml\" }").unwrap().credentials().unwrap();
        let project = Project::Name { name: "shop".into(), domain: "Default".into() };
        assert_eq!(found.user, User::Password { name: "ci".into(), domain: "Default".into(), project });
        assert_eq!(found.region.as_deref(), Some("One"));
        assert_eq!(found.secret.expose_secret(), "canary");
        let settings =
            "cloud = { name = \"qa\", file = \"clouds.yaml\", region_name = \"Two\", secret = { file = \"key\" } }";
        let found = read(settings).unwrap().credentials().unwrap();
        assert_eq!(found.region.as_deref(), Some("Two"));
        assert_eq!(found.secret.expose_secret(), "from a file");
        assert!(!format!("{found:?}").contains("from a file"));
    }

    #[test]
    fn what_is_wrong_is_said_at_its_key() {
        let wrong = |settings: &str| read(settings).map(drop).unwrap_err().join("\n");
        assert!(wrong("cloud = { nam = \"qa\" }").contains("unknown key `nam`"));
        assert!(wrong("cloud = { name = \"live\", file = \"clouds.yaml\" }").contains("there are: qa"));
        assert!(wrong("cloud = { file = \"clouds.yaml\" }").contains("needs `name`"));
        assert!(wrong("cloud = { auth_url = \"http://k\", username = \"u\" }").contains("`project_name` is missing"));
        let told = wrong("cloud = { name = \"qa\", file = \"clouds.yaml\", secret = \"canary\" }");
        assert!(told.contains("only where it is kept") && !told.contains("canary"), "{told}");
        assert!(wrong("cloud = 3").contains("`cloud`"));
    }

    #[test]
    fn an_openrc_file_says_the_same() {
        let openrc = |name: &str| {
            let value = match name {
                "OS_AUTH_URL" => "https://keystone.example/v3",
                "OS_USERNAME" => "ci",
                "OS_PASSWORD" => "canary",
                "OS_TENANT_NAME" => "shop",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let facts = variables(openrc).unwrap();
        let settings = Settings { source: Source::Written, written: facts, secret: None, folder: PathBuf::new() };
        let found = settings.credentials().unwrap();
        let project = Project::Name { name: "shop".into(), domain: "Default".into() };
        assert_eq!(found.user, User::Password { name: "ci".into(), domain: "Default".into(), project });
        assert!(variables(|_| None).is_err());
    }
}
