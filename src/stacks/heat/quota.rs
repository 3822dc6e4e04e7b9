//! Whether the project has room for one more stack, as far as that can be known before it is made: servers, cores and
//! memory, by Nova's limits. An aid: what cannot be asked stands in nobody's way, and Heat has the last word.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::{
    Heat,
    client::{COMPUTE, LOOK, Question},
    definition::Definition,
    template::Flavor,
};
use crate::stacks::StepError;

/// What there is one limit each for: what it is called, its limit, how much is used, and what a flavour has of it.
const KINDS: [(&str, &str, &str, Option<&str>); 3] = [
    ("servers", "maxTotalInstances", "totalInstancesUsed", None),
    ("cores", "maxTotalCores", "totalCoresUsed", Some("vcpus")),
    ("MB of memory", "maxTotalRAMSize", "totalRAMUsed", Some("ram")),
];

impl Heat {
    /// Refuses what would not fit. Whether that could be told.
    pub(super) async fn fits(
        &self,
        definition: &Definition,
        parameters: &BTreeMap<String, String>,
    ) -> Result<bool, StepError> {
        if definition.known.servers.is_empty() {
            return Ok(false);
        }
        let Some(limits) = self.compute(&["limits"]).await else { return Ok(false) };
        let limits = &limits["limits"]["absolute"];
        let limited = |key: &str| limits[key].as_i64().filter(|limit| *limit >= 0);
        let by_flavor = KINDS.iter().any(|(_, limit, _, of)| of.is_some() && limited(limit).is_some());
        let flavors = if by_flavor { self.compute(&["flavors", "detail"]).await } else { None };
        for (what, limit, used, of) in KINDS {
            let (Some(limit), Some(used)) = (limited(limit), limits[used].as_i64()) else { continue };
            let needed = match of {
                None => i64::try_from(definition.known.servers.len()).ok(),
                Some(key) => sum(definition, parameters, flavors.as_ref(), key),
            };
            if let Some(needed) = needed.filter(|needed| used + needed > limit) {
                return Err(self.full(&format!(
                    "the new stack would not fit: it needs {needed} {what}, and the project has {used} of {limit} in use"
                )));
            }
        }
        Ok(true)
    }

    /// Final, unless something of ours is about to make room.
    fn full(&self, why: &str) -> StepError {
        if self.is_making_room() {
            return StepError::Unavailable(format!("{why}; stacks that are being deleted may make room"));
        }
        StepError::Refused(format!("{why}. Tear something down or have the quota raised, and deploy again"))
    }

    async fn compute(&self, path: &[&str]) -> Option<Value> {
        let question = Question { service: COMPUTE, method: Method::GET, path, query: &[], body: None, limit: LOOK };
        self.client.ask(&question).await.ok().map(|answer| answer.body)
    }
}

/// What all servers have of something together; nothing when one's flavour is not known.
fn sum(
    definition: &Definition,
    parameters: &BTreeMap<String, String>,
    flavors: Option<&Value>,
    key: &str,
) -> Option<i64> {
    let list = flavors?["flavors"].as_array()?;
    let of = |flavor: &Flavor| {
        let name = match flavor {
            Flavor::Named(name) => Some(name),
            Flavor::Parameter(parameter, default) => parameters.get(parameter).or(default.as_ref()),
            Flavor::Unknown => None,
        }?;
        let found = list.iter().find(|f| f["name"].as_str() == Some(name) || f["id"].as_str() == Some(name))?;
        found[key].as_i64()
    };
    definition.known.servers.iter().map(of).sum()
}
