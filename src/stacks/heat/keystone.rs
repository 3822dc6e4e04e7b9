//! Signing in at a Keystone, and where its catalog says that a service is. Must not know what the services are asked.

use std::{collections::BTreeSet, fs, path::Path};

use reqwest::{Certificate, Client as Http, Identity, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{ACT, CONNECT, Failure, cause, message},
    credentials::{Credentials, Domain, Named, Project, Tls, User, Way},
};
use crate::outgoing;

/// A token, and what came with it.
pub(super) struct Session {
    pub(super) http: Http,
    pub(super) token: SecretString,
    /// The project that the token is for.
    project_id: String,
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    project: Option<Known>,
    user: Known,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

impl Endpoint {
    fn region(&self) -> &str {
        self.region_id.as_deref().or(self.region.as_deref()).unwrap_or("(none)")
    }
}

/// Asks for a token.
pub(super) async fn sign_in(credentials: &Credentials) -> Result<Session, Failure> {
    let http = client(&credentials.tls).map_err(Failure::Unknown)?;
    let url = token_url(&credentials.auth_url).map_err(Failure::Unknown)?;
    let body = request(&credentials.user, &credentials.secret);
    let answer = http.post(url.clone()).header("accept", "application/json").json(&body).send().await;
    let answer = answer.map_err(|error| unreached(&url, &error))?;
    let status = answer.status();
    let token = answer.headers().get("x-subject-token").and_then(|token| token.to_str().ok()).map(SecretString::from);
    let text = answer.text().await.map_err(|error| unreached(&url, &error))?;
    if !status.is_success() {
        let body: Option<Value> = serde_json::from_str(&text).ok();
        return Err(refused(&url, status, body.as_ref()));
    }
    let no_token = |why: &str| {
        Failure::Unheard(format!("{} gave no token ({why}): is `auth_url` that of Keystone?", origin(&url)))
    };
    let token = token.ok_or_else(|| no_token("its answer has no X-Subject-Token"))?;
    let Answer { token: told } = serde_json::from_str(&text).map_err(|error| no_token(&error.to_string()))?;
    let Some(project) = told.project else {
        return Err(Failure::Unknown("the token has no project, and stacks are created in one".to_owned()));
    };
    are_those(&credentials.user, &told.user, &project)?;
    Ok(Session { http, token, project_id: project.id, catalog: told.catalog })
}

/// Whom an application credential signs in says Keystone; what is written beside it has to be the same.
fn are_those(user: &User, told: &Known, project: &Known) -> Result<(), Failure> {
    let User::ApplicationCredential { claims, .. } = user else { return Ok(()) };
    for (key, claimed) in claims {
        let is = match key.as_str() {
            "project_id" => &project.id,
            "project_name" => &project.name,
            "user_id" => &told.id,
            _ => &told.name,
        };
        if is != claimed {
            return Err(Failure::Unknown(format!(
                "`{key}` is {claimed}, and the application credential is for {is}: leave `{key}` out, or use a credential for it"
            )));
        }
    }
    Ok(())
}

fn client(tls: &Tls) -> Result<Http, String> {
    let read = |path: &Path| fs::read(path).map_err(|cause| format!("{} cannot be read: {cause}", path.display()));
    let bad = |path: &Path, error: &reqwest::Error| format!("{}: {}", path.display(), cause(error));
    // A redirect would turn a DELETE into a GET that succeeds.
    let mut http = outgoing::client().connect_timeout(CONNECT).timeout(ACT);
    if let Some(path) = &tls.cacert {
        let found = Certificate::from_pem_bundle(&read(path)?).map_err(|error| bad(path, &error))?;
        if found.is_empty() {
            return Err(format!("{} has no certificate in it: `cacert` is a file in PEM", path.display()));
        }
        http = http.tls_certs_merge(found);
    }
    if let Some((cert, key)) = &tls.client {
        let mut pem = read(cert)?;
        if let Some(key) = key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        http = http.identity(Identity::from_pem(&pem).map_err(|error| bad(cert, &error))?);
    }
    if tls.unverified {
        http = http.tls_danger_accept_invalid_certs(true);
    }
    http.build().map_err(|error| cause(&error))
}

/// `auth_url` is meant with its version or without.
fn token_url(auth_url: &str) -> Result<Url, String> {
    let wrong = || "`auth_url` is not an http:// or https:// address such as https://keystone.example/v3".to_owned();
    let mut url = Url::parse(auth_url).map_err(|_| wrong())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v3").or_else(|| path.strip_suffix("/v2.0")).unwrap_or(path).to_owned();
    url.set_path(&format!("{path}/v3/auth/tokens"));
    Ok(url)
}

fn request(user: &User, secret: &SecretString) -> Value {
    let secret = secret.expose_secret();
    let (identity, scope) = match user {
        User::Password { user, project } => {
            let mut body = named(user);
            body["password"] = json!(secret);
            let scope = match project {
                Project::Id(id) => json!({ "id": id }),
                Project::Name { name, domain } => json!({ "name": name, "domain": of_domain(domain) }),
            };
            (json!({ "methods": ["password"], "password": { "user": body } }), Some(scope))
        }
        User::ApplicationCredential { credential, .. } => {
            let mut body = match credential {
                Way::Id(id) => json!({ "id": id }),
                Way::Name { name, user } => json!({ "name": name, "user": named(user) }),
            };
            body["secret"] = json!(secret);
            (json!({ "methods": ["application_credential"], "application_credential": body }), None)
        }
    };
    let mut auth = json!({ "identity": identity });
    if let Some(project) = scope {
        auth["scope"] = json!({ "project": project });
    }
    json!({ "auth": auth })
}

fn named(user: &Named) -> Value {
    match user {
        Named::Id(id) => json!({ "id": id }),
        Named::Name { name, domain } => json!({ "name": name, "domain": of_domain(domain) }),
    }
}

fn of_domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn origin(url: &Url) -> String {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("Keystone at {host}:{port}"),
        _ => "Keystone".to_owned(),
    }
}

fn refused(url: &Url, status: StatusCode, body: Option<&Value>) -> Failure {
    let why = message(status, body);
    match status.as_u16() {
        400 | 401 | 403 => Failure::Unknown(why),
        404 | 405 | 300..=399 => {
            Failure::Unknown(format!("{why}: {} is not where Keystone gives tokens: is `auth_url` right?", url.path()))
        }
        _ => Failure::Unheard(format!("{} is temporarily unavailable: {why}", origin(url))),
    }
}

fn unreached(url: &Url, error: &reqwest::Error) -> Failure {
    let more = match url.scheme() {
        "https" => ", and does the system or `cacert` vouch for its certificate",
        _ => "",
    };
    Failure::Unheard(format!(
        "{} cannot be reached: {}: is it up, is `auth_url` right{more}?",
        origin(url),
        cause(error)
    ))
}

impl Session {
    /// Returns the address of a service: the one that is written, or that of the catalog.
    pub(super) fn endpoint(&self, service: &'static str, credentials: &Credentials) -> Result<Url, Failure> {
        let wanted = credentials.place(service);
        let text = match &wanted.url {
            Some(url) => self.filled(url),
            None => self.in_catalog(service, credentials)?,
        };
        let url = Url::parse(&text).ok().filter(|url| !url.cannot_be_a_base());
        url.ok_or_else(|| Failure::NoService(format!("the address of the service {service} is not one: {text}")))
    }

    /// The project's id, where an address that is written has a place for it.
    fn filled(&self, url: &str) -> String {
        super::credentials::PROJECT_HERE.iter().fold(url.to_owned(), |url, here| url.replace(here, &self.project_id))
    }

    fn in_catalog(&self, service: &'static str, credentials: &Credentials) -> Result<String, Failure> {
        let wanted = credentials.place(service);
        let kind = wanted.kind.as_deref().unwrap_or(service);
        let named = |s: &&Service| wanted.name.as_ref().is_none_or(|name| *name == s.name);
        let all = || self.catalog.iter().filter(|s| s.kind == kind).filter(named).flat_map(|s| &s.endpoints);
        let fits = |endpoint: &&Endpoint| wanted.region.as_ref().is_none_or(|wanted| *wanted == endpoint.region());
        let found = wanted.interfaces.iter().find_map(|interface| {
            let found: Vec<_> = all().filter(fits).filter(|endpoint| endpoint.interface == *interface).collect();
            (!found.is_empty()).then_some(found)
        });
        let Some(found) = found else {
            let has: BTreeSet<String> = all().map(|e| format!("{} ({})", e.region(), e.interface)).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.into_iter().collect::<Vec<_>>().join(", ") };
            let place = wanted.region.as_ref().map(|region| format!(" in region {region}")).unwrap_or_default();
            return Err(Failure::NoService(format!(
                "the cloud's catalog has no such service ({kind}, {}){place}; it has: {has}",
                wanted.interfaces.join(" or ")
            )));
        };
        let places: BTreeSet<&str> = found.iter().map(|endpoint| endpoint.url.as_str()).collect();
        let regions: BTreeSet<&str> = found.iter().map(|endpoint| endpoint.region()).collect();
        if places.len() > 1 && regions.len() > 1 {
            return Err(Failure::NoService(format!(
                "the cloud has the service {kind} in more than one region: say which by `region_name`; there are {}",
                regions.into_iter().collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(found[0].url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::heat::credentials::tests::credentials;

    fn session() -> Session {
        let catalog = json!([
            { "type": "compute", "name": "nova", "endpoints": [] },
            { "type": "orchestration", "name": "heat", "endpoints": [
                { "interface": "public", "region": "One", "region_id": "One", "url": "http://one/v1/p" },
                { "interface": "internal", "region": "One", "url": "http://one.internal/v1/p" },
                { "interface": "public", "region_id": "Two", "url": "http://two/v1/p" },
            ] },
            { "type": "orchestration", "name": "old", "endpoints": [
                { "interface": "admin", "region": "One", "url": "http://old/v1/p" },
            ] },
        ]);
        let catalog = serde_json::from_value(catalog).unwrap();
        Session { http: client(&Tls::default()).unwrap(), token: "t".into(), project_id: "p1".to_owned(), catalog }
    }

    fn endpoint(facts: &[(&str, &str)]) -> Result<String, String> {
        match session().endpoint("orchestration", &credentials(facts).unwrap()) {
            Ok(url) => Ok(url.to_string()),
            Err(Failure::NoService(why)) => Err(why),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_catalog_is_read_for_the_region_and_the_first_interface_that_it_has() {
        for (facts, expected) in [
            (&[("region_name", "One")][..], "http://one/v1/p"),
            (&[("region_name", "Two")], "http://two/v1/p"),
            (&[("region_name", "Two"), ("orchestration_region_name", "One")], "http://one/v1/p"),
            (&[("region_name", "One"), ("interface", "internalURL")], "http://one.internal/v1/p"),
            (&[("region_name", "Two"), ("interface", "internal,public")], "http://two/v1/p"),
            (&[("region_name", "One"), ("orchestration_interface", "internal")], "http://one.internal/v1/p"),
            (&[("region_name", "One"), ("compute_interface", "internal")], "http://one/v1/p"),
            (&[("interface", "admin"), ("orchestration_service_name", "old")], "http://old/v1/p"),
            (&[("orchestration_endpoint_override", "http://o/v1/%(project_id)s")], "http://o/v1/p1"),
            (&[("orchestration_endpoint_override", "http://o/v1/$(tenant_id)s/")], "http://o/v1/p1/"),
        ] {
            assert_eq!(endpoint(facts).as_deref(), Ok(expected), "{facts:?}");
        }
    }

    #[test]
    fn no_service_is_guessed() {
        let why = endpoint(&[]).unwrap_err();
        assert!(why.contains("more than one region") && why.contains("One, Two"), "{why}");
        let why = endpoint(&[("region_name", "Three")]).unwrap_err();
        assert!(
            why.contains("in region Three; it has: One (admin), One (internal), One (public), Two (public)"),
            "{why}"
        );
        let why = endpoint(&[("region_name", "One"), ("orchestration_service_type", "heat")]).unwrap_err();
        assert!(why.contains("(heat, public)") && why.contains("it has: none"), "{why}");
    }

    #[test]
    fn the_address_of_keystone_is_taken_with_its_version_or_without() {
        for (url, expected) in [
            ("http://k", "http://k/v3/auth/tokens"),
            ("http://k:5000/v3/", "http://k:5000/v3/auth/tokens"),
            ("https://k/identity", "https://k/identity/v3/auth/tokens"),
            ("https://k/identity/v2.0/", "https://k/identity/v3/auth/tokens"),
        ] {
            assert_eq!(token_url(url).unwrap().as_str(), expected);
        }
        assert!(token_url("keystone.example").is_err() && token_url("ftp://k").is_err());
    }

    #[test]
    fn a_request_says_ids_where_ids_are_written_and_names_with_their_domains() {
        let secret = SecretString::from("s");
        let body = |facts: &[(&str, &str)]| request(&credentials(facts).unwrap().user, &secret)["auth"].clone();
        let auth = body(&[("username", "ci"), ("project_name", "shop")]);
        let domain = json!({ "name": "Default" });
        assert_eq!(auth["identity"]["password"]["user"], json!({ "name": "ci", "domain": domain, "password": "s" }));
        assert_eq!(auth["scope"], json!({ "project": { "name": "shop", "domain": domain } }));
        let auth = body(&[("user_id", "007"), ("project_id", "0123"), ("user_domain_name", "staff")]);
        assert_eq!(auth["identity"]["password"]["user"], json!({ "id": "007", "password": "s" }));
        assert_eq!(auth["scope"], json!({ "project": { "id": "0123" } }));
        let auth = body(&[
            ("application_credential_name", "ci"),
            ("username", "u"),
            ("user_domain_id", "1e5"),
            ("auth_type", "v3applicationcredential"),
        ]);
        assert_eq!(
            auth["identity"]["application_credential"],
            json!({ "name": "ci", "user": { "name": "u", "domain": { "id": "1e5" } }, "secret": "s" })
        );
        assert!(auth.get("scope").is_none());
    }
}
