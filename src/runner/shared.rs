//! One look at a provider serves everybody who asked before it began, so that the cost of waiting does not grow with
//! the number of deployments that wait. It must not hand out what began before it was asked for (rule R5).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use crate::{
    clock::Stopwatch,
    machine::EnvironmentId,
    stacks::{SeenStack, StackDriver, StepError},
};

/// All stacks of a provider at one moment.
pub(super) type Listing = Arc<Listed>;

pub(super) struct Listed {
    stacks: HashMap<EnvironmentId, Vec<SeenStack>>,
    /// When the driver was asked, and how old its answer was.
    asked: Stopwatch,
    ago: Duration,
}

impl Listed {
    /// The stacks of an environment.
    pub(super) fn of(&self, id: &EnvironmentId) -> Vec<SeenStack> {
        self.stacks.get(id).cloned().unwrap_or_default()
    }

    /// All of them, by environment.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&EnvironmentId, &Vec<SeenStack>)> {
        self.stacks.iter()
    }

    /// How long ago that was how the provider showed it.
    pub(super) fn age(&self) -> Duration {
        self.asked.elapsed() + self.ago
    }
}

/// A stack driver whose listings are shared.
pub struct SharedStacks {
    driver: Arc<dyn StackDriver>,
    begun: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    begun: u64,
    result: Option<Result<Listing, String>>,
}

impl SharedStacks {
    /// Shares the listings of this driver.
    pub fn new(driver: Arc<dyn StackDriver>) -> Self {
        Self { driver, begun: AtomicU64::new(0), last: Mutex::default() }
    }

    /// The driver, for everything else.
    pub fn driver(&self) -> &Arc<dyn StackDriver> {
        &self.driver
    }

    /// A mark in time: listings with a later one see whatever had happened before it was taken.
    pub(super) fn mark(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// A listing that began after the mark and no longer ago than `age`: for those who only keep an eye on things, so
    /// that ten thousand of them do not cost ten thousand calls.
    pub(super) async fn listing_since(&self, mark: u64, age: Duration) -> Result<Listing, StepError> {
        let last = self.last.lock().await;
        if let Last { begun, result: Some(Ok(listing)) } = &*last
            && *begun > mark
            && listing.asked.elapsed() <= age
        {
            return Ok(listing.clone());
        }
        drop(last);
        self.listing().await
    }

    /// A listing that began after this call did.
    pub(super) async fn listing(&self) -> Result<Listing, StepError> {
        let asked_after = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.begun <= asked_after || last.result.is_none() {
            let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let asked = Stopwatch::start();
            let result = within(self.driver.call_limit(), self.driver.observe()).await;
            let listed =
                |stacks| Arc::new(Listed { stacks: by_environment(stacks), asked, ago: self.driver.seen_ago() });
            let result = result.map(listed).map_err(|why| why.to_string());
            // Both at once, after the call: whoever is cancelled in it leaves no old answer that looks new.
            *last = Last { begun, result: Some(result) };
        }
        match &last.result {
            Some(Ok(listing)) => Ok(listing.clone()),
            Some(Err(why)) => Err(StepError::Unavailable(why.clone())),
            None => Err(StepError::Unavailable("the listing was interrupted".into())),
        }
    }
}

fn by_environment(stacks: Vec<SeenStack>) -> HashMap<EnvironmentId, Vec<SeenStack>> {
    let mut listing: HashMap<EnvironmentId, Vec<SeenStack>> = HashMap::new();
    for stack in stacks {
        listing.entry(stack.name.environment.clone()).or_default().push(stack);
    }
    listing
}

/// A call and its time limit.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let late = |_| StepError::Unavailable(format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, call).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::{
        machine::{RetirePermit, StackName},
        stacks::StackSpec,
    };

    struct Counted {
        calls: AtomicUsize,
        may_answer: Semaphore,
    }

    #[async_trait::async_trait]
    impl StackDriver for Counted {
        async fn ensure(&self, _: &StackSpec) -> Result<(), StepError> {
            Ok(())
        }
        async fn retire(&self, _: &StackName, _: &RetirePermit) -> Result<(), StepError> {
            Ok(())
        }
        async fn observe(&self) -> Result<Vec<SeenStack>, StepError> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Ok(permit) = self.may_answer.acquire().await {
                permit.forget();
            }
            Ok(Vec::new())
        }
        fn check_definition(&self, _: &str) -> Result<(), Vec<String>> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_keeps_an_eye_on_things_takes_what_began_since_but_nothing_older() {
        let driver = Arc::new(Counted { calls: AtomicUsize::new(0), may_answer: Semaphore::new(9) });
        let shared = SharedStacks::new(driver.clone());
        let age = Duration::from_secs(3600);
        let before = shared.mark();
        assert!(shared.listing_since(before, age).await.is_ok());
        assert!(shared.listing_since(before, age).await.is_ok());
        assert_eq!(driver.calls.load(Ordering::SeqCst), 1, "the second look takes the first one's listing");
        assert!(shared.listing_since(shared.mark(), age).await.is_ok());
        assert_eq!(driver.calls.load(Ordering::SeqCst), 2, "something happened since: it began before that");
        assert!(shared.listing_since(before, Duration::ZERO).await.is_ok());
        assert_eq!(driver.calls.load(Ordering::SeqCst), 3, "too long ago");
    }

    #[tokio::test]
    async fn whoever_asks_during_a_call_shares_the_next_one() {
        let driver = Arc::new(Counted { calls: AtomicUsize::new(0), may_answer: Semaphore::new(0) });
        let shared = SharedStacks::new(driver.clone());
        let asking = async {
            let first = shared.listing();
            let others = futures_util::future::join_all((0..20).map(|_| shared.listing()));
            futures_util::join!(first, others)
        };
        let answering = async {
            while driver.calls.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            driver.may_answer.add_permits(2);
        };
        let ((first, others), ()) = futures_util::join!(asking, answering);
        assert!(first.is_ok() && others.iter().all(Result::is_ok));
        assert_eq!(
            driver.calls.load(Ordering::SeqCst),
            2,
            "one call for the first, one for the twenty who came during it"
        );
    }
}
