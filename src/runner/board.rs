//! What is known of the world beyond the journal: health, endpoints, what stands in the way. For people only: nothing
//! here may decide anything, and all of it is gone with the process.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

use crate::{
    machine::{Condition, EnvironmentId, Health, Millis, Number, StackView},
    telling,
};

/// The step by which it is known what users see.
pub(super) const ASKING_THE_FRONT: &str = "asking the front";

/// The step by which somebody is told of trouble. It stands in nobody's way, so other trouble is named first.
pub(crate) const TELLING: &str = "running `on_trouble`";

/// What is shown of one environment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sight {
    /// When the world was looked at last.
    pub looked: Millis,
    /// The stacks that are there.
    pub stacks: Vec<StackSight>,
    /// What does not work at the moment, newest last: one sentence for each kind of step.
    pub trouble: Vec<Trouble>,
    /// Requests still open, per stack.
    pub open: Vec<(Number, u64)>,
    /// The host that the front was found on, by name and identity, where it tells.
    pub front_host: Option<String>,
}

/// One stack.
#[derive(Clone, Debug, Serialize)]
pub struct StackSight {
    /// Whose.
    pub number: Number,
    /// `creating`, `ready`, `failed` or `deleting`.
    pub condition: &'static str,
    /// `passing`, `failing` or `unknown`.
    pub health: &'static str,
    /// Where it serves.
    pub endpoints: Vec<SocketAddr>,
    /// What stands out.
    pub remark: Option<String>,
}

/// A step that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// What was tried.
    pub step: String,
    /// Why it did not work, as the other side says.
    pub why: String,
    /// Since when.
    pub since: Millis,
}

/// All environments.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<HashMap<EnvironmentId, Sight>>>);

impl Board {
    /// What is known of an environment.
    pub fn sight(&self, environment: &EnvironmentId) -> Sight {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(environment).cloned().unwrap_or_default()
    }

    /// A step beside the runner's own does not work; only news reaches the log.
    pub(crate) fn fails(&self, environment: &EnvironmentId, step: &str, why: &str, now: Millis) {
        let mut news = false;
        self.update(environment, |sight| news = sight.fails(step, why, now));
        if news {
            tracing::warn!(%environment, step, why, "{environment}: {step} failed: {why}");
        }
    }

    /// It works again.
    pub(crate) fn works(&self, environment: &EnvironmentId, step: &str) {
        self.update(environment, |sight| sight.works(step));
    }

    /// Changes what is known of an environment.
    pub(super) fn update(&self, environment: &EnvironmentId, change: impl FnOnce(&mut Sight)) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match board.get_mut(environment) {
            Some(sight) => change(sight),
            None => change(board.entry(environment.clone()).or_default()),
        }
    }
}

impl Sight {
    /// Returns what sentences are made of.
    pub(crate) fn outlook(&self) -> telling::Outlook<'_> {
        let stacks = self.stacks.iter().map(|stack| telling::Glimpse {
            number: stack.number,
            condition: stack.condition,
            health: stack.health,
            remark: stack.remark.as_deref(),
        });
        let trouble = self.trouble.iter().rfind(|t| t.step != TELLING).or(self.trouble.last());
        telling::Outlook {
            front_silent: self.trouble.iter().find(|t| t.step == ASKING_THE_FRONT).map(|t| &*t.why),
            looked: (self.looked.0 > 0).then_some(self.looked),
            stacks: stacks.collect(),
            trouble: trouble.map(|t| telling::Hindrance { step: &t.step, why: &t.why, since: t.since }),
        }
    }

    /// A step does not work. Returns whether that is news.
    pub(super) fn fails(&mut self, step: &str, why: &str, now: Millis) -> bool {
        match self.trouble.iter_mut().find(|t| t.step == step) {
            Some(known) if known.why == why => false,
            Some(known) => {
                why.clone_into(&mut known.why);
                true
            }
            None => {
                self.trouble.push(Trouble { step: step.to_owned(), why: why.to_owned(), since: now });
                true
            }
        }
    }

    /// A step works.
    pub(super) fn works(&mut self, step: &str) {
        self.trouble.retain(|t| t.step != step);
    }
}

impl StackSight {
    pub(super) fn new(stack: &StackView, endpoints: Option<&Vec<SocketAddr>>) -> Self {
        Self {
            number: stack.number,
            condition: match stack.condition {
                Condition::Creating => "creating",
                Condition::Ready => "ready",
                Condition::Failed => "failed",
                Condition::Deleting => "deleting",
            },
            health: match stack.health {
                Health::Unknown => "unknown",
                Health::Passing => "passing",
                Health::Failing => "failing",
            },
            endpoints: endpoints.cloned().unwrap_or_default(),
            remark: stack.remark.as_deref().map(str::to_owned),
        }
    }
}
