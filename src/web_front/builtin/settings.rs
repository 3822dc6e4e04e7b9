//! The settings of a built-in front: the `front` table of an environment. Read by the driver, which refuses mistakes
//! all at once, and read again by the front process from the copy in its folder. Must not open anything.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use super::{
    plane::{is_host, told},
    process::fixed_files,
};
use crate::{
    descriptors::Shares,
    machine::Millis,
    toml_file::filled::{Reader, address, boolean, duration, made, number, other, path},
    web_front::{
        maintenance::{Maintenance, OwnPage},
        preview::Preview,
        sticky::{Sticky, sticky},
    },
};

/// Everything that can be said about a built-in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where users connect; the first one is asked by [`ask_public`](crate::web_front::FrontDriver::ask_public).
    pub listen: Vec<SocketAddr>,
    /// Certificate and key, PEM; without, the front speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How people and tools reach the staged candidate.
    pub preview: Preview,
    /// Threads that serve users. The control socket has one of its own.
    pub threads: usize,
    /// Client connections open at once, over all addresses. `Settings::fit` makes it what the process may have.
    pub connections: usize,
    /// Whether a person wrote that number.
    pub connections_named: bool,
    /// Connections to stacks open at once, as far as descriptors go.
    pub stack_connections: usize,
    /// Connections in use to each stack at once, over all its instances. As many may be kept idle.
    pub connections_per_stack: usize,
    /// Requests that wait for such a connection; more are answered 503 at once.
    pub queue: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// The largest request head, in bytes.
    pub header_bytes: usize,
    /// The most header fields of a request, and of an answer.
    pub header_fields: usize,
    /// What is waited for, and how long.
    pub timeouts: Timeouts,
    /// The page while the front is pointed at nobody.
    pub maintenance: Maintenance,
    /// How requests of users are held while the front is pointed at nobody by a route that says so; `None`: they are not.
    pub hold: Option<Hold>,
    /// HTML instead of the built-in page as long as nothing was ever live.
    pub no_route_page: Option<PathBuf>,
    /// Said in `Retry-After` on every other page that says "not now".
    pub retry_after: Duration,
    /// What is asked at the public address to see who answers.
    pub probe_path: String,
    /// Another proxy is in front of this one: its X-Forwarded-Proto and -Host are kept instead of replaced.
    pub behind_proxy: bool,
    /// How a user stays with a version under a split.
    pub sticky: Sticky,
    /// Flush a new route to the disk right after it is acknowledged and before it is seen in force. Without, it
    /// survives the front but not a power cut.
    pub flush: bool,
}

/// How many client connections there may be where nobody says a number.
const CONNECTIONS: usize = 8192;
/// How many header fields a head may have where nobody says a number. The parser writes room for all of them at each head:
/// 1,024 cost a twelfth of the throughput (`cargo bench --bench front`), and other proxies take 100 or 101.
const HEADER_FIELDS: usize = 256;

/// How requests of users are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// How long a request is held at most, from its arrival on.
    pub within: Duration,
    /// How many are held at once.
    pub requests: usize,
}

impl Hold {
    fn read(t: &mut Reader<'_>) -> Self {
        Self {
            within: t.optional("within", duration).unwrap_or(Duration::from_secs(10)),
            requests: t.optional("requests", |v| number(v, 1..=1_000_000)).unwrap_or(1000),
        }
    }
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Hosts that users go to: it is told when the certificate does not cover one of them.
    pub names: Vec<String>,
    /// How long before its end that is told.
    pub warn_before: Millis,
}

impl TlsFiles {
    fn read(t: &mut Reader<'_>) -> Option<Self> {
        let (certificate, key) = (t.required("certificate", path), t.required("key", path));
        let names = t.optional("names", hosts).unwrap_or_default();
        let warn_before = t.optional("warn_before", warn_before).unwrap_or(WARN_BEFORE);
        Some(Self { certificate: certificate?, key: key?, names, warn_before })
    }
}

/// Most certificates are renewed a month before their end: later than this, that has failed.
const WARN_BEFORE: Millis = Millis(21 * 86_400_000);

/// How long the front waits for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Time from the first byte of a request (or the connection's start) to the end of its head; TLS handshakes too.
    pub header: Duration,
    /// Time between two requests on one connection.
    pub idle: Duration,
    /// Time for connecting to an endpoint of a stack.
    pub connect: Duration,
    /// Time from the end of a request to the head of its response.
    pub response: Duration,
    /// A client that neither sends the body that it announced nor reads the response that it asked for, and a stack
    /// that does not take the body: how long nothing may move.
    pub stall: Duration,
    /// Time to wait for a connection to a stack that has as many as it may have.
    pub queue: Duration,
    /// How long a front that has handed over goes on serving the connections that it has.
    pub hand_over: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            queue: Duration::from_secs(1),
            hand_over: Duration::from_secs(300),
        }
    }
}

impl Timeouts {
    fn read(t: &mut Reader<'_>) -> Self {
        let usual = Self::default();
        Self {
            header: t.optional("header", duration).unwrap_or(usual.header),
            idle: t.optional("idle", duration).unwrap_or(usual.idle),
            connect: t.optional("connect", duration).unwrap_or(usual.connect),
            response: t.optional("response", duration).unwrap_or(usual.response),
            stall: t.optional("stall", duration).unwrap_or(usual.stall),
            queue: t.optional("queue", duration).unwrap_or(usual.queue),
            hand_over: t.optional("hand_over", duration).unwrap_or(usual.hand_over),
        }
    }
}

impl Settings {
    /// Reads the table; every mistake is returned, none hides another.
    pub fn read(table: &toml::Table) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut top = Reader::new(table, "front", &mut mistakes);
        let listen = top.required("listen", addresses).unwrap_or_default();
        let threads = top.optional("threads", |v| number(v, 1..=64)).unwrap_or(2);
        let mut maintenance = top.table("maintenance", |t| Maintenance::read(t, Path::new("/"))).unwrap_or_default();
        let hold = top.table("hold", Hold::read);
        // As earlier versions call it. A front that is started again reads what they wrote.
        let earlier = top.earlier("maintenance_page", path);
        let no_route_page = top.optional("no_route_page", path);
        let retry_after = top.optional("retry_after", duration).unwrap_or(Duration::from_secs(5));
        let probe_path = top.optional("probe_path", probe_path).unwrap_or_else(|| "/".to_owned());
        let behind_proxy = top.optional("behind_proxy", boolean).unwrap_or(false);
        // One who goes to and fro between two versions sees broken pages.
        let sticky = top.optional("sticky", sticky).unwrap_or(Sticky::Cookie);
        let flush = top.optional("flush", boolean).unwrap_or(true);
        let tls = top.table("tls", TlsFiles::read);
        // Names of files are absolute here.
        let preview = top.table("preview", |t| Preview::read(t, Path::new("/")));
        let limits = top.table("limits", |t| Limits {
            connections: t.optional("connections", |v| number(v, 1..=1_000_000)),
            per_stack: t.optional("stack_connections", |v| number(v, 1..=1_000_000)),
            queue: t.optional("queue", |v| number(v, 0..=1_000_000)),
            streams: t.optional("streams", |v| number(v, 1..=1000)).and_then(|n| u32::try_from(n).ok()),
            header_bytes: t.optional("header_bytes", |v| number(v, 8192..=1 << 20)),
            header_fields: t.optional("header_fields", |v| number(v, 100..=1 << 14)),
        });
        let timeouts = top.table("timeouts", Timeouts::read);
        top.refuse_the_rest();
        if earlier.is_some() && maintenance.page.is_some() {
            let both =
                "`front.maintenance_page` is the earlier name of `front.maintenance.page`: write only the latter";
            mistakes.push(both.to_owned());
        }
        maintenance.page = maintenance.page.or(earlier);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let limits = limits.unwrap_or_default();
        let connections = limits.connections.unwrap_or(CONNECTIONS);
        let connections_per_stack = limits.per_stack.unwrap_or(connections);
        Ok(Self {
            listen,
            tls: tls.flatten(),
            preview: preview.unwrap_or_default(),
            threads,
            connections,
            connections_named: limits.connections.is_some(),
            stack_connections: usize::MAX,
            connections_per_stack,
            queue: limits.queue.unwrap_or((connections_per_stack / 4).max(16)),
            streams: limits.streams.unwrap_or(128),
            header_bytes: limits.header_bytes.unwrap_or(32 << 10),
            header_fields: limits.header_fields.unwrap_or(HEADER_FIELDS),
            timeouts: timeouts.unwrap_or_default(),
            maintenance,
            hold,
            no_route_page,
            retry_after,
            probe_path,
            behind_proxy,
            sticky,
            flush,
        })
    }

    /// Makes the numbers of connections such that they fit into `limit` open files, with room left for everything else.
    /// Returns what to say when a number that a person wrote does not fit.
    pub(super) fn fit(&mut self, limit: u64) -> Option<String> {
        let fixed = fixed_files(self.threads, self.listen.len()).min(limit / 2);
        let wished = self.connections;
        // Those that are told that there are too many count too.
        let shares = Shares::of(limit, fixed, wished + told(wished));
        let most = shares.clients - told(shares.clients).min(shares.clients - 1);
        self.connections = wished.min(most);
        self.stack_connections = shares.onward;
        let needed = fixed + 2 * (wished + told(wished)) as u64;
        (self.connections_named && self.connections < wished).then(|| {
            let fits = self.connections;
            format!(
                "`limits.connections` = {wished} needs {needed} open files, but {limit} are allowed; {fits} connections are served. \
                 Raise the limit (LimitNOFILE in the unit, `ulimit -Hn` by hand)"
            )
        })
    }

    /// Reads the files of pages, as the front will. It would serve without them, so they are looked at before.
    ///
    /// # Errors
    /// Which keys are wrong, and why.
    pub(super) fn check_pages(&self) -> Result<(), Vec<String>> {
        let none = self.no_route_page.as_deref().map(OwnPage::read).transpose();
        let none = none.map_err(|why| format!("`front.no_route_page`: {why}")).err();
        let wrong: Vec<_> = self.maintenance.own().err().into_iter().chain(none).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The address at which the front reaches itself: a wildcard means this host.
    pub fn public_address(&self) -> Option<SocketAddr> {
        let mut address = *self.listen.first()?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(address)
    }

    /// The address that people open, without a path: by the name that the settings give it, where they do.
    pub fn origin(&self) -> Option<String> {
        let address = self.public_address()?;
        let named = self.preview.host.as_ref().or_else(|| self.tls.as_ref()?.names.first());
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Some(match named {
            Some(name) if address.port() == usual => format!("{scheme}://{name}"),
            Some(name) => format!("{scheme}://{name}:{}", address.port()),
            None => format!("{scheme}://{address}"),
        })
    }
}

/// The table `limits`.
#[derive(Default)]
struct Limits {
    connections: Option<usize>,
    per_stack: Option<usize>,
    queue: Option<usize>,
    streams: Option<u32>,
    header_bytes: Option<usize>,
    header_fields: Option<usize>,
}

/// The table with its file names made absolute, meant from this folder: the front process knows nothing of it.
pub fn anchored(table: &toml::Table, written_in: &Path) -> toml::Table {
    let anchor = |value: &mut Value| {
        if let Value::String(name) = value
            && let Ok(full) = std::path::absolute(written_in.join(name.as_str()))
        {
            *name = full.to_string_lossy().into_owned();
        }
    };
    let mut table = table.clone();
    for key in ["maintenance_page", "no_route_page"] {
        table.get_mut(key).map(anchor);
    }
    for (name, keys) in [("tls", &["certificate", "key"][..]), ("maintenance", &["page"])] {
        if let Some(Value::Table(inner)) = table.get_mut(name) {
            for key in keys {
                inner.get_mut(*key).map(anchor);
            }
        }
    }
    let preview = table.get_mut("preview").and_then(Value::as_table_mut);
    if let Some(Value::Table(secret)) = preview.and_then(|preview| preview.get_mut("secret")) {
        secret.get_mut("file").map(anchor);
    }
    table
}

fn hosts(value: &Value) -> Result<Vec<String>, String> {
    const WANTED: &str = "a list of host names without a port";
    let one = |name: &Value| made(name, "a host name without a port", |n| is_host(n).then(|| n.to_ascii_lowercase()));
    value.as_array().ok_or_else(|| other(value, WANTED))?.iter().map(one).collect()
}

fn warn_before(value: &Value) -> Result<Millis, String> {
    let length = duration(value)?;
    if length < Duration::from_secs(3600) {
        return Err(" is too short: the least is 1h".to_owned());
    }
    Ok(Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}

fn probe_path(value: &Value) -> Result<String, String> {
    let fits = |path: &str| path.starts_with('/') && path.parse::<hyper::Uri>().is_ok();
    made(value, "a path beginning with /", |path| fits(path).then(|| path.to_owned()))
}

fn addresses(value: &Value) -> Result<Vec<SocketAddr>, String> {
    let all = match value {
        Value::Array(several) => several.iter().map(address).collect::<Result<Vec<_>, _>>()?,
        single => vec![address(single)?],
    };
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    match (all.is_empty(), distinct.len() == all.len()) {
        (true, _) => Err(" is empty; name one address at least".to_owned()),
        (_, false) => Err(" has an address twice".to_owned()),
        _ => Ok(all),
    }
}

#[cfg(test)]
mod tests;
