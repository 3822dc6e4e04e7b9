//! `[server.oidc]`: the OpenID Connect provider at which people sign in. Must not ask it anything.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use openidconnect::{IssuerUrl, url::Url};

use crate::{
    access::{
        openid::{Granted, Mapping},
        users::read_grants,
    },
    machine::Millis,
    pipelines::{self, SecretSource},
    toml_file::Table,
};

/// The keys of the table; `docs/running.md` explains each.
pub(super) const KEYS: &[&str] = &["name", "issuer", "client", "secret", "scopes", "claim", "groups", "skew", "ca"];
/// Largest difference that may be allowed between the clocks of both sides.
const LARGEST_SKEW: Millis = Millis(600_000);

/// The provider, and what is believed of it.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// What people call it: the button says "Sign in with NAME".
    pub name: Arc<str>,
    /// Its address, as its tokens have it.
    pub issuer: IssuerUrl,
    /// Client id of this installation at the provider.
    pub client: Arc<str>,
    /// Client secret of this installation.
    pub secret: SecretSource,
    /// Scopes that are requested besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that has the groups: a name, or a JSON pointer that begins with `/`.
    pub claim: Arc<str>,
    /// Grants of groups.
    pub mapping: Mapping,
    /// Allowed difference between the clocks of both sides.
    pub skew: Millis,
    /// Certificates of authorities that are trusted besides the system's, PEM.
    pub ca: Option<PathBuf>,
}

impl Oidc {
    /// Reads the table; mistakes are noted in its document.
    pub(super) fn read(table: &Table<'_, '_>, folder: &Path) -> Option<Self> {
        table.only(KEYS);
        let text = |key: &str, example: &str| table.require(key, example).and_then(|v| v.full_text());
        let name = text("name", "name = \"Example SSO\"");
        let issuer =
            table.require("issuer", "issuer = \"https://sso.example/realms/main\"").and_then(|v| v.parsed(issuer));
        let client = text("client", "client = \"pointsman\"");
        let secret = table.require("secret", "secret = { file = \"/etc/pointsman/oidc-secret\" }");
        let secret = secret.and_then(|value| pipelines::secret(&value, folder));
        let scopes = table.get("scopes").map(|v| v.texts().unwrap_or_default());
        for (scope, item) in scopes.iter().flatten() {
            if !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
                item.wrong("a scope is a word of visible ASCII characters, for example \"profile\"");
            }
        }
        let scopes = scopes.map_or_else(
            || vec!["profile".to_owned(), "email".to_owned()],
            |all| all.into_iter().map(|(scope, _)| scope.to_owned()).filter(|scope| scope != "openid").collect(),
        );
        let claim: Arc<str> = table.get("claim").and_then(|v| v.full_text()).unwrap_or("groups").into();
        let groups = read_groups(table);
        let skew = table.get("skew").map_or(Some(Millis(60_000)), |value| {
            let skew = value.duration()?;
            if skew > LARGEST_SKEW {
                value.wrong("`skew` is longer than 10m: keep the clocks of both sides synchronised instead");
            }
            Some(skew)
        });
        let ca = table.get("ca").and_then(|v| v.full_text()).map(|path| folder.join(path));
        let (name, issuer, client): (Arc<str>, _, Arc<str>) = (name?.into(), issuer?, client?.into());
        let mapping = Mapping {
            provider: name.clone(),
            issuer: issuer.as_str().into(),
            client: client.clone(),
            claim: claim.clone(),
            groups: groups?,
        };
        Some(Self { name, issuer, client, secret: secret?, scopes, claim, mapping, skew: skew?, ca })
    }
}

/// Each group with its grants, as users have them.
fn read_groups(table: &Table<'_, '_>) -> Option<Vec<Granted>> {
    let value = table.require("groups", "groups = { release-managers = [{ role = \"approver\" }] }")?;
    let listed = value.table()?;
    let groups: Vec<_> =
        listed.entries().filter_map(|(group, grants)| Some((Arc::from(group), read_grants(&grants)?))).collect();
    if listed.entries().next().is_none() {
        value.wrong("`groups` is empty, so nobody could sign in; name a group, `ops = [{ role = \"viewer\" }]`");
    }
    Some(groups)
}

/// Reads the address of a provider: by TLS, or on this host for a trial.
fn issuer(text: &str) -> Result<IssuerUrl, String> {
    let wrong = || {
        "it must be an address such as \"https://sso.example/realms/main\", as the provider's tokens have it in `iss`"
            .to_owned()
    };
    let issuer = IssuerUrl::new(text.to_owned()).map_err(|_| wrong())?;
    let url = issuer.url();
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong());
    }
    if !is_private(url) {
        return Err(
            "it must begin with https://: over plain HTTP anybody on the way could sign in as anybody".to_owned()
        );
    }
    Ok(issuer)
}

/// Returns whether nobody on the way can read or change what goes there: TLS, or this host.
pub(crate) fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => here,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    const WHOLE: &str = r#"
[server.oidc]
name = "Example SSO"
issuer = "https://sso.example/realms/main"
client = "pointsman"
secret = { file = "oidc-secret" }
scopes = ["openid", "groups"]
claim = "/realm_access/roles"
skew = "30s"
ca = "ca.pem"
[server.oidc.groups]
ops = [{ role = "approver", only = ["shop/prod"] }, { role = "deployer" }]
"all hands" = [{ role = "viewer" }]
"#;

    fn parse(text: &str) -> Result<Settings, Vec<String>> {
        Settings::parse(Path::new("/etc/pointsman/pointsman.toml"), text)
            .map_err(|mistakes| mistakes.iter().map(|m| format!("{}:{}: {}", m.line, m.column, m.text)).collect())
    }

    #[test]
    fn a_provider_is_read_with_all_that_is_said_of_it() {
        let oidc = parse(WHOLE).unwrap().server.oidc.unwrap();
        assert_eq!(
            (&*oidc.name, oidc.issuer.as_str(), &*oidc.client),
            ("Example SSO", "https://sso.example/realms/main", "pointsman")
        );
        assert_eq!(oidc.secret, SecretSource::File("/etc/pointsman/oidc-secret".into()));
        assert_eq!(
            (&oidc.scopes[..], &*oidc.claim, oidc.skew),
            (&["groups".to_owned()][..], "/realm_access/roles", Millis(30_000))
        );
        assert_eq!(oidc.ca.as_deref(), Some(Path::new("/etc/pointsman/ca.pem")));
        let groups: Vec<_> = oidc.mapping.groups.iter().map(|(group, grants)| (&**group, grants.len())).collect();
        assert_eq!(groups, [("all hands", 1), ("ops", 2)]);
    }

    #[test]
    fn what_is_left_out_is_what_most_providers_want() {
        let text = "[server.oidc]\nname = \"x\"\nissuer = \"http://127.0.0.1:9000\"\nclient = \"c\"\nsecret = { env = \"S\" }\n\
                    groups = { ops = [{ role = \"admin\" }] }\n";
        let oidc = parse(text).unwrap().server.oidc.unwrap();
        assert_eq!(
            (&oidc.scopes[..], &*oidc.claim, oidc.skew),
            (&["profile".to_owned(), "email".to_owned()][..], "groups", Millis(60_000))
        );
        let without = |key: &str| {
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with(key)).collect();
            parse(&lines.join("\n")).unwrap_err().join("\n")
        };
        for key in ["name", "issuer", "client", "secret", "groups"] {
            assert!(without(key).contains(&format!("`{key}`")), "{key}: {}", without(key));
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let with = |from: &str, to: &str| {
            assert!(WHOLE.contains(from), "{from}");
            parse(&WHOLE.replace(from, to)).unwrap_err().join("\n")
        };
        for (from, to, told) in [
            ("https://sso.example/realms/main", "http://sso.example", "4:10: `issuer`: it must begin with https://"),
            ("https://sso.example/realms/main", "sso.example", "4:10: `issuer`: it must be an address such as"),
            ("https://sso.example/realms/main", "https://me:pw@sso.example", "`issuer`: it must be an address such as"),
            ("https://sso.example/realms/main", "https://sso.example/?x=1", "`issuer`: it must be an address such as"),
            ("{ file = \"oidc-secret\" }", "\"hush\"", "6:10: a secret is not written here"),
            ("\"groups\"]", "\"a b\"]", "7:21: a scope is a word of visible ASCII"),
            ("\"30s\"", "\"1h\"", "9:8: `skew` is longer than 10m"),
            ("\"approver\"", "\"boss\"", "`role` is \"boss\"; accepted"),
            ("[{ role = \"viewer\" }]", "[]", "`grants` is empty"),
            ("shop/prod", "shop/", "12:37: `only`"),
            ("name = \"Example", "label = \"Example", "unknown key `label`"),
        ] {
            let mistakes = with(from, to);
            assert!(mistakes.contains(told) && !mistakes.contains("hush"), "{to}: {mistakes}");
        }
        let none = WHOLE.split("ops =").next().unwrap();
        assert!(parse(none).unwrap_err()[0].contains("`groups` is empty, so nobody could sign in"));
        let open = format!("[server]\nlisten = \"0.0.0.0:80\"\ntoken = {{ env = \"T\" }}\n{WHOLE}");
        assert!(parse(&open).unwrap_err()[0].contains("`oidc` needs `public`"));
    }
}
