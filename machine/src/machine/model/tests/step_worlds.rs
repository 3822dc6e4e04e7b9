//! The worlds in which traffic moves in steps: deaths, drift, people, lost and repeated orders at each of them.

use super::{
    config::{Budget, Config, People},
    plain::{NOTHING_WRONG, PLAIN},
};
use crate::machine::{HookPoint::*, Otherwise, RecoverTo, Retain};

/// Two steps before all users.
pub(super) const STEPS: Config<'static> = Config { steps: &[5, 50], people: People::Steps, ..PLAIN };

/// One step.
pub(super) const ONE_STEP: Config<'static> = Config { steps: &[5], people: People::Steps, ..PLAIN };

pub(super) const STEP_WORLDS: [Config<'static>; 13] = [
    Config {
        name: "steps, a crash, lost and repeated orders",
        budget: Budget { crash: 1, lose: 1, repeat: 1, flap: 1, ..NOTHING_WRONG },
        ..STEPS
    },
    Config { name: "steps and people", budget: Budget { wishes: 1, flap: 1, ..NOTHING_WRONG }, ..STEPS },
    Config { name: "a step and people", budget: Budget { wishes: 2, ..NOTHING_WRONG }, ..ONE_STEP },
    Config { name: "steps and stacks that die", budget: Budget { die: 2, ..NOTHING_WRONG }, ..STEPS },
    Config {
        name: "steps, stacks that die, and people",
        budget: Budget { die: 1, wishes: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps and a front that is repointed",
        budget: Budget { drift: 1, flap: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps, front without compare-and-set",
        fenced: false,
        budget: Budget { repeat: 1, wishes: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps at which a person is waited for",
        pause: Some(Otherwise::Abort),
        budget: Budget { wishes: 2, away: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps that go on by themselves, and a newer build",
        pause: Some(Otherwise::Approve),
        builds: 2,
        retain: Retain::None,
        budget: NOTHING_WRONG,
        ..ONE_STEP
    },
    Config {
        name: "steps, and nothing live at first",
        live_at_start: false,
        builds: 2,
        numbered: true,
        budget: NOTHING_WRONG,
        ..ONE_STEP
    },
    Config {
        name: "steps and recovery",
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { die: 1, away: 1, crash: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps and hooks",
        hooks: &[BeforeCutover, AfterCutover, OnRollback],
        budget: Budget { run_fails: 1, wishes: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
    Config {
        name: "steps and two controllers",
        controllers: 2,
        budget: Budget { takeover: 1, ..NOTHING_WRONG },
        ..ONE_STEP
    },
];
