//! The people of a story: who answers what they are asked, and who aborts or rolls back.

use std::sync::Arc;

use super::{Answers, Story, run::BEGIN};
use crate::machine::{Ask, Command, Environment, Gate, Millis, Number};

/// The approver where a gate names nobody.
const APPROVER: &str = "approver";
/// Who aborts and rolls back.
const OPERATOR: &str = "operator";

/// People, and what they have still to do.
pub(super) struct People {
    answers: Answers,
    abort: Option<Millis>,
    rollback: Option<Millis>,
    number: Number,
    /// Since when the question stood that was answered last: one that is refused is not tried again.
    answered: Option<Millis>,
}

impl People {
    /// Returns the people of a story about that deployment.
    pub(super) fn new(story: &Story, number: Number) -> Self {
        let at = |at: Option<Millis>| at.map(|at| BEGIN.plus(at));
        Self { answers: story.answers, abort: at(story.abort), rollback: at(story.rollback), number, answered: None }
    }

    /// What somebody asks for now, and who.
    pub(super) fn asks(&mut self, state: &Environment, now: Millis) -> Option<(Command, Arc<str>)> {
        let told: Arc<str> = "the story tells so".into();
        if self.abort.take_if(|at| now >= *at).is_some() {
            return Some((Ask::Abort(self.number, told).into(), OPERATOR.into()));
        }
        if self.rollback.take_if(|at| now >= *at).is_some() {
            return Some((Ask::Rollback(self.number, told).into(), OPERATOR.into()));
        }
        let (asked, due) = self.question(state)?;
        if now < due {
            return None;
        }
        self.answered = Some(asked);
        let active = state.active()?;
        if let (Some(gate), Some(question)) = (active.gate(), active.question()) {
            return Some((Ask::Approve(active.number, gate).into(), approver(question, &active.asked_by)));
        }
        let pause = active.pause()?;
        Some((Ask::Proceed(active.number).into(), approver(&pause.gate, &active.asked_by)))
    }

    /// When somebody asks for something next.
    pub(super) fn next(&self, state: &Environment) -> Option<Millis> {
        [self.abort, self.rollback, self.question(state).map(|(_, due)| due)].into_iter().flatten().min()
    }

    /// Since when the question stands that nobody has answered yet, and when somebody does.
    fn question(&self, state: &Environment) -> Option<(Millis, Millis)> {
        let Answers::After(length) = self.answers else { return None };
        let active = state.active()?;
        let asked = active.question().map(|_| active.since).or_else(|| active.pause().map(|pause| pause.since))?;
        (self.answered != Some(asked)).then(|| (asked, asked.plus(length)))
    }
}

fn approver(gate: &Gate, asker: &str) -> Arc<str> {
    gate.by.iter().find(|name| !gate.not_the_asker || ***name != *asker).cloned().unwrap_or_else(|| APPROVER.into())
}
