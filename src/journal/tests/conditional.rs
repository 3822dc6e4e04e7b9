//! A command on the state that was looked at, and on no other.

use std::sync::Arc;

use super::kit::{SimDisk, ask, deploy, environment, ledger, options};
use crate::{
    journal::{
        NotRecorded, Record,
        ledger::{Change, Ledger, Request},
    },
    machine::{Ask, Event, Number, Refusal, Seq},
};

fn on(expected: u64, command: Ask) -> Request {
    on_all(&[("shop/live", expected)], command)
}

/// A command for the live shop, on what was seen of several environments.
fn on_all(looked_at: &[(&str, u64)], command: Ask) -> Request {
    let looked_at = looked_at.iter().map(|(id, seq)| (environment(id), Seq(*seq))).collect();
    Request { change: Change::Decide(command.into(), looked_at), ..ask(&environment("shop/live"), Ask::Resume) }
}

#[test]
fn a_command_on_a_state_that_has_moved_on_changes_nothing() {
    let mut ledger = ledger(&SimDisk::default(), options(1000));
    let hold = || Ask::Hold("freeze".into());
    let answers = ledger.commit(&[on(0, deploy(1)), on(0, hold()), on(1, hold()), on(1, hold())]).unwrap().answers;
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true, false], "each within the batch sees what came before it");
    assert!(matches!(answers[1], Err(NotRecorded::Moved)) && matches!(answers[3], Err(NotRecorded::Moved)));
    assert_eq!(ledger.folded().seq, 2);
    let answers = ledger.commit(&[on(3, hold()), on(2, hold())]).unwrap().answers;
    assert!(answers[0].is_err() && answers[1].is_ok());
    let again = ledger.commit(&[on(0, deploy(1))]).unwrap().answers;
    assert!(
        matches!(again[0], Err(NotRecorded::Refused(Refusal::Duplicate(Number(1))))),
        "what was granted is granted"
    );
}

#[test]
fn what_was_judged_on_two_environments_holds_for_both() {
    let mut ledger = ledger(&SimDisk::default(), options(1000));
    let hold = || Ask::Hold("freeze".into());
    let both = |qa, live| on_all(&[("shop/qa", qa), ("shop/live", live)], hold());
    // Also within a batch: what moves the one before it is seen.
    let moves = ask(&environment("shop/qa"), hold());
    let answers = ledger.commit(&[both(0, 0), moves, both(0, 1), both(1, 1)]).unwrap().answers;
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, false, true]);
    assert!(matches!(answers[2], Err(NotRecorded::Moved)));
    let answers = ledger.commit(&[both(1, 1), both(2, 2), both(1, 2)]).unwrap().answers;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn releases_are_numbered_across_the_environments_of_a_pipeline() {
    let disk = SimDisk::default();
    let numbers = |ledger: &mut Ledger, asked: &[(&str, u64)]| -> Vec<u32> {
        let requests: Vec<_> = asked.iter().map(|(id, key)| ask(&environment(id), deploy(*key))).collect();
        let given = |record: Result<Arc<Record>, NotRecorded>| match &record.unwrap().event {
            Event::Accepted { release, .. } => release.number,
            event => panic!("{event:?}"),
        };
        ledger.commit(&requests).unwrap().answers.into_iter().map(given).collect()
    };
    let mut first = ledger(&disk, options(1000));
    assert_eq!(numbers(&mut first, &[("shop/live", 1), ("blog/live", 2), ("shop/live", 3)]), [1, 1, 2]);
    assert_eq!(numbers(&mut first, &[("shop/qa", 4), ("shop/live", 5)]), [3, 4], "it was given a new first one");
    drop(first);
    let mut again = ledger(&disk, options(1000));
    assert_eq!(numbers(&mut again, &[("shop/dev", 6), ("blog/qa", 7)]), [5, 2], "and after a restart");
}
