//! The tags by which a stack of Heat is known to be ours: whose installation, whose environment, which deployment; and
//! what has to be known of it without its definition. What lacks one of them is not ours. Must not talk to anybody.

use std::time::Duration;

use super::definition::Endpoints;
use crate::machine::{EnvironmentId, Number, StackName};

const OURS: &str = "pointsman";
const INSTALLATION: &str = "pointsman:installation:";
const PIPELINE: &str = "pointsman:pipeline:";
const ENVIRONMENT: &str = "pointsman:environment:";
const DEPLOYMENT: &str = "pointsman:deployment:";
const OUTPUT: &str = "pointsman:output:";
const PORT: &str = "pointsman:port:";
const MINUTES: &str = "pointsman:minutes:";
const ADOPTED: &str = "pointsman:adopted:";

/// The longest tag that Heat takes, in characters.
pub(super) const LONGEST: usize = 80;
/// The longest name of an output that fits into a tag.
pub(super) const LONGEST_OUTPUT: usize = LONGEST - OUTPUT.len();

/// What the tags of a stack say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tagged {
    pub(super) name: StackName,
    pub(super) endpoints: Endpoints,
    /// Heat's own time limit for standing it up.
    pub(super) limit: Duration,
    /// Heat's id of a stack that was there before us, and has a name of its own.
    pub(super) adopted: Option<String>,
}

/// The tags with which everything of an installation is found.
pub(super) fn of_installation(installation: &str) -> String {
    format!("{OURS},{INSTALLATION}{installation}")
}

impl Tagged {
    /// All tags of a stack, as Heat takes them: with commas.
    pub(super) fn tags(&self, installation: &str, more: &[String]) -> String {
        let EnvironmentId { pipeline, environment } = &self.name.environment;
        let mut tags = vec![
            of_installation(installation),
            format!("{PIPELINE}{pipeline}"),
            format!("{ENVIRONMENT}{environment}"),
            format!("{DEPLOYMENT}{}", self.name.number),
            format!("{OUTPUT}{}", self.endpoints.output),
            format!("{MINUTES}{}", minutes(self.limit)),
        ];
        tags.extend(self.endpoints.port.map(|port| format!("{PORT}{port}")));
        tags.extend(self.adopted.as_ref().map(|id| format!("{ADOPTED}{id}")));
        tags.extend_from_slice(more);
        tags.join(",")
    }

    /// Returns the stack that this is, if all tags that make it ours are there, and none twice.
    /// What we made has the name that its tags say; of what we took over the id is in its tags.
    pub(super) fn read(installation: &str, (heat_name, id): (&str, &str), tags: &[String]) -> Option<Self> {
        let one = |prefix: &str| {
            let mut found = tags.iter().filter_map(|tag| tag.strip_prefix(prefix));
            found.next().filter(|_| found.next().is_none())
        };
        if !tags.iter().any(|tag| tag == OURS) || one(INSTALLATION)? != installation {
            return None;
        }
        let environment =
            EnvironmentId { pipeline: one(PIPELINE)?.parse().ok()?, environment: one(ENVIRONMENT)?.parse().ok()? };
        let name = StackName { environment, number: Number(one(DEPLOYMENT)?.parse().ok()?) };
        let adopted =
            if tags.iter().any(|tag| tag.starts_with(ADOPTED)) { Some(one(ADOPTED)?.to_owned()) } else { None };
        let ours = adopted.as_ref().map_or_else(|| name.to_string() == heat_name, |adopted| adopted == id);
        if !ours {
            return None;
        }
        let output = one(OUTPUT)?.to_owned();
        let port = one(PORT).and_then(|port| port.parse().ok());
        let limit = Duration::from_secs(60 * one(MINUTES)?.parse::<u64>().ok()?);
        Some(Self { name, endpoints: Endpoints { output, port }, limit, adopted })
    }
}

/// Returns the tags that are not ours to set.
pub(super) fn theirs(tags: &[String]) -> Vec<String> {
    tags.iter().filter(|tag| *tag != OURS && !tag.starts_with("pointsman:")).cloned().collect()
}

/// Returns installation, environment and deployment of a stack whose tags say that it is a Pointsman's.
pub(super) fn claim(tags: &[String]) -> Option<[String; 3]> {
    let one = |prefix: &str| tags.iter().find_map(|tag| tag.strip_prefix(prefix)).unwrap_or_default().to_owned();
    let claimed = tags.iter().any(|tag| tag == OURS || tag.starts_with("pointsman:"));
    let environment = || format!("{}/{}", one(PIPELINE), one(ENVIRONMENT));
    claimed.then(|| [one(INSTALLATION), environment(), one(DEPLOYMENT)])
}

/// Whether it says that it was there before the Pointsman whose it is.
pub(super) fn was_adopted(tags: &[String]) -> bool {
    tags.iter().any(|tag| tag.starts_with(ADOPTED))
}

/// A time limit as Heat takes it: whole minutes.
pub(super) fn minutes(limit: Duration) -> u64 {
    limit.as_secs().div_ceil(60).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged() -> Tagged {
        let name = StackName { environment: "shop/prod".parse().unwrap(), number: Number(7) };
        let endpoints = Endpoints { output: "address".into(), port: Some(80) };
        Tagged { name, endpoints, limit: Duration::from_secs(1200), adopted: None }
    }

    fn list(tags: &str) -> Vec<String> {
        tags.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let tags = list(&tagged().tags("abc", &["team-a".into()]));
        assert_eq!(Tagged::read("abc", ("shop-prod-7", "id"), &tags), Some(tagged()));
        assert!(tags.contains(&"team-a".to_owned()));
    }

    #[test]
    fn nothing_is_ours_that_lacks_a_tag_or_has_another_name_or_one_twice() {
        let tags = list(&tagged().tags("abc", &[]));
        assert_eq!(Tagged::read("other", ("shop-prod-7", "id"), &tags), None);
        assert_eq!(Tagged::read("abc", ("shop-prod-8", "id"), &tags), None);
        for n in 0..tags.len() {
            let mut fewer = tags.clone();
            let gone = fewer.remove(n);
            let read = Tagged::read("abc", ("shop-prod-7", "id"), &fewer);
            assert!(read.is_none() || gone.starts_with(PORT), "without {gone}");
        }
        for prefix in [INSTALLATION, PIPELINE, ENVIRONMENT, DEPLOYMENT] {
            let mut more = tags.clone();
            more.push(format!("{prefix}8"));
            assert_eq!(Tagged::read("abc", ("shop-prod-7", "id"), &more), None, "{prefix} twice");
        }
    }

    #[test]
    fn what_was_adopted_is_known_by_its_id_whatever_its_name() {
        let adopted = Tagged { adopted: Some("id".into()), ..tagged() };
        let tags = list(&adopted.tags("abc", &["theirs".into()]));
        assert_eq!(Tagged::read("abc", ("reporting42", "id"), &tags), Some(adopted));
        for (name, id) in [("reporting42", "other"), ("shop-prod-7", "other"), ("shop-prod-7", "")] {
            assert_eq!(Tagged::read("abc", (name, id), &tags), None, "a copy of its tags is not it");
        }
        let twice = [tags.clone(), vec![format!("{ADOPTED}id")]].concat();
        assert_eq!(Tagged::read("abc", ("reporting42", "id"), &twice), None);
        assert_eq!(theirs(&tags), ["theirs"]);
        assert_eq!(claim(&tags), Some(["abc".into(), "shop/prod".into(), "7".into()]));
        assert_eq!(claim(&["theirs".into()]), None);
    }

    #[test]
    fn every_tag_fits() {
        let name = "a".repeat(40);
        let environment = format!("{name}/{name}").parse().unwrap();
        let endpoints = Endpoints { output: "o".repeat(LONGEST_OUTPUT), port: Some(65535) };
        let name = StackName { environment, number: Number(u32::MAX) };
        let tags = Tagged { name, endpoints, limit: Duration::from_secs(86400), adopted: Some("f".repeat(36)) }
            .tags(&"f".repeat(32), &[]);
        assert!(list(&tags).iter().all(|tag| tag.len() <= LONGEST));
    }
}
