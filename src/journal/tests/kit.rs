//! A story with every kind of event, a disk that fails on demand, and random numbers that name their seed.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher},
    io::{self, Cursor, ErrorKind},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    journal::{
        Options,
        ledger::{Change, Ledger, Request},
        open,
        storage::{Appender, Reader, Storage},
    },
    machine::{
        Ask, Back, Command, Entry, EnvironmentId, Event, Gate, Generation, Hook, HookPoint, Key, Matter, Millis,
        Number, Otherwise, Outcome, Plan, Recover, RecoverTo, Release, ReleaseDraft, Seq, Share, Step, Strategy,
        Trigger,
    },
};

pub(super) struct Random(pub u64, u64);

impl Random {
    /// Takes the seed from `POINTSMAN_SEED` if it is set, to see a failure again.
    pub(super) fn new() -> Self {
        let given = std::env::var("POINTSMAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish()) | 1;
        Self(seed, seed)
    }
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.1 ^= self.1 << 13;
        self.1 ^= self.1 >> 7;
        self.1 ^= self.1 << 17;
        (self.1 % limit.max(1) as u64) as usize
    }
}

#[derive(Default, Clone)]
struct File {
    durable: Vec<u8>,
    seen: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Faults {
    /// How many operations that change something still work; then the machine is off.
    pub operations: Option<usize>,
    /// The room for all files and the ballast.
    pub capacity: Option<usize>,
    /// The next flush fails.
    pub flush: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    ballast: usize,
    faults: Faults,
}

/// A disk that keeps only what was flushed when the power goes. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
    pub(super) fn with(content: BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        let file = |seen: Vec<u8>| File { durable: seen.clone(), seen };
        disk.state().files = content.into_iter().map(|(name, seen)| (name, file(seen))).collect();
        disk
    }
    pub(super) fn content(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().files.iter().map(|(name, file)| (name.clone(), file.seen.clone())).collect()
    }
    pub(super) fn fail(&self, faults: Faults) {
        self.state().faults = faults;
    }
    /// What was not flushed is cut at a random byte.
    pub(super) fn lose_power(&self, random: &mut Random) {
        let mut state = self.state();
        state.faults = Faults::default();
        for file in state.files.values_mut() {
            if file.seen.starts_with(&file.durable) {
                let kept = file.durable.len() + random.below(file.seen.len() - file.durable.len() + 1);
                file.seen.truncate(kept);
                file.durable = file.seen.clone();
            } else {
                file.seen = file.durable.clone();
            }
        }
    }
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.faults.operations {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(state)
    }
}

impl State {
    fn room(&self) -> usize {
        let used: usize = self.files.values().map(|file| file.seen.len()).sum();
        self.faults.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used + self.ballast))
    }
}

impl Storage for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }
    fn reader(&self, name: &str) -> io::Result<Box<dyn Reader>> {
        Ok(Box::new(Cursor::new(self.state().files.get(name).ok_or(ErrorKind::NotFound)?.seen.clone())))
    }
    fn appender(&self, name: &str) -> io::Result<Box<dyn Appender>> {
        self.change()?.files.entry(name.to_owned()).or_default();
        Ok(Box::new(Open(self.clone(), name.to_owned())))
    }
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut state = self.change()?;
        if state.room() < content.len() {
            return Err(ErrorKind::StorageFull.into());
        }
        state.files.insert(name.to_owned(), File { durable: content.to_vec(), seen: content.to_vec() });
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?.files.remove(name);
        Ok(())
    }
    fn free(&self) -> io::Result<Option<u64>> {
        let state = self.state();
        Ok(state.faults.capacity.map(|_| state.room() as u64))
    }
    fn load_ballast(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        let more = (bytes as usize).saturating_sub(state.ballast);
        if state.room() < more {
            return Err(ErrorKind::StorageFull.into());
        }
        state.ballast += more;
        Ok(())
    }
    fn drop_ballast(&self) -> io::Result<()> {
        self.state().ballast = 0;
        Ok(())
    }
}

struct Open(SimDisk, String);

impl Appender for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.change()?;
        let taken = state.room().min(bytes.len());
        state.files.get_mut(&self.1).unwrap().seen.extend_from_slice(&bytes[..taken]);
        if taken < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.0.change()?;
        if std::mem::take(&mut state.faults.flush) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let file = state.files.get_mut(&self.1).unwrap();
        file.durable = file.seen.clone();
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.change()?.files.get_mut(&self.1).unwrap().seen.truncate(length as usize);
        Ok(())
    }
}

pub(super) fn options(snapshot_every: u64) -> Options {
    Options { snapshot_every, ballast_bytes: 0, low_water_bytes: 0, snapshot_in_place: true, ..Options::default() }
}

pub(super) fn ledger(disk: &SimDisk, options: Options) -> Ledger {
    let start = open::read(disk).unwrap();
    let torn = start.opened.torn.is_some();
    Ledger::new(Arc::new(disk.clone()), options, start, torn).unwrap()
}

pub(super) fn environment(name: &str) -> EnvironmentId {
    name.parse().unwrap()
}

pub(super) fn deploy(key: u64) -> Ask {
    let (key, plan) = (Key((u128::from(key)).to_be_bytes()), Arc::new(Plan::default()));
    let release = ReleaseDraft::New(Release::draft("v1"));
    Ask::Deploy { key, build_number: None, release, plan, trigger: Trigger::Build }
}

pub(super) fn ask(environment: &EnvironmentId, command: impl Into<Command>) -> Request {
    Request {
        environment: environment.clone(),
        by: "webhook:test".into(),
        at: Millis(1000),
        change: Change::Decide(command.into(), Vec::new()),
    }
}

pub(super) fn append(environment: &EnvironmentId, expected: u64, entry: Entry) -> Request {
    let (at, by, change) = (entry.at, entry.by, Change::Append(Seq(expected), entry.event));
    Request { environment: environment.clone(), by, at, change }
}

/// A ledger that was told the story, and the disk it is on.
pub(super) fn told(snapshot_every: u64) -> (SimDisk, Ledger) {
    let (disk, live) = (SimDisk::default(), environment("shop/live"));
    let mut ledger = ledger(&disk, options(snapshot_every));
    for (place, entry) in (0..).zip(story()) {
        let answers = ledger.commit(&[append(&live, place, entry)]).unwrap().answers;
        assert!(answers[0].is_ok(), "{:?}", answers[0]);
    }
    (disk, ledger)
}

fn accepted(number: u32, gate: bool) -> Event {
    let gate = gate.then_some(Gate {
        timeout: Millis(60_000),
        otherwise: Otherwise::Abort,
        by: Vec::new(),
        not_the_asker: false,
    });
    let plan = Arc::new(Plan { before_cutover: gate, ..Plan::default() });
    let parameters = [("greeting".into(), "h\u{e4}llo \"you\"\n".into())].into();
    let (commit, link) = (Some("3f2c1e".into()), Some("https://ci.example/job/7".into()));
    let release = Release { number, parameters, commit, link, ..Release::draft(&format!("v{number}")) };
    let (key, build_number, trigger) = (Key([number as u8; 16]), Some(u64::from(number)), Trigger::Build);
    Event::Accepted {
        number: Number(number),
        key,
        build_number,
        release: Arc::new(release),
        plan,
        trigger,
        reason: None,
        stranger: false,
    }
}

fn goes_live(number: u32, generation: u64, gate: bool) -> Vec<Event> {
    let number = Number(number);
    let mut events = vec![accepted(number.0, gate), Event::Started { number }, Event::Provisioned { number }];
    events.push(Event::Checked { number, answers: Vec::new() });
    events.extend(gate.then_some(Event::Approved { number, reason: None }));
    events.push(Event::CutOverOrdered { number, generation: Generation(generation), share: None });
    events.extend([Event::WentLive { number, host: None }, Event::Succeeded { number }]);
    events
}

/// A stranger that is to be live, as it is.
fn stranger(number: u32) -> Event {
    match accepted(number, false) {
        Event::Accepted { number, key, release, plan, trigger, reason, .. } => {
            Event::Accepted { number, key, build_number: None, release, plan, trigger, reason, stranger: true }
        }
        other => other,
    }
}

/// A release whose definition is in git, for an environment where someone is named to agree.
fn from_git(number: u32) -> Vec<Event> {
    let gate = Gate {
        timeout: Millis(60_000),
        otherwise: Otherwise::Abort,
        by: vec!["alice".into(), "bob".into()],
        not_the_asker: true,
    };
    let given: BTreeMap<Arc<str>, Arc<str>> = [("greeting".into(), "hello".into())].into();
    let release = Release {
        number,
        commit: Some("3f2c1e".into()),
        source: Some("deploy/stack.toml".into()),
        parameters: given.clone(),
        given,
        secrets: [("db_password".into(), "0123456789ab".into())].into(),
        ..Release::draft("v10")
    };
    let plan = Arc::new(Plan { before_cutover: Some(gate), ..Plan::default() });
    let (key, trigger, release) = (Key([number as u8; 16]), Trigger::Rule, Arc::new(release));
    let number = Number(number);
    vec![
        Event::Accepted { number, key, build_number: Some(10), release, plan, trigger, reason: None, stranger: false },
        Event::Started { number },
        Event::DefinitionFrozen { number, definition: "ab".repeat(32).into() },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
    ]
}

/// A release that goes live with a hook on its way, in an environment that recovers to its standby.
fn with_a_hook(number: u32) -> Vec<Event> {
    let mut events = goes_live(number, 6, false);
    let (hook, point): (Arc<str>, _) = ("migrate".into(), HookPoint::AfterChecks);
    if let Event::Accepted { plan, .. } = &mut events[0] {
        let hook = Hook { name: hook.clone(), at: point, within: Millis(60_000), one_way: true };
        let recover = Recover { to: RecoverTo::Standby, after: Millis(45_000) };
        *plan = Arc::new(Plan { hooks: vec![hook], recover, always_on: true, ..Plan::default() });
    }
    let number = Number(number);
    let ordered = Event::HookOrdered { number, hook: hook.clone(), point };
    let said = "moved 3 tables".into();
    events.splice(4..4, [ordered, Event::HookFinished { number, hook, point, reason: None, said }]);
    events
}

/// A release for which stack 11 is stopped, and started again; then a person has users shown the page for a while.
fn stops_first(number: u32, generation: u64) -> Vec<Event> {
    let mut events = goes_live(number, generation, false);
    if let Event::Accepted { plan, .. } = &mut events[0] {
        *plan = Arc::new(Plan { strategy: Strategy::StopFirst, ..Plan::default() });
    }
    events.truncate(2);
    let (number, live, outcome, reason): (_, _, _, Arc<str>) =
        (Number(number), Number(11), Outcome::Aborted, "a person said so".into());
    let next = |more: u64| Generation(generation + more);
    let back = Some(Back { outcome, reason: reason.clone() });
    events.extend([
        Event::PageOrdered { number, generation: next(0), back: None },
        Event::StopOrdered { number, stack: live, order: 1, back: None },
        Event::Stopped { number },
        Event::StopOrdered { number, stack: number, order: 2, back },
        Event::StartOrdered { number, stack: live, order: 3, outcome, reason: reason.clone() },
        Event::RevertOrdered { number, to: Some(live), generation: next(1), outcome, reason: reason.clone() },
        Event::Reverted { number, host: None },
        Event::MaintenanceBegun { generation: next(2), hold: true, reason: reason.clone() },
        Event::MaintenanceEnded { generation: next(3), reason: Some(reason) },
    ]);
    events
}

/// A release that gets a share of the users, keeps it for a while, and loses it again to stack 11.
fn in_steps(number: u32, generation: u64) -> Vec<Event> {
    let gate = || Gate {
        timeout: Millis(60_000),
        otherwise: Otherwise::Approve,
        by: vec!["alice".into()],
        not_the_asker: false,
    };
    let share = Share::try_from(5).unwrap();
    let mut events = goes_live(number, generation, false);
    if let Event::Accepted { plan, .. } = &mut events[0] {
        let steps = vec![Step { share, bake: Millis(300_000), pause: Some(gate()) }];
        *plan = Arc::new(Plan { steps, ..Plan::default() });
    }
    events.truncate(4);
    let (number, back, outcome) = (Number(number), Some(Number(11)), Outcome::Aborted);
    let (reason, [first, second]): (Arc<str>, _) =
        ("a person said so".into(), [generation, generation + 1].map(Generation));
    events.extend([
        Event::CutOverOrdered { number, generation: first, share: Some(share) },
        Event::Shifted { number, share, host: Some("web1 (identity 5f)".into()) },
        Event::Paused { number, gate: gate(), reason: Some(reason.clone()) },
        Event::Proceeded { number, reason: Some(reason.clone()) },
        Event::RevertRequested { number, outcome, reason: reason.clone() },
        Event::RevertOrdered { number, to: back, generation: second, outcome, reason },
        Event::Reverted { number, host: None },
    ]);
    events
}

/// Every kind of event, in an order in which it can happen.
pub(super) fn story() -> Vec<Entry> {
    let reason: Arc<str> = "a person said so".into();
    let r = || reason.clone();
    let mut events = goes_live(1, 1, false);
    events.extend(goes_live(2, 2, true));
    let (outcome, to) = (Outcome::RolledBack, Some(Number(1)));
    events.extend([
        Event::RollbackRequested { number: Number(2), reason: r() },
        Event::RevertOrdered { number: Number(2), to, generation: Generation(3), outcome, reason: r() },
        Event::Reverted { number: Number(2), host: None },
        Event::Retired { number: Number(2) },
        Event::Resumed { reason: None },
        Event::Unvetoed { release: 2, reason: None },
        accepted(3, false),
        Event::Started { number: Number(3) },
        Event::Ended { number: Number(3), outcome: Outcome::Failed, reason: r() },
        Event::OperatorNeeded { number: Number(3), reason: r(), about: None },
        Event::Retired { number: Number(3) },
    ]);
    events.extend(goes_live(4, 4, false));
    let (release, plan) = match accepted(1, false) {
        Event::Accepted { release, plan, .. } => (release, plan),
        _ => unreachable!(),
    };
    events.extend([
        Event::StandbyReleased { number: Number(1), reason: r() },
        Event::Retired { number: Number(1) },
        Event::ColdRollbackQueued { number: Number(4), by: Number(5), release, plan, reason: r() },
        Event::OrphanFound { number: Number(3) },
        Event::StrangerFound { number: Number(9) },
        Event::DriftSeen { shown: None, generation: Generation(5), in_a_row: 1, words: None },
        Event::DriftMended,
        Event::Held { reason: r() },
        Event::Pinned { release: 1, reason: None },
        Event::Unpinned { reason: None },
        Event::Vetoed { release: 7, reason: r() },
        Event::Started { number: Number(5) },
        Event::Ended { number: Number(5), outcome: Outcome::Aborted, reason: r() },
    ]);
    events.extend(from_git(10));
    events.push(Event::Ended { number: Number(10), outcome: Outcome::Aborted, reason: r() });
    events.extend(with_a_hook(11));
    events.extend(goes_live(12, 7, false));
    let (live, about) = (Number(12), Some(Matter::Live));
    events.extend([
        Event::LiveDown { number: live, reason: r() },
        Event::LiveUp { number: live },
        Event::LiveDown { number: live, reason: r() },
        Event::OperatorNeeded { number: live, reason: r(), about },
        Event::Recovered { number: live, to: Number(11), generation: Generation(8), reason: r() },
        Event::RestartAsked { number: Number(11), instance: Some(1), order: 1_760_000_000_000, reason: Some(r()) },
        Event::RestartEnded { number: Number(11), order: 1_760_000_000_000, reason: Some(r()) },
        Event::BuildsReset { reason: r() },
        Event::StrangerDismissed { number: Number(9), reason: r() },
    ]);
    events.extend(in_steps(13, 9));
    events.extend([Event::StrangerFound { number: Number(14) }, stranger(14)]);
    events.extend(stops_first(15, 20));
    let times = (0..).map(|n| Millis(1_760_000_000_000 + n * 1000));
    times.zip(events).map(|(at, event)| Entry { at, by: "pointsman".into(), event }).collect()
}
