//! Promotion by rule: watches two environments and, when the machine says that a release is due, asks for an ordinary
//! deployment. It must not decide anything: what is due is [`due`]'s to say, and whether it is granted the journal's. It
//! keeps nothing, so a restart is one more look.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{spawn::blocking, world::World};
use crate::{
    journal::{Journal, NotRecorded},
    machine::{
        Ask, Environment, EnvironmentId, Plan, Release, ReleaseDraft, Trigger,
        promotion::{Due, PromotionRule, RULE, due, key},
    },
    stacks::StepError,
};

/// The longest rest while a time is awaited: a clock that is let run ahead is noticed soon.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The rest after what did not work, unless one of the two environments moves first.
const RETRY: Duration = Duration::from_secs(10);

const STEP: &str = "promoting by rule";

/// Gives what a release of the environment before is in this one, or says why it cannot be here. It may read files.
pub type Adapt = Arc<dyn Fn(&Release) -> Result<Release, String> + Send + Sync>;

/// How releases come to an environment by themselves.
pub struct Promotion {
    /// The environment before.
    pub from: EnvironmentId,
    /// Rule that says when a release is promoted.
    pub rule: PromotionRule,
    /// Under which terms.
    pub plan: Arc<Plan>,
    /// The form in which it is promoted.
    pub adapt: Adapt,
}

/// Result of asking the machine.
enum Asked {
    /// Something moved: look again at once.
    Again,
    /// It cannot be now.
    Later,
    /// The journal takes no more; the process is about to end.
    Over,
}

/// Runs until it is told to stop (`true`).
pub(super) async fn run(world: Arc<World>, journal: Journal, mut stop: watch::Receiver<bool>) -> bool {
    let Some(promotion) = &world.promotion else { return true };
    let (mut from, mut to) = (journal.watch(&promotion.from), journal.watch(&world.id));
    while !*stop.borrow() {
        let (before, here) = (from.borrow_and_update().clone(), to.borrow_and_update().clone());
        let now = world.clock.now();
        let rest = match due(&before, &here, promotion.rule, now) {
            Due::Nothing(_) => None,
            Due::At(time) => Some(Duration::from_millis(time.since(now).0).min(LOOK_AGAIN)),
            Due::Now(release) => match ask(&world, promotion, &journal, release, [&before, &here]).await {
                Asked::Again => continue,
                Asked::Later => Some(RETRY),
                Asked::Over => return true,
            },
        };
        let time = async {
            match rest {
                Some(rest) => world.clock.wait(rest).await,
                None => std::future::pending().await,
            }
        };
        let gone = tokio::select! {
            changed = from.changed() => changed.is_err(),
            changed = to.changed() => changed.is_err(),
            changed = stop.changed() => changed.is_err(),
            () = time => false,
        };
        if gone {
            return true;
        }
    }
    true
}

/// Asks for the deployment, on the very states that were judged: what is rolled back or vetoed before, even as this is
/// on its way, does not go on.
async fn ask(
    world: &Arc<World>,
    promotion: &Promotion,
    journal: &Journal,
    live: Arc<Release>,
    judged: [&Environment; 2],
) -> Asked {
    let troubled = |why: String| {
        let failed: Result<(), _> = Err(StepError::Unavailable(why));
        world.note(STEP, &failed);
        Asked::Later
    };
    let (adapt, number) = (promotion.adapt.clone(), live.number);
    let release = match blocking(move || adapt(&live)).await {
        Some(Ok(release)) => ReleaseDraft::Existing(Arc::new(release)),
        Some(Err(why)) => return troubled(format!("release {number} cannot come here: {why}")),
        None => return troubled(format!("what release {number} is here could not be found out")),
    };
    let command = Ask::Deploy {
        key: key(number),
        // The order is the sender's count of its builds, which this environment may have seen; a release is not one.
        build_number: None,
        release,
        plan: promotion.plan.clone(),
        trigger: Trigger::Rule,
    };
    let looked_at = [(promotion.from.clone(), judged[0].seq()), (world.id.clone(), judged[1].seq())];
    match journal.command_on(&world.id, RULE, world.clock.now(), command, &looked_at).await {
        Ok(_) => {
            world.note(STEP, &Ok(()));
            Asked::Again
        }
        Err(NotRecorded::Moved) => Asked::Again,
        Err(NotRecorded::Stopped) => Asked::Over,
        Err(why) => troubled(format!("release {number} was not taken: {why}")),
    }
}
