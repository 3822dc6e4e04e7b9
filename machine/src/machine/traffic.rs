//! Who gets users' requests: all of them one stack, or two stacks their shares.

use serde::Serialize;

use super::ids::{Number, Share};

/// Who gets users' requests, as it is wanted or seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Traffic {
    /// No stack: the front answers with its own page.
    #[default]
    Nobody,
    /// One stack gets all of them.
    Whole(Number),
    /// Two stacks share them.
    Split {
        /// The stack that gets the rest.
        base: Number,
        /// The stack that gets the share.
        candidate: Number,
        /// The candidate's part of 100.
        share: Share,
    },
}

impl Traffic {
    /// All of it for one stack, or for nobody.
    pub fn whole(to: Option<Number>) -> Self {
        to.map_or(Self::Nobody, Self::Whole)
    }

    /// The stack that it is all meant for, or that gets what is not the candidate's share.
    pub fn base(self) -> Option<Number> {
        match self {
            Self::Nobody => None,
            Self::Whole(number) | Self::Split { base: number, .. } => Some(number),
        }
    }

    /// The stacks that users reach.
    pub fn stacks(self) -> impl Iterator<Item = Number> {
        let candidate = match self {
            Self::Split { candidate, .. } => Some(candidate),
            Self::Nobody | Self::Whole(_) => None,
        };
        self.base().into_iter().chain(candidate)
    }

    /// Whether any user reaches that stack.
    pub fn reaches(self, number: Number) -> bool {
        self.stacks().any(|reached| reached == number)
    }
}
