//! Fronts: what receives users' traffic and is repointed. The trait, and the registry of drivers.
//!
//! Drivers apply the route they are given and read back what the front really serves. They must not decide, not wait,
//! and must not know the journal, the runner or one another.

#[cfg(feature = "aws")]
pub mod alb;
pub mod builtin;
pub mod command;
mod maintenance;
pub mod nginx;
mod preview;
mod record;
mod secret;
mod sticky;
mod trouble;

use std::{fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

pub(crate) use self::builtin::{process as own_front, supervisor as own_supervisor};
pub use preview::ShownPreview;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
pub use sticky::Sticky;
pub use trouble::FrontTrouble;

use crate::{
    machine::{Fencing, Generation, Millis, Share, StackName},
    outgoing::Way,
    reach::{Reach, ReachKind},
    stacks::StepError,
};

/// What of the controller's environment the programs behind a front may see, which may log in elsewhere.
const SEEN: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "SSH_AUTH_SOCK"];

/// Route of a front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Higher than every order before it.
    pub generation: Generation,
    /// The stack that gets the traffic; `None`: users get the maintenance page, and what has begun at a stack may finish there.
    pub target: Option<Target>,
    /// A second stack that gets a share of the users; `None`: all go to `target`. Left out where there is none, as earlier
    /// versions wrote and read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Requests of users wait for the next route, within the limits of the front's settings, instead of getting the page. It
    /// counts only while there is no `target`, and at a front that can ([`FrontDriver::holds`]); others answer with the page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
}

impl Route {
    /// Returns the route that sends all users to this stack, or to nobody.
    pub fn whole(generation: Generation, target: Option<Target>) -> Self {
        Self { generation, target, split: None, hold: false }
    }

    /// The same, for a front that holds no requests: it keeps and shows what it does.
    fn without_hold(&self) -> Self {
        Self { hold: false, ..self.clone() }
    }

    /// Why a front that takes these kinds of reach cannot serve it, as a sentence; `None`: it can be served.
    pub(crate) fn flaw(&self, takes: &[ReachKind]) -> Option<String> {
        let split = self.split.as_ref().map(|split| &split.target);
        match (&self.target, split) {
            (None, Some(split)) => {
                Some(format!("a share for {split} needs a stack that gets the rest", split = split.stack))
            }
            (Some(target), Some(split)) if target.stack == split.stack => {
                Some(format!("stack {} cannot get both a share and the rest", target.stack))
            }
            (target, _) => target.iter().chain(split).find_map(|target| target.flaw(takes)),
        }
    }

    /// Whether it is the same order, to the same stacks, wherever they serve and whether or not requests are held meanwhile.
    pub(crate) fn is_same_order(&self, other: &Self) -> bool {
        let stack = |target: Option<&Target>| target.map(|target| target.stack.clone());
        let split = |route: &Self| route.split.as_ref().map(|split| (split.target.stack.clone(), split.share));
        let order = |route: &Self| (route.generation, stack(route.target.as_ref()), split(route));
        order(self) == order(other)
    }
}

/// A second stack that gets a share of the users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The stack that gets the share. It is another one than [`Route::target`], which gets the rest.
    pub target: Target,
    /// How many of 100 users it gets.
    pub share: Share,
}

/// The refusal of a driver whose fronts send all users to one stack.
fn cannot_split(driver: &str) -> StepError {
    StepError::Refused(format!("front driver {driver:?} cannot send a share of the users to a second stack"))
}

/// A stack and where it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The stack.
    pub stack: StackName,
    /// Where it serves, never empty. Requests go to all of its addresses in turn.
    #[serde(rename = "endpoints", with = "endpoints")]
    pub reach: Reach,
}

impl Target {
    /// Why a front that takes these kinds of reach cannot serve it, as a sentence; `None`: it can.
    pub(crate) fn flaw(&self, takes: &[ReachKind]) -> Option<String> {
        if self.reach.is_empty() {
            return Some(format!("stack {} has no endpoint: nothing would answer", self.stack));
        }
        let taken = takes.iter().any(|kind| kind.covers(&self.reach));
        (!taken).then(|| format!("stack {} is reached by {}, which this front does not take", self.stack, self.reach))
    }
}

/// A reach as it stands in orders to fronts and in their files: a list of addresses, or a thing by its kind and id. A front of
/// an earlier version expects a weight with each address, and so writes it; all weights were 1.
mod endpoints {
    use std::{net::SocketAddr, sync::Arc};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::reach::Reach;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Endpoint {
        address: SocketAddr,
        weight: u16,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged, deny_unknown_fields)]
    enum Written {
        Addresses(Vec<Endpoint>),
        Named { kind: Arc<str>, id: Arc<str> },
    }

    pub(super) fn serialize<S: Serializer>(reach: &Reach, to: S) -> Result<S::Ok, S::Error> {
        let written = match reach {
            Reach::Addresses(all) => {
                Written::Addresses(all.iter().map(|&address| Endpoint { address, weight: 1 }).collect())
            }
            Reach::Named { kind, id } => Written::Named { kind: kind.clone(), id: id.clone() },
        };
        written.serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Reach, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Addresses(all) => all.into_iter().map(|endpoint| endpoint.address).collect(),
            Written::Named { kind, id } => Reach::Named { kind, id },
        })
    }
}

/// What became of an order to cut over. Only [`FrontDriver::observe`] proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOver {
    /// Applied, now or by an earlier call with the same generation. An order of the generation in force for the same stack with
    /// another reach is applied too: it sends users to where that stack is now.
    Applied,
    /// A higher generation was applied before; nothing changed.
    Stale {
        /// The generation that was applied.
        applied: Generation,
    },
}

/// What the front itself says it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFront {
    /// The route in force.
    pub route: Route,
    /// Somebody else has changed it: what it serves is not what its last order says.
    #[serde(default)]
    pub altered: bool,
    /// The candidate that it knows and serves to nobody but testers.
    pub staged: Option<StackName>,
    /// Where it has that candidate, as far as it tells.
    #[serde(default)]
    pub staged_at: Option<Target>,
    /// Requests and long-lived connections still open, per stack. A stack that is not named has none.
    pub open: Vec<(StackName, u64)>,
    /// How many requests of users there were, and how many failed, where the front counts them.
    #[serde(default)]
    pub counted: Option<Counted>,
    /// Requests of users that wait for a route ([`Route::hold`]).
    #[serde(default)]
    pub held: u64,
    /// Other stacks that it can be asked for ([`FrontDriver::way_to`]): it keeps a way to each that is there.
    #[serde(default)]
    pub known: Vec<StackName>,
}

impl SeenFront {
    /// A front of which nothing is known but its route.
    pub fn new(route: Route) -> Self {
        let (altered, staged, staged_at, counted, held) = (false, None, None, None, 0);
        Self { route, altered, staged, staged_at, open: Vec::new(), counted, held, known: Vec::new() }
    }
}

/// What a front has counted of users' requests since it was sent from one stack to another or shared between
/// two, or since it began where that was later: its counts end with its process. A share that changes keeps the counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Since when, by the clock of the front's host.
    pub since: Millis,
    /// Whether that was a cutover; else the start of the front.
    pub cutover: bool,
    /// The stack that users are sent to, then the one before. Under a split: the one that gets the rest, then the one that has a
    /// share.
    pub sides: Vec<Side>,
}

/// Counts of one stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The stack.
    pub stack: StackName,
    /// Requests of users that it answered, or failed to.
    pub requests: u64,
    /// Requests that ended with a 5xx of the stack, or without a complete answer: users saw an error.
    pub failed: u64,
}

/// What a front needs for itself alone: another one on the same host that wants it too cannot work beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key of the front's settings that names it.
    pub key: &'static str,
    /// Host, by the name that the settings give it; `None`: this one.
    pub host: Option<String>,
    /// Thing that is claimed.
    pub what: Claimed,
}

/// Something that only one front can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// An address to listen at.
    Address(SocketAddr),
    /// A file or folder to write, absolute.
    File(String),
}

impl Claim {
    /// Whether both cannot be had.
    pub fn contests(&self, other: &Self) -> bool {
        let same = match (&self.what, &other.what) {
            (Claimed::Address(a), Claimed::Address(b)) => {
                let either = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() == b.port() && a.port() != 0 && either
            }
            (Claimed::File(a), Claimed::File(b)) => a == b,
            _ => false,
        };
        same && self.host == other.host
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Claimed::Address(address) => write!(f, "listens at {address}")?,
            Claimed::File(file) => write!(f, "has {file}")?,
        }
        self.host.as_ref().map_or(Ok(()), |host| write!(f, " on {host}"))
    }
}

/// Asked again at any time by any controller; returns within [`FrontDriver::call_limit`].
#[async_trait::async_trait]
pub trait FrontDriver: Send + Sync {
    /// Makes the candidate reachable for checks and preview and ready for the cutover, without users' traffic.
    async fn stage(&self, candidate: &Target) -> Result<(), StepError>;

    /// Applies the route unless a higher generation was applied before. With the generation that is in force, a route to the
    /// same stack is applied with the reach that it has now, without a request lost; one to another stack is refused.
    ///
    /// Such an order may come late, with a reach that was overtaken. It is applied all the same: the next look shows it, and
    /// the order is given again.
    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError>;

    /// Reads the route back from the front itself, not from memory; what is returned outlives a power cut where the
    /// front can see to that. `None`: it has never been given one.
    async fn observe(&self) -> Result<Option<SeenFront>, StepError>;

    /// Asks at the front's public address, as a user would, which stack answers. `None`: the front does not tell. Under a
    /// split ([`Route::split`]) it asks as one user of many: the answer is either stack, and proves only that one.
    async fn ask_public(&self) -> Result<Option<StackName>, StepError>;

    /// Whether a late order can still overtake a newer one.
    fn fencing(&self) -> Fencing;

    /// Brings the front itself up where it is ours to run (the built-in one); does nothing elsewhere.
    async fn ensure_running(&self) -> Result<(), StepError> {
        Ok(())
    }

    /// The host that the last look found the front on, by name and identity, where the front tells.
    fn place(&self) -> Option<String> {
        None
    }

    /// What is wrong with the front although it may serve, as far as the last look told, and who keeps it running. The most
    /// pressing comes last.
    fn trouble(&self, _now: Millis) -> Vec<FrontTrouble> {
        Vec::new()
    }

    /// Returns when something has happened to the front or to what keeps it running, seen at once and not at a look: see
    /// to it. Never returns where nobody says so. May be given up at any time.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Why checks cannot ask through it, and which key of its settings helps; `None`: they can.
    fn cannot_lead(&self) -> Option<String> {
        Some("its driver has no preview".to_owned())
    }

    /// Returns the way of a request through the front to a stack that it shows as live, staged or known. `connect`: how long
    /// connecting to the front may take.
    fn way_to(&self, _stack: &StackName, _connect: Duration) -> Result<Way, StepError> {
        Err(StepError::Refused("its driver has no preview".to_owned()))
    }

    /// Returns what people must know to reach the candidate; `None` without a preview.
    fn shown_preview(&self) -> Option<ShownPreview> {
        None
    }

    /// The secrets of its own that what it says may hold.
    fn hidden(&self) -> Vec<SecretString> {
        self.shown_preview().filter(|shown| shown.secret).and_then(|shown| shown.key.ok()).into_iter().collect()
    }

    /// Whether it can be pointed at nobody. One that cannot compares no orders either ([`Fencing::WaitOut`]): whoever is torn
    /// down must be waited out.
    fn can_be_off(&self) -> bool {
        true
    }

    /// How long it holds a request of a user at most while it is pointed at nobody by a route that says so ([`Route::hold`]);
    /// `None`: it holds none.
    fn holds(&self) -> Option<Duration> {
        None
    }

    /// What whoever reads a plan must know about this front, each in one line.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What beside the front would harm its users, as files of this host show it, each in one sentence. Asks nobody.
    fn cautions(&self) -> Vec<String> {
        Vec::new()
    }

    /// The same, where the front's host is asked. Changes nothing there.
    async fn preview(&self) -> Result<Vec<String>, StepError> {
        Ok(self.cautions())
    }

    /// Returns what it needs for itself alone.
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// Why it does not count users' requests; `None`: it does ([`SeenFront::counted`]).
    fn does_not_count(&self) -> Option<&'static str> {
        Some("its driver tells no counts")
    }

    /// The longest that one call may take.
    fn call_limit(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// Everything that others must know of a driver before it is opened: nobody outside of this folder names one.
#[derive(Clone, Copy)]
pub struct Driver {
    /// Its name in pipeline files.
    pub name: &'static str,
    /// Opens it.
    pub open: Open,
    /// An example of a setting that it needs, for messages.
    pub example: &'static str,
    /// The kinds of reach that it can send users to.
    pub takes: &'static [ReachKind],
    /// The tables of its settings that have headings of their own in `docs/pipeline-file.md`: the heading, and the key of the
    /// table; an empty key for the settings themselves.
    pub tables: &'static [(&'static str, &'static str)],
    /// Whether it can send a share of the users to a second stack ([`Route::split`]). One that cannot refuses such a route.
    pub splits: bool,
    /// Whether it can show the maintenance page: users get 503 with `Retry-After` while it is pointed at nobody.
    pub pages: bool,
}

/// The drivers there are. Adding one is one new module and one line here. The first one is the example of messages.
pub const DRIVERS: &[Driver] = &[
    builtin::DRIVER,
    command::DRIVER,
    nginx::DRIVER,
    #[cfg(feature = "aws")]
    alb::DRIVER,
];

/// Returns the driver of this name.
pub fn driver(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

/// Has what faces users for fronts below this folder make way: the installation was moved away from there. Returns how
/// many processes were told.
///
/// # Errors
/// When they cannot be looked for.
pub fn leave(fronts: &std::path::Path) -> std::io::Result<usize> {
    builtin::end_below(fronts)
}

/// Opens a driver. `settings` is the `front` table of an environment without its `driver` key; file names in it are
/// meant from `written_in`, the folder of the pipeline file. `folder` is the front's own place on disk, below the state
/// folder. Mistakes in the settings are returned all at once.
pub type Open =
    fn(settings: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Number;

    #[test]
    fn fronts_of_earlier_versions_are_understood_and_understand() {
        let stack = StackName { environment: "shop/prod".parse().unwrap(), number: Number(7) };
        let target = Target {
            stack,
            reach: ["10.0.0.5:8080", "[fd00::1]:80"].map(|at| at.parse().unwrap()).into_iter().collect(),
        };
        let written = serde_json::to_value(&target).unwrap();
        let before = serde_json::json!([{ "address": "10.0.0.5:8080", "weight": 1 }, { "address": "[fd00::1]:80", "weight": 1 }]);
        assert_eq!(written["endpoints"], before);
        assert_eq!(serde_json::from_value::<Target>(written).unwrap(), target);
        let whole = Route::whole(Generation(3), Some(target.clone()));
        let written = serde_json::to_value(&whole).unwrap();
        assert!(written.get("split").is_none(), "what an earlier front does not know it is not told: {written}");
        assert_eq!(serde_json::from_value::<Route>(written).unwrap(), whole);
        let nobody = Route::whole(Generation(4), None);
        assert!(
            serde_json::to_value(&nobody).unwrap().get("hold").is_none(),
            "it is said only where requests are held"
        );
        let held = Route { hold: true, ..nobody };
        assert_eq!(serde_json::from_value::<Route>(serde_json::to_value(&held).unwrap()).unwrap(), held);
        let named = Target { reach: Reach::Named { kind: "target group".into(), id: "blue".into() }, ..target };
        let written = serde_json::to_value(&named).unwrap();
        assert_eq!(written["endpoints"], serde_json::json!({ "kind": "target group", "id": "blue" }));
        assert_eq!(serde_json::from_value::<Target>(written).unwrap(), named);
    }
}
