//! The yard: a real controller with a journal in memory, a provider and a front that live in memory, and time that can
//! be let pass. Stories read: push, settle, assert.

use std::{sync::Arc, time::Duration};

use pointsman::{
    checks::Checks,
    clock::Clock,
    journal::{Journal, NotRecorded},
    machine::{
        Ask, DeploymentState, Environment, EnvironmentId, Generation, Key, Number, Plan, Refusal, Release,
        ReleaseDraft, Trigger,
    },
    pipelines::{Pipelines, frozen::Frozen},
    runner::{self, Board, Hooks, Promotion, SharedStacks, Source, World},
    secrets::Secrets,
    stacks::StackDriver,
    web_front::{FrontDriver, FrontTrouble},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::memory::{MemoryFront, MemoryStacks};

/// However slow the machine, this long is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes anew what each controller needs.
pub type Make<T> = Arc<dyn Fn() -> T + Send + Sync>;

pub struct Yard {
    pub journal: Journal,
    pub clock: Clock,
    pub stacks: Arc<MemoryStacks>,
    pub front: Arc<MemoryFront>,
    pub board: Board,
    pub plan: Plan,
    /// Where definitions in git are, if they are.
    pub source: Option<Make<Source>>,
    promotion: Option<Make<Promotion>>,
    /// Another front than that in memory.
    other_front: Option<Arc<dyn FrontDriver>>,
    hooks: Option<Make<Hooks>>,
    id: EnvironmentId,
    provider: Arc<SharedStacks>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    state: Arc<tempfile::TempDir>,
    pushed: u64,
}

impl Yard {
    /// An environment with nothing in it, and a controller at work.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, under other terms.
    pub async fn with(terms: impl FnOnce(&mut Plan)) -> Self {
        let mut yard = Self::empty("shop/qa");
        terms(&mut yard.plan);
        yard.start_controller();
        yard
    }

    /// The environment behind another one, to which a rule promotes.
    pub fn behind(other: &Self, id: &str, promotion: Make<Promotion>) -> Self {
        let (journal, clock, state) = (other.journal.clone(), other.clock.clone(), other.state.clone());
        let mut yard = Self { journal, clock, state, promotion: Some(promotion), ..Self::empty(id) };
        yard.start_controller();
        yard
    }

    /// An environment of other drivers than those in memory.
    pub fn over(
        id: &str,
        stacks: Arc<dyn StackDriver>,
        front: Arc<dyn FrontDriver>,
        plan: Plan,
        hooks: Make<Hooks>,
    ) -> Self {
        let (provider, other_front, hooks) = (Arc::new(SharedStacks::new(stacks)), Some(front), Some(hooks));
        let mut yard = Self { provider, other_front, hooks, plan, ..Self::empty(id) };
        yard.start_controller();
        yard
    }

    fn empty(id: &str) -> Self {
        let stacks = Arc::new(MemoryStacks::default());
        Self {
            journal: Journal::in_memory(pointsman::journal::Options::default()).unwrap(),
            provider: Arc::new(SharedStacks::new(stacks.clone())),
            stacks,
            front: Arc::default(),
            board: Board::default(),
            plan: Plan { bake: pointsman::machine::Millis(0), ..Plan::default() },
            source: None,
            promotion: None,
            other_front: None,
            hooks: None,
            id: id.parse().unwrap(),
            running: None,
            state: Arc::new(tempfile::tempdir().unwrap()),
            pushed: 0,
            clock: Clock::real(),
        }
    }

    /// The state folder.
    pub fn folder(&self) -> &std::path::Path {
        self.state.path()
    }

    pub fn start_controller(&mut self) {
        let check = "http = { path = \"/healthz\" }\nevery = \"50ms\"\npasses = 2\nfails = 2";
        let world = World {
            artifacts: Default::default(),
            id: self.id.clone(),
            stacks: self.provider.clone(),
            front: self.other_front.clone().unwrap_or_else(|| self.front.clone()),
            checks: Arc::new(Checks { list: vec![toml::from_str(check).unwrap()], ..Checks::default() }),
            hooks: self.hooks.as_ref().map_or_else(Hooks::none, |make| make()),
            frozen: Frozen::below(self.state.path()),
            secrets: Secrets::open(self.state.path(), &Pipelines::default()).unwrap(),
            source: self.source.as_ref().map(|make| make()),
            promotion: self.promotion.as_ref().map(|make| make()),
            watch: Duration::from_millis(20),
            lives: self.state.path().join("looked").join(format!("{}.json", self.id)),
            board: self.board.clone(),
            clock: self.clock.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        let running = runner::run(vec![world], Vec::new(), self.journal.clone(), self.clock.clone(), stopped);
        self.running = Some((stop, tokio::task::spawn(running)));
    }

    /// Ends the controller in the middle of whatever it does.
    pub fn kill_controller(&mut self) {
        if let Some((_, task)) = self.running.take() {
            task.abort();
        }
    }

    /// Lets the controller finish what it is calling.
    pub async fn stop_controller(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.send(true).unwrap();
            timeout(PATIENCE, task).await.expect("the controller did not stop").unwrap();
        }
    }

    /// A build is announced. Gives its deployment's number.
    pub async fn push(&mut self, version: &str) -> Number {
        self.pushed += 1;
        let order = self.pushed;
        self.announce(version, order).await.unwrap()
    }

    /// A build with a count of its own; the same count is the same build.
    pub async fn announce(&self, version: &str, order: u64) -> Result<Number, Refusal> {
        let digest = Frozen::below(self.state.path()).freeze("a stack in memory").unwrap();
        self.deploy(ReleaseDraft::New(Release { definition: digest, ..Release::draft(version) }), order).await
    }

    /// A build that is more than a version.
    pub async fn push_release(&mut self, release: Release) -> Number {
        self.pushed += 1;
        self.deploy(ReleaseDraft::New(release), self.pushed).await.unwrap()
    }

    /// A release that was made before.
    pub async fn promote(&mut self, release: Arc<Release>) -> Number {
        self.pushed += 1;
        self.deploy(ReleaseDraft::Existing(release), self.pushed).await.unwrap()
    }

    async fn deploy(&self, release: ReleaseDraft, build_number: u64) -> Result<Number, Refusal> {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&build_number.to_le_bytes());
        let plan = Arc::new(self.plan.clone());
        let deploy =
            Ask::Deploy { key: Key(key), build_number: Some(build_number), release, plan, trigger: Trigger::Build };
        self.command(deploy).await?;
        Ok(self.now().last_number())
    }

    /// A definition as it was kept.
    pub fn definition(&self, number: Number) -> String {
        let release = self.now().release_of(number).unwrap().clone();
        Frozen::below(self.state.path()).thaw(&release.definition).unwrap().to_string()
    }

    /// Waits until people are shown that this step does not work, and that reason.
    pub async fn until_trouble(&self, step: &str, why: &str) {
        let shown = async {
            let is = |t: &runner::Trouble| t.step.contains(step) && t.why.contains(why);
            while !self.board.sight(&self.id).trouble.iter().any(is) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, shown).await.expect("never shown");
    }

    /// Waits until people are shown nothing that does not work.
    pub async fn until_no_trouble(&self) {
        let clear = async {
            while !self.board.sight(&self.id).trouble.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, clear).await.expect("still shown");
    }

    /// Waits until a look shows exactly this trouble of the front, or none.
    pub async fn until_front_trouble(&self, wanted: Option<&FrontTrouble>) {
        let shown = async {
            loop {
                let sight = self.board.sight(&self.id);
                if sight.looked.0 > 0 && sight.front.iter().map(|concern| &concern.what).eq(wanted) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, shown).await.expect("never shown");
    }

    /// What a person or a webhook asks.
    pub async fn command(&self, command: Ask) -> Result<(), Refusal> {
        match self.journal.command(&self.id, "story", self.clock.now(), command).await {
            Ok(_) => Ok(()),
            Err(NotRecorded::Refused(why)) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn rollback(&self) -> Result<(), Refusal> {
        let live = self.now().live().map_or(Number(0), |s| s.number);
        self.command(Ask::Rollback(live, "the story wants it".into())).await
    }

    pub async fn approve(&self, number: Number) -> Result<(), Refusal> {
        let gate = self.now().active().and_then(|d| d.gate()).expect("nothing waits at a gate");
        self.command(Ask::Approve(number, gate)).await
    }

    pub async fn abort(&self, number: Number) -> Result<(), Refusal> {
        self.command(Ask::Abort(number, "the story wants it".into())).await
    }

    pub fn now(&self) -> Arc<Environment> {
        self.journal.state(&self.id)
    }

    /// Waits until the environment is as described.
    pub async fn until(&self, what: &str, is: impl Fn(&Environment) -> bool) {
        let mut states = self.journal.watch(&self.id);
        let wait = timeout(PATIENCE, states.wait_for(|state| is(state))).await;
        if !matches!(wait, Ok(Ok(_))) {
            panic!("never came to pass: {what}\n{:#?}\n{:#?}", self.now(), self.board.sight(&self.id));
        }
    }

    pub async fn until_state(&self, number: Number, state: DeploymentState) {
        let what = format!("deployment {number} is {state}");
        self.until(&what, |e| e.deployment_state(number).is_some_and(|(s, _)| s == state)).await;
    }

    /// Waits until the front has taken this order.
    pub async fn until_front(&self, generation: Generation) {
        let taken = async {
            while self.front.generation() < generation {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, taken).await.expect("the front did not take the order");
    }

    /// Waits until nothing is under way and nothing is being torn down.
    pub async fn settle(&self) {
        self.until("all is settled", |e| {
            e.active().is_none() && e.queue().is_empty() && e.retiring().is_empty() && e.drift().is_none()
        })
        .await;
    }

    /// Lets time pass at once.
    pub fn pass(&self, length: Duration) {
        self.clock.let_pass(length);
    }

    /// The version that users get, as the front and the provider have it.
    pub fn live_version(&self) -> Option<String> {
        let name = self.front.serves()?;
        self.now().release_of(name.number).map(|r| r.version.to_string())
    }

    #[track_caller]
    pub fn assert_live(&self, version: &str) {
        assert_eq!(self.live_version().as_deref(), Some(version), "{:#?}", self.now());
        self.now().check().unwrap();
    }

    /// The stacks that exist are these, and no others.
    #[track_caller]
    pub fn assert_stacks(&self, versions: &[&str]) {
        let now = self.now();
        let of = |n| now.release_of(n).map_or_else(|| format!("unknown {n}"), |r| r.version.to_string());
        let mut there: Vec<String> = self.stacks.names().into_iter().map(|name| of(name.number)).collect();
        there.sort();
        assert_eq!(there, versions, "{now:#?}");
    }

    #[track_caller]
    pub fn assert_ended(&self, number: Number, state: DeploymentState, why: &str) {
        let now = self.now();
        let (seen, reason) = now.deployment_state(number).unwrap();
        assert_eq!(seen, state, "{reason:?}");
        assert!(reason.unwrap_or_default().contains(why), "{reason:?} does not say {why:?}");
    }
}
