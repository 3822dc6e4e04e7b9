//! Starting what is live again, one instance after the other. It is recorded here and done by the runner.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State},
};

use super::{App, Problem, act::record_plain, deploy::Recorded, place::Place, requests, responses::Done};
use crate::{
    access::Caller,
    machine::{Ask, EnvironmentId, Number},
};

/// Start what is live again
///
/// Each instance of the live stack is ended and started, and only when it is up and passes the checks is the next one ended. An
/// instance that does not come back ends it: the others are left running. How far it is says `restart` of the environment, and
/// its end is the record `restart_ended`, with the reason where it came to nothing.
#[utoipa::path(
    post, path = "/v1/environments/{pipeline}/{environment}/restart", tag = "acting", params(Place),
    request_body(content = requests::RestartLive, content_type = "application/json"),
    responses(
        (status = 200, description = "It is recorded", body = Done),
        (status = 409, description = "That deployment is not live, users are being moved or a deployment is watched, a restart is going already, there is no such instance, or the stack driver cannot do it", body = super::problem::Told, content_type = "application/problem+json"),
        (status = 428, description = "The body does not name the deployment", body = super::problem::Told, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn restart(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    body: Bytes,
) -> Result<Recorded, Problem> {
    let definition = place.find(&app)?;
    let (id, asked): (_, requests::RestartLive) = (&definition.id, requests::read(&body)?);
    let number = asked.number.ok_or_else(|| Problem::new(428, "name the deployment you mean: {\"number\": N}"))?;
    let (number, reason) = (Number(number), requests::said(asked.reason.as_ref())?);
    if !definition.stack.can_restart {
        let why = format!("stack driver {} cannot restart instances; deploy again", definition.stack.driver);
        let deploy = format!("`pointsman deploy {id} --version VERSION --artifact ARTIFACT`");
        return Err(Problem::new(409, format!("{why}: {deploy}")));
    }
    if let Some(instance) = asked.instance {
        known(&app, id, number, instance)?;
    }
    let command = Ask::Restart { number, instance: asked.instance, at: app.clock.now() }.because(reason);
    record_plain(&app, id, &caller, command).await
}

/// Refuses an instance that the last look did not show. Where nobody has looked, the restart itself tells.
fn known(app: &App, id: &EnvironmentId, number: Number, instance: u32) -> Result<(), Problem> {
    let sight = app.board.sight(id);
    let Some(stack) = sight.stacks.iter().find(|s| s.number == number && !s.reach.addresses().is_empty()) else {
        return Ok(());
    };
    let last = stack.reach.addresses().len() - 1;
    if usize::try_from(instance).is_ok_and(|instance| instance <= last) {
        return Ok(());
    }
    let there = if last == 0 { "only instance 0".to_owned() } else { format!("instances 0 to {last}") };
    let why = format!("deployment {number} of {id} has no instance {instance}, {there}; nothing was started again");
    Err(Problem::new(409, format!("{why} (`pointsman logs {id}`)")))
}
