//! How near an environment is to users, by its name: so that nobody takes prod for qa. For people only; nothing is decided by it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::machine::Name;

/// How near an environment is to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Users are there.
    Prod,
    /// The last rehearsal.
    Stage,
    /// People try releases there.
    Qa,
    /// Anything else.
    Dev,
}

impl Tier {
    /// Returns the tier that the name of an environment tells: by its first part, as in `prod-eu`, or its last, as in
    /// `eu-prod`.
    pub fn of(environment: &Name) -> Self {
        let parts = || environment.as_str().split('-');
        let is = |words: &[&str]| {
            [parts().next(), parts().next_back()].into_iter().flatten().any(|part| words.contains(&part))
        };
        if is(&["prod", "production", "prd", "live"]) {
            Self::Prod
        } else if is(&["stage", "staging", "preprod", "uat", "rehearsal"]) {
            Self::Stage
        } else if is(&["qa", "test", "testing", "int", "integration", "acceptance"]) {
            Self::Qa
        } else {
            Self::Dev
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

    #[test]
    fn prod_is_known_with_and_without_a_region() {
        let tier = |name: &str| Tier::of(&name.parse().expect("a name")).name();
        let of = ["prod", "prod-eu", "eu-production", "staging", "qa", "qa-2", "dev", "anna", "products"].map(tier);
        assert_eq!(of, ["prod", "prod", "prod", "stage", "qa", "qa", "dev", "dev", "dev"]);
    }
}
