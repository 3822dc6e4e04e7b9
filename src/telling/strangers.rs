//! Stacks that bear our mark and that the journal does not know.

use super::Outlook;
use crate::machine::{Environment, EnvironmentId, Number};

/// Says how many of them were seen, and which command shows them; empty where there is none.
pub(crate) fn strangers(id: &EnvironmentId, state: &Environment, seen: &Outlook<'_>) -> String {
    let numbers: Vec<String> = unknown(state, seen).map(|number| number.to_string()).collect();
    match &numbers[..] {
        [] => String::new(),
        [one] => format!("stack {one} is ours and not in the journal: `pointsman stack list {id}`"),
        all => format!(
            "{} stacks of ours are not in the journal ({}): `pointsman stack list {id}`",
            all.len(),
            all.join(", ")
        ),
    }
}

/// Lists those of them that are there.
pub(crate) fn unknown(state: &Environment, seen: &Outlook<'_>) -> impl Iterator<Item = Number> {
    state.unknown_stacks().filter(|number| seen.stack(*number).is_some())
}
