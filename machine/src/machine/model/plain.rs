//! The world that all others are made from: one controller, one build, and nothing goes wrong.

use super::{
    config::{Budget, Config, Obedience, People},
    source::Repository,
};
use crate::machine::{Millis, RecoverTo, Retain};

pub(super) const NOTHING_WRONG: Budget = Budget {
    hooks: [1, 1, 1],
    crash: 0,
    lose: 0,
    repeat: 0,
    resend: 0,
    flap: 0,
    create_fails: 0,
    retire_fails: 0,
    die: 0,
    revive: 0,
    stop_fails: 0,
    replace: 0,
    takeover: 0,
    stale: 0,
    blind: 0,
    drift: 0,
    refuse: 0,
    run_fails: 0,
    rewrite: 0,
    away: 0,
    wishes: 0,
};

/// One controller, one build, a front that compares generations.
pub(super) const PLAIN: Config<'static> = Config {
    name: "plain",
    controllers: 1,
    builds: 1,
    numbered: false,
    by_hand: 0,
    live_at_start: true,
    unknown_at_start: false,
    fenced: true,
    long_requests: false,
    slow_checks: false,
    gate_start: None,
    gate_cutover: None,
    guarded: false,
    source: Repository::None,
    retain: Retain::For(Millis(2_000)),
    steps: &[],
    pause: None,
    stop_first: false,
    counts: true,
    hooks: &[],
    silent: None,
    adopts: 0,
    stranger: false,
    recover: RecoverTo::Restart,
    front: Obedience::Obeys,
    always_on: false,
    strayed: 0,
    flapped: 0,
    looped: false,
    people: People::AbortAndRollback,
    budget: NOTHING_WRONG,
    #[cfg(test)]
    off: &[],
};
