//! A stack whose provider lists in changing order and replaces instances while it is live, through a whole controller and
//! every front: nothing drifts, no hook is stopped, no cutover is held up, no request fails.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use pointsman::{
    hooks::{Call, HookDefinition, Runs},
    machine::{DeploymentState, HookPoint, Millis, Number, Plan, RetirePermit, StackName},
    reach::{Reach, ReachKind},
    runner::Hooks,
    stacks::{Condition, SeenStack, StackDriver, StackSpec, StepError},
    web_front::{DRIVERS, Driver, FrontDriver},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::AbortHandle,
};

use super::{PROGRAM, fronts::fixtures, until};
use crate::support::{wire::Hammer, yard::Yard};

/// One instance: it answers everything with 200 until it is ended. Requests that it has begun it ends well.
struct Instance {
    address: SocketAddr,
    server: AbortHandle,
}

impl Instance {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                drop(tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = client.read(&mut request).await;
                    let _ =
                        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
                }));
            }
        });
        Self { address, server: server.abort_handle() }
    }
}

/// A provider of stacks with two instances each.
#[derive(Default)]
struct Shifting {
    stacks: Mutex<BTreeMap<StackName, Vec<Instance>>>,
    backwards: AtomicBool,
}

impl Shifting {
    /// Ends the first instance of a stack, and has another one in its place.
    async fn replace(&self, number: Number) {
        let fresh = Instance::start().await;
        let mut stacks = self.stacks.lock().unwrap();
        let (_, instances) = stacks.iter_mut().find(|(name, _)| name.number == number).expect("the stack is there");
        instances.push(fresh);
        instances.remove(0).server.abort();
    }

    fn reach(&self, number: Number) -> Reach {
        let stacks = self.stacks.lock().unwrap();
        let (_, instances) = stacks.iter().find(|(name, _)| name.number == number).expect("the stack is there");
        instances.iter().map(|instance| instance.address).collect()
    }
}

#[async_trait::async_trait]
impl StackDriver for Shifting {
    async fn ensure(&self, spec: &StackSpec) -> Result<(), StepError> {
        let instances = vec![Instance::start().await, Instance::start().await];
        self.stacks.lock().unwrap().entry(spec.name.clone()).or_insert(instances);
        Ok(())
    }

    async fn retire(&self, name: &StackName, _permit: &RetirePermit) -> Result<(), StepError> {
        for instance in self.stacks.lock().unwrap().remove(name).into_iter().flatten() {
            instance.server.abort();
        }
        Ok(())
    }

    async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
        let backwards = self.backwards.fetch_xor(true, Ordering::SeqCst);
        let listed = |instances: &[Instance]| {
            let mut addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
            if backwards {
                addresses.reverse();
            }
            addresses.into_iter().collect()
        };
        let stacks = self.stacks.lock().unwrap();
        Ok(stacks.iter().map(|(name, all)| SeenStack::new(name.clone(), Condition::Ready, listed(all))).collect())
    }

    fn check_definition(&self, _definition: &str) -> Result<(), Vec<String>> {
        Ok(())
    }
}

/// A hook that has begun when its file is there, and waits for the story.
fn hook(folder: &Path, at: HookPoint) -> HookDefinition {
    let script = "touch $POINTSMAN_POINT-$POINTSMAN_DEPLOYMENT; while [ ! -e go-$POINTSMAN_POINT-$POINTSMAN_DEPLOYMENT ]; \
                  do sleep 0.02; done";
    let words = ["sh", "-c", script].map(str::to_owned).to_vec();
    let call = Call::Command { words, folder: folder.to_owned(), environment: BTreeMap::new() };
    let (name, secrets) = (at.to_string().into(), BTreeMap::new());
    HookDefinition { name, at, call, secrets, timeout: Millis(60_000), one_way: false }
}

/// Waits until the front has each of these stacks where it is now, or none of them any more.
async fn followed(front: &dyn FrontDriver, stacks: &Shifting, live: Number) {
    until("the front has the new reach", || async {
        let Ok(Some(seen)) = front.observe().await else { return false };
        seen.route.target.is_some_and(|target| target.stack.number == live && target.reach == stacks.reach(live))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reach_that_changes_is_followed_and_holds_up_nothing_at_every_front() {
    // A thing of a provider stays the same whatever is behind it.
    let by_address = |driver: &&Driver| driver.takes.contains(&ReachKind::Addresses);
    for name in DRIVERS.iter().filter(by_address).map(|driver| driver.name) {
        for fixture in fixtures(name) {
            println!("front driver {name}");
            let folder = tempfile::tempdir().expect("a folder");
            let (stacks, front) = (Arc::new(Shifting::default()), fixture.open());
            let points = [HookPoint::BeforeCutover, HookPoint::AfterCutover];
            let hooks = points.map(|at| hook(folder.path(), at));
            let plan =
                Plan { bake: Millis(0), hooks: hooks.iter().map(HookDefinition::terms).collect(), ..Plan::default() };
            let state = folder.path().join("state");
            let make = Arc::new(move || {
                let id = "shop/prod".parse().expect("a name");
                Hooks::new(&hooks, Runs::of(&state, &id, PROGRAM.into()))
            });
            let mut yard = Yard::over("shop/prod", stacks.clone(), front.clone(), plan, make);
            let go = |what: &str| fs::write(folder.path().join(format!("go-{what}")), "").expect("written");
            let begun = |what: String| {
                let file = folder.path().join(&what);
                async move { until(&what, || async { file.exists() }).await }
            };
            let one = yard.push("v1").await;
            points.iter().for_each(|at| go(&format!("{at}-{one}")));
            yard.until_state(one, DeploymentState::Succeeded).await;
            let users = fixture.users().map(Hammer::on);

            // What is live, while nothing is under way.
            let generation = yard.now().generation();
            stacks.replace(one).await;
            followed(&*front, &stacks, one).await;
            assert_eq!(front.observe().await.unwrap().unwrap().route.generation, generation, "by the same order");

            // What is live and its successor, while a hook runs before the cutover, and after it.
            let two = yard.push("v2").await;
            for at in points {
                begun(format!("{at}-{two}")).await;
                let live = if at == HookPoint::BeforeCutover { one } else { two };
                stacks.replace(one).await;
                stacks.replace(two).await;
                followed(&*front, &stacks, live).await;
                let state = yard.now();
                let active = state.active().expect("its hook runs");
                assert!(active.hook().is_some_and(|hook| hook.at == at) && active.progress.failed.is_none());
                go(&format!("{at}-{two}"));
            }
            yard.until_state(two, DeploymentState::Succeeded).await;
            followed(&*front, &stacks, two).await;

            assert_eq!(yard.now().straying(), None, "nobody has seen drift");
            if let Some(users) = users {
                let mut seen = users.end();
                let answered = |failure: &String| failure.starts_with(|c: char| c.is_ascii_digit());
                seen.failures.retain(|failure| answered(failure) || !fixture.closes_kept());
                assert!(seen.failures.is_empty() && seen.versions.values().sum::<u64>() > 10, "{name}: {seen:?}");
            }
            yard.stop_controller().await;
        }
    }
}
