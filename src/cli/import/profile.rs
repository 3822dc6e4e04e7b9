//! What the variables of an OpenStack profile mean: which cloud, which stack, which web front. Must not read any file but
//! as paths, and must not repeat a value that may be a secret.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::shell::Variables;
use crate::stacks::heat;

/// A profile that makes sense.
pub(super) struct Profile {
    /// The keys of `cloud`, but for the secret.
    pub(super) cloud: Vec<(&'static str, String)>,
    pub(super) password: Option<SecretString>,
    /// How stacks were called.
    pub(super) prefix: Option<String>,
    /// Values for the template: what its parameter may be called, and what it is.
    pub(super) values: Vec<(&'static [&'static str], &'static str, String)>,
    /// Where the script and its template are.
    pub(super) home: PathBuf,
    pub(super) local_settings: Option<PathBuf>,
    pub(super) extra_keys: Option<PathBuf>,
    /// `user@address` of the web front.
    pub(super) front: String,
    /// What is not taken over, each in a line.
    pub(super) notes: Vec<String>,
}

/// Variables of a cloud, and the keys that say the same.
const CLOUD: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "auth_url"),
    ("OS_USERNAME", "username"),
    ("OS_USER_DOMAIN_NAME", "user_domain_name"),
    ("OS_USER_DOMAIN_ID", "user_domain_id"),
    ("OS_PROJECT_NAME", "project_name"),
    ("OS_TENANT_NAME", "project_name"),
    ("OS_PROJECT_ID", "project_id"),
    ("OS_TENANT_ID", "project_id"),
    ("OS_PROJECT_DOMAIN_NAME", "project_domain_name"),
    ("OS_PROJECT_DOMAIN_ID", "project_domain_id"),
    ("OS_APPLICATION_CREDENTIAL_ID", "application_credential_id"),
    ("OS_REGION_NAME", "region_name"),
    ("OS_CACERT", "cacert"),
];

/// What the template is given, by the names that its parameter usually has.
const VALUES: &[(&str, &[&str], bool)] = &[
    ("STACK_KEY", &["key_name", "key"], false),
    ("STACK_IMAGE_ID", &["image_id", "image"], true),
    ("STACK_FLAVOR_ID", &["instance_type", "flavor_id", "flavor"], true),
    ("STACK_SECURITY_GROUP_ID", &["web_front_sec_id", "security_group_id", "security_group"], false),
];

struct Reader<'a> {
    all: &'a Variables,
    used: BTreeSet<&'a str>,
    mistakes: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    /// What is set and not empty, with its line.
    fn take(&mut self, name: &'a str) -> Option<(usize, &'a str)> {
        self.used.insert(name);
        let found = self.all.get(name)?;
        (!found.value.is_empty()).then_some((found.line, found.value.as_str()))
    }

    fn text(&mut self, name: &'a str) -> Option<String> {
        let (line, text) = self.take(name)?;
        if text.contains(char::is_control) {
            self.mistakes.push((line, format!("{name} has more than one line")));
        }
        Some(text.to_owned())
    }

    fn required(&mut self, name: &'a str) -> Option<String> {
        let text = self.text(name);
        if text.is_none() {
            let (line, how) = match self.all.get(name) {
                Some(empty) => (empty.line, "is empty"),
                None => (1, "is not set anywhere in this file"),
            };
            self.mistakes.push((line, format!("{name} {how}: add {name}=...")));
        }
        text
    }
}

/// Reads it. `folder`: that of the file, from which paths in it are meant.
///
/// # Errors
/// What is missing or makes no sense, with its line.
pub(super) fn read(all: &Variables, folder: &Path) -> Result<Profile, Vec<(usize, String)>> {
    let mut r = Reader { all, used: BTreeSet::new(), mistakes: Vec::new() };
    let mut notes = Vec::new();
    let (cloud, password) = cloud(&mut r, folder);
    let mut values = Vec::new();
    for (name, parameters, needed) in VALUES {
        let value = if *needed { r.required(name) } else { r.text(name) };
        values.extend(value.map(|value| (*parameters, *name, value)));
    }
    let front = front(&mut r);
    let path = |text: String| folder.join(text);
    let home = r.text("SCRIPT_HOME").map_or_else(|| folder.to_owned(), path);
    let local_settings = r.text("LOCAL_SETTINGS_PY_SRC").map(path);
    let extra_keys = r.text("EXTRA_SSH_KEYS").map(path);
    let prefix = r.text("STACK_PREFIX");
    if let Some((line, seconds)) = r.take("WAIT_CHECK_SECONDS") {
        match seconds.parse::<u32>() {
            Ok(1..) => {
                notes.push("WAIT_CHECK_SECONDS is not needed: Pointsman looks as often as there is news".to_owned())
            }
            _ => r.mistakes.push((line, "WAIT_CHECK_SECONDS is not a number of seconds".to_owned())),
        }
    }
    let rest = all.iter().filter(|(name, _)| !r.used.contains(name.as_str()));
    notes.extend(rest.map(|(name, a)| format!("{name} (line {}) is not known here and was left out", a.line)));
    match front {
        Some(front) if r.mistakes.is_empty() => {
            Ok(Profile { cloud, password, prefix, values, home, local_settings, extra_keys, front, notes })
        }
        _ => {
            r.mistakes.sort();
            Err(r.mistakes)
        }
    }
}

fn cloud(r: &mut Reader<'_>, folder: &Path) -> (Vec<(&'static str, String)>, Option<SecretString>) {
    let mut cloud: Vec<(&str, String)> = Vec::new();
    for (name, key) in CLOUD {
        let value = if *name == "OS_AUTH_URL" { r.required(name) } else { r.text(name) };
        // What begins with TENANT is the older word for the same.
        if let Some(value) = value.filter(|_| !cloud.iter().any(|(k, _)| k == key)) {
            let value = if *key == "cacert" { folder.join(value).display().to_string() } else { value };
            cloud.push((key, value));
        }
    }
    let interfaces = ["OS_INTERFACE", "OS_ENDPOINT_TYPE"].map(|name| r.text(name));
    // Older files say publicURL.
    let interface = interfaces.into_iter().flatten().next().map(|text| text.trim_end_matches("URL").to_owned());
    cloud.extend(interface.map(|interface| ("interface", interface)));
    for version in ["OS_IDENTITY_API_VERSION", "OS_AUTH_TYPE"] {
        r.used.insert(version);
    }
    let by_credential = cloud.iter().any(|(key, _)| *key == "application_credential_id");
    if by_credential {
        // Who that is, the credential says itself.
        cloud.retain(|(key, _)| {
            !["username", "user_domain_name", "user_domain_id"].contains(key) && !key.starts_with("project_")
        });
    } else {
        r.required("OS_USERNAME");
        if !cloud.iter().any(|(key, _)| key.starts_with("project_") && *key != "project_domain_name") {
            r.required("OS_PROJECT_NAME");
        }
    }
    if r.mistakes.is_empty() {
        meant(r);
    }
    let secrets = ["OS_PASSWORD", "OS_APPLICATION_CREDENTIAL_SECRET"].map(|name| r.take(name).map(|(_, text)| text));
    let secret = if by_credential { secrets[1] } else { secrets[0] };
    (cloud, secret.map(SecretString::from))
}

/// Refuses what would change where or as whom the stacks are made, and has no place in a pipeline file.
fn meant(r: &mut Reader<'_>) {
    let all = r.all;
    let of_cloud = || all.iter().filter(|(name, a)| name.starts_with("OS_") && !a.value.is_empty());
    let pairs: Vec<_> = of_cloud().map(|(name, a)| (name.clone(), a.value.clone())).collect();
    let line = |named: &str| of_cloud().find(|(name, _)| name.eq_ignore_ascii_case(named)).map_or(1, |(_, a)| a.line);
    let beside = ["password", "application_credential_secret", "auth_type", "identity_api_version"];
    let found: Vec<(usize, String)> = match heat::openrc(&pairs) {
        Err(why) => {
            let named = why.split(['`', ' ', ':']).find_map(|word| {
                let name = if word.starts_with("OS_") { word.to_owned() } else { format!("OS_{word}") };
                all.keys().find(|known| known.eq_ignore_ascii_case(&name))
            });
            vec![(named.map_or(1, |name| line(name)), why)]
        }
        Ok(facts) => facts
            .keys()
            .filter(|key| !heat::CLOUD_KEYS.contains(&key.as_str()) && !beside.contains(&key.as_str()))
            .map(|key| {
                let name = format!("OS_{}", key.to_ascii_uppercase());
                let how = "write a clouds.yaml with it, and name its entry as `cloud`";
                (line(&name), format!("{name} has no place in a pipeline file: {how}, or take it out of this file"))
            })
            .collect(),
    };
    r.mistakes.extend(found);
}

fn front(r: &mut Reader<'_>) -> Option<String> {
    let (user, ip) = (r.required("WEB_FRONT_USER"), r.required("WEB_FRONT_IP"));
    let (user, ip) = (user?, ip?);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if user.starts_with('-') || !user.chars().all(plain) {
        let line = r.all.get("WEB_FRONT_USER").map_or(1, |a| a.line);
        r.mistakes.push((line, "WEB_FRONT_USER is not the name of a user".to_owned()));
    }
    if ip.parse::<IpAddr>().is_err() {
        let line = r.all.get("WEB_FRONT_IP").map_or(1, |a| a.line);
        r.mistakes.push((line, "WEB_FRONT_IP is not an IP address such as 10.0.0.9".to_owned()));
    }
    Some(format!("{user}@{ip}"))
}
