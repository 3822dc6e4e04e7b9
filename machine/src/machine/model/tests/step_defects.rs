//! The same for the rules of traffic that moves in steps.

use super::{
    config::{Budget, Config, People},
    defects::{Defect, defect},
    plain::NOTHING_WRONG as B,
    step_worlds::{ONE_STEP, STEPS},
};
use crate::machine::Otherwise;

pub(super) const STEP_DEFECTS: [Defect; 9] = [
    defect(
        "R73 the front is compared with the share of each stack",
        "2. ",
        &[73],
        ONE_STEP,
        Budget { drift: 1, wishes: 1, ..B },
    ),
    defect(
        "R69 a share grows only once it was watched, and where the stack passes",
        "1. a share grows",
        &[69],
        STEPS,
        B,
    ),
    defect(
        "R70 what was live stays live until the new stack has all users",
        "1. a deployment counts",
        &[70],
        ONE_STEP,
        B,
    ),
    defect(
        "R71 from a share, users go back only to what was seen good",
        "1. users are moved only",
        &[71],
        ONE_STEP,
        Budget { flap: 2, ..B },
    ),
    defect(
        "R72 a way back that waits for a sick stack makes room",
        "3. every deployment ends",
        &[72],
        Config { builds: 2, ..ONE_STEP },
        Budget { flap: 2, ..B },
    ),
    defect("R9 tear-down only of what has no share", "2. ", &[9], ONE_STEP, Budget { wishes: 1, ..B }),
    defect(
        "R7 a late share does not land upon the way back",
        "1. ... and never",
        &[7],
        ONE_STEP,
        Budget { repeat: 1, wishes: 1, ..B },
    ),
    defect(
        "R10 a late share is waited out",
        "2. ",
        &[10],
        Config { fenced: false, ..ONE_STEP },
        Budget { repeat: 1, wishes: 1, ..B },
    ),
    defect(
        "R31 a pause does not end by itself while automatic deployments are held",
        "what is held",
        &[31],
        Config { people: People::HoldPinVeto, pause: Some(Otherwise::Approve), ..ONE_STEP },
        Budget { wishes: 1, ..B },
    ),
];
