//! The check can fail: each of the rules R1 to R26, R30 to R54, R58, R59 and R61 to R84, taken out, breaks a promise (`promotion.rs` beside this does the
//! same to R27 to R29). Where a second rule would still catch what the first one lets through, both are out; the table says so.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    config::{Budget, Config, Obedience, People},
    explore::{explore_up_to, whole},
    source::Repository,
    step_defects::STEP_DEFECTS,
    stop_defects::STOP_DEFECTS,
    worlds::{NOTHING_WRONG, PLAIN},
};
use crate::machine::{HookPoint::*, Otherwise, RecoverTo, Retain};

pub(super) struct Defect {
    rule: &'static str,
    world: Config<'static>,
    /// How the name of the promise begins that is broken first.
    breaks: &'static str,
}

pub(super) const fn defect(
    rule: &'static str,
    breaks: &'static str,
    off: &'static [u32],
    world: Config<'static>,
    budget: Budget,
) -> Defect {
    Defect { rule, world: Config { name: rule, off, budget, ..world }, breaks }
}

const B: Budget = NOTHING_WRONG;
const GATE: Config<'static> = Config { gate_cutover: Some(Otherwise::Abort), ..PLAIN };
const WAITS: Config<'static> = Config { fenced: false, ..PLAIN };
const TWO_BUILDS: Config<'static> = Config { builds: 2, ..PLAIN };
const HOLD_PIN_VETO: Config<'static> = Config { people: People::HoldPinVeto, ..PLAIN };
const ADOPTION: Config<'static> = Config { live_at_start: false, adopts: 1, ..PLAIN };
const RECOVERY: Config<'static> = Config { recover: RecoverTo::Standby, ..PLAIN };
const ALWAYS_ON: Config<'static> = Config { live_at_start: false, fenced: false, always_on: true, ..PLAIN };
const TWO_CONTROLLERS: Config<'static> = Config { controllers: 2, ..PLAIN };

const DEFECTS: [Defect; 70] = [
    defect(
        "R1 intent is durable before the effect leaves",
        "1. ... and never",
        &[1],
        PLAIN,
        Budget { crash: 1, wishes: 1, ..B },
    ),
    defect("R2 flush before acknowledgement", "4. an ack", &[2], PLAIN, Budget { crash: 1, ..B }),
    defect("R3 one deployment for each key", "4. an ack", &[3], PLAIN, Budget { hooks: [2, 0, 0], ..B }),
    defect("R4 an intent closes on observation", "1. a deployment counts", &[4], PLAIN, B),
    defect("R5 an older observation is thrown away", "1. ... whose checks", &[5], GATE, Budget { flap: 1, ..B }),
    defect("R6 names are never used again", "2. ", &[6], TWO_BUILDS, Budget { repeat: 1, wishes: 1, ..B }),
    defect(
        "R7 the front takes only a higher generation",
        "1. ... and never",
        &[7],
        PLAIN,
        Budget { repeat: 1, wishes: 1, ..B },
    ),
    defect(
        "R8 a cutover in doubt is undone by a new order",
        "1. ... and never",
        &[8],
        PLAIN,
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R9 tear-down only of what the front was seen to have left",
        "2. what is live",
        &[9],
        PLAIN,
        Budget { drift: 1, ..B },
    ),
    defect("R10 wait out the lifetime of a request", "2. ", &[10], WAITS, Budget { repeat: 1, wishes: 1, ..B }),
    defect("R11 the promise is dropped with the tear-down", "2. the rollback target", &[11], PLAIN, B),
    defect("R12 checks again right before the cutover", "1. ... whose checks", &[12], GATE, Budget { flap: 1, ..B }),
    defect(
        "R13 commands name what they mean",
        "4. commands hit",
        &[13],
        Config { builds: 2, ..GATE },
        Budget { wishes: 1, ..B },
    ),
    defect("R14 the sweep never ends", "3. every deployment ends", &[14], PLAIN, Budget { repeat: 1, wishes: 1, ..B }),
    defect("R15 drift is dealt with first", "3. every deployment ends", &[15], PLAIN, Budget { drift: 1, ..B }),
    defect("R16 every commit is conditional", "the journal folds", &[16], TWO_CONTROLLERS, Budget { takeover: 1, ..B }),
    defect(
        "R17 send only while the lease holds",
        "2. ",
        &[17],
        Config { fenced: false, ..TWO_CONTROLLERS },
        Budget { takeover: 1, wishes: 1, ..B },
    ),
    defect("R18 one active deployment", "3. every deployment is", &[18], TWO_BUILDS, B),
    defect(
        "R19 failure tears down what may have been made (R14 off too)",
        "3. every deployment ends",
        &[19, 14],
        PLAIN,
        Budget { flap: 1, ..B },
    ),
    defect(
        "R20 no cutover without a pass (R12 off too)",
        "1. ... whose checks",
        &[20, 12],
        PLAIN,
        Budget { flap: 1, ..B },
    ),
    defect("R21 a restart resumes what is open", "3. every deployment ends", &[21], PLAIN, Budget { crash: 1, ..B }),
    defect("R22 commands change the journal only", "2. ", &[22], PLAIN, Budget { wishes: 1, ..B }),
    defect(
        "R23 the wait covers the staleness of reads",
        "2. ",
        &[23],
        WAITS,
        Budget { stale: 1, repeat: 1, wishes: 1, ..B },
    ),
    defect(
        "R24 repointed is not drained",
        "2. nobody's",
        &[24],
        Config { long_requests: true, retain: Retain::None, ..PLAIN },
        B,
    ),
    defect(
        "R25 a gate is opened by those who may",
        "1. ... and whose gates",
        &[25],
        Config { guarded: true, ..GATE },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R26 nothing is stood up before its definition is recorded",
        "3. nothing is stood up before its definition",
        &[26],
        Config { source: Repository::Answers, ..PLAIN },
        B,
    ),
    defect(
        "R30 what is vetoed is aborted before its cutover",
        "what is vetoed",
        &[30],
        HOLD_PIN_VETO,
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R31 what is held does not approve itself",
        "what is held",
        &[31],
        Config { gate_cutover: Some(Otherwise::Approve), ..HOLD_PIN_VETO },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R32 nothing is stood up before its hooks",
        "3. nothing is stood up before the hooks",
        &[32],
        Config { hooks: &[BeforeProvisioning], ..PLAIN },
        B,
    ),
    defect(
        "R32 nothing is cut over before its hooks",
        "1. ... and whose hooks",
        &[32],
        Config { hooks: &[AfterChecks, BeforeCutover], ..PLAIN },
        B,
    ),
    defect(
        "R33 a deployment counts only after its hooks",
        "a deployment counts only",
        &[33],
        Config { hooks: &[AfterCutover], ..PLAIN },
        B,
    ),
    defect(
        "R34 nothing is torn down before its own hooks are over",
        "3. nothing is torn down before",
        &[34],
        Config { hooks: &[OnRetire], ..PLAIN },
        B,
    ),
    defect(
        "R35 a hook that gives no result has failed",
        "3. every deployment ends",
        &[35],
        Config { hooks: &[AfterChecks], silent: Some(AfterChecks), ..PLAIN },
        B,
    ),
    defect(
        "R36 no hook while the front is astray",
        "no hook is ordered",
        &[36],
        Config { hooks: &[BeforeProvisioning], ..PLAIN },
        Budget { drift: 1, ..B },
    ),
    defect(
        "R37 a run is begun once",
        "a hook never begins twice",
        &[37],
        Config { hooks: &[BeforeProvisioning], ..PLAIN },
        Budget { repeat: 1, ..B },
    ),
    defect("R38 what was adopted and not found good is let go", "2. ", &[38], ADOPTION, Budget { wishes: 1, ..B }),
    defect(
        "R39 what was adopted is not stood up again",
        "what was adopted is never stood up",
        &[39],
        Config { builds: 2, retain: Retain::None, ..ADOPTION },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R39 what was adopted and is lost is not looked for",
        "what was adopted is never stood up",
        &[39],
        ADOPTION,
        Budget { die: 1, resend: 1, ..B },
    ),
    defect(
        "R40 an adoption in doubt is let go, not undone",
        "1. an adoption takes",
        &[40],
        ADOPTION,
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R41 only watched time counts",
        "nothing is judged",
        &[41],
        Config { slow_checks: true, ..PLAIN },
        Budget { away: 1, ..B },
    ),
    defect("R41 ... for a gate too", "nothing is judged", &[41], GATE, Budget { away: 1, ..B }),
    defect(
        "R41 ... and for a hook that was ordered and never begun",
        "nothing is judged",
        &[41],
        Config { hooks: &[BeforeProvisioning], ..PLAIN },
        Budget { away: 1, crash: 1, ..B },
    ),
    defect("R42 an order is late only when it was given", "no order is called late", &[42], PLAIN, B),
    defect(
        "R43 a front is put right only onto what was seen good",
        "1. users are moved only",
        &[43],
        PLAIN,
        Budget { drift: 1, flap: 1, ..B },
    ),
    defect("R44 the standby is kept while live is not good", "2. a standby", &[44], PLAIN, Budget { die: 1, ..B }),
    defect(
        "R45 no automatic way back to what users were taken from",
        "users are not sent to and fro",
        &[45],
        Config { retain: Retain::UntilNext, ..RECOVERY },
        Budget { die: 2, ..B },
    ),
    defect("R46 recovery waits for what is under way", "a recovery is not", &[46], RECOVERY, Budget { die: 1, ..B }),
    defect(
        "R47 recovery only onto what was seen good",
        "1. users are moved only",
        &[47],
        RECOVERY,
        Budget { die: 1, flap: 1, ..B },
    ),
    defect(
        "R48 a standby that is starting is not given up",
        "2. a standby",
        &[48],
        Config { slow_checks: true, retain: Retain::UntilNext, ..PLAIN },
        Budget { die: 1, wishes: 1, ..B },
    ),
    defect(
        "R49 no order to nobody where the front cannot take it",
        "3. every deployment ends",
        &[49],
        ALWAYS_ON,
        Budget { wishes: 1, ..B },
    ),
    defect("R50 what stays down calls a person", "3. every deployment ends", &[50], PLAIN, Budget { flap: 1, ..B }),
    defect(
        "R50 a front that cannot be put right calls a person",
        "3. every deployment ends",
        &[50],
        Config { front: Obedience::Deaf, ..PLAIN },
        Budget { wishes: 2, ..B },
    ),
    defect(
        "R51 a way back that is stuck can be given up",
        "3. every deployment ends",
        &[51],
        Config { front: Obedience::Deaf, ..PLAIN },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R52 a front that is repointed again and again is held",
        "3. every deployment ends",
        &[52],
        Config { strayed: 4, ..PLAIN },
        Budget { drift: 1, ..B },
    ),
    defect(
        "R53 what is live is started again for ever",
        "3. every deployment ends",
        &[53],
        PLAIN,
        Budget { die: 1, ..B },
    ),
    defect(
        "R54 with nothing live, users of an unknown stack are left to it",
        "1. a drift takes no users",
        &[54],
        Config { live_at_start: false, unknown_at_start: true, ..PLAIN },
        B,
    ),
    defect(
        "R61 what goes up and down is called up once it has stayed good",
        "what goes up and down",
        &[61],
        Config { flapped: 1, builds: 0, ..PLAIN },
        Budget { flap: 2, ..B },
    ),
    defect(
        "R62 the lives of a controller that ends again and again count together",
        "3. every deployment ends",
        &[62],
        Config { looped: true, ..PLAIN },
        B,
    ),
    defect("R62 ... for a gate too", "3. every deployment ends", &[62], Config { looped: true, ..GATE }, B),
    defect(
        "R66 a build that a person deployed by its number is the one that is announced with it",
        "4. an ack",
        &[66],
        Config { numbered: true, by_hand: 2, ..PLAIN },
        Budget { hooks: [2, 0, 0], ..B },
    ),
    defect(
        "R66 ... and the other way round",
        "4. an ack",
        &[66],
        Config { numbered: true, by_hand: 1, ..PLAIN },
        Budget { hooks: [2, 0, 0], ..B },
    ),
    defect(
        "R67 the front is given the reach that a stack has now",
        "what is served is reached",
        &[67],
        Config { builds: 0, ..PLAIN },
        Budget { replace: 1, ..B },
    ),
    defect(
        "R68 a stack that is reached elsewhere is the same stack",
        "a stack that is reached elsewhere",
        &[68],
        Config { builds: 0, ..PLAIN },
        Budget { replace: 1, ..B },
    ),
    defect(
        "R43 ... and users come to a new reach only when the stack passes there",
        "1. users are moved only",
        &[43],
        Config { builds: 0, ..PLAIN },
        Budget { replace: 1, ..B },
    ),
    defect(
        "R63 a restart is done when all instances were started again and pass",
        "a restart is called done",
        &[63],
        Config { people: People::Restart, builds: 0, ..PLAIN },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R58 a person ends strangers only",
        "4. commands end",
        &[58],
        Config { stranger: true, ..PLAIN },
        Budget { wishes: 1, ..B },
    ),
    defect(
        "R59 what was let go is not ended by a command",
        "4. commands end",
        &[59],
        ADOPTION,
        Budget { wishes: 2, ..B },
    ),
    defect(
        "R64 an adopted stranger that fails is not torn down",
        "2. what was adopted",
        &[64],
        Config { stranger: true, builds: 0, ..PLAIN },
        Budget { wishes: 1, flap: 1, ..B },
    ),
    defect(
        "R39 an adopted stranger that is lost is not made again",
        "what was adopted is never stood up",
        &[39],
        Config { stranger: true, builds: 0, ..PLAIN },
        Budget { wishes: 1, die: 1, ..B },
    ),
    defect(
        "R65 no deployment begins under a number that a stack carries",
        "1. no deployment takes",
        &[65],
        Config { stranger: true, ..PLAIN },
        B,
    ),
];

/// One defect in a line, or why it was not found as it should.
fn judge(defect: &Defect) -> Result<String, String> {
    let found = explore_up_to(defect.world, 1, 12_000_000);
    match found.broken {
        Some((promise, path)) if promise.starts_with(defect.breaks) => {
            Ok(format!("{} off: {promise}: after {} steps ({} states)", defect.rule, path.len(), found.states))
        }
        Some((promise, path)) => Err(format!("{} off: broke {promise}\n{path:?}", defect.rule)),
        None => Err(format!("{} off: nothing was noticed in {} states", defect.rule, found.states)),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what each rule is for is worth reading")]
fn every_rule_taken_out_breaks_a_promise() {
    // Some are found in a moment; all of them where the whole model is explored, or those that are asked for.
    let only = std::env::var("MODEL_ONLY").unwrap_or_default();
    let most = if whole() || !only.is_empty() { usize::MAX } else { 5 };
    let all = DEFECTS.iter().chain(&STEP_DEFECTS).chain(&STOP_DEFECTS).take(most);
    let some: Vec<&Defect> = all.filter(|defect| defect.rule.contains(&only)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut missed = Vec::new();
        while let Some(defect) = some.get(next.fetch_add(1, Ordering::Relaxed)) {
            match judge(defect) {
                Ok(line) => println!("{line}"),
                Err(line) => missed.push(line),
            }
        }
        missed
    };
    let missed = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut missed = work();
        missed.extend(other.join().unwrap());
        missed
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
