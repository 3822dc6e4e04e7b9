//! What a hook is told of the deployment it belongs to: the same for commands, as variables, and for servers, as JSON. Never a
//! secret.

use serde::Serialize;

use crate::reach::Reach;

/// What is known when the hook begins. What is not known, or is of no meaning at its point, is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The pipeline's name.
    pub pipeline: String,
    /// The environment's, within it.
    pub environment: String,
    /// The hook's.
    pub hook: String,
    /// When it runs, as the pipeline file has it.
    pub point: String,
    /// The deployment's number.
    pub deployment: u32,
    /// The release's number.
    pub release: u32,
    /// Version of the release.
    pub version: String,
    /// Where its artifact is.
    pub artifact: String,
    /// The commit it was built from.
    pub commit: String,
    /// What asked for the deployment: `build`, `rule`, `person` or `rollback`.
    pub trigger: String,
    /// The deployment's stack.
    pub stack: String,
    /// Where it serves.
    pub endpoints: Reach,
    /// The host of its first address; empty before that is known.
    pub address: String,
    /// The stack that has the traffic.
    pub live_stack: String,
    /// Where that serves.
    pub live_endpoints: Reach,
    /// Version of its release.
    pub live_version: String,
    /// The stack that is kept warm.
    pub standby_stack: String,
    /// Where that serves.
    pub standby_endpoints: Reach,
    /// Version of its release.
    pub standby_version: String,
    /// The reason why the deployment failed.
    pub reason: String,
}

impl Facts {
    /// Returns the facts as environment variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        // A release may be called anything that fits into a build's announcement, but not into an environment.
        let text = |text: &str| text.replace('\0', "");
        vec![
            ("POINTSMAN_PIPELINE", text(&self.pipeline)),
            ("POINTSMAN_ENVIRONMENT", text(&self.environment)),
            ("POINTSMAN_HOOK", text(&self.hook)),
            ("POINTSMAN_POINT", text(&self.point)),
            ("POINTSMAN_DEPLOYMENT", self.deployment.to_string()),
            ("POINTSMAN_RELEASE", self.release.to_string()),
            ("POINTSMAN_VERSION", text(&self.version)),
            ("POINTSMAN_ARTIFACT", text(&self.artifact)),
            ("POINTSMAN_COMMIT", text(&self.commit)),
            ("POINTSMAN_TRIGGER", text(&self.trigger)),
            ("POINTSMAN_STACK", text(&self.stack)),
            ("POINTSMAN_ENDPOINTS", text(&self.endpoints.to_string())),
            ("POINTSMAN_ADDRESS", text(&self.address)),
            ("POINTSMAN_LIVE_STACK", text(&self.live_stack)),
            ("POINTSMAN_LIVE_ENDPOINTS", text(&self.live_endpoints.to_string())),
            ("POINTSMAN_LIVE_VERSION", text(&self.live_version)),
            ("POINTSMAN_STANDBY_STACK", text(&self.standby_stack)),
            ("POINTSMAN_STANDBY_ENDPOINTS", text(&self.standby_endpoints.to_string())),
            ("POINTSMAN_STANDBY_VERSION", text(&self.standby_version)),
            ("POINTSMAN_REASON", text(&self.reason)),
        ]
    }
}
