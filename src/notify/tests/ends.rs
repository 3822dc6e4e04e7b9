//! Whoever was told that something is wrong is told that it is over, once, whatever ended it: every kind of event that can.

use std::sync::Arc;

use super::{heard, records};
use crate::{
    fixture_tests,
    machine::{Event, Generation, Matter, Number, Outcome, Plan, Trigger},
    notify::notice::{Kept, What},
};

const ONE: Number = Number(1);
const TWO: Number = Number(2);

fn down() -> Event {
    Event::LiveDown { number: ONE, reason: "exit status 42".into() }
}

fn two_down() -> Event {
    Event::LiveDown { number: TWO, reason: "gone".into() }
}

fn needed(number: Number, about: Option<Matter>) -> Event {
    Event::OperatorNeeded { number, reason: "look".into(), about }
}

fn accepted(number: u32, plan: Plan) -> Event {
    fixture_tests::accepted(number, fixture_tests::release(number), plan, Trigger::Person)
}

/// Deployment 2, up to the order to the front of generation 2.
fn cut_over() -> Vec<Event> {
    let number = TWO;
    vec![
        accepted(2, Plan::default()),
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::CutOverOrdered { number, generation: Generation(2), share: None },
    ]
}

fn drift(generation: u64, in_a_row: u32) -> Event {
    Event::DriftSeen { shown: Some(Number(9)), generation: Generation(generation), in_a_row, words: None }
}

fn undo(number: Number, to: Number, generation: u64, outcome: Outcome) -> Event {
    let generation = Generation(generation);
    Event::RevertOrdered { number, to: Some(to), generation, outcome, reason: "sick".into() }
}

/// Two stacks that were found good, 2 of them live.
fn two_good() -> Vec<Event> {
    [cut_over(), vec![Event::WentLive { number: TWO, host: None }, Event::Succeeded { number: TWO }]].concat()
}

/// What happens first, what was told by then, the event that ends it, and of what the end is told.
type Row = (&'static str, Vec<Event>, Vec<What>, Event, Vec<What>);

fn of_what_is_live() -> Vec<Row> {
    use What::{LiveDown, OperatorNeeded};
    let down_and_needed = || vec![down(), needed(ONE, Some(Matter::Live))];
    let both = || vec![LiveDown, OperatorNeeded];
    let two_needed = needed(TWO, Some(Matter::Live));
    let recovered =
        Event::Recovered { number: TWO, to: ONE, generation: Generation(3), reason: "stack 2 is down".into() };
    let cold = Event::ColdRollbackQueued {
        number: TWO,
        by: Number(3),
        release: Arc::new(fixture_tests::release(1)),
        plan: Arc::new(Plan::default()),
        reason: "by hand".into(),
    };
    vec![
        ("it is up again", down_and_needed(), both(), Event::LiveUp { number: ONE }, both()),
        (
            "users were sent to the standby",
            [two_good(), vec![two_down(), two_needed]].concat(),
            both(),
            recovered,
            both(),
        ),
        (
            "another release is live",
            [down_and_needed(), cut_over()].concat(),
            both(),
            Event::WentLive { number: TWO, host: None },
            both(),
        ),
        (
            "what is sick was rolled back",
            [
                two_good(),
                vec![
                    two_down(),
                    Event::RollbackRequested { number: TWO, reason: "by hand".into() },
                    undo(TWO, ONE, 3, Outcome::RolledBack),
                ],
            ]
            .concat(),
            vec![LiveDown],
            Event::Reverted { number: TWO, host: None },
            vec![LiveDown],
        ),
        (
            "a cold rollback ends what needed a person, and what is live is still down",
            [cut_over(), vec![Event::WentLive { number: TWO, host: None }, two_down(), needed(TWO, None)]].concat(),
            both(),
            cold,
            vec![OperatorNeeded],
        ),
    ]
}

fn of_the_front() -> Vec<Row> {
    use What::OperatorNeeded;
    let stuck = || vec![drift(2, 1), needed(ONE, Some(Matter::Front))];
    let often = || vec![drift(2, 5), needed(ONE, Some(Matter::Front)), Event::DriftMended];
    let verifying = || {
        let number = TWO;
        let mut events = cut_over();
        events.truncate(events.len() - 1);
        [events, vec![drift(2, 1), needed(number, Some(Matter::Front))]].concat()
    };
    let ordered = Event::CutOverOrdered { number: TWO, generation: Generation(3), share: None };
    vec![
        ("the front is right again", stuck(), vec![OperatorNeeded], Event::DriftMended, vec![OperatorNeeded]),
        ("it is a new row", stuck(), vec![OperatorNeeded], drift(3, 1), vec![OperatorNeeded]),
        (
            "a person lets it go on",
            often(),
            vec![OperatorNeeded],
            Event::Resumed { reason: None },
            vec![OperatorNeeded],
        ),
        ("the front is sent elsewhere", verifying(), vec![OperatorNeeded], ordered, vec![OperatorNeeded]),
    ]
}

fn of_a_deployment() -> Vec<Row> {
    use What::{OperatorNeeded, Over};
    let number = TWO;
    let one = || vec![OperatorNeeded];
    let until = |steps: usize| [cut_over()[..steps].to_vec(), vec![needed(TWO, None)]].concat();
    let gated = || {
        let gate = crate::machine::Gate {
            timeout: crate::machine::Millis(1),
            otherwise: crate::machine::Otherwise::Abort,
            by: Vec::new(),
            not_the_asker: false,
        };
        let plan = Plan { before_provisioning: Some(gate), ..Plan::default() };
        vec![accepted(2, plan), Event::Started { number }, needed(TWO, None)]
    };
    let gone = Event::Ended { number, outcome: Outcome::Failed, reason: "late".into() };
    let baking = || [cut_over(), vec![Event::WentLive { number, host: None }, needed(TWO, None)]].concat();
    let asked = || {
        [two_good(), vec![Event::RollbackRequested { number, reason: "by hand".into() }, needed(TWO, None)]].concat()
    };
    let undoing = || [cut_over(), vec![undo(TWO, ONE, 3, Outcome::Failed), needed(TWO, None)]].concat();
    let tear_down = || [until(2), vec![gone.clone(), needed(TWO, None)]].concat();
    vec![
        ("approved", gated(), one(), Event::Approved { number, reason: None }, one()),
        ("its stack is up", until(2), one(), Event::Provisioned { number }, one()),
        ("its checks passed", until(3), one(), Event::Checked { number, answers: Vec::new() }, one()),
        (
            "the order is given",
            until(4),
            one(),
            Event::CutOverOrdered { number, generation: Generation(2), share: None },
            one(),
        ),
        ("it is live", until(5), one(), Event::WentLive { number, host: None }, one()),
        ("it was found good", baking(), one(), Event::Succeeded { number }, one()),
        ("it ended", until(3), one(), gone.clone(), one()),
        ("it is undone", until(5), one(), undo(TWO, ONE, 3, Outcome::Failed), one()),
        ("it was undone", undoing(), one(), Event::Reverted { number, host: None }, one()),
        ("its rollback goes on", asked(), one(), undo(TWO, ONE, 3, Outcome::RolledBack), one()),
        (
            "a rollback is asked for",
            baking(),
            one(),
            Event::RollbackRequested { number, reason: "by hand".into() },
            one(),
        ),
        (
            "its stack is gone",
            tear_down(),
            vec![OperatorNeeded, Over, OperatorNeeded],
            Event::Retired { number },
            one(),
        ),
    ]
}

/// What says nothing of what was told, and changes nothing of it.
fn idle() -> Vec<Row> {
    use What::LiveDown;
    let row = |name, event| (name, vec![down()], vec![LiveDown], event, Vec::new());
    vec![
        row("held", Event::Held { reason: "audit".into() }),
        row("pinned", Event::Pinned { release: 1, reason: None }),
        row("unpinned", Event::Unpinned { reason: None }),
        row("vetoed", Event::Vetoed { release: 7, reason: "bad".into() }),
        row("unvetoed", Event::Unvetoed { release: 7, reason: None }),
        row("builds reset", Event::BuildsReset { reason: "new job".into() }),
        row("accepted", accepted(2, Plan::default())),
        row("stranger", Event::StrangerFound { number: Number(9) }),
        row("orphan", Event::OrphanFound { number: Number(9) }),
        ("standby released", [two_good(), vec![two_down()]].concat(), vec![LiveDown], released(), vec![]),
    ]
}

fn released() -> Event {
    Event::StandbyReleased { number: ONE, reason: "its retention is over".into() }
}

fn all() -> Vec<Row> {
    [of_what_is_live(), of_the_front(), of_a_deployment(), idle()].concat()
}

#[tokio::test]
async fn the_end_of_what_was_told_is_told_once_whatever_ended_it() {
    let mut wrong = Vec::new();
    for (name, before, told, event, over) in all() {
        let all = records([before, vec![event]].concat()).await;
        let (last, earlier) = all.split_last().expect("records");
        let last = std::slice::from_ref(last);
        let mut kept = Kept::default();
        let begun: Vec<What> = heard(&mut kept, earlier).iter().map(|n| n.what).collect();
        let ends = heard(&mut kept, last);
        let ended: Vec<What> = ends.iter().filter(|n| n.what == What::Over).filter_map(|n| n.was).collect();
        let again = heard(&mut kept, last).len();
        if (&begun, &ended, again) != (&told, &over, 0) {
            wrong.push(format!("{name}: told {begun:?}, not {told:?}; over {ended:?}, not {over:?}; again {again}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
