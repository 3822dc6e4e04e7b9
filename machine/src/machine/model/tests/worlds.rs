//! The worlds that are explored: each is hostile in its own way, and small enough to be explored whole.

pub(super) use super::plain::{NOTHING_WRONG, PLAIN};
use super::{
    config::{Budget, Config, Obedience, People},
    source::Repository,
    step_worlds::STEP_WORLDS,
    stop_worlds::{LARGE_STOP_WORLDS, STOP_WORLDS},
};
use crate::machine::{HookPoint::*, Otherwise, RecoverTo, Retain};

/// The same with a stack that the journal does not know, and no build.
const STRANGER: Config<'static> = Config { stranger: true, builds: 0, ..PLAIN };

/// All worlds that the normal test run explores.
pub(super) fn worlds() -> impl Iterator<Item = Config<'static>> {
    WORLDS.into_iter().chain(STEP_WORLDS).chain(STOP_WORLDS)
}

/// Worlds that are too large for that: the normal test run explores their beginning, the long one all of them.
pub(super) fn large_worlds() -> impl Iterator<Item = Config<'static>> {
    LARGE_STOP_WORLDS.into_iter()
}

/// Those in which traffic moves at once.
const WORLDS: [Config<'static>; 68] = [
    Config {
        name: "a stack that the journal, which was put back, does not know",
        stranger: true,
        budget: Budget { wishes: 1, drift: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a stranger that is adopted, and fails or is ended meanwhile",
        budget: Budget { wishes: 2, flap: 1, ..NOTHING_WRONG },
        ..STRANGER
    },
    Config {
        name: "a stranger that is adopted, and dies",
        budget: Budget { wishes: 1, die: 1, crash: 1, lose: 1, ..NOTHING_WRONG },
        ..STRANGER
    },
    Config {
        name: "a stranger that has the users, and a journal that was lost",
        live_at_start: false,
        unknown_at_start: true,
        budget: Budget { wishes: 3, flap: 1, lose: 1, ..NOTHING_WRONG },
        ..STRANGER
    },
    Config {
        name: "a stranger that has the users, a journal that was lost, and a build",
        live_at_start: false,
        unknown_at_start: true,
        builds: 1,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..STRANGER
    },
    Config {
        name: "a stranger, front without compare-and-set",
        live_at_start: false,
        fenced: false,
        budget: Budget { wishes: 3, repeat: 1, ..NOTHING_WRONG },
        ..STRANGER
    },
    Config {
        name: "one controller",
        budget: Budget { hooks: [2, 1, 1], crash: 1, lose: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "two controllers",
        controllers: 2,
        budget: Budget { takeover: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "front without compare-and-set",
        fenced: false,
        long_requests: true,
        budget: Budget { repeat: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "two controllers, front without compare-and-set",
        controllers: 2,
        fenced: false,
        budget: Budget { takeover: 1, flap: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "two builds at gates",
        builds: 2,
        numbered: true,
        people: People::All,
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { wishes: 0, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a build that is announced and deployed by hand",
        numbered: true,
        by_hand: 2,
        budget: Budget { hooks: [2, 0, 0], ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "gate at the start",
        gate_start: Some(Otherwise::Abort),
        gate_cutover: Some(Otherwise::Approve),
        budget: Budget { flap: 1, wishes: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a gate that opens by itself before one that does not",
        gate_start: Some(Otherwise::Approve),
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { wishes: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "standby kept until the next",
        builds: 2,
        retain: Retain::UntilNext,
        budget: Budget { wishes: 0, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "no standby kept",
        retain: Retain::None,
        long_requests: true,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "nothing live at first",
        live_at_start: false,
        slow_checks: true,
        builds: 2,
        budget: Budget { create_fails: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a journal that was lost, and a front that serves somebody",
        live_at_start: false,
        unknown_at_start: true,
        budget: Budget { blind: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "what is live is reached elsewhere, with a crash and lost and repeated requests",
        builds: 0,
        budget: Budget { replace: 2, crash: 1, lose: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "stacks that are reached elsewhere, amid a deployment",
        budget: Budget { replace: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "stacks that are reached elsewhere, front without compare-and-set",
        fenced: false,
        retain: Retain::None,
        budget: Budget { replace: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config { name: "drift", budget: Budget { drift: 1, wishes: 1, ..NOTHING_WRONG }, ..PLAIN },
    Config {
        name: "stale and missing answers",
        budget: Budget { stale: 1, blind: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "stale reads, front without compare-and-set",
        fenced: false,
        budget: Budget { stale: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hold, pin and veto",
        people: People::HoldPinVeto,
        budget: Budget { wishes: 2, flap: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hold, pin and veto at gates",
        people: People::HoldPinVeto,
        gate_start: Some(Otherwise::Approve),
        gate_cutover: Some(Otherwise::Approve),
        budget: Budget { wishes: 2, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from git",
        source: Repository::Answers,
        budget: Budget { crash: 1, lose: 1, refuse: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from git that change, and people",
        source: Repository::Answers,
        budget: Budget { rewrite: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from git, no standby kept",
        source: Repository::Answers,
        retain: Retain::None,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from git, two builds",
        source: Repository::Answers,
        builds: 2,
        numbered: true,
        retain: Retain::None,
        budget: Budget { wishes: 0, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from git, two controllers",
        source: Repository::Answers,
        controllers: 2,
        budget: Budget { takeover: 1, rewrite: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "definitions from a repository that never answers",
        source: Repository::Silent,
        builds: 2,
        numbered: true,
        retain: Retain::None,
        budget: Budget { wishes: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "guarded gates",
        guarded: true,
        gate_start: Some(Otherwise::Abort),
        gate_cutover: Some(Otherwise::Approve),
        budget: Budget { wishes: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "stacks that die",
        retain: Retain::UntilNext,
        budget: Budget { die: 1, flap: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on the way, with a crash and people",
        hooks: &[BeforeProvisioning, AfterChecks, BeforeCutover],
        budget: Budget { crash: 1, run_fails: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on the way, at gates",
        hooks: &[BeforeProvisioning, AfterChecks, BeforeCutover],
        gate_start: Some(Otherwise::Approve),
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { run_fails: 1, flap: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks after the cutover, and people",
        hooks: &[AfterCutover],
        budget: Budget { run_fails: 1, flap: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on retirement, and people",
        hooks: &[OnRetire],
        budget: Budget { run_fails: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on rollback, no standby kept",
        hooks: &[OnRollback],
        retain: Retain::None,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on retirement, no standby kept, with a crash",
        hooks: &[OnRetire],
        retain: Retain::None,
        budget: Budget { run_fails: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks on rollback, and people",
        hooks: &[OnRollback],
        budget: Budget { run_fails: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks, two controllers",
        controllers: 2,
        hooks: &[BeforeProvisioning, BeforeCutover, OnRetire],
        budget: Budget { takeover: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks, lost and repeated requests, drift",
        hooks: &[AfterChecks, AfterCutover],
        budget: Budget { lose: 1, repeat: 1, drift: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks before anything that never end",
        hooks: &[BeforeProvisioning, AfterChecks],
        silent: Some(BeforeProvisioning),
        budget: Budget { crash: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "hooks after the cutover that never end",
        hooks: &[BeforeCutover, AfterCutover, OnRollback, OnRetire],
        silent: Some(AfterCutover),
        budget: Budget { crash: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "adoption",
        live_at_start: false,
        adopts: 1,
        budget: Budget { crash: 1, lose: 1, flap: 1, drift: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "adoption tried twice",
        live_at_start: false,
        adopts: 2,
        builds: 2,
        budget: Budget { repeat: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "adoption and a build after it",
        live_at_start: false,
        adopts: 1,
        builds: 2,
        retain: Retain::UntilNext,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "adoption, front without compare-and-set",
        live_at_start: false,
        fenced: false,
        adopts: 1,
        builds: 2,
        retain: Retain::None,
        budget: Budget { repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "an adopted stack that dies",
        live_at_start: false,
        adopts: 1,
        builds: 2,
        budget: Budget { die: 1, flap: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "what is live dies, and is started again",
        builds: 0,
        budget: Budget { die: 2, flap: 1, crash: 1, lose: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "recovery to the standby",
        recover: RecoverTo::Standby,
        budget: Budget { die: 1, flap: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "recovery and people",
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { die: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "recovery, a crash and a lost order",
        recover: RecoverTo::Standby,
        budget: Budget { die: 1, crash: 1, lose: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "recovery, front without compare-and-set",
        recover: RecoverTo::Standby,
        fenced: false,
        budget: Budget { die: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "two sick stacks",
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { die: 2, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a controller that was away",
        slow_checks: true,
        recover: RecoverTo::Standby,
        budget: Budget { away: 2, flap: 1, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a controller that was away, at gates and hooks",
        gate_cutover: Some(Otherwise::Abort),
        hooks: &[BeforeProvisioning, AfterCutover],
        budget: Budget { away: 2, crash: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a front that is always on",
        live_at_start: false,
        fenced: false,
        always_on: true,
        builds: 2,
        numbered: true,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a front that is always on and refuses",
        live_at_start: false,
        fenced: false,
        always_on: true,
        front: Obedience::Refuses,
        builds: 2,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a front that never obeys",
        front: Obedience::Deaf,
        budget: Budget { wishes: 2, flap: 1, away: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "what is live is started again, while it dies and the controller crashes",
        builds: 0,
        slow_checks: true,
        people: People::Restart,
        budget: Budget { wishes: 2, die: 1, crash: 1, lose: 1, repeat: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "what is live is started again, amid a deployment",
        people: People::Restart,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config { name: "drift, and stacks that die", budget: Budget { drift: 1, die: 1, ..NOTHING_WRONG }, ..PLAIN },
    Config {
        name: "a front that is repointed again and again",
        strayed: 4,
        people: People::HoldPinVeto,
        budget: Budget { drift: 2, wishes: 1, hooks: [0, 0, 0], ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "what is live goes up and down",
        flapped: 1,
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { flap: 2, die: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a controller that ends again and again",
        looped: true,
        slow_checks: true,
        hooks: &[BeforeProvisioning, AfterCutover],
        silent: Some(AfterCutover),
        gate_cutover: Some(Otherwise::Abort),
        budget: Budget { flap: 1, wishes: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
    Config {
        name: "a controller that ends again and again, and stacks that die",
        looped: true,
        recover: RecoverTo::Standby,
        budget: Budget { die: 1, create_fails: 1, drift: 1, ..NOTHING_WRONG },
        ..PLAIN
    },
];
