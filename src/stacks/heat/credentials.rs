//! Reads what is said of a cloud: who we are at which Keystone, and where its services are looked for. Whatever would
//! change one of these and cannot be done is refused.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

/// What is said of a cloud, by its key in clouds.yaml.
pub(super) type Facts = BTreeMap<String, String>;

/// The services that are spoken to besides Keystone, by their type in the catalog.
pub(super) const SERVICES: [&str; 2] = ["orchestration", "compute"];

/// What stands for the id of the project in an address that is written, as for other clients.
pub(super) const PROJECT_HERE: [&str; 4] = ["%(project_id)s", "%(tenant_id)s", "$(project_id)s", "$(tenant_id)s"];

/// What is said in one of two ways: who says one of them says something else than the other.
const EITHER: &[(&str, &str)] = &[
    ("project_id", "project_name"),
    ("user_id", "username"),
    ("user_domain_id", "user_domain_name"),
    ("project_domain_id", "project_domain_name"),
    ("domain_id", "domain_name"),
    ("default_domain_id", "default_domain_name"),
    ("application_credential_id", "application_credential_name"),
];

/// The user and the Keystone to sign in with.
pub(super) struct Credentials {
    pub(super) auth_url: String,
    pub(super) user: User,
    pub(super) secret: SecretString,
    pub(super) tls: Tls,
    places: BTreeMap<&'static str, Place>,
}

/// The user, or the application credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    Password {
        user: Named,
        project: Project,
    },
    /// `claims`: what is written of its user and project, which Keystone has to say as well.
    ApplicationCredential {
        credential: Way,
        claims: Vec<(String, String)>,
    },
}

/// A user by id, or by name in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    Id(String),
    Name { name: String, domain: Domain },
}

/// An application credential by id, or by name and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Id(String),
    Name { name: String, user: Named },
}

/// A project by its name or its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Project {
    Name { name: String, domain: Domain },
    Id(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Domain {
    Id(String),
    Name(String),
}

/// How the other side is known, and what we show of ourselves before any password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) cacert: Option<PathBuf>,
    /// Our certificate, and its key where that is in a file of its own.
    pub(super) client: Option<(PathBuf, Option<PathBuf>)>,
    pub(super) unverified: bool,
}

/// Where a service is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) region: Option<String>,
    /// The first that the catalog has.
    pub(super) interfaces: Vec<String>,
    /// Its type and its name in the catalog, where they are others than usual.
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    /// Its address, whatever the catalog says.
    pub(super) url: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("auth_url", &self.auth_url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    pub(super) fn new(facts: &Facts, secret: SecretString) -> Result<Self, String> {
        let parts = Parts::of(facts)?;
        Ok(Self { auth_url: parts.auth_url, user: parts.user, secret, tls: parts.tls, places: parts.places })
    }

    pub(super) fn place(&self, service: &'static str) -> &Place {
        &self.places[service]
    }
}

/// All but the secret.
pub(super) struct Parts {
    auth_url: String,
    pub(super) user: User,
    tls: Tls,
    places: BTreeMap<&'static str, Place>,
}

impl Parts {
    /// Reads what is said.
    ///
    /// # Errors
    /// The first thing that is missing or cannot be done, without any value that may be a secret.
    pub(super) fn of(facts: &Facts) -> Result<Self, String> {
        let auth_url = filled(need(facts, "auth_url")?, "auth_url", facts)?;
        versions(facts)?;
        let mut places = BTreeMap::new();
        for service in SERVICES {
            places.insert(service, place(facts, service)?);
        }
        Ok(Self { auth_url, user: user(facts)?, tls: tls(facts)?, places })
    }

    /// Whether nobody checks whose certificate the other side shows.
    pub(super) fn is_unverified(&self) -> bool {
        self.tls.unverified
    }
}

/// Puts facts over others. What is said in one way takes the place of what was said in the other.
pub(super) fn overlay(under: &mut Facts, over: &Facts) {
    for (one, other) in EITHER {
        if over.contains_key(*one) || over.contains_key(*other) {
            under.remove(*one);
            under.remove(*other);
        }
    }
    if over.contains_key("application_credential_id") {
        // It says itself whose it is.
        under.retain(|key, _| {
            let whose = ["username", "user_id", "password", "auth_type"].contains(&key.as_str());
            !whose && !key.starts_with("project_")
        });
    }
    under.extend(over.clone());
}

fn need(facts: &Facts, key: &str) -> Result<String, String> {
    facts.get(key).cloned().ok_or_else(|| format!("`{key}` is missing"))
}

fn user(facts: &Facts) -> Result<User, String> {
    let credential =
        ["application_credential_id", "application_credential_name"].iter().any(|k| facts.contains_key(*k));
    let by_credential = match facts.get("auth_type").map(String::as_str) {
        None if credential && facts.contains_key("password") => {
            return Err("there are a `password` and an application credential: say which by `auth_type`: password or \
                        v3applicationcredential"
                .to_owned());
        }
        None => credential,
        Some("password" | "v3password") if credential => {
            return Err(
                "`auth_type` says password, and there is an application credential: leave one of them out".to_owned()
            );
        }
        Some("password" | "v3password") => false,
        Some("v3applicationcredential") => true,
        Some(other) => {
            return Err(format!(
                "`auth_type` {} is not supported: Pointsman signs in by password or v3applicationcredential. An application \
                 credential can be made for a user who signs in otherwise: `openstack application credential create --unrestricted`",
                crate::text::excerpt(other)
            ));
        }
    };
    if by_credential {
        let credential = match facts.get("application_credential_id") {
            Some(id) => Way::Id(id.clone()),
            None => Way::Name { name: need(facts, "application_credential_name")?, user: named(facts)? },
        };
        let claims = ["project_id", "project_name", "user_id", "username"];
        let claims = claims.iter().filter_map(|key| Some(((*key).to_owned(), facts.get(*key)?.clone()))).collect();
        return Ok(User::ApplicationCredential { credential, claims });
    }
    let project = match facts.get("project_id") {
        Some(id) => Project::Id(id.clone()),
        None => Project::Name { name: need(facts, "project_name")?, domain: domain(facts, "project") },
    };
    Ok(User::Password { user: named(facts)?, project })
}

fn named(facts: &Facts) -> Result<Named, String> {
    Ok(match facts.get("user_id") {
        Some(id) => Named::Id(id.clone()),
        None => Named::Name { name: need(facts, "username")?, domain: domain(facts, "user") },
    })
}

/// An id goes before a name, as for other clients.
fn domain(facts: &Facts, whose: &str) -> Domain {
    let keys = [format!("{whose}_domain"), "domain".to_owned(), "default_domain".to_owned()];
    let said = keys.iter().find_map(|key| {
        let id = facts.get(&format!("{key}_id")).cloned().map(Domain::Id);
        id.or_else(|| facts.get(&format!("{key}_name")).cloned().map(Domain::Name))
    });
    said.unwrap_or_else(|| Domain::Name("Default".to_owned()))
}

/// Versions of an API are addresses in disguise.
fn versions(facts: &Facts) -> Result<(), String> {
    for (service, known) in [("identity", "3"), ("orchestration", "1"), ("compute", "2")] {
        let key = format!("{service}_api_version");
        let Some(said) = facts.get(&key) else { continue };
        let major = said.trim_start_matches('v').split('.').next();
        if major != Some(known) {
            return Err(format!(
                "`{key}` is {}, and Pointsman speaks version {known}: leave the key out, or write {known}",
                crate::text::excerpt(said)
            ));
        }
    }
    Ok(())
}

fn tls(facts: &Facts) -> Result<Tls, String> {
    let flag = |key: &str| match facts.get(key) {
        None => Ok(None),
        Some(word) => crate::yaml::truth(word).map(Some).ok_or_else(|| format!("`{key}` is true or false")),
    };
    let unverified = flag("insecure")? == Some(true) || flag("verify")? == Some(false);
    let path = |key: &str| facts.get(key).map(PathBuf::from);
    let client = match (path("cert"), path("key")) {
        (Some(cert), key) => Some((cert, key)),
        (None, Some(_)) => return Err("`key` needs `cert`: the certificate that it is the key of".to_owned()),
        (None, None) => None,
    };
    Ok(Tls { cacert: path("cacert"), client, unverified })
}

fn place(facts: &Facts, service: &str) -> Result<Place, String> {
    let own = |what: &str| facts.get(&format!("{service}_{what}")).cloned();
    let key = format!("{service}_endpoint_override");
    let url = match own("endpoint_override") {
        None => None,
        Some(url) => Some(address(filled(url, &key, facts)?, &key)?),
    };
    let interfaces = own("interface").or_else(|| facts.get("interface").cloned());
    let interfaces = interfaces.as_deref().unwrap_or("public").split(',').map(interface).collect::<Result<_, _>>()?;
    Ok(Place {
        region: own("region_name").or_else(|| facts.get("region_name").cloned()),
        interfaces,
        kind: own("service_type"),
        name: own("service_name"),
        url,
    })
}

/// Reads the name of an interface, also as older files have it (`publicURL`).
pub(super) fn interface(text: &str) -> Result<String, String> {
    let name = text.trim();
    let name = name.strip_suffix("URL").unwrap_or(name);
    if ["public", "internal", "admin"].contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("`interface` {} is not known: write public, internal or admin", crate::text::excerpt(text)))
}

/// An address with the region in the place that vendors leave for it.
fn filled(text: String, key: &str, facts: &Facts) -> Result<String, String> {
    let text = match facts.get("region_name") {
        Some(region) => text.replace("{region_name}", region),
        None if text.contains("{region_name}") => return Err(format!("`{key}` wants a region: add `region_name`")),
        None => text,
    };
    if text.contains(['{', '}']) {
        return Err(format!("`{key}` has braces in it: only {{region_name}} is filled in"));
    }
    Ok(text)
}

/// A service answers below its project: without it, every request would go to somewhere else.
fn address(url: String, key: &str) -> Result<String, String> {
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("`{key}` is not an http:// or https:// address"));
    }
    let rest = PROJECT_HERE.iter().fold(url.clone(), |url, here| url.replace(here, "p"));
    if rest.contains("%(") || rest.contains("$(") {
        return Err(format!(
            "`{key}` has a place for something else than the project: only %(project_id)s is filled in"
        ));
    }
    let last = rest.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let is_version = last.strip_prefix('v').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    let bare = Path::new(&rest).components().count() < 3;
    if key.starts_with("orchestration") && (is_version || bare) {
        return Err(format!("`{key}` ends before the project: Heat answers below .../v1/%(project_id)s"));
    }
    Ok(url)
}

#[cfg(test)]
pub(super) mod tests;
