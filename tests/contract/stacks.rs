//! Stack drivers.

use std::{any::Any, collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use pointsman::{
    machine::{Release, StackName},
    stacks::{Condition, DRIVERS, SeenStack, StackDriver, StackSpec, StepError, process::Process},
};

use super::{GIVEN_UP_AFTER, PROGRAM, given_up, heat, stack, until};
use crate::support::{address, cloud::cloud, permit::permit, processes};

/// A turn, while it is kept.
pub type Turn = Box<dyn Any>;

/// An installation of a driver with its peer.
#[async_trait::async_trait(?Send)]
pub trait Fixture: Send + Sync {
    /// The driver, as one more controller would open it.
    fn open(&self) -> Arc<dyn StackDriver>;
    /// A definition that works.
    fn definition(&self) -> String;
    /// What the peer still has of ours, seen without the driver.
    fn left(&self) -> Vec<String>;
    /// The processes that serve users of ours now, seen without the driver.
    fn serving(&self) -> Vec<String>;
    /// The folders of our stacks in which what serves may write.
    fn homes(&self) -> Vec<PathBuf>;
    /// Whether what serves has folders of its own, which a stop keeps.
    fn keeps_homes(&self) -> bool {
        true
    }
    /// An artifact of a release.
    fn artifact(&self) -> &'static str {
        "none"
    }
    /// Crashes whoever looks after the stacks for the driver, where that is a process of ours.
    fn crash(&self);
    /// Held while a story goes on, where stories cannot all use the peer at once.
    async fn turn(&self) -> Turn {
        Box::new(())
    }
}

/// A new installation, apart from all others. None when its peer is left out.
pub fn fixture(driver: &str) -> Option<Box<dyn Fixture>> {
    let folder = tempfile::tempdir().expect("a folder");
    Some(match driver {
        "process" => Box::new(Processes { folder }),
        "heat" => Box::new(heat::Stacks { cloud: cloud()?, folder }),
        #[cfg(feature = "aws")]
        "ecs" => Box::new(super::aws::Services { account: super::aws::account()?, folder }),
        other => panic!(
            "the stack driver {other:?} has no fixture: add one in tests/contract/stacks.rs, with its real peer, \
             so that the contract is tried against it"
        ),
    })
}

struct Processes {
    folder: tempfile::TempDir,
}

impl Processes {
    fn processes(&self) -> Vec<processes::Process> {
        processes::of(self.folder.path(), &self.folder.path().join("installation"))
    }

    /// The folders of stacks.
    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let all = fs::read_dir(self.folder.path().join("stacks/shop/prod")).into_iter().flatten();
        all.map(|entry| entry.expect("it is read").path())
    }
}

#[async_trait::async_trait(?Send)]
impl Fixture for Processes {
    fn open(&self) -> Arc<dyn StackDriver> {
        Arc::new(Process::new(self.folder.path(), PathBuf::from(PROGRAM)))
    }
    fn definition(&self) -> String {
        let address = address::own();
        format!(
            "command = [\"{{pointsman}}\", \"sample\", \"--listen\", \"{{address}}:{{port}}\"]\n\
             address = \"{address}\"\nports = \"21000-21099\"\ninstances = 2\nstop = {{ grace = \"1s\" }}\n"
        )
    }
    fn left(&self) -> Vec<String> {
        self.processes().iter().map(|p| format!("{p:?}")).collect()
    }
    fn serving(&self) -> Vec<String> {
        self.processes().iter().filter(|p| !p.runs("stack-run")).map(|p| format!("{p:?}")).collect()
    }
    fn homes(&self) -> Vec<PathBuf> {
        self.folders().map(|stack| stack.join("work")).filter(|home| home.is_dir()).collect()
    }
    fn crash(&self) {
        // By their own word: what a supervisor has just begun looks like one until it has become an instance.
        let state = self.folders().filter_map(|stack| fs::read(stack.join("state.json")).ok());
        let state = state.map(|text| serde_json::from_slice::<serde_json::Value>(&text).expect("JSON"));
        let supervisors: Vec<_> = state.filter_map(|state| state["pid"].as_i64()).collect();
        let is_one = |p: &&processes::Process| p.runs("stack-run") && supervisors.contains(&p.pid.into());
        self.processes().iter().filter(is_one).for_each(processes::Process::kill);
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        processes::end(|| self.processes());
    }
}

pub fn spec(fixture: &dyn Fixture, number: u32) -> StackSpec {
    let release = Release { number, artifact: fixture.artifact().into(), ..Release::draft("v1") };
    StackSpec {
        name: stack(number),
        release: release.into(),
        definition: fixture.definition().into(),
        secrets: BTreeMap::new(),
        stranger: false,
    }
}

pub async fn see(driver: &dyn StackDriver) -> Vec<SeenStack> {
    driver.observe().await.expect("it can be seen")
}

async fn names(driver: &dyn StackDriver) -> Vec<StackName> {
    let mut names: Vec<_> = see(driver).await.into_iter().map(|s| s.name).collect();
    names.sort();
    names
}

/// Asks as the runner does, until it is there.
pub async fn stand_up(driver: &dyn StackDriver, spec: &StackSpec) -> SeenStack {
    until("the stack is ready", || async {
        let ready = |s: &SeenStack| s.name == spec.name && s.condition == Condition::Ready;
        let there = see(driver).await.iter().any(ready);
        if !there {
            // One of several calls may be put off, as the runner knows.
            let asked = driver.ensure(spec).await;
            assert!(!matches!(asked, Err(StepError::Refused(_))), "it is taken up: {asked:?}");
        }
        there
    })
    .await;
    see(driver).await.into_iter().find(|s| s.name == spec.name).expect("it is there")
}

/// Asks as the runner does, until it is gone.
pub async fn tear_down(fixture: &dyn Fixture, driver: &dyn StackDriver, number: u32) {
    until("the stack is gone", || async {
        driver.retire(&stack(number), &permit(number)).await.expect("it is taken up");
        !names(driver).await.contains(&stack(number))
    })
    .await;
    if names(driver).await.is_empty() {
        until("the peer has nothing left", || async { fixture.left().is_empty() }).await;
    }
}

async fn for_each_driver<F: Future<Output = ()>>(story: impl Fn(Box<dyn Fixture>) -> F) {
    for name in DRIVERS.iter().map(|driver| driver.name) {
        println!("stack driver {name}");
        let Some(fixture) = fixture(name) else { continue };
        let _turn = fixture.turn().await;
        story(fixture).await;
    }
}

#[tokio::test]
async fn asking_again_for_a_stack_changes_nothing() {
    for_each_driver(|f| async move {
        let (driver, spec) = (f.open(), spec(&*f, 1));
        let (a, b) = tokio::join!(driver.ensure(&spec), driver.ensure(&spec));
        // One of two at the same moment may be put off, not both refused.
        assert!(a.is_ok() || b.is_ok(), "{a:?} {b:?}");
        let first = stand_up(&*driver, &spec).await;
        let made = f.left();
        for _ in 0..3 {
            driver.ensure(&spec).await.expect("it is there");
        }
        assert_eq!(see(&*driver).await, std::slice::from_ref(&first));
        assert_eq!(f.left(), made, "nothing was made again");
        assert!(!first.reach.is_empty());
        tear_down(&*f, &*driver, 1).await;
    })
    .await;
}

#[tokio::test]
async fn another_controller_finds_what_was_made_before() {
    for_each_driver(|f| async move {
        let spec = spec(&*f, 1);
        let first = stand_up(&*f.open(), &spec).await;
        let other = f.open();
        assert_eq!(see(&*other).await, std::slice::from_ref(&first));
        other.ensure(&spec).await.expect("it is there");
        assert_eq!(see(&*other).await, std::slice::from_ref(&first));
        tear_down(&*f, &*other, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_can_be_made_again() {
    for_each_driver(|f| async move {
        for (number, after) in (1..).zip(GIVEN_UP_AFTER) {
            let spec = spec(&*f, number);
            given_up(f.open().ensure(&spec), after).await;
            let driver = f.open();
            stand_up(&*driver, &spec).await;
            assert_eq!(names(&*driver).await, [stack(number)]);
            given_up(f.open().retire(&stack(number), &permit(number)), after).await;
            tear_down(&*f, &*f.open(), number).await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_what_is_ours_is_listed() {
    for name in DRIVERS.iter().map(|driver| driver.name) {
        let (Some(ours), Some(theirs)) = (fixture(name), fixture(name)) else { continue };
        let _turn = ours.turn().await;
        let (a, b) = (ours.open(), theirs.open());
        assert_eq!(names(&*a).await, []);
        stand_up(&*a, &spec(&*ours, 1)).await;
        stand_up(&*a, &spec(&*ours, 2)).await;
        stand_up(&*b, &spec(&*theirs, 3)).await;
        assert_eq!(names(&*a).await, [stack(1), stack(2)]);
        assert_eq!(names(&*b).await, [stack(3)]);
        tear_down(&*ours, &*a, 1).await;
        assert_eq!(names(&*a).await, [stack(2)], "the other one is left alone");
        tear_down(&*ours, &*a, 2).await;
        assert_eq!(names(&*b).await, [stack(3)], "so is another installation's");
        tear_down(&*theirs, &*b, 3).await;
    }
}

#[tokio::test]
async fn tearing_down_what_is_not_there_is_done_at_once() {
    for_each_driver(|f| async move {
        let driver = f.open();
        driver.retire(&stack(1), &permit(1)).await.expect("there is nothing to do");
        assert_eq!(names(&*driver).await, []);
        stand_up(&*driver, &spec(&*f, 1)).await;
        tear_down(&*f, &*driver, 1).await;
        driver.retire(&stack(1), &permit(1)).await.expect("there is nothing to do");
        assert_eq!((names(&*driver).await, f.left()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_permit_is_for_one_stack_only() {
    for_each_driver(|f| async move {
        let driver = f.open();
        stand_up(&*driver, &spec(&*f, 1)).await;
        let refused = driver.retire(&stack(1), &permit(2)).await;
        assert!(matches!(refused, Err(StepError::Refused(_))), "{refused:?}");
        assert_eq!(names(&*driver).await, [stack(1)]);
        tear_down(&*f, &*driver, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_definition_that_can_not_work_is_refused_before_anything_is_made() {
    for_each_driver(|f| async move {
        let driver = f.open();
        assert_eq!(driver.check_definition(&f.definition()), Ok(()));
        let mistakes = driver.check_definition("this is no definition").expect_err("it is none");
        assert!(!mistakes.is_empty());
        let wrong = StackSpec { definition: "this is no definition".into(), ..spec(&*f, 1) };
        assert!(matches!(driver.ensure(&wrong).await, Err(StepError::Refused(_))));
        assert_eq!((names(&*driver).await, f.left()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn what_was_there_before_is_not_made_again_and_says_what_it_was_made_from_where_that_is_kept() {
    for_each_driver(|f| async move {
        let driver = f.open();
        let theirs = StackSpec { stranger: true, ..spec(&*f, 1) };
        let refused = driver.ensure(&theirs).await;
        assert!(
            matches!(&refused, Err(StepError::Refused(why)) if why.contains("is not created again")),
            "{refused:?}"
        );
        assert_eq!((names(&*driver).await, f.left()), (vec![], vec![]));
        let spec = spec(&*f, 1);
        let first = stand_up(&*driver, &spec).await;
        driver.ensure(&theirs).await.expect("it is there");
        assert_eq!(see(&*driver).await, std::slice::from_ref(&first));
        if let Some(made) = f.open().made_from(&spec.name).await.expect("it can be asked") {
            assert_eq!((&made.release, &*made.definition), (&*spec.release, &*spec.definition));
        }
        tear_down(&*f, &*driver, 1).await;
    })
    .await;
}
