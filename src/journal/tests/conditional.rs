//! A command on the state that was looked at, and on no other.

use super::kit::{SimDisk, ask, deploy, environment, ledger, options};
use crate::{
    journal::ledger::{No, Request, Wish},
    machine::{Command, Number, Refusal, Seq},
};

fn on(expected: u64, command: Command) -> Request {
    Request { wish: Wish::Command(command, Some(Seq(expected))), ..ask(&environment("shop/live"), Command::Resume) }
}

#[test]
fn a_command_on_a_state_that_has_moved_on_changes_nothing() {
    let mut ledger = ledger(&SimDisk::default(), options(1000));
    let hold = || Command::Hold("freeze".into());
    let answers = ledger.commit(&[on(0, deploy(1)), on(0, hold()), on(1, hold()), on(1, hold())]).unwrap().answers;
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true, false], "each within the batch sees what came before it");
    assert!(matches!(answers[1], Err(No::Moved)) && matches!(answers[3], Err(No::Moved)));
    assert_eq!(ledger.folded().seq, 2);
    let answers = ledger.commit(&[on(3, hold()), on(2, hold())]).unwrap().answers;
    assert!(answers[0].is_err() && answers[1].is_ok());
    let again = ledger.commit(&[on(0, deploy(1))]).unwrap().answers;
    assert!(matches!(again[0], Err(No::Refused(Refusal::Duplicate(Number(1))))), "what was granted is granted");
}
