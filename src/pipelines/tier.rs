//! How near an environment is to users, by its name: so that nobody takes prod for qa. For people only; nothing is decided by it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::machine::Name;

/// How near an environment is to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// People write software there.
    Dev,
    /// People try releases there.
    Qa,
    /// The last rehearsal.
    Stage,
    /// Users are there.
    Prod,
}

/// The words for each.
const WORDS: [(Tier, &[&str]); 4] = [
    (Tier::Dev, &["dev", "devel", "development", "sandbox", "local"]),
    (Tier::Qa, &["qa", "test", "testing", "int", "integration", "acceptance"]),
    (Tier::Stage, &["stage", "staging", "preprod", "preproduction", "uat", "rehearsal"]),
    (Tier::Prod, &["prod", "production", "prd", "live"]),
];

/// Parts of a name that say that it is only like production.
const UNLIKE: [&str; 11] = ["non", "not", "no", "like", "copy", "clone", "mirror", "shadow", "sim", "mock", "fake"];

impl Tier {
    /// Returns the tier that the name of an environment tells: by its first part, as in `prod-eu`, or its last, as in
    /// `eu-prod`. Where they tell two, as `test-prod` does, it is the one that is further from users; what is only like
    /// production, as `non-prod` is, and what says nothing, is none.
    pub fn of(environment: &Name) -> Option<Self> {
        let parts: Vec<&str> = environment.as_str().split('-').collect();
        let known = |part: &str| WORDS.iter().find(|(_, words)| words.contains(&part)).map(|(tier, _)| *tier);
        let ends = [parts.first(), parts.last()].into_iter().flatten();
        let tier = ends.filter_map(|part| known(part)).min()?;
        match tier {
            Self::Prod if parts.contains(&"pre") => Some(Self::Stage),
            Self::Prod if parts.iter().any(|part| UNLIKE.contains(part)) => None,
            tier => Some(tier),
        }
    }

    /// Returns its name, as it stands in addresses and classes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Stage => "stage",
            Self::Qa => "qa",
            Self::Dev => "dev",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(names: &[&str]) -> Vec<Option<&'static str>> {
        names.iter().map(|name| Tier::of(&name.parse().expect("a name")).map(Tier::name)).collect()
    }

    #[test]
    fn prod_is_known_with_and_without_a_region() {
        let of = tiers(&["prod", "prod-eu", "eu-production", "staging", "qa", "qa-2", "dev"]);
        let expected = ["prod", "prod", "prod", "stage", "qa", "qa", "dev"];
        assert_eq!(of, expected.map(Some));
    }

    #[test]
    fn what_says_nothing_is_none_and_what_is_only_like_production_is_not_production() {
        assert_eq!(tiers(&["anna", "products", "eu", "canary"]), [None; 4]);
        assert_eq!(tiers(&["non-prod", "prod-mirror", "prod-like"]), [None; 3]);
        assert_eq!(tiers(&["pre-prod", "test-prod", "prod-qa"]), [Some("stage"), Some("qa"), Some("qa")]);
    }
}
