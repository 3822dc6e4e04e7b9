//! The worlds in which the live stack is stopped before the next one comes up, and those in which a person has maintenance on.

use super::{
    config::{Budget, Config, People},
    plain::{NOTHING_WRONG, PLAIN},
};
use crate::machine::{HookPoint::*, Otherwise, RecoverTo, Retain};

/// Two stacks must not run at the same time.
pub(super) const STOP_FIRST: Config<'static> = Config { stop_first: true, ..PLAIN };

/// People begin and end maintenance.
pub(super) const MAINTENANCE: Config<'static> = Config { people: People::Maintain, ..PLAIN };

/// Those that are explored whole each time.
pub(super) const STOP_WORLDS: [Config<'static>; 7] = [
    Config {
        name: "stop-first, a crash, lost and repeated requests",
        budget: Budget { crash: 1, lose: 1, repeat: 1, create_fails: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, stacks that die and are brought up again",
        budget: Budget { die: 1, revive: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, and a front that is repointed",
        budget: Budget { drift: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, nothing live at first, two builds",
        live_at_start: false,
        builds: 2,
        numbered: true,
        retain: Retain::None,
        budget: Budget { create_fails: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, gates and hooks",
        gate_cutover: Some(Otherwise::Approve),
        hooks: &[BeforeProvisioning, AfterCutover],
        people: People::HoldPinVeto,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, recovery, and a controller that was away",
        recover: RecoverTo::Standby,
        retain: Retain::UntilNext,
        budget: Budget { die: 1, away: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first and two controllers",
        controllers: 2,
        budget: Budget { takeover: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
];

/// Those of which the normal run explores the beginning, and the long run all.
pub(super) const LARGE_STOP_WORLDS: [Config<'static>; 8] = [
    Config { name: "stop-first and people", budget: Budget { wishes: 1, flap: 1, ..NOTHING_WRONG }, ..STOP_FIRST },
    Config {
        name: "stop-first, and stops that come to nothing",
        budget: Budget { stop_fails: 1, wishes: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, stacks that compare no orders",
        counts: false,
        budget: Budget { repeat: 1, wishes: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, front without compare-and-set",
        fenced: false,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, and requests that take long",
        long_requests: true,
        slow_checks: true,
        budget: Budget { wishes: 1, ..NOTHING_WRONG },
        ..STOP_FIRST
    },
    Config {
        name: "stop-first, two builds",
        builds: 2,
        retain: Retain::UntilNext,
        budget: NOTHING_WRONG,
        ..STOP_FIRST
    },
    Config {
        name: "maintenance, amid a deployment",
        budget: Budget { wishes: 2, flap: 1, ..NOTHING_WRONG },
        ..MAINTENANCE
    },
    Config {
        name: "maintenance, a share, and stop-first",
        stop_first: true,
        budget: Budget { wishes: 2, ..NOTHING_WRONG },
        ..MAINTENANCE
    },
];
