//! What the command line reads of the controller's answers: each field that a decision or an exit code rests on must be
//! there and be of its kind, or the answer is none. What is only shown is taken from the answer as it was sent.

use serde::{Deserialize, Deserializer};

use super::client::Answer;
use crate::machine::EnvironmentId;

/// Reads a field that may be null but must be there.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// What has a number: a deployment, a release.
#[derive(Debug, Deserialize)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
}

/// A deployment on its way.
#[derive(Debug, Deserialize)]
pub struct Candidate {
    /// Its number.
    pub number: u64,
    /// Its state.
    pub state: String,
    /// How its users come to it in steps.
    #[serde(deserialize_with = "nullable")]
    pub traffic: Option<InSteps>,
}

impl Candidate {
    /// Whether it has a share of the users, or may have.
    pub fn has_a_share(&self) -> bool {
        let ordered = self.traffic.as_ref().is_some_and(|traffic| traffic.ordered > 0);
        ordered && matches!(&*self.state, "shifting" | "cutting_over" | "needs_operator")
    }
}

/// How a deployment gets its users in steps.
#[derive(Debug, Deserialize)]
pub struct InSteps {
    /// The part of 100 users that it was ordered to have.
    pub ordered: u8,
}

/// An environment.
#[derive(Debug, Deserialize)]
pub struct Environment {
    /// Its address.
    pub environment: EnvironmentId,
    /// The deployment whose stack has the traffic.
    #[serde(deserialize_with = "nullable")]
    pub live: Option<Numbered>,
    /// The deployment whose turn it is.
    #[serde(deserialize_with = "nullable")]
    pub candidate: Option<Candidate>,
    /// Deployments that wait for their turn.
    pub queue: Vec<Numbered>,
    /// One-way doors: what going back would not undo.
    pub one_way: Vec<String>,
    /// What it waits for, in one sentence.
    pub next: String,
    /// How far what is live is started again.
    #[serde(deserialize_with = "nullable")]
    pub restart: Option<Restart>,
}

/// How far a restart is.
#[derive(Debug, Deserialize)]
pub struct Restart {
    /// The number of its order.
    pub order: u64,
    /// How many instances are back.
    #[serde(deserialize_with = "nullable")]
    pub back: Option<u64>,
    /// How many it is for.
    #[serde(deserialize_with = "nullable")]
    pub of: Option<u64>,
}

/// All environments, in the order of promotion within each pipeline.
#[derive(Debug, Deserialize)]
pub(super) struct Environments {
    /// Environments that the caller may see.
    pub environments: Vec<Environment>,
}

/// How far a deployment is.
#[derive(Debug, Deserialize)]
pub(super) struct Deployment {
    /// Its number.
    #[expect(dead_code, reason = "an answer without it is none")]
    pub number: u64,
    /// Its state.
    pub state: String,
    /// It changes no more by itself.
    pub r#final: bool,
    /// The reason why it ended.
    #[expect(dead_code, reason = "an answer without it is none")]
    #[serde(deserialize_with = "nullable")]
    pub reason: Option<String>,
    /// Until when it keeps its share of the users, unless somebody lets it go on.
    #[serde(deserialize_with = "nullable")]
    pub paused_until: Option<String>,
}

/// The deployments of an environment, which are shown as they were sent.
#[derive(Debug, Deserialize)]
pub(super) struct Deployments {
    /// Oldest first.
    pub deployments: Vec<serde_json::Value>,
}

/// Records of one environment or of all.
#[derive(Debug, Deserialize)]
pub(super) struct History {
    /// Oldest first.
    pub records: Vec<Record>,
}

/// One record, as far as all kinds have it.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    /// Its place in the state file.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Name of whoever asked.
    pub by: String,
    /// Event that was recorded.
    pub event: Event,
}

/// An event, of a kind that this program may not know.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// Its kind.
    pub kind: String,
    /// The deployment that it is about, if it is about one.
    pub number: Option<u64>,
    /// The number of the order, if it is about a restart.
    pub order: Option<u64>,
    /// The reason, where it has one.
    pub reason: Option<String>,
}

/// Changes that a promotion would make.
#[derive(Debug, Deserialize)]
pub(super) struct Changes {
    /// Where it would go live.
    #[expect(dead_code, reason = "an answer without it is none")]
    pub environment: EnvironmentId,
    /// A promotion would be accepted.
    pub promotable: bool,
    /// The release that would come.
    #[serde(deserialize_with = "nullable")]
    pub to: Option<Numbered>,
    /// The reason why not, or a note about it.
    #[serde(deserialize_with = "nullable")]
    #[expect(dead_code, reason = "an answer without it is none")]
    pub why: Option<String>,
}

/// What instances wrote, and what is to be known about it.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Entry {
    /// The stack of the lines that follow.
    Stack {
        /// Its number.
        stack: u64,
        /// The part that it has.
        #[serde(deserialize_with = "nullable")]
        of: Option<String>,
        /// Its version, as far as it is remembered.
        #[serde(deserialize_with = "nullable")]
        version: Option<String>,
    },
    /// A line.
    Line {
        /// The instance that wrote it.
        instance: u64,
        /// Its output or its errors.
        stream: String,
        /// The text.
        text: String,
    },
    /// An instance was started again.
    Started {
        /// Its number.
        instance: u64,
    },
    /// Lines were removed before they could be read.
    Missed {},
    /// The stack is gone.
    Ended {
        /// Its number.
        stack: u64,
    },
    /// The hook of the lines that follow.
    Hook {
        /// The deployment for which it ran.
        deployment: u64,
        /// Its name.
        hook: String,
    },
    /// A line of a hook.
    HookLine {
        /// The text.
        text: String,
    },
    /// Lines of the hook were removed before they could be read.
    HookMissed {},
    /// The hook is over.
    HookEnded {
        /// Its name.
        hook: String,
        /// The reason, if it failed.
        #[serde(deserialize_with = "nullable")]
        failed: Option<String>,
    },
    /// A later controller says more.
    #[serde(other)]
    Other,
}

/// What was recorded: a deployment that is on its way.
#[derive(Debug, Deserialize)]
pub struct Accepted {
    /// The deployment, as `pipeline/environment/number`.
    pub deployment: String,
    /// Its number.
    pub number: u64,
    /// Its state.
    pub state: String,
}

impl Answer<Accepted> {
    /// Returns what to follow, and the answer as it is shown.
    pub fn deployment(&self) -> (&str, &serde_json::Value) {
        (&self.body.deployment, &self.json)
    }
}

/// What was recorded, and is done by that.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    /// Environment that it is about.
    pub environment: EnvironmentId,
    /// Event that was recorded.
    pub event: Event,
}

/// Records, in either form.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Recorded {
    /// A deployment is on its way.
    Accepted(Accepted),
    /// It is done.
    #[expect(dead_code, reason = "that it can be read is what counts")]
    Done(Done),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_may_be_null_must_still_be_there() {
        let whole =
            serde_json::json!({ "number": 1, "state": "failed", "final": true, "reason": null, "paused_until": null });
        serde_json::from_value::<Deployment>(whole.clone()).expect("whole");
        for name in ["number", "state", "final", "reason", "paused_until"] {
            let mut part = whole.clone();
            part.as_object_mut().expect("an object").remove(name);
            assert!(serde_json::from_value::<Deployment>(part).is_err(), "{name}");
        }
        for other in ["{}", "[]", "null", "\"done\"", "{\"environment\": \"shop/qa\"}", "{\"deployment\": \"a/b/1\"}"] {
            assert!(serde_json::from_str::<Recorded>(other).is_err(), "{other}");
        }
    }
}
