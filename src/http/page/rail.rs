//! How the steps of a deployment are drawn: a line with stations.

use crate::{
    machine::Millis,
    telling::{Step, StepState},
    text::format_duration,
};

impl Step {
    /// The class of its station.
    pub(super) fn class(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done",
            (StepState::Done, true) => "done human",
            (StepState::Now, false) => "now",
            (StepState::Now, true) => "now human",
            (StepState::Todo, false) => "todo",
            (StepState::Todo, true) => "todo human",
            (StepState::Failed, _) => "bad",
        }
    }

    pub(super) fn mark(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done",
            (StepState::Done, true) => "hdone",
            (StepState::Now, false) => "move",
            (StepState::Now, true) => "wait",
            (StepState::Todo, _) => "todo",
            (StepState::Failed, _) => "fail",
        }
    }

    pub(super) fn state_word(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done: ",
            (StepState::Done, true) => "done, a person: ",
            (StepState::Now, false) => "now: ",
            (StepState::Now, true) => "now, a person: ",
            (StepState::Todo, _) => "to come: ",
            (StepState::Failed, _) => "failed: ",
        }
    }

    pub(super) fn took_words(&self) -> String {
        self.took.map(|took| format_duration(Millis(took))).unwrap_or_default()
    }
}
