//! How states are shown: the shapes of the API, apart from those of the state file. What the journal says is certain;
//! what the board says was seen a moment ago.

use serde_json::{Value, json};

use super::{App, why};
use crate::{
    machine::{Deployment, Ended, EnvironmentId, Number, Promise, Release, Stack},
    runner::Sight,
    text::format_time,
};

pub(super) fn environment(app: &App, id: &EnvironmentId) -> Value {
    let (state, sight) = (app.journal.state(id), app.board.sight(id));
    let deployment = |d: &Deployment| {
        json!({ "number": d.number, "release": release(&d.release), "state": d.state(), "trigger": d.trigger,
            "since": format_time(d.since), "until": why::deadline(d).map(format_time), "stack": seen(&sight, d.number) })
    };
    let stack = |s: &Stack| {
        json!({ "number": s.number, "release": release(&s.release), "since": format_time(s.since),
            "proven": s.proven, "stack": seen(&sight, s.number) })
    };
    let standby = state.standby().map(|s| {
        let mut shown = stack(&s.stack);
        shown["until"] = match s.promise {
            Promise::Until(time) => format_time(time).into(),
            Promise::WhileBaking => "its successor was watched and found good".into(),
            Promise::UntilNext => "the next deployment is live".into(),
        };
        shown
    });
    json!({
        "environment": id,
        "seq": state.seq(),
        "candidate": state.active().map(deployment),
        "queue": state.queue().iter().map(deployment).collect::<Vec<_>>(),
        "live": state.live().map(stack),
        "standby": standby,
        "rollback": why::rollback(&state, &sight),
        "retiring": state.retiring().iter().map(|r| r.number).collect::<Vec<_>>(),
        "hold": state.hold().map(|h| json!({ "by": h.by, "reason": h.reason, "since": format_time(h.since) })),
        "pin": state.pin(),
        "vetoes": state.vetoes().iter().map(|v| json!({ "release": v.release, "reason": v.reason })).collect::<Vec<_>>(),
        "trouble": sight.trouble.iter().map(trouble).collect::<Vec<_>>(),
        "ended": state.ended().iter().map(ended).collect::<Vec<_>>(),
        "next": why::sentence(id, &state, &sight),
    })
}

fn trouble(trouble: &crate::runner::Trouble) -> Value {
    json!({ "step": trouble.step, "why": trouble.why, "since": format_time(trouble.since) })
}

fn ended(ended: &Ended) -> Value {
    json!({ "number": ended.number, "version": ended.release.version, "outcome": ended.outcome,
            "reason": ended.reason, "at": format_time(ended.at) })
}

fn seen(sight: &Sight, number: Number) -> Value {
    let stack = sight.stacks.iter().find(|stack| stack.number == number);
    let open = sight.open.iter().find(|(n, _)| *n == number).map(|(_, open)| open);
    stack.map_or(Value::Null, |s| {
        json!({ "condition": s.condition, "health": s.health, "endpoints": s.endpoints, "remark": s.remark,
            "open_requests": open, "looked": format_time(sight.looked) })
    })
}

fn release(release: &Release) -> Value {
    json!({ "number": release.number, "version": release.version, "artifact": release.artifact,
            "commit": release.commit, "link": release.link })
}
