//! Promotion by rule: when the release that is live in one environment goes on to the next without a person. A pure
//! function of both, so that a restart, a second evaluation or a look that is old does no harm: what it asks for is an
//! ordinary deployment, and the next environment has the last word. It must not know where the two are or what they
//! run; who calls it says what becomes of a release there.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    event::{Outcome, Trigger},
    ids::{Key, Millis, Number},
    release::Release,
    state::{Deployment, Environment, Stack},
};

/// Who a promotion by rule comes from, in the journal.
pub const RULE: &str = "rule";

/// What makes a release go on to an environment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PromotionRule {
    /// How long it must have been live and found good in the environment before.
    pub after: Millis,
}

/// Result of a promotion rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// There is nothing to promote, as things are.
    Nothing(Why),
    /// If things stay as they are, the release that is live now, at that time.
    At(Millis),
    /// This release, now.
    Now(Arc<Release>),
}

/// Why a rule promotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The environment before has no live release.
    NothingLive,
    /// What is live there was not found good, or not yet.
    NotFoundGood(u32),
    /// It was taken over with its stack: there is nothing to stand it up from.
    Adopted(u32),
    /// It came with a stack that the journal did not know: how new it is cannot be told.
    WasAStranger(u32),
    /// Something is being rolled back there.
    RollingBack,
    /// It is vetoed, there or here.
    Vetoed(u32),
    /// Something newer, or itself, was here before: by the rule or by a person.
    NotNewer(u32),
    /// A person is at work here.
    PersonAtWork(Number),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingLive => f.write_str("nothing is live in the environment before"),
            Self::NotFoundGood(release) => write!(f, "release {release} was not found good in the environment before"),
            Self::Adopted(release) => {
                write!(f, "release {release} was adopted with its stack and cannot be stood up again")
            }
            Self::WasAStranger(release) => {
                write!(f, "release {release} came back with an adopted stack of before; a person may promote it")
            }
            Self::RollingBack => f.write_str("something is being rolled back in the environment before"),
            Self::Vetoed(release) => write!(f, "release {release} is vetoed"),
            Self::NotNewer(release) => write!(f, "release {release} is not newer than what was deployed here before"),
            Self::PersonAtWork(number) => write!(f, "deployment {number}, which a person asked for, goes first"),
        }
    }
}

/// The key of the rule's promotion of a release: the same after every restart, so that it is granted once (rule R3).
pub fn key(release: u32) -> Key {
    let mut name = *b"rule\0\0\0\0\0\0\0\0";
    name[8..].copy_from_slice(&release.to_be_bytes());
    Key::of(name, [0; 4])
}

/// What `rule` says of a release's way from one environment to another at a moment.
pub fn due(from: &Environment, to: &Environment, rule: PromotionRule, now: Millis) -> Due {
    match candidate(from, to) {
        Err(why) => Due::Nothing(why),
        Ok(stack) => {
            let time = good_since(from, stack).plus(rule.after);
            if now < time { Due::At(time) } else { Due::Now(stack.release.clone()) }
        }
    }
}

/// What would be promoted once its time has come.
fn candidate<'a>(from: &'a Environment, to: &Environment) -> Result<&'a Stack, Why> {
    let live = from.live().ok_or(Why::NothingLive)?;
    let release = live.release.number;
    if is_reverting(from) {
        return Err(Why::RollingBack);
    }
    if live.release.adopts.is_some() && from.rules.never_remake_adopted() {
        return Err(Why::Adopted(release));
    }
    if live.adopted {
        return Err(Why::WasAStranger(release));
    }
    if !live.proven && from.rules.promote_only_good() {
        return Err(Why::NotFoundGood(release));
    }
    if [from, to].iter().any(|e| e.vetoes().iter().any(|veto| veto.release == release)) {
        return Err(Why::Vetoed(release));
    }
    // Whatever a person took back, stopped or went past is not newer either.
    if release <= to.last_release && to.rules.promote_only_newer()
        || to.knows(&key(release)) && to.rules.one_for_each_key()
    {
        return Err(Why::NotNewer(release));
    }
    match persons(to).filter(|_| to.rules.person_first()) {
        Some(theirs) => Err(Why::PersonAtWork(theirs.number)),
        None => Ok(live),
    }
}

/// Returns whether an earlier release is being brought back there, or the front is being sent back.
pub fn is_reverting(environment: &Environment) -> bool {
    let reverts = |d: &Deployment| d.trigger == Trigger::Rollback || d.phase.is_going_back();
    environment.active().into_iter().chain(environment.queue()).any(reverts)
}

/// What a person wants and has not got yet: the rule's newer release would take its place.
fn persons(environment: &Environment) -> Option<&Deployment> {
    let theirs = |d: &&Deployment| matches!(d.trigger, Trigger::Person | Trigger::Rollback);
    environment.active().into_iter().chain(environment.queue()).find(theirs)
}

/// Since when it is live and known to be good. Where its end is no longer remembered, it was watched at least that long.
fn good_since(environment: &Environment, stack: &Stack) -> Millis {
    let succeeded = |e: &&super::Ended| e.number == stack.number && e.outcome == Outcome::Succeeded;
    let found = environment.ended().iter().find(succeeded).map(|e| e.at);
    stack.since.max(found.unwrap_or_else(|| stack.since.plus(stack.plan.bake)))
}
