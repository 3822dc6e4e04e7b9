//! How states are shown: the shapes of the API, apart from those of the state file.

use serde_json::{Value, json};

use crate::{
    machine::{Deployment, Environment, EnvironmentId, Promise, Release},
    text::format_time,
};

pub(super) fn environment(id: &EnvironmentId, state: &Environment) -> Value {
    let deployment = |d: &Deployment| json!({ "number": d.number, "release": release(&d.release), "state": d.state(), "since": format_time(d.since) });
    let stack = |s: &crate::machine::Stack| json!({ "number": s.number, "release": release(&s.release), "since": format_time(s.since), "proven": s.proven });
    json!({
        "environment": id,
        "seq": state.seq(),
        "candidate": state.active().map(deployment),
        "queue": state.queue().iter().map(deployment).collect::<Vec<_>>(),
        "live": state.live().map(stack),
        "standby": state.standby().map(|s| stack(&s.stack)),
        "retiring": state.retiring().iter().map(|r| r.number).collect::<Vec<_>>(),
        "hold": state.hold().map(|h| json!({ "by": h.by, "reason": h.reason, "since": format_time(h.since) })),
        "pin": state.pin(),
        "vetoes": state.vetoes().iter().map(|v| json!({ "release": v.release, "reason": v.reason })).collect::<Vec<_>>(),
        "next": next(state),
    })
}

fn release(release: &Release) -> Value {
    json!({ "number": release.number, "version": release.version, "artifact": release.artifact,
            "commit": release.commit, "link": release.link })
}

/// One sentence: what happens next, and who can change it.
fn next(state: &Environment) -> String {
    if let Some(active) = state.active() {
        let (number, is) = (active.number, active.state());
        return match is {
            crate::machine::DeploymentState::AwaitingApproval => {
                format!("Deployment {number} waits for someone to approve it, or a newer one to take its place.")
            }
            crate::machine::DeploymentState::NeedsOperator => {
                format!("Deployment {number} needs an operator; the history says why. It is still tried.")
            }
            _ => format!("Deployment {number} is {}.", is.to_string().replace('_', " ")),
        };
    }
    if let Some(hold) = state.hold() {
        return format!("Automatic deployments are held by {}: {}. Resume lets them go on.", hold.by, hold.reason);
    }
    match (state.live(), state.standby().map(|s| s.promise)) {
        (None, _) => "Nothing was deployed yet; the first build goes live here.".to_owned(),
        (Some(_), Some(Promise::Until(time))) => {
            format!("The next build is deployed; a rollback is warm until {}.", format_time(time))
        }
        (Some(_), Some(_)) => "The next build is deployed; a rollback is warm.".to_owned(),
        (Some(_), None) => "The next build is deployed; a rollback would be cold.".to_owned(),
    }
}
