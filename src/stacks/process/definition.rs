//! The definition of a process stack: `stacks/process/*.toml`. Reads it, and says all that is wrong with it at once.
//!
//! Must not start anything, and must not look at the host: a definition that is right is right everywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::template;
use crate::{stacks::Needs, toml_file::shown, units};

#[cfg(test)]
mod tests;

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, SecretVariable>,
    /// Values of `{parameters.NAME}` for releases that give none.
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) working_folder: Option<String>,
    pub(super) instances: u16,
    /// Loopback addresses, used in turn.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: RangeInclusive<u16>,
    pub(super) limits: Limits,
    pub(super) stop: Stop,
    pub(super) restart: Restart,
}

/// Where the value of a secret variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretDraft")]
pub(super) enum SecretVariable {
    /// A file, read when an instance starts.
    File(String),
    /// What the pipeline hands over under this name.
    Handed(String),
}

/// A secret variable as written: `{ file = "..." }` or `{ secret = "..." }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretDraft {
    file: Option<String>,
    secret: Option<String>,
}

impl TryFrom<SecretDraft> for SecretVariable {
    type Error = &'static str;
    fn try_from(draft: SecretDraft) -> Result<Self, Self::Error> {
        match (draft.file, draft.secret) {
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(secret)) => Ok(Self::Handed(secret)),
            _ => Err("say where the secret comes from: { secret = \"NAME\" } of the pipeline, or { file = \"...\" }"),
        }
    }
}

/// Limits of one process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Bytes of private memory (`RLIMIT_DATA`): what it allocates, not what it merely maps.
    #[serde(deserialize_with = "units::optional_size")]
    pub(super) memory: Option<u64>,
    /// Open files.
    pub(super) files: Option<u64>,
    /// Processes and threads of its user; the kernel does not apply it to root.
    pub(super) processes: Option<u64>,
    /// Bytes of each log file; as much again is kept from before.
    #[serde(deserialize_with = "units::optional_size")]
    pub(super) log: Option<u64>,
}

/// How it is asked to end.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) signal: StopSignal,
    #[serde(deserialize_with = "units::duration")]
    pub(super) grace: Duration,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum StopSignal {
    #[serde(rename = "TERM")]
    Term,
    #[serde(rename = "INT")]
    Int,
    #[serde(rename = "QUIT")]
    Quit,
    #[serde(rename = "HUP")]
    Hup,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: StopSignal::Term, grace: Duration::from_secs(10) }
    }
}

/// How often it is started again when it ends by itself.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Restart {
    /// This many times ...
    pub(super) most: usize,
    /// ... within this time; then it counts as failed.
    #[serde(deserialize_with = "units::duration")]
    pub(super) within: Duration,
    /// The first pause; each further one is twice as long, up to thirty times the first.
    #[serde(deserialize_with = "units::duration")]
    pub(super) backoff: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self { most: 5, within: Duration::from_secs(60), backoff: Duration::from_millis(200) }
    }
}

/// What can be said; `docs/process-stacks.md` explains each.
const KEYS: [&str; 11] = [
    "command",
    "environment",
    "secrets",
    "parameters",
    "working_folder",
    "instances",
    "address",
    "ports",
    "limits",
    "stop",
    "restart",
];

/// The definition as written; every value that others depend on keeps its place in the text.
#[derive(Default)]
struct Draft {
    /// A command that is there but wrong was reported where it is.
    has_command: bool,
    command: Option<Vec<Spanned<String>>>,
    environment: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
    secrets: Option<BTreeMap<Spanned<String>, SecretVariable>>,
    parameters: Option<BTreeMap<String, String>>,
    working_folder: Option<Spanned<String>>,
    instances: Option<Spanned<u16>>,
    address: Option<Spanned<Addresses>>,
    ports: Option<Spanned<String>>,
    limits: Option<Limits>,
    stop: Option<Stop>,
    restart: Option<Restart>,
}

/// One address or a list of them.
#[derive(Deserialize)]
#[serde(try_from = "OneOrMore")]
struct Addresses(Vec<IpAddr>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<OneOrMore> for Addresses {
    type Error = units::BadUnit;
    fn try_from(written: OneOrMore) -> Result<Self, Self::Error> {
        let list = match written {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        };
        list.iter().map(|text| units::parse_ip(text)).collect::<Result<_, _>>().map(Self)
    }
}

/// All mistakes of one text, with their places.
struct Mistakes<'t> {
    text: &'t str,
    found: Vec<(usize, String)>,
}

impl Mistakes<'_> {
    fn add(&mut self, offset: usize, what: impl Into<String>) {
        self.found.push((offset, what.into()));
    }

    fn into_messages(mut self) -> Vec<String> {
        self.found.sort();
        let place = |offset: usize| {
            let before = self.text.get(..offset).unwrap_or(self.text);
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            let line = before.matches('\n').count() + 1;
            format!("{line}:{}", before[line_start..].chars().count() + 1)
        };
        self.found.iter().map(|(offset, what)| format!("{}: {what}", place(*offset))).collect()
    }
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Every mistake, each beginning with `line:column: `.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut mistakes = Mistakes { text, found: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            mistakes.add(error.span().map_or(0, |span| span.start), format!("not valid TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return Err(mistakes.into_messages());
        }
        let draft = Draft::read(table.into_inner(), &mut mistakes);
        let definition = draft.check(&mut mistakes);
        if mistakes.found.is_empty() { Ok(definition) } else { Err(mistakes.into_messages()) }
    }

    /// The names of the secrets that it must be handed.
    pub(super) fn handed(&self) -> impl Iterator<Item = &str> {
        self.secrets.values().filter_map(|variable| match variable {
            SecretVariable::Handed(name) => Some(name.as_str()),
            SecretVariable::File(_) => None,
        })
    }

    /// What a build could do with it that people may not expect.
    pub(super) fn notes(&self) -> Vec<String> {
        crate::program::shell_notes("the stack definition's `command`", &self.command)
    }

    /// What it is to be filled with.
    pub(super) fn needs(&self) -> Needs {
        let mut parameters: BTreeSet<String> = self.parameters.keys().cloned().collect();
        let texts = self.command.iter().chain(self.environment.values()).chain(&self.working_folder);
        for text in texts {
            // Every text was expanded once, when it was read.
            let _ = template::expand(text, |name| {
                parameters.extend(name.strip_prefix("parameters.").map(str::to_owned));
                Ok(String::new())
            });
        }
        Needs { parameters, secrets: self.handed().map(str::to_owned).collect() }
    }
}

impl Draft {
    fn read(table: DeTable<'_>, mistakes: &mut Mistakes<'_>) -> Self {
        let mut draft = Self::default();
        for (key, value) in table {
            let at = key.span().start;
            match key.get_ref().as_ref() {
                other if !KEYS.contains(&other) => {
                    mistakes.add(at, format!("unknown key{}; the keys are {}", shown(other), KEYS.join(", ")));
                }
                "command" => (draft.has_command, draft.command) = (true, read(value, mistakes)),
                "environment" => draft.environment = read(value, mistakes),
                "secrets" => draft.secrets = read_secrets(value, mistakes),
                "parameters" => draft.parameters = read(value, mistakes),
                "working_folder" => draft.working_folder = read(value, mistakes),
                "instances" => draft.instances = read(value, mistakes),
                "address" => draft.address = read(value, mistakes),
                "ports" => draft.ports = read(value, mistakes),
                "limits" => draft.limits = read(value, mistakes),
                "stop" => draft.stop = read(value, mistakes),
                "restart" => draft.restart = read(value, mistakes),
                // A test gives each of the keys a value that none accepts.
                _ => {}
            }
        }
        draft
    }

    fn check(self, mistakes: &mut Mistakes<'_>) -> Definition {
        for part in self.templates() {
            if let Err(why) = template::check(part.get_ref()) {
                // One more for the opening quote.
                mistakes.add(part.span().start, why);
            }
        }
        let empty = |command: &Vec<Spanned<String>>| command.first().is_none_or(|first| first.get_ref().is_empty());
        if self.command.as_ref().map_or(!self.has_command, empty) {
            mistakes.add(0, "`command` is missing or empty: say what to run, such as command = [\"./server\", \"--port\", \"{port}\"]");
        }
        for name in self.environment.iter().flat_map(BTreeMap::keys).chain(self.secrets.iter().flat_map(BTreeMap::keys))
        {
            check_variable(name, mistakes);
        }
        let strings =
            |list: Option<Vec<Spanned<String>>>| list.into_iter().flatten().map(Spanned::into_inner).collect();
        Definition {
            instances: self.instances.map_or(1, |n| check_instances(n, mistakes)),
            addresses: check_addresses(self.address, mistakes),
            ports: self.ports.map_or(20000..=29999, |range| check_ports(range, mistakes)),
            command: strings(self.command),
            environment: unspan(self.environment).map(|(k, v)| (k, v.into_inner())).collect(),
            secrets: unspan(self.secrets).collect(),
            parameters: self.parameters.unwrap_or_default(),
            working_folder: self.working_folder.map(Spanned::into_inner),
            limits: self.limits.unwrap_or_default(),
            stop: self.stop.unwrap_or_default(),
            restart: self.restart.unwrap_or_default(),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Spanned<String>> {
        let values = self.environment.iter().flat_map(BTreeMap::values);
        self.command.iter().flatten().chain(values).chain(self.working_folder.iter())
    }
}

/// Reads the secrets without the parser's words: they would repeat a secret that is written where only its place
/// belongs.
fn read_secrets(
    value: Spanned<DeValue<'_>>,
    mistakes: &mut Mistakes<'_>,
) -> Option<BTreeMap<Spanned<String>, SecretVariable>> {
    const SHAPE: &str =
        "a secret is not written here, only where it is kept: `secrets = { NAME = { file = \"...\" } }`";
    let whole = value.span().start;
    Deserialize::deserialize(ValueDeserializer::from(value))
        .map_err(|error: toml::de::Error| mistakes.add(error.span().map_or(whole, |span| span.start), SHAPE))
        .ok()
}

fn read<T: DeserializeOwned>(value: Spanned<DeValue<'_>>, mistakes: &mut Mistakes<'_>) -> Option<T> {
    let whole = value.span().start;
    T::deserialize(ValueDeserializer::from(value))
        .map_err(|error| mistakes.add(error.span().map_or(whole, |span| span.start), error.message()))
        .ok()
}

fn unspan<V>(map: Option<BTreeMap<Spanned<String>, V>>) -> impl Iterator<Item = (String, V)> {
    map.into_iter().flatten().map(|(key, value)| (key.into_inner(), value))
}

fn check_variable(name: &Spanned<String>, mistakes: &mut Mistakes<'_>) {
    let (at, name) = (name.span().start, name.get_ref());
    if name.is_empty() || name.contains(['=', '\0']) {
        mistakes.add(at, format!("{name:?} cannot be the name of a variable: it must not be empty or contain `=`"));
    } else if name.starts_with("POINTSMAN_") {
        mistakes.add(
            at,
            format!("{name} is reserved: Pointsman recognises its own processes by names beginning with POINTSMAN_"),
        );
    }
}

fn check_instances(n: Spanned<u16>, mistakes: &mut Mistakes<'_>) -> u16 {
    if !(1..=100).contains(n.get_ref()) {
        mistakes.add(n.span().start, format!("{} instances: use 1 to 100", n.get_ref()));
    }
    n.into_inner()
}

fn check_addresses(address: Option<Spanned<Addresses>>, mistakes: &mut Mistakes<'_>) -> Vec<IpAddr> {
    let Some(address) = address else { return vec![IpAddr::from([127, 0, 0, 1])] };
    let at = address.span().start;
    let list = address.into_inner().0;
    if list.is_empty() {
        mistakes.add(at, "`address` is empty: give one address, or leave it out for 127.0.0.1");
    }
    for foreign in list.iter().filter(|ip| !ip.is_loopback()) {
        mistakes.add(at, format!("{foreign} can be reached from outside: use addresses of 127.0.0.0/8 or ::1, the front is what users reach"));
    }
    list
}

fn check_ports(range: Spanned<String>, mistakes: &mut Mistakes<'_>) -> RangeInclusive<u16> {
    let parsed =
        range.get_ref().split_once('-').and_then(|(a, b)| Some(a.trim().parse().ok()?..=b.trim().parse().ok()?));
    match parsed {
        Some(ports) if *ports.start() >= 1024 && !ports.is_empty() => ports,
        _ => {
            let why = format!(
                "{:?} is not a range of ports: write the first and the last, from 1024 to 65535, such as \"20000-29999\"",
                range.get_ref()
            );
            mistakes.add(range.span().start, why);
            20000..=29999
        }
    }
}
