//! How the steps of a deployment are drawn: a line with stations.

use crate::{
    machine::Millis,
    telling::{Step, StepKind, StepState},
    text::format_duration,
};

impl Step {
    /// The class of its station.
    pub(super) fn class(&self) -> &'static str {
        match (self.state, self.kind) {
            (StepState::Done, StepKind::Work) => "done",
            (StepState::Done, StepKind::Human) => "done human",
            (StepState::Done, StepKind::Queue) => "done queue",
            (StepState::Now, StepKind::Work) => "now",
            (StepState::Now, StepKind::Human) => "now human",
            (StepState::Now, StepKind::Queue) => "now queue",
            (StepState::Todo, StepKind::Work) => "todo",
            (StepState::Todo, StepKind::Human) => "todo human",
            (StepState::Todo, StepKind::Queue) => "todo queue",
            (StepState::Failed, _) => "bad",
            (StepState::Aborted | StepState::Vetoed | StepState::Superseded | StepState::TakenBack, _) => "cut",
        }
    }

    pub(super) fn mark(&self) -> &'static str {
        match (self.state, self.kind) {
            (StepState::Done, StepKind::Work | StepKind::Queue) => "done",
            (StepState::Done, StepKind::Human) => "hdone",
            (StepState::Now, StepKind::Work) => "move",
            (StepState::Now, StepKind::Human | StepKind::Queue) => "wait",
            (StepState::Todo, _) => "todo",
            (StepState::Failed, _) => "fail",
            (StepState::Aborted, _) => "abort",
            (StepState::Vetoed, _) => "veto",
            (StepState::Superseded, _) => "super",
            (StepState::TakenBack, _) => "back",
        }
    }

    pub(super) fn state_word(&self) -> &'static str {
        match (self.state, self.kind) {
            (StepState::Done, StepKind::Human) => "done, a person: ",
            (StepState::Done, StepKind::Work | StepKind::Queue) => "done: ",
            (StepState::Now, StepKind::Human) => "now, a person: ",
            (StepState::Now, StepKind::Work | StepKind::Queue) => "now: ",
            (StepState::Todo, _) => "to come: ",
            (StepState::Failed, _) => "failed: ",
            (StepState::Aborted, _) => "aborted: ",
            (StepState::Vetoed, _) => "vetoed: ",
            (StepState::Superseded, _) => "superseded: ",
            (StepState::TakenBack, _) => "taken back: ",
        }
    }

    /// What is written beside it where it ended neither well nor by a failure, for all to see.
    pub(super) fn end_word(&self) -> &'static str {
        match self.state {
            StepState::Aborted => "aborted",
            StepState::Vetoed => "vetoed",
            StepState::Superseded => "superseded",
            StepState::TakenBack => "taken back",
            StepState::Failed => "failed",
            StepState::Done | StepState::Now | StepState::Todo => "",
        }
    }

    pub(super) fn took_words(&self) -> String {
        self.took.map(|took| format_duration(Millis(took))).unwrap_or_default()
    }
}
