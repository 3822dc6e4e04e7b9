//! Why a command is refused, for everybody who asks. The command that helps is added by `telling`.

use std::sync::Arc;

use super::{deployment_state::DeploymentState, ids::Number, state::Deployment};

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was granted before: the same deployment answers.
    #[error("this build was accepted before, as deployment {0}")]
    Duplicate(Number),
    /// Its name was used before, for something else.
    #[error("this delivery was used before for another build, deployment {0}; give each build a name of its own")]
    OtherContent(Number),
    /// A newer build was accepted before.
    #[error(
        "build {build_number} is older than build {newest}, which was accepted before; deploy it by hand if it is wanted"
    )]
    Stale {
        /// The build announced.
        build_number: u64,
        /// The newest so far.
        newest: u64,
    },
    /// No such deployment is under way.
    #[error("deployment {number} is not under way{}", ended.map(|s| format!(": it is {s}")).unwrap_or_default())]
    NotUnderWay {
        /// Number of the deployment.
        number: Number,
        /// How it ended, if it is remembered.
        ended: Option<DeploymentState>,
    },
    /// It is not in a state in which that can be done.
    #[error("deployment {number} is {state}: {hint}")]
    WrongState {
        /// Number of the deployment.
        number: Number,
        /// Its state.
        state: DeploymentState,
        /// Advice on what to do instead.
        hint: &'static str,
    },
    /// The deployment named is not live.
    #[error("deployment {number} is not live{}; look again before you confirm", match live { Some(n) => format!(", {n} is"), None => String::new() })]
    NotLive {
        /// The one named.
        number: Number,
        /// The one that is.
        live: Option<Number>,
    },
    /// The front cannot show the maintenance page.
    #[error("the front cannot show a maintenance page")]
    NoPage,
    /// There is nothing to go back to.
    #[error("there is no earlier release that was found good; deploy one instead")]
    NothingToGoBackTo,
    /// The release is banned.
    #[error("release {0} is vetoed: {1}; lift the veto first")]
    Vetoed(u32, Arc<str>),
    /// Others were named to answer.
    #[error("{by} may not approve this; it is for {may} to say")]
    NotTheirs {
        /// Who tried.
        by: Arc<str>,
        /// Who may.
        may: String,
    },
    /// Whoever asks does not answer.
    #[error("{0} asked for this deployment; someone else has to approve it")]
    SelfApproval(Arc<str>),
    /// Whether a stack that is there has the traffic is a question only where nothing else has it, or will.
    #[error("a stack is adopted only where nothing is live, queued, under way or being torn down; deployment {0} is")]
    NotTheFirst(Number),
    /// There is nothing to stand it up from.
    #[error("release {0} was adopted with its stack and cannot be stood up again; deploy a build instead")]
    WasAdopted(u32),
    /// Only a stack that the journal does not know is ended or adopted by its number.
    #[error("stack {number} {what}; only a stack that is not in the journal is ended or adopted by its number")]
    NotAStranger {
        /// The one named.
        number: Number,
        /// Words for what it is instead.
        what: &'static str,
    },
    /// A stranger is adopted while nothing else goes on.
    #[error("stack {number} is not adopted while deployment {other} {is}; ask again when that is over")]
    Occupied {
        /// The stack named.
        number: Number,
        /// Deployment that is in the way.
        other: Number,
        /// How that is.
        is: &'static str,
    },
    /// One restart at a time.
    #[error("stack {0} is being started again already")]
    Restarting(Number),
    /// It is so already.
    #[error("{0}")]
    Already(&'static str),
}

/// Returns the refusal of what the state of a deployment does not allow.
pub(super) fn refused(deployment: &Deployment, hint: &'static str) -> Refusal {
    Refusal::WrongState { number: deployment.number, state: deployment.state(), hint }
}
