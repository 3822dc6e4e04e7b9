//! The same for the rules of stacks that are stopped, and of maintenance.

use super::{
    config::{Budget, Config, People},
    defects::{Defect, defect},
    plain::NOTHING_WRONG as B,
    stop_worlds::{MAINTENANCE, STOP_FIRST},
};
use crate::machine::{Otherwise, RecoverTo, Retain};

const UNCOUNTED: Config<'static> = Config { counts: false, ..STOP_FIRST };

pub(super) const STOP_DEFECTS: [Defect; 12] = [
    defect("R74 a stack is stopped only while the page is shown", "1. ... and never to one", &[74], STOP_FIRST, B),
    defect(
        "R74 a late order to the front is waited out before a stop",
        "1. ... and never to one",
        &[10],
        Config { fenced: false, ..STOP_FIRST },
        Budget { repeat: 1, wishes: 1, ..B },
    ),
    defect(
        "R75 what is dead is stopped too",
        "two that must not run",
        &[75, 81],
        STOP_FIRST,
        Budget { die: 1, revive: 1, ..B },
    ),
    defect(
        "R76 no stack is started while another one can still come up",
        "two that must not run",
        &[76],
        STOP_FIRST,
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R77 after a stop, good is what has obeyed the last start",
        "1. ... and never to one that is stopped",
        &[77],
        UNCOUNTED,
        Budget { wishes: 1, repeat: 1, ..B },
    ),
    defect("R78 at most one stack is meant to run", "two that must not run", &[78, 81], STOP_FIRST, B),
    defect("R79 what is meant to be stopped is not kept alive", "two that must not run", &[79, 76], STOP_FIRST, B),
    defect(
        "R80 users go back to what was stopped once it was started",
        "3. every deployment ends",
        &[80],
        STOP_FIRST,
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R81 a stack is started only alone",
        "two that must not run",
        &[81],
        Config { live_at_start: false, builds: 2, ..STOP_FIRST },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R82 no recovery to what is stopped",
        "1. users are moved only",
        &[82, 47],
        Config { recover: RecoverTo::Standby, retain: Retain::UntilNext, ..STOP_FIRST },
        Budget { die: 1, ..B },
    ),
    defect(
        "R83 what is held keeps nobody on the maintenance page",
        "3. every deployment ends",
        &[83],
        Config { people: People::HoldPinVeto, gate_cutover: Some(Otherwise::Approve), ..STOP_FIRST },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R84 nothing automatic ends maintenance",
        "nothing automatic",
        &[84],
        MAINTENANCE,
        Budget { wishes: 1, ..B },
    ),
];
