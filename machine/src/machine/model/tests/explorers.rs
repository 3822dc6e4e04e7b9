//! The explorer that ships and stateright find the same: as many states, and the same promise broken.

use super::{
    config::{Budget, Config},
    explore::explore_up_to,
    explorer::Explorer,
    step_worlds::ONE_STEP,
    stop_worlds::STOP_FIRST,
    worlds::{NOTHING_WRONG, PLAIN},
};
use crate::machine::{HookPoint::*, Otherwise};

const B: Budget = NOTHING_WRONG;

/// All of it, in parts of that many states, each worked out by halves as two threads would.
fn explored(config: Config<'static>, part: usize) -> Explorer<'static> {
    let mut explorer = Explorer::new(config);
    loop {
        let open = explorer.next(part);
        if open.is_empty() {
            return explorer;
        }
        let (one, other) = open.split_at(open.len() / 2);
        let (one, other) = (explorer.follow(one), explorer.follow(other));
        explorer.take(one);
        explorer.take(other);
    }
}

#[test]
fn both_find_as_many_states() {
    for config in [
        PLAIN,
        Config { budget: Budget { flap: 1, wishes: 1, ..B }, ..PLAIN },
        Config { gate_cutover: Some(Otherwise::Abort), hooks: &[AfterChecks], budget: B, ..PLAIN },
        Config { budget: Budget { die: 1, ..B }, ..ONE_STEP },
        Config { budget: Budget { lose: 1, ..B }, ..STOP_FIRST },
        Config { controllers: 2, fenced: false, budget: Budget { takeover: 1, ..B }, ..PLAIN },
    ] {
        let theirs = explore_up_to(config, 2, usize::MAX);
        for part in [1, 1_000] {
            let ours = explored(config, part);
            assert_eq!((ours.states(), ours.broken(), ours.left()), (theirs.states, None, 0), "{config:?}");
        }
    }
}

#[test]
fn both_find_the_same_defect() {
    for (off, config) in [
        (&[4_u32][..], PLAIN),
        (&[7], Config { budget: Budget { repeat: 1, wishes: 1, ..B }, ..PLAIN }),
        (&[9], Config { budget: Budget { drift: 1, ..B }, ..PLAIN }),
        (&[8], Config { budget: Budget { wishes: 1, ..B }, ..PLAIN }),
        (&[13], Config { builds: 2, gate_cutover: Some(Otherwise::Abort), budget: Budget { wishes: 1, ..B }, ..PLAIN }),
    ] {
        let config = Config { off, ..config };
        let (promise, path) = explore_up_to(config, 1, usize::MAX).broken.expect("a defect");
        let ours = explored(config, 64);
        let way = ours.way();
        assert_eq!(ours.broken(), Some(promise), "without {off:?}");
        // Stateright's way need not be the shortest.
        assert!(way.len() <= path.len(), "without {off:?}: {} steps and not {}", way.len(), path.len());
        // The way leads to what it says.
        let mut world = config.start();
        for moved in &way {
            world = config.step(&world, moved.action).expect("it goes on");
        }
        assert!(super::promises::PROMISES.iter().any(|(name, holds)| *name == promise && !holds(&config, &world)));
    }
}
