//! Which way a check asks: the stack itself, or the front that users reach. Must not know any front.

use std::{fmt, net::SocketAddr};

use serde::Deserialize;

use super::{Check, Checks};

/// `via = "front"`: which way a check asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The stack's own addresses are asked.
    #[default]
    Stack,
    /// The front is asked, by its preview.
    Front,
}

/// How far the front knows a stack that is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KnownAs {
    /// As what is live, or as what is staged: it can be asked for there.
    Known,
    /// Not yet: it is about to be staged.
    #[default]
    Expected,
    /// Not any more: such as a standby whose place another stack has taken.
    Forgotten,
}

/// Where one point of a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// An address of the stack.
    Stack(SocketAddr),
    /// The front's address.
    Front,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stack(address) => address.fmt(f),
            Self::Front => f.write_str("the front"),
        }
    }
}

impl Via {
    /// What is said behind a question.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Stack => "",
            Self::Front => " through the front",
        }
    }

    /// Where a stack is asked that has these addresses: never at its own ones while the front is about to know it.
    pub(super) fn places(self, endpoints: &[SocketAddr], known: KnownAs) -> Vec<At> {
        match (self, known) {
            (Self::Stack, _) | (Self::Front, KnownAs::Forgotten) => endpoints.iter().map(|at| At::Stack(*at)).collect(),
            (Self::Front, KnownAs::Known) => vec![At::Front],
            (Self::Front, KnownAs::Expected) => Vec::new(),
        }
    }
}

/// Says what keeps a check from being asked.
pub(super) fn waits(check: &Check) -> String {
    format!("{} waits until the front knows the stack", check.asked())
}

impl Checks {
    /// Whether one of them asks through the front.
    pub fn ask_the_front(&self) -> bool {
        self.list.iter().any(|check| check.via == Via::Front)
    }
}
