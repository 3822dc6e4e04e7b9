//! What a story tells: what goes wrong, and when. All times count from the moment at which the deployment is asked for.

use crate::machine::Millis;

/// What happens beside the deployment. By default nothing goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    /// Nothing is live at the beginning.
    pub(crate) first: bool,
    /// How long the new stack takes to come up, each time.
    pub(crate) start: Millis,
    /// The new stack fails its checks.
    pub(crate) failing: Option<Failing>,
    /// The front does not answer.
    pub(crate) silence: Option<Silence>,
    /// When the new stack dies.
    pub(crate) dies: Option<Millis>,
    /// When the stack dies that is live at the beginning.
    pub(crate) live_dies: Option<Millis>,
    /// Whether people answer what they are asked.
    pub(crate) answers: Answers,
    /// When a person aborts the deployment.
    pub(crate) abort: Option<Millis>,
    /// When a person rolls it back.
    pub(crate) rollback: Option<Millis>,
}

/// A stack fails its checks for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failing {
    /// When that begins.
    pub(crate) at: Millis,
    /// How long; `None`: for ever.
    pub(crate) length: Option<Millis>,
}

/// The front does not answer for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// From when on; `None`: from the moment at which it is told to move users to the new stack.
    pub(crate) at: Option<Millis>,
    /// How long.
    pub(crate) length: Millis,
}

/// Whether people answer what they are asked, such as an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// This long after they are asked.
    After(Millis),
    /// Nobody ever does.
    Never,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            first: false,
            start: Millis(10_000),
            failing: None,
            silence: None,
            dies: None,
            live_dies: None,
            answers: Answers::After(Millis(60_000)),
            abort: None,
            rollback: None,
        }
    }
}

impl Failing {
    /// Returns whether it fails at that time.
    pub(super) fn holds(self, at: Millis) -> bool {
        at >= self.at && self.length.is_none_or(|length| at < self.at.plus(length))
    }
}
