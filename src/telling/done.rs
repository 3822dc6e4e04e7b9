//! What was done, said to whoever asked for it: what is so now, and the command that goes on from there.

use super::{
    halting,
    names::{named, release},
    steps,
};
use crate::machine::{Deployment, Environment, EnvironmentId, Event, Number};

/// Says what was recorded. `before`: how the environment was when it was asked for.
pub(crate) fn done(id: &EnvironmentId, before: &Environment, event: &Event) -> String {
    let deployment = |number: Number| match before.release_of(number) {
        Some(release) => named(release, number),
        None => format!("deployment {number}"),
    };
    if let Some(said) =
        steps::done(id, before, event, deployment).or_else(|| halting::done(id, before, event, deployment))
    {
        return said;
    }
    match event {
        Event::Accepted { number, release, stranger: true, .. } => format!(
            "stack {number} of {id} ({}) is adopted once it passes its checks, and gets the traffic then; follow it: \
             `pointsman status {id} --watch`",
            release.version
        ),
        Event::Accepted { number, release, plan, .. } => {
            let (name, down) = (named(release, *number), halting::price(before, plan));
            format!("{name} is queued in {id}{}{down}; follow it: `pointsman status {id} --watch`", superseded(before))
        }
        Event::Approved { number, .. } => {
            format!("{} is approved in {id}; follow it: `pointsman status {id} --watch`", deployment(*number))
        }
        Event::Ended { number, .. } => format!("{} is aborted in {id}; what is live stays", deployment(*number)),
        Event::RevertOrdered { number, .. } => {
            format!("{} is being aborted in {id}: the front is sent back to what was live", deployment(*number))
        }
        Event::RollbackRequested { number, .. } => {
            let to = before.standby().map_or("what was before".to_owned(), |s| named(&s.stack.release, s.stack.number));
            format!(
                "{} is being rolled back in {id}: {to} gets the traffic{}; automatic deployments are held until \
                 `pointsman resume {id}`",
                deployment(*number),
                cleared(before)
            )
        }
        Event::ColdRollbackQueued { number, by, release, .. } => format!(
            "{} is being rolled back in {id}: {} is stood up again{}; follow it: `pointsman status {id} --watch`",
            deployment(*number),
            named(release, *by),
            cleared(before)
        ),
        Event::Held { reason } => format!(
            "automatic deployments are held in {id} ({reason}); people can still deploy; `pointsman resume {id}` ends it"
        ),
        Event::Resumed { .. } => format!("automatic deployments go on in {id}"),
        Event::Pinned { release: number, .. } => format!(
            "{id} is pinned to {}: no other release is deployed; `pointsman pin {id} --lift` ends it",
            release(before, *number)
        ),
        Event::Unpinned { .. } => format!("{id} is no longer pinned: any release may be deployed"),
        Event::Vetoed { release: number, .. } => vetoed(id, before, *number),
        Event::Unvetoed { release: number, .. } => {
            format!("the veto of {} in {id} is lifted: it may be deployed again", release(before, *number))
        }
        Event::RestartAsked { number, instance, .. } => {
            let what = match instance {
                Some(instance) => format!("instance {instance}"),
                None => "each instance, one after the other,".to_owned(),
            };
            format!(
                "{what} of {} in {id} is started again; `pointsman status {id}` shows how far it is",
                deployment(*number)
            )
        }
        Event::StrangerDismissed { number, .. } => format!(
            "stack {number} of {id} is being ended: it is torn down once a look shows that the front does not send users to it; \
             `pointsman stack list {id}` shows it"
        ),
        _ => format!("recorded in {id}; `pointsman history {id}` shows it"),
    }
}

fn vetoed(id: &EnvironmentId, before: &Environment, number: u32) -> String {
    let name = release(before, number);
    let live = before.live().is_some_and(|live| live.release.number == number);
    let of = |d: &&Deployment| d.release.number == number && d.phase.before_cutover();
    let ended = before.active().into_iter().chain(before.queue()).find(of);
    let what = match (live, ended) {
        (true, _) => format!("it is live and stays so; `pointsman rollback {id}` takes it back"),
        (false, Some(d)) => format!("deployment {} of it is aborted", d.number),
        (false, None) => "it is not deployed any more".to_owned(),
    };
    format!("{name} is vetoed in {id}: {what}; `pointsman veto {id} --release {number} --lift` ends it")
}

/// What a rollback aborts, which has not reached its cutover.
pub(crate) fn cleared(before: &Environment) -> String {
    let Some(active) = before.active().filter(|d| d.phase.before_cutover()) else { return String::new() };
    let waited = if active.gate().is_some() { ", which waited for approval," } else { "" };
    format!(", and {}{waited} is aborted", named(&active.release, active.number))
}

/// What a new build takes the place of.
fn superseded(before: &Environment) -> String {
    use crate::machine::Trigger;
    let older = before.queue().iter().find(|d| d.trigger != Trigger::Rollback);
    older.map(|d| format!(", in the place of {}", named(&d.release, d.number))).unwrap_or_default()
}
