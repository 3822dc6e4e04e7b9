//! The tags by which a thing of AWS is known to be ours: whose installation, whose environment, which deployment. What lacks one of
//! them is not ours. Must not change anything.

use super::{Account, Failure, Kind, Turn};
use crate::machine::{EnvironmentId, Number, StackName};

const INSTALLATION: &str = "pointsman:installation";
const PIPELINE: &str = "pointsman:pipeline";
const ENVIRONMENT: &str = "pointsman:environment";
const DEPLOYMENT: &str = "pointsman:deployment";
const HOME: &str = "pointsman:home";

/// Things whose tags one answer tells (DescribeTags).
const TAGGED: usize = 20;

/// A tag: key and value.
pub(crate) type Tag = (String, String);

/// Whose a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The installation that made it.
    pub(crate) installation: String,
    /// Where the stack is: the driver and its cluster. Target groups lie beside all clusters of a region.
    pub(crate) home: String,
    /// The stack that it belongs to.
    pub(crate) stack: StackName,
}

impl Owner {
    /// All tags of such a thing.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let StackName { environment, number } = &self.stack;
        [
            (INSTALLATION, self.installation.clone()),
            (PIPELINE, environment.pipeline.to_string()),
            (ENVIRONMENT, environment.environment.to_string()),
            (DEPLOYMENT, number.to_string()),
            (HOME, self.home.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Whose a thing with these tags is; `None`: not a Pointsman's.
    pub(crate) fn read<'t>(tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> Option<Self> {
        let [mut installation, mut pipeline, mut environment, mut deployment, mut home] = [None; 5];
        for (key, value) in tags {
            match key {
                INSTALLATION => installation = Some(value),
                PIPELINE => pipeline = Some(value),
                ENVIRONMENT => environment = Some(value),
                DEPLOYMENT => deployment = Some(value),
                HOME => home = Some(value),
                _ => {}
            }
        }
        let environment = EnvironmentId { pipeline: pipeline?.parse().ok()?, environment: environment?.parse().ok()? };
        let stack = StackName { environment, number: Number(deployment?.parse().ok()?) };
        Some(Self { installation: installation?.to_owned(), home: home?.to_owned(), stack })
    }
}

impl Account {
    /// Whose each of these things of Elastic Load Balancing is, by its ARN.
    pub(crate) async fn owners(&self, arns: &[String], turn: Turn) -> Result<Vec<(String, Option<Owner>)>, Failure> {
        let mut owners = Vec::new();
        for some in arns.chunks(TAGGED) {
            let call = ("DescribeTags", Kind::ElbLook, turn);
            let answer =
                self.elb(call, |elb| elb.describe_tags().set_resource_arns(Some(some.to_vec())).send()).await?;
            for described in answer.tag_descriptions() {
                let tags = described.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
                owners.extend(described.resource_arn().map(|arn| (arn.to_owned(), Owner::read(tags))));
            }
        }
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tagged_is_known_again_and_what_lacks_a_tag_is_not() {
        let stack = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(7) };
        let owner = Owner { installation: "ab12".to_owned(), home: "ecs/prod".to_owned(), stack };
        let tags = owner.tags();
        let pairs = || tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        assert_eq!(Owner::read(pairs()), Some(owner.clone()));
        for left_out in 0..tags.len() {
            let rest = pairs().enumerate().filter(|(at, _)| *at != left_out).map(|(_, tag)| tag);
            assert_eq!(Owner::read(rest), None, "{left_out}");
        }
    }
}
