//! A provider and a front that live in memory, with faults at will. The stacks really listen, so that the real checks
//! can look at them.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use pointsman::{
    machine::{Fencing, Generation, RetirePermit, Share, StackName, StartPermit, StopPermit},
    stacks::{Condition, ReadBeside, SeenStack, StackDriver, StackSpec, StepError},
    web_front::{CutOver, FrontDriver, Route, SeenFront, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::AbortHandle,
};

/// What the next call of a driver does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Does nothing, and says so.
    Refused,
    /// Does nothing, and gives no useful answer.
    Lost,
    /// The work is done, but the answer is lost.
    ReplyLost,
}

/// Faults to come, one for each call.
#[derive(Debug, Default)]
pub struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    pub fn next(&self, fault: Fault) {
        self.0.lock().unwrap().push_back(fault);
    }

    fn around<T>(&self, work: impl FnOnce() -> T) -> Result<T, StepError> {
        let fault = self.0.lock().unwrap().pop_front();
        match fault {
            None => Ok(work()),
            Some(Fault::Refused) => Err(StepError::Refused("the provider says no".into())),
            Some(Fault::Lost) => Err(StepError::Unavailable("the request was lost".into())),
            Some(Fault::ReplyLost) => {
                work();
                Err(StepError::Unavailable("the connection was reset".into()))
            }
        }
    }
}

/// One stack: a listener that answers 200 while it is well.
struct Stack {
    version: Arc<str>,
    condition: Condition,
    address: SocketAddr,
    well: Arc<AtomicBool>,
    server: Option<AbortHandle>,
}

/// The newest order to stop a stack or to start it again.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct RunOrder {
    order: u64,
    stopped: bool,
}

#[derive(Default)]
pub struct MemoryStacks {
    stacks: Mutex<BTreeMap<StackName, Stack>>,
    /// Orders, also about stacks that are not there yet.
    orders: Mutex<BTreeMap<StackName, RunOrder>>,
    /// Versions that come up sick, never come up, or fail to.
    pub sick: Mutex<Vec<String>>,
    pub stuck: Mutex<Vec<String>>,
    pub failing: Mutex<Vec<String>>,
    pub faults: Faults,
    /// Whether nothing listens: for measurements that must not count the sockets of stacks.
    silent: bool,
    pub listings: AtomicUsize,
    pub made: AtomicUsize,
}

impl MemoryStacks {
    /// One whose stacks do not listen.
    #[allow(dead_code, reason = "for the measurements")]
    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    pub fn names(&self) -> Vec<StackName> {
        self.stacks.lock().unwrap().keys().cloned().collect()
    }

    /// How far the stack of that version is.
    pub fn condition(&self, version: &str) -> Option<Condition> {
        let stacks = self.stacks.lock().unwrap();
        stacks.values().find(|stack| *stack.version == *version).map(|stack| stack.condition)
    }

    /// Turns the health of every stack of that version.
    pub fn set_well(&self, version: &str, well: bool) {
        for stack in self.stacks.lock().unwrap().values().filter(|s| &*s.version == version) {
            stack.well.store(well, Ordering::SeqCst);
        }
    }

    /// Someone tears a stack down behind our back.
    pub fn lose(&self, version: &str) {
        self.stacks.lock().unwrap().retain(|_, s| {
            let lost = &*s.version == version;
            if lost {
                s.end();
            }
            !lost
        });
    }

    /// A stack of ours turns up that nobody remembers, as after a late request.
    pub fn conjure(&self, name: StackName) {
        let stack = Stack::serving("ghost".into(), Condition::Ready, true);
        self.stacks.lock().unwrap().insert(name, stack);
    }

    /// Whether it is the newest order now.
    fn takes(&self, name: &StackName, order: RunOrder) -> bool {
        let mut orders = self.orders.lock().unwrap();
        let known = orders.entry(name.clone()).or_default();
        if known.order < order.order {
            *known = order;
        }
        *known == order
    }

    fn order(&self, name: &StackName) -> RunOrder {
        self.orders.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn stop(&self, name: &StackName, order: u64) {
        if self.takes(name, RunOrder { order, stopped: true })
            && let Some(stack) = self.stacks.lock().unwrap().get_mut(name)
        {
            stack.end();
            (stack.server, stack.condition) = (None, Condition::Stopped);
        }
    }

    /// It comes back at its address, unless somebody else has that by now.
    fn start(&self, name: &StackName, order: u64) {
        let mut stacks = self.stacks.lock().unwrap();
        if self.takes(name, RunOrder { order, stopped: false })
            && let Some(stack) = stacks.get_mut(name).filter(|stack| stack.condition == Condition::Stopped)
        {
            if !self.silent {
                stack.listen();
            }
            stack.condition = Condition::Ready;
        }
    }

    fn make(&self, spec: &StackSpec) {
        if self.order(&spec.name).stopped {
            return;
        }
        let listed = |list: &Mutex<Vec<String>>| list.lock().unwrap().iter().any(|v| **v == *spec.release.version);
        let condition = if listed(&self.failing) {
            Condition::Failed
        } else if listed(&self.stuck) {
            Condition::Creating
        } else {
            Condition::Ready
        };
        let mut stacks = self.stacks.lock().unwrap();
        if !stacks.contains_key(&spec.name) {
            self.made.fetch_add(1, Ordering::SeqCst);
            let well = !listed(&self.sick);
            let version = spec.release.version.clone();
            let stack = if self.silent {
                Stack::silent(version, condition, well)
            } else {
                Stack::serving(version, condition, well)
            };
            stacks.insert(spec.name.clone(), stack);
        }
    }
}

impl Stack {
    fn silent(version: Arc<str>, condition: Condition, well: bool) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self { version, condition, address, well: Arc::new(AtomicBool::new(well)), server: None }
    }

    fn serving(version: Arc<str>, condition: Condition, well: bool) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut stack = Self { address, ..Self::silent(version, condition, well) };
        stack.listen();
        stack
    }

    fn listen(&mut self) {
        let listener = std::net::TcpListener::bind(self.address);
        let listener = listener.or_else(|_| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        self.server = Some(tokio::task::spawn(answer(listener, self.well.clone())).abort_handle());
    }

    fn end(&self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn answer(listener: TcpListener, well: Arc<AtomicBool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let line = if well.load(Ordering::SeqCst) { "200 OK" } else { "500 Sick" };
        let mut request = [0; 1024];
        let _ = client.read(&mut request).await;
        let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = client.write_all(answer.as_bytes()).await;
    }
}

#[async_trait::async_trait]
impl StackDriver for MemoryStacks {
    fn lands_within(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        self.faults.around(|| self.make(spec))
    }

    async fn retire(&self, name: &StackName, permit: &RetirePermit) -> Result<(), StepError> {
        assert_eq!(name.number, permit.number());
        self.faults.around(|| {
            if let Some(stack) = self.stacks.lock().unwrap().remove(name) {
                stack.end();
            }
            self.orders.lock().unwrap().remove(name);
        })
    }

    async fn stop(&self, name: &StackName, permit: &StopPermit) -> Result<(), StepError> {
        assert_eq!(name.number, permit.number());
        self.faults.around(|| Self::stop(self, name, permit.order()))
    }

    async fn start(&self, spec: &StackSpec, permit: &StartPermit) -> Result<(), StepError> {
        assert_eq!(spec.name.number, permit.number());
        self.faults.around(|| Self::start(self, &spec.name, permit.order()))
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        self.listings.fetch_add(1, Ordering::SeqCst);
        let stacks = self.stacks.lock().unwrap();
        let see = |(name, stack): (&StackName, &Stack)| {
            let remark = (stack.condition == Condition::Failed).then(|| "quota exceeded".to_owned());
            let seen = SeenStack::new(name.clone(), stack.condition, stack.address.into()).remarked(remark);
            SeenStack { obeyed: self.order(name).order, ..seen }
        };
        Ok(stacks.iter().map(see).collect())
    }

    /// `with NAME` stands for the file of that name.
    fn gather(&self, definition: &str, read: &ReadBeside<'_>) -> Result<String, Vec<String>> {
        match definition.strip_prefix("with ") {
            Some(name) => read(name).map_err(|why| vec![format!("1:6: {why}")]),
            None => Ok(definition.to_owned()),
        }
    }

    fn check_definition(&self, definition: &str) -> Result<(), Vec<String>> {
        if definition == "refused" { Err(vec!["1:1: this can never work".to_owned()]) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Front {
    route: Option<Route>,
    /// Somebody else pointed it elsewhere.
    altered: bool,
    staged: Option<StackName>,
    open: Vec<(StackName, u64)>,
    host: Option<String>,
}

#[derive(Default)]
pub struct MemoryFront {
    front: Mutex<Front>,
    pub faults: Faults,
    pub unreachable: AtomicBool,
    /// It takes no candidate, and never will.
    pub refuses: AtomicBool,
    /// The public address answers from elsewhere, whatever the route says.
    pub public_elsewhere: AtomicBool,
    pub cutovers: AtomicUsize,
}

impl MemoryFront {
    pub fn serves(&self) -> Option<StackName> {
        self.front.lock().unwrap().route.as_ref()?.target.as_ref().map(|t| t.stack.clone())
    }

    /// The share of the users that a second stack gets.
    pub fn split(&self) -> Option<Share> {
        self.front.lock().unwrap().route.as_ref()?.split.as_ref().map(|split| split.share)
    }

    pub fn generation(&self) -> Generation {
        self.front.lock().unwrap().route.as_ref().map_or(Generation(0), |r| r.generation)
    }

    /// Someone repoints the front behind our back.
    pub fn meddle(&self, target: Option<Target>) {
        let mut front = self.front.lock().unwrap();
        let generation = front.route.as_ref().map_or(Generation(0), |r| r.generation);
        (front.route, front.altered) = (Some(Route::whole(generation, target)), true);
    }

    /// Requests in flight on a stack, until it is called with 0.
    pub fn hold_open(&self, stack: StackName, count: u64) {
        self.front.lock().unwrap().open = vec![(stack, count)];
    }

    /// Another machine answers by the front's name.
    pub fn is_on(&self, host: &str) {
        self.front.lock().unwrap().host = Some(host.to_owned());
    }

    fn reach(&self) -> Result<(), StepError> {
        let down = self.unreachable.load(Ordering::SeqCst);
        if down { Err(StepError::Unavailable("connection refused".into())) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl FrontDriver for MemoryFront {
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        self.reach()?;
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StepError::Refused("no such front".into()));
        }
        self.faults.around(|| self.front.lock().unwrap().staged = Some(candidate.stack.clone()))
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        self.reach()?;
        self.faults.around(|| {
            let mut front = self.front.lock().unwrap();
            match &front.route {
                Some(known) if known.generation > route.generation => CutOver::Stale { applied: known.generation },
                Some(known) if known == route => CutOver::Applied,
                _ => {
                    self.cutovers.fetch_add(1, Ordering::SeqCst);
                    (front.route, front.altered) = (Some(route.clone()), false);
                    CutOver::Applied
                }
            }
        })
    }

    async fn observe(&self) -> Result<Option<SeenFront>, StepError> {
        self.reach()?;
        let front = self.front.lock().unwrap();
        let nothing = Route::whole(Generation(0), None);
        let route = front.route.clone().unwrap_or(nothing);
        let (staged, open) = (front.staged.clone(), front.open.clone());
        Ok(Some(SeenFront { altered: front.altered, staged, open, ..SeenFront::new(route) }))
    }

    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        self.reach()?;
        if self.public_elsewhere.load(Ordering::SeqCst) {
            return Err(StepError::Unavailable("502 Bad Gateway".into()));
        }
        Ok(self.serves())
    }

    fn place(&self) -> Option<String> {
        self.front.lock().unwrap().host.clone()
    }

    fn fencing(&self) -> Fencing {
        Fencing::CompareAndSet
    }
}
