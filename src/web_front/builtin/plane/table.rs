//! The routing table, and the stacks that it points at, each with its endpoints, pools and count of open requests.
//! Must not forward anything.

use std::net::SocketAddr;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use hyper::{Version, header::HeaderValue};

use super::{
    bucket::Bucket,
    counts::{Counts, Served},
    gate::Gate,
    pool::Pool,
    proxy::Page,
};
use crate::{
    machine::{Number, StackName},
    web_front::Target,
};

/// How many connections each stack may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) workers: usize,
    pub(super) connections: usize,
    pub(super) queue: usize,
}

impl Limits {
    /// Idle connections that one worker keeps to one of so many endpoints: all together no more than may be in use.
    fn idle(self, endpoints: usize) -> usize {
        (self.connections / (self.workers * endpoints).max(1)).clamp(1, KEPT)
    }
}

/// More idle connections than this are never kept.
const KEPT: usize = 512;
/// How long an endpoint that refused a connection is passed over, in ticks.
const REST: u32 = 10;

/// The stacks that get requests.
#[derive(Default)]
pub(super) struct Table {
    pub(super) live: Option<Arc<Stack>>,
    /// A second one that gets the users of so many buckets, from the first on.
    pub(super) split: Option<(Arc<Stack>, u8)>,
    pub(super) staged: Option<Arc<Stack>>,
    pub(super) maintenance: bool,
    /// Users' requests wait while there is no live stack.
    pub(super) hold: bool,
    /// All that have connections, also those that nobody is sent to now.
    pub(super) known: Vec<Arc<Stack>>,
}

/// The stack that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The stack for users of this bucket. Without one: the live stack.
    Live(Option<Bucket>),
    /// The candidate.
    Candidate,
    /// A stack by its name or its label.
    Named(HeaderValue),
}

impl Table {
    /// Closes all idle connections, because descriptors are scarce.
    pub(super) fn clear_pools(&self) {
        let all = self.known.iter().flat_map(|stack| &stack.upstreams);
        all.flat_map(|upstream| &upstream.pools).for_each(Pool::clear);
    }

    fn shared(&self) -> Option<&Arc<Stack>> {
        self.split.as_ref().map(|(stack, _)| stack)
    }

    fn used(&self) -> impl Iterator<Item = &Arc<Stack>> {
        [&self.staged, &self.live].into_iter().flatten().chain(self.shared())
    }

    pub(super) fn choose(&self, wish: &Wish) -> Result<&Arc<Stack>, Page> {
        match wish {
            Wish::Live(_) if self.maintenance => Err(Page::Maintenance),
            Wish::Live(bucket) => match (&self.split, bucket) {
                (Some((stack, share)), Some(bucket)) if bucket.is_within(*share) => Ok(stack),
                _ => self.live.as_ref().ok_or(Page::NoRoute),
            },
            // While it has a share it still is what testers are to see.
            Wish::Candidate => self.staged.as_ref().or(self.shared()).ok_or(Page::NoCandidate),
            Wish::Named(name) => self
                .used()
                .find(|stack| stack.display.as_bytes() == name.as_bytes() || stack.label == *name)
                .ok_or(Page::NoCandidate),
        }
    }

    /// The label of the stack that a request asks for; of the live one where it asks for none.
    pub(super) fn label(&self, wish: Option<&Wish>) -> Option<&HeaderValue> {
        let stack = wish.map_or(self.live.as_ref(), |wish| self.choose(wish).ok());
        stack.map(|stack| &stack.label)
    }
}

/// A stack as the plane knows it.
pub(super) struct Stack {
    target: Target,
    display: String,
    /// Told to those who probe.
    pub(super) label: HeaderValue,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// Every request on it goes through this.
    pub(super) gate: Arc<Gate>,
    open: AtomicU64,
    /// What users got from it.
    pub(super) served: Arc<Served>,
    per_worker: Vec<Turn>,
}

/// One endpoint.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    /// Host for requests that name none.
    pub(super) host: HeaderValue,
    rests_until: AtomicU32,
    /// It answered with HTTP/1.0 when it was last asked.
    old: AtomicBool,
    pools: Vec<Pool>,
}

#[derive(Default)]
struct Turn(AtomicUsize);

impl Stack {
    /// `before`: the same stack with another reach. What is open and kept there counts on, and so do the connections to
    /// addresses that stay.
    fn new(target: &Target, limits: Limits, served: Arc<Served>, before: Option<&Self>) -> Arc<Self> {
        let addresses = target.reach.addresses();
        let (workers, idle) = (limits.workers, limits.idle(addresses.len()));
        let fresh = |address: SocketAddr| Upstream {
            address,
            host: text(&address.to_string()),
            rests_until: AtomicU32::new(0),
            old: AtomicBool::new(false),
            pools: (0..workers).map(|_| Pool::new(idle)).collect(),
        };
        let kept = |address| before?.upstreams.iter().find(|upstream| upstream.address == address).cloned();
        let upstreams = addresses.iter().map(|&address| kept(address).unwrap_or_else(|| Arc::new(fresh(address))));
        let gate = before.map(|before| before.gate.clone());
        Arc::new(Self {
            display: target.stack.to_string(),
            label: text(&label(&target.stack)),
            upstreams: upstreams.collect(),
            gate: gate.unwrap_or_else(|| Arc::new(Gate::new(limits.connections, limits.queue))),
            open: AtomicU64::new(0),
            served,
            per_worker: (0..workers).map(|_| Turn::default()).collect(),
            target: target.clone(),
        })
    }

    /// The endpoint whose turn it is on this worker, passing over those that refused lately.
    pub(super) fn next(&self, worker: usize, now: u32) -> Option<(usize, &Upstream)> {
        let turn = self.per_worker[worker].0.fetch_add(1, Ordering::Relaxed);
        let count = self.upstreams.len();
        let at = |skip: usize| {
            let index = turn.wrapping_add(skip).checked_rem(count)?;
            Some((index, &**self.upstreams.get(index)?))
        };
        let awake = |(_, upstream): &(usize, &Upstream)| upstream.rests_until.load(Ordering::Relaxed) <= now;
        (0..count).filter_map(at).find(awake).or_else(|| at(0))
    }
}

impl Upstream {
    pub(super) fn pool(&self, worker: usize) -> &Pool {
        &self.pools[worker]
    }

    /// Notes how it answers.
    pub(super) fn speaks(&self, version: Version) {
        let old = version < Version::HTTP_11;
        if old != self.is_old() {
            self.old.store(old, Ordering::Relaxed);
        }
    }

    /// Returns true when it knows no chunks.
    pub(super) fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self, now: u32) {
        self.rests_until.store(now + REST, Ordering::Relaxed);
    }
}

/// A request, or a long-lived connection, open on a stack.
pub(super) struct Open(Arc<Stack>);

impl Open {
    /// Counted before the table is looked at again: so a count of zero seen after a cutover stays zero.
    pub(super) fn new(stack: &Arc<Stack>) -> Self {
        stack.open.fetch_add(1, Ordering::SeqCst);
        Self(stack.clone())
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The stacks that were ever asked for and still matter: pools are kept across flips, counts until they are zero.
pub(super) struct Stacks {
    limits: Limits,
    known: Vec<Arc<Stack>>,
}

impl Stacks {
    const KEPT: usize = 4;

    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, known: Vec::new() }
    }

    pub(super) fn get(&mut self, target: &Target, counts: &mut Counts) -> Arc<Stack> {
        if let Some(at) = self.known.iter().position(|known| known.target == *target) {
            let stack = self.known.remove(at);
            self.known.push(stack.clone());
            return stack;
        }
        let before = self.known.iter().rfind(|known| known.target.stack == target.stack);
        let stack = Stack::new(target, self.limits, counts.of(&target.stack), before.map(|before| &**before));
        self.known.push(stack.clone());
        stack
    }

    pub(super) fn forget_unused(&mut self, table: &Table) {
        let mut spare = self.known.len().saturating_sub(Self::KEPT);
        self.known.retain(|stack| {
            let used = table.used().any(|s| Arc::ptr_eq(s, stack));
            let forget = spare > 0 && !used && stack.open.load(Ordering::SeqCst) == 0;
            spare -= usize::from(forget);
            !forget
        });
    }

    pub(super) fn known(&self) -> Vec<Arc<Stack>> {
        self.known.clone()
    }

    pub(super) fn open(&self) -> Vec<(StackName, u64)> {
        let mut open: Vec<(StackName, u64)> = Vec::new();
        for stack in &self.known {
            let count = stack.open.load(Ordering::SeqCst);
            match open.iter_mut().find(|(name, _)| *name == stack.target.stack) {
                Some((_, sum)) => *sum += count,
                None => open.push((stack.target.stack.clone(), count)),
            }
        }
        open.retain(|&(_, count)| count > 0);
        open
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A stack's name by its parts, because joined with `-` two names can read the same.
pub(in crate::web_front::builtin) fn label(name: &StackName) -> String {
    format!("environment={}; number={}", name.environment, name.number)
}

/// Reads a label back.
pub(in crate::web_front::builtin) fn parse_label(label: &str) -> Option<StackName> {
    let (environment, number) = label.strip_prefix("environment=")?.split_once("; number=")?;
    Some(StackName { environment: environment.parse().ok()?, number: Number(number.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_read_the_same_have_labels_that_differ() {
        let name = |environment: &str| StackName { environment: environment.parse().unwrap(), number: Number(3) };
        let (one, two) = (name("a-b/c"), name("a/b-c"));
        assert_eq!(one.to_string(), two.to_string());
        assert_ne!(label(&one), label(&two));
        assert_eq!(parse_label(&label(&one)), Some(one));
    }
}
