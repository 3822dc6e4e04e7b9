//! Promotion by rule: when what is live in one environment goes to the next without a person.

use super::ids::Millis;

/// What makes a release go on to an environment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PromotionRule {
    /// How long it must have been live and found good in the environment before.
    pub after: Millis,
}
