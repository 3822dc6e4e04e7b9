//! `pointsman.toml`: how the controller itself is run. It must not know what is in the pipelines.

mod oidc;

use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{
    access::{limits::Rates, sessions::Ends},
    pipelines::{Program, SecretSource, program, secret},
    toml_file::{Document, Mistake, Table},
    units::{parse_address, parse_ip},
};

pub use oidc::Oidc;
pub(crate) use oidc::is_private;

/// The name of the file, in the folder where a command is run.
pub const FILE: &str = "pointsman.toml";

/// The keys of the file and of its tables; `docs/running.md` explains each.
const KEYS: &[&str] = &["pipelines", "state", "on_trouble", "server", "log"];
const SERVER: &[&str] = &["listen", "token", "connections", "limits", "proxies", "public", "tls", "sessions", "oidc"];
const LIMITS: &[&str] = &["webhooks", "failures", "sign_ins"];
const TLS: &[&str] = &["certificate", "key"];
const SESSIONS: &[&str] = &["idle", "after"];
const LOG: &[&str] = &["format", "filter"];

/// How the controller is run. Paths are meant from the folder of the file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with one file for each pipeline.
    pub pipelines: PathBuf,
    /// The state folder: the state file, the drivers' own folders, definitions, the token.
    pub state: PathBuf,
    /// What is run on trouble, where an environment does not say otherwise; a program of no words is none.
    pub on_trouble: Program,
    /// The API and the webhooks.
    pub server: Server,
    /// The log.
    pub log: Log,
}

/// How the API and the webhooks are served.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// The token people and scripts show; `None`: one is made at the first start and kept in the state folder.
    pub token: Option<SecretSource>,
    /// Connections served at once. One more takes the place of whoever has sent no whole request for longest, and waits only
    /// while all of them are being answered.
    pub connections: usize,
    /// How often somebody may fail to prove who they are, and how many builds a pipeline may announce.
    pub limits: Rates,
    /// Proxies before this server, whose `X-Forwarded-For` is believed when failures are counted.
    pub proxies: Vec<IpAddr>,
    /// Where people reach the page, by TLS: its host, and its port where that is not 443. `None`: on this host only.
    pub public: Option<Public>,
    /// Its own certificate; `None`: it speaks plain HTTP only.
    pub tls: Option<TlsFiles>,
    /// When a session ends by itself.
    pub sessions: Ends,
    /// The OpenID Connect provider at which people sign in; `None`: local users only.
    pub oidc: Option<Oidc>,
}

/// The address of the page for people, `https://HOST` or `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public(String);

impl Public {
    /// Returns host and port as a browser's `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.0
    }
}

impl FromStr for Public {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "it must be an address without a path, for example \"https://pointsman.example\"";
        let authority = text.strip_prefix("https://").ok_or(wrong)?.trim_end_matches('/');
        let authority = authority.strip_suffix(":443").unwrap_or(authority);
        let whole = authority.parse::<http::uri::Authority>().map_err(|_| wrong)?;
        if whole.host().is_empty() || authority.contains('@') { Err(wrong) } else { Ok(Self(authority.to_lowercase())) }
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How the log is written.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its shape.
    pub format: LogFormat,
    /// What it says, as `tracing` reads it: `info`, `debug`, `pointsman=debug,hyper=warn`.
    pub filter: String,
}

/// The shape of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// What holds when there is no file.
    pub fn default_in(folder: &Path) -> Self {
        Self {
            pipelines: folder.join("pipelines"),
            state: folder.join("state"),
            on_trouble: Program { words: Vec::new(), folder: folder.to_owned() },
            server: Server {
                listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
                token: None,
                connections: 1024,
                limits: Rates::default(),
                proxies: Vec::new(),
                public: None,
                tls: None,
                sessions: Ends::default(),
                oidc: None,
            },
            log: Log { format: LogFormat::Text, filter: "info".to_owned() },
        }
    }

    /// Reads the named file, or `pointsman.toml` here if there is one, or takes what holds without a file.
    pub fn load(named: Option<&Path>) -> Result<Self, Vec<Mistake>> {
        let path = named.unwrap_or(Path::new(FILE));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default_in(Path::new("")));
            }
            Err(cause) => {
                let why = format!("the settings cannot be read: {cause}");
                return Err(vec![Mistake::of_file(path.display().to_string(), why)]);
            }
        };
        Self::parse(path, &text)
    }

    /// Reads a text; `path` is where it came from.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut settings = Self::default_in(folder);
        let (document, root) = Document::parse(&file, text);
        let table = document.root(&root);
        table.only(KEYS);
        let path = |key: &str| table.get(key).and_then(|v| v.full_text()).map(|text| folder.join(text));
        settings.pipelines = path("pipelines").unwrap_or(settings.pipelines);
        settings.state = path("state").unwrap_or(settings.state);
        if let Some(named) = table.get("on_trouble").and_then(|v| program(&v, folder)) {
            settings.on_trouble = named;
        }
        if let Some(server) = table.get("server").and_then(|v| v.table()) {
            settings.server.read(&server, folder);
        }
        if let Some(log) = table.get("log").and_then(|v| v.table()) {
            settings.log.read(&log);
        }
        let mistakes = document.into_mistakes();
        if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
    }
}

impl Server {
    fn read(&mut self, table: &Table<'_, '_>, folder: &Path) {
        table.only(SERVER);
        if let Some(value) = table.get("token") {
            self.token = secret(&value, folder);
        }
        if let Some(value) = table.get("listen")
            && let Some(address) = value.parsed(parse_address)
        {
            self.listen = address;
            if !self.listen.ip().is_loopback() && table.get("token").is_none() {
                value.wrong(
                    "`listen` can be reached from other hosts: name a token, `token = { file = \"...\" }`, \
                     or listen at 127.0.0.1 behind a TLS proxy",
                );
            }
        }
        if let Some(count) = table.get("connections").and_then(|v| v.integer(16..=65_536)) {
            self.connections = usize::try_from(count).unwrap_or(self.connections);
        }
        for proxy in table.get("proxies").and_then(|v| v.list()).unwrap_or_default() {
            self.proxies.extend(proxy.parsed(parse_ip).map(|ip| ip.to_canonical()));
        }
        if let Some(value) = table.get("public") {
            self.public = value.parsed(str::parse);
        }
        if let Some(tls) = table.get("tls").and_then(|v| v.table()) {
            tls.only(TLS);
            let path = |key: &str| {
                tls.require(key, &format!("{key} = \"/etc/pointsman/{key}.pem\"")).and_then(|v| v.full_text())
            };
            if let (Some(certificate), Some(key)) = (path("certificate"), path("key")) {
                self.tls = Some(TlsFiles { certificate: folder.join(certificate), key: folder.join(key) });
            }
        }
        if let Some(sessions) = table.get("sessions").and_then(|v| v.table()) {
            sessions.only(SESSIONS);
            let length = |key: &str| sessions.get(key).and_then(|v| v.some_duration());
            self.sessions.idle = length("idle").unwrap_or(self.sessions.idle);
            self.sessions.after = length("after").unwrap_or(self.sessions.after);
        }
        if let Some(oidc) = table.get("oidc") {
            if self.public.is_none() && !self.listen.ip().is_loopback() {
                oidc.wrong("`oidc` needs `public`: the provider sends people back to that address");
            }
            self.oidc = oidc.table().and_then(|table| Oidc::read(&table, folder));
        }
        if let Some(limits) = table.get("limits").and_then(|v| v.table()) {
            limits.only(LIMITS);
            let rate = |key: &str| limits.get(key).and_then(|v| v.parsed(str::parse));
            self.limits.webhooks = rate("webhooks").unwrap_or(self.limits.webhooks);
            self.limits.sign_ins = rate("sign_ins").unwrap_or(self.limits.sign_ins);
            self.limits.failures = rate("failures").unwrap_or(self.limits.failures);
        }
    }
}

impl Log {
    fn read(&mut self, table: &Table<'_, '_>) {
        table.only(LOG);
        let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        self.format = table.get("format").and_then(|v| v.word(&words)).unwrap_or(self.format);
        if let Some(filter) = table.get("filter").and_then(|v| v.full_text()) {
            self.filter = filter.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs_tests::{assert_explained, explained};

    #[test]
    fn the_page_explains_every_key_and_no_other() {
        let mut page = explained(include_str!("../docs/running.md"));
        for (heading, keys) in [
            ("Settings", KEYS),
            ("server", SERVER),
            ("limits", LIMITS),
            ("tls", TLS),
            ("sessions", SESSIONS),
            ("oidc", oidc::KEYS),
            ("log", LOG),
        ] {
            assert_explained(&mut page, heading, keys);
        }
    }

    #[test]
    fn what_the_page_says_of_defaults_is_so() {
        let page = include_str!("../docs/running.md").split("## Settings").nth(1).unwrap_or_default();
        let example = page.split("```toml pointsman.toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let written = parse(example.expect("an example")).unwrap();
        let usual = Settings::default_in(Path::new("/etc/pointsman"));
        assert_eq!(format!("{written:?}"), format!("{usual:?}"));
    }

    fn parse(text: &str) -> Result<Settings, Vec<String>> {
        Settings::parse(Path::new("/etc/pointsman/pointsman.toml"), text)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn paths_are_meant_from_the_folder_of_the_file() {
        let settings = parse("state = \"/var/lib/pointsman\"\n[server]\ntoken = { file = \"token\" }").unwrap();
        assert_eq!(settings.pipelines, Path::new("/etc/pointsman/pipelines"));
        assert_eq!(settings.state, Path::new("/var/lib/pointsman"));
        assert_eq!(settings.server.token, Some(SecretSource::File("/etc/pointsman/token".into())));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "pipeline = \"p\"\n[server]\nlisten = \"0.0.0.0:80\"\nconnections = 3\nproxies = [\"proxy\"]\nlimits = { webhooks = \"lots\", \
                    failures = \"0/s\", api = \"1/s\" }\n[log]\nformat = \"xml\"\n";
        let file = "/etc/pointsman/pointsman.toml";
        let rate = "is no rate: write \"1000/s\", \"30/m\" or \"1/s burst 20\", with numbers from 1 to 1000000";
        assert_eq!(
            parse(text).unwrap_err(),
            [
                format!("{file}:1:1: unknown key `pipeline`; did you mean `pipelines`?"),
                format!(
                    "{file}:3:10: `listen` can be reached from other hosts: name a token, `token = {{ file = \"...\" }}`, or listen at 127.0.0.1 behind a TLS proxy"
                ),
                format!("{file}:4:15: `connections` is the number 3; it must be a whole number from 16 to 65536"),
                format!(
                    "{file}:5:12: `proxies`: invalid IP address \"proxy\": write it without a port, for example \"127.0.0.1\""
                ),
                format!("{file}:6:23: `webhooks`: \"lots\" {rate}"),
                format!("{file}:6:42: `failures`: \"0/s\" {rate}"),
                format!("{file}:6:49: unknown key `api`; accepted here: webhooks, failures, sign_ins"),
                format!("{file}:8:10: `format` is \"xml\"; accepted: \"text\" or \"json\""),
            ]
        );
    }

    #[test]
    fn the_public_address_is_a_host_that_speaks_tls() {
        let public = |text: &str| parse(&format!("[server]\npublic = \"{text}\"")).map(|s| s.server.public);
        for (text, host) in [
            ("https://Deploy.example", "deploy.example"),
            ("https://deploy.example:443/", "deploy.example"),
            ("https://10.0.0.5:8443", "10.0.0.5:8443"),
        ] {
            assert_eq!(public(text).unwrap().unwrap().authority(), host);
        }
        for bad in ["http://deploy.example", "deploy.example", "https://", "https://a/b", "https://me@host"] {
            assert!(public(bad).unwrap_err()[0].contains("an address without a path"), "{bad}");
        }
        let sessions = parse("[server]\nsessions = { idle = \"0s\", longest = \"1d\" }").unwrap_err();
        assert!(
            sessions.iter().any(|m| m.contains("unknown key `longest`; accepted here: idle, after")),
            "{sessions:?}"
        );
        assert!(sessions.iter().any(|m| m.contains("`idle`")), "{sessions:?}");
    }

    #[test]
    fn without_a_file_it_listens_on_this_host_only() {
        assert!(Settings::default_in(Path::new("")).server.listen.ip().is_loopback());
        assert!(Settings::load(Some(Path::new("/nonexistent.toml"))).is_err());
    }
}
