//! One deployment with what was recorded about it.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    journal::Record,
    machine::{CONTROLLER, Event, Millis, Number, Outcome, Trigger},
    telling::{self, Story},
    text::format_time,
};

/// A gate that a person opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PastApproval)]
pub(crate) struct Approval {
    pub at: String,
    pub by: String,
    #[schema(required)]
    pub reason: Option<String>,
}

/// A check and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PastCheck)]
pub(crate) struct Check {
    /// The question, such as `GET /healthz`; `checks` where an earlier version recorded none; or the name of a hook.
    pub name: String,
    pub passed: bool,
    pub at: String,
    /// Why it did not pass.
    #[schema(required)]
    pub why: Option<String>,
    /// The answer, where it was recorded.
    #[schema(required)]
    pub answer: Option<String>,
}

/// How a deployment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Went {
    /// Users have or had it, and it was not taken back.
    Live,
    /// It failed.
    Failed,
    /// Users had it, and were sent away from it again.
    RolledBack,
    /// Somebody or something stopped it.
    Aborted,
    /// A newer one took its place.
    Superseded,
    /// It is on its way.
    UnderWay,
}

impl Went {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Live, Self::Failed, Self::RolledBack, Self::Aborted, Self::Superseded, Self::UnderWay];

    /// Returns the name that it has in addresses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::UnderWay => "under_way",
        }
    }

    /// Returns what people call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::UnderWay => "under way",
        }
    }

    /// Returns the one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|went| went.name() == name)
    }
}

/// One deployment.
#[derive(Debug, Clone)]
pub(crate) struct Chapter {
    pub story: Story,
    /// The places of its first and its last record.
    pub first: u64,
    pub last: u64,
    pub approvals: Vec<Approval>,
    pub checks: Vec<Check>,
    /// Whoever asked said that it repairs an incident.
    pub repairs: bool,
    /// When it was seen down while live, and nothing better has happened since.
    pub down: Option<Millis>,
    /// When users were first sent away from it to a release that was good.
    pub left: Option<Millis>,
    /// Who aborted it, where somebody did.
    pub stopped_by: Option<Arc<str>>,
    /// The deployment that is to bring an earlier release back in its place. Users have this one until that is live.
    pub replaced_by: Option<Number>,
}

impl Chapter {
    pub(super) fn new(story: Story, first: &Record) -> Self {
        let repairs = matches!(&first.event, Event::Accepted { plan, .. } if plan.repairs);
        let (approvals, checks) = (Vec::new(), Vec::new());
        let (first, last) = (first.seq, first.seq);
        let (down, left, stopped_by, replaced_by) = (None, None, None, None);
        Self { story, first, last, approvals, checks, repairs, down, left, stopped_by, replaced_by }
    }

    /// Notes a record that is about it.
    pub(super) fn note(&mut self, record: &Record) {
        self.last = record.seq;
        let Record { at, by, event, .. } = record;
        let check = |name: &str, why: Option<&Arc<str>>| Check {
            name: name.to_owned(),
            passed: why.is_none(),
            at: format_time(*at),
            why: why.map(ToString::to_string),
            answer: None,
        };
        match event {
            Event::Approved { reason, .. } => self.approvals.push(Approval {
                at: format_time(*at),
                by: by.to_string(),
                reason: reason.as_deref().map(str::to_owned),
            }),
            Event::Checked { answers, .. } if answers.is_empty() => self.checks.push(check("checks", None)),
            Event::Checked { answers, .. } => self.checks.extend(
                answers.iter().map(|one| Check { answer: Some(telling::answer(one)), ..check(&one.asked, None) }),
            ),
            Event::HookFinished { hook, reason, .. } => self.checks.push(check(hook, reason.as_ref())),
            Event::LiveDown { .. } => self.down = self.down.or(Some(*at)),
            Event::LiveUp { .. } => self.down = None,
            Event::Reverted { .. } | Event::Recovered { .. } => self.leave(*at),
            Event::Ended { outcome: Outcome::Aborted, .. } | Event::RevertOrdered { outcome: Outcome::Aborted, .. } => {
                self.stopped_by = self.stopped_by.take().or_else(|| Some(by.clone()).filter(|by| **by != *CONTROLLER));
            }
            Event::ColdRollbackQueued { by, .. } => self.replaced_by = Some(*by),
            _ => {}
        }
    }

    /// Notes that users were sent away from it.
    pub(super) fn leave(&mut self, at: Millis) {
        self.left = self.left.or(Some(at));
    }

    /// Whether users had it, and were sent away from it again.
    pub(crate) fn was_taken_back(&self) -> bool {
        self.story.live.is_some() && self.left.is_some()
    }

    /// Whether users had it, and it turned out to be bad, whether or not they could be sent away from it.
    pub(crate) fn has_failed_users(&self) -> bool {
        let bad = matches!(self.outcome(), Some(Outcome::Failed | Outcome::RolledBack));
        self.story.live.is_some() && (self.left.is_some() || self.replaced_by.is_some() || bad)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.story.end.as_ref().map(|end| end.outcome)
    }

    /// How it went, as far as it is.
    pub(crate) fn went(&self) -> Went {
        match self.outcome() {
            _ if self.was_taken_back() => Went::RolledBack,
            // It is to be taken back, and users have it until then.
            Some(Outcome::RolledBack) if self.replaced_by.is_some() => Went::Live,
            Some(Outcome::RolledBack) => Went::RolledBack,
            Some(Outcome::Failed) => Went::Failed,
            Some(Outcome::Aborted) => Went::Aborted,
            Some(Outcome::Superseded) => Went::Superseded,
            Some(Outcome::Succeeded) => Went::Live,
            None if self.story.live.is_some() => Went::Live,
            None => Went::UnderWay,
        }
    }

    /// Whether it was not planned but made because of an incident.
    pub(crate) fn is_rework(&self) -> bool {
        self.repairs || self.story.trigger == Trigger::Rollback
    }

    /// How long it took: until users had it, or else until its end.
    pub(crate) fn took(&self) -> Option<Millis> {
        let until = self.story.live.or(self.story.end.as_ref().map(|end| end.at))?;
        Some(until.since(self.story.at))
    }
}
