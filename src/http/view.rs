//! How states are shown. What the journal says is certain; what the board says was seen a moment ago.

use super::{
    App,
    responses::{
        Candidate, Counted, Down, Ended, Environment, Front, Gate, GateName, Hold, Hook, HookState, InSteps, Otherwise,
        PlannedHook, Preview, Provider, Release, Restart, Restarts, RunningHook, Seen, SeenSplit, Side, Stack, Standby,
        StepPause, Straying, Taken, TrafficStep, Trouble, Veto,
    },
};
use crate::{
    machine::{self, Deployment, Number, Promise, Traffic},
    pipelines::EnvironmentDefinition,
    runner::{self, Sight},
    telling,
    text::{format_duration, format_time},
};

pub(super) fn environment(app: &App, definition: &EnvironmentDefinition) -> Environment {
    state(app, definition, &app.journal.state(&definition.id))
}

/// Shows that state, with what is known of the world now.
pub(super) fn state(app: &App, definition: &EnvironmentDefinition, state: &machine::Environment) -> Environment {
    let (id, now, fresh) = (&definition.id, app.clock.now(), definition.fresh_for());
    let sight = &app.board.sight(id);
    let seen = sight.outlook_at(now, fresh);
    let waits = telling::waits(state);
    Environment {
        environment: id.to_string(),
        seq: state.seq().0,
        candidate: state.active().map(|d| deployment(d, sight)),
        queue: state.queue().iter().map(|d| deployment(d, sight)).collect(),
        live: state.live().map(|s| stack(s, sight)),
        down: state.down().map(down),
        restart: state.restart().map(|r| restart(r, sight)),
        straying: state.straying().filter(|s| s.in_a_row > 0).map(straying),
        needs_operator: state.needs_operator(),
        standby: state.standby().map(|s| standby(s, sight)),
        rollback: telling::rollback(state, &seen),
        last_downtime: state.last_downtime().map(|took| took.0),
        one_way: telling::one_way(state),
        hooks: running(state),
        strangers: telling::unknown(state, &seen).map(|number| number.0).collect(),
        retiring: state.retiring().iter().map(|r| r.number.0).collect(),
        hold: state.hold().map(hold),
        maintenance: state.maintenance().map(maintenance),
        pages: telling::pages(id, state),
        pin: state.pin(),
        pin_version: state.pin().and_then(|pin| telling::version(state, pin)).map(str::to_owned),
        vetoes: state.vetoes().iter().map(|v| veto(v, state)).collect(),
        trouble: of_the_front(sight).chain(sight.trouble.iter().map(trouble)).collect(),
        ended: state.ended().iter().map(ended).collect(),
        last_failure: telling::last_failure(state).map(ended),
        tier: definition.tier(),
        light: telling::light(state, &seen),
        needs: telling::needs(state, &seen),
        front: front(definition, sight, &seen),
        provider: provider(definition, sight, &seen),
        rollback_to: telling::way_back(state, &seen).map(|back| release(&back.release)),
        next: telling::sentence(id, state, &seen),
        situation: telling::situation(id, state, &seen),
        waits_for: waits.what,
        until: waits.until.map(format_time),
        who: waits.who,
    }
}

fn front(definition: &EnvironmentDefinition, sight: &Sight, seen: &telling::Outlook<'_>) -> Front {
    Front {
        driver: definition.front.driver.clone(),
        shows: sight.traffic.and_then(Traffic::base).map(|number| number.0),
        split: sight.traffic.and_then(|traffic| match traffic {
            Traffic::Split { candidate, share, .. } => Some(SeenSplit { number: candidate.0, share: share.percent() }),
            Traffic::Nobody | Traffic::Whole(_) => None,
        }),
        silent: seen.front_silent.map(str::to_owned).or_else(|| late(seen)),
        looked: sight.seen.front.map(format_time),
        counted: counted(sight),
        not_counted: match sight.counted {
            runner::Counted::Not(why) => Some(why.to_owned()),
            runner::Counted::Unknown | runner::Counted::Since { .. } => None,
        },
        preview: sight.preview.as_ref().map(|shown| Preview {
            address: shown.address.clone(),
            header: shown.header.clone(),
            host: shown.host.clone(),
            from: shown.from.clone(),
        }),
    }
}

/// Returns the counts of the front.
pub(super) fn counted(sight: &Sight) -> Option<Counted> {
    let runner::Counted::Since { at, cutover, sides } = &sight.counted else { return None };
    let side = |(number, requests, failed): &(Number, u64, u64)| Side {
        number: number.0,
        requests: *requests,
        failed: *failed,
    };
    Some(Counted { since: format_time(*at), cutover: *cutover, sides: sides.iter().map(side).collect() })
}

/// Why nothing that was seen is known to be so any more.
fn late(seen: &telling::Outlook<'_>) -> Option<String> {
    match seen.blind()? {
        telling::Blind::Stale(ago) => Some(format!("nobody could look for {}", format_duration(ago))),
        telling::Blind::Never | telling::Blind::Front(_) | telling::Blind::Provider(_) => None,
    }
}

fn provider(definition: &EnvironmentDefinition, sight: &Sight, seen: &telling::Outlook<'_>) -> Provider {
    Provider {
        driver: definition.stack.driver.clone(),
        silent: seen.stacks_silent.map(str::to_owned).or_else(|| late(seen)),
        looked: sight.seen.stacks.map(format_time),
    }
}

fn deployment(d: &Deployment, sight: &Sight) -> Candidate {
    Candidate {
        number: d.number.0,
        release: release(&d.release),
        state: d.state(),
        trigger: d.trigger,
        asked_by: d.asked_by.to_string(),
        since: format_time(d.since),
        until: d.deadline().map(format_time),
        gate: d.gate().zip(d.question()).map(|(name, question)| gate(name, question, Some(&d.asked_by))),
        traffic: in_steps(d, sight),
        hooks: hooks(d),
        stack: seen(sight, d.number),
    }
}

/// How a deployment gets its users in steps, as ordered and as seen.
fn in_steps(d: &Deployment, sight: &Sight) -> Option<InSteps> {
    if d.plan.steps.is_empty() {
        return None;
    }
    let seen = sight.traffic.map(|traffic| match traffic {
        Traffic::Split { candidate, share, .. } if candidate == d.number => share.percent(),
        Traffic::Whole(number) if number == d.number => 100,
        Traffic::Split { .. } | Traffic::Whole(_) | Traffic::Nobody => 0,
    });
    let step = |step: &machine::Step| TrafficStep {
        share: step.share.percent(),
        bake: format_duration(step.bake),
        pause: step.pause.is_some(),
    };
    let pause = d
        .pause()
        .map(|pause| StepPause { until: format_time(pause.until()), otherwise: otherwise(pause.gate.otherwise) });
    let (ordered, way_back_waits) = (d.ordered_share(), d.way_back_waits());
    Some(InSteps { ordered, seen, steps: d.plan.steps.iter().map(step).collect(), pause, way_back_waits })
}

pub(super) fn hook(hook: &machine::Hook) -> PlannedHook {
    PlannedHook { name: hook.name.to_string(), at: hook.at.as_str(), one_way: hook.one_way }
}

/// The hooks of a deployment on its way; those that run when it is done with are not its own any more.
fn hooks(d: &Deployment) -> Vec<Hook> {
    let own = d.plan.hooks.iter().enumerate().filter(|(_, hook)| !hook.at.is_after_the_end());
    let state = |place: usize| match d.progress.done {
        done if place + 1 == done && d.progress.failed.is_some() => HookState::Failed,
        done if place < done => HookState::Passed,
        done if place == done && d.progress.ordered => HookState::Running,
        _ => HookState::Waiting,
    };
    own.map(|(place, planned)| Hook { hook: hook(planned), state: state(place) }).collect()
}

fn running(state: &machine::Environment) -> Vec<RunningHook> {
    let since = |number| {
        let active = state.active().filter(|d| d.number == number).map(|d| d.progress.since);
        active.or_else(|| state.retiring().iter().find(|r| r.number == number).map(|r| r.progress.since))
    };
    let one = |(number, ordered): (Number, &machine::Hook)| {
        let since = since(number)?;
        let until = format_time(since.plus(ordered.within));
        Some(RunningHook { hook: hook(ordered), number: number.0, since: format_time(since), until })
    };
    state.hooks_ordered().filter_map(one).collect()
}

/// A question, and whom it is put to when `asker` asked for the deployment.
pub(super) fn gate(name: machine::GateName, gate: &machine::Gate, asker: Option<&str>) -> Gate {
    Gate {
        name: name.into(),
        by: gate.by.iter().map(ToString::to_string).collect(),
        not: asker.filter(|asker| gate.not_the_asker && !asker.is_empty()).map(str::to_owned),
        within: format_duration(gate.timeout),
        otherwise: otherwise(gate.otherwise),
    }
}

fn otherwise(otherwise: machine::Otherwise) -> Otherwise {
    match otherwise {
        machine::Otherwise::Approve => Otherwise::Approve,
        machine::Otherwise::Abort => Otherwise::Abort,
    }
}

impl From<machine::GateName> for GateName {
    fn from(name: machine::GateName) -> Self {
        match name {
            machine::GateName::BeforeProvisioning => Self::BeforeProvisioning,
            machine::GateName::BeforeCutover => Self::BeforeCutover,
        }
    }
}

impl From<GateName> for machine::GateName {
    fn from(name: GateName) -> Self {
        match name {
            GateName::BeforeProvisioning => Self::BeforeProvisioning,
            GateName::BeforeCutover => Self::BeforeCutover,
        }
    }
}

fn stack(s: &machine::Stack, sight: &Sight) -> Stack {
    Stack {
        number: s.number.0,
        release: release(&s.release),
        since: format_time(s.since),
        proven: s.proven,
        stack: seen(sight, s.number),
    }
}

fn down(down: &machine::Down) -> Down {
    let (since, operator_needed) = (format_time(down.since), down.operator_needed);
    Down { since, reason: down.reason.to_string(), operator_needed }
}

fn restart(restart: &machine::Restart, sight: &Sight) -> Restart {
    let far = sight.restarted.filter(|(order, ..)| *order == restart.order);
    Restart {
        number: restart.number.0,
        instance: restart.instance,
        order: restart.order,
        since: format_time(restart.since),
        back: far.map(|(_, back, _)| back),
        of: far.map(|(.., of)| of),
    }
}

fn straying(straying: &machine::Straying) -> Straying {
    Straying {
        since: format_time(straying.began),
        times: straying.in_a_row,
        shown: straying.shown.to_string(),
        mended_from: format_time(straying.mended_from()),
        operator_needed: straying.operator_needed,
    }
}

fn standby(standby: &machine::Standby, sight: &Sight) -> Standby {
    let taken = standby.taken.as_ref().map(|taken| Taken {
        at: format_time(taken.at),
        down_since: format_time(taken.down_since),
        reason: taken.reason.to_string(),
    });
    let (stack, until) = (stack(&standby.stack, sight), until(standby.promise));
    Standby { stack, until, suspect: standby.suspect, taken }
}

fn until(promise: Promise) -> String {
    match promise {
        Promise::Until(time) => format_time(time),
        Promise::WhileBaking => "its successor was watched and found good".into(),
        Promise::UntilNext => "the next deployment is live".into(),
    }
}

fn hold(hold: &machine::Hold) -> Hold {
    Hold { by: hold.by.to_string(), reason: hold.reason.to_string(), since: format_time(hold.since) }
}

fn maintenance(on: &machine::Maintenance) -> Hold {
    Hold { by: on.by.to_string(), reason: on.reason.to_string(), since: format_time(on.since) }
}

fn veto(veto: &machine::Veto, state: &machine::Environment) -> Veto {
    let version = telling::version(state, veto.release).map(str::to_owned);
    Veto { release: veto.release, version, reason: veto.reason.to_string() }
}

fn trouble(trouble: &crate::runner::Trouble) -> Trouble {
    Trouble { step: trouble.step.clone(), why: trouble.why.clone(), since: format_time(trouble.since) }
}

/// What is wrong with the front stands in the way of nothing, so it comes before what does.
fn of_the_front(sight: &Sight) -> impl Iterator<Item = Trouble> {
    sight.front.iter().map(|concern| {
        let said = telling::front(&concern.what, sight.looked);
        Trouble { step: said.step.to_owned(), why: said.why(), since: format_time(concern.since) }
    })
}

fn ended(ended: &machine::Ended) -> Ended {
    Ended {
        number: ended.number.0,
        version: ended.release.version.to_string(),
        outcome: ended.outcome,
        reason: ended.reason.to_string(),
        at: format_time(ended.at),
    }
}

fn seen(sight: &Sight, number: Number) -> Option<Seen> {
    let stack = sight.stacks.iter().find(|stack| stack.number == number)?;
    Some(Seen {
        condition: stack.condition,
        health: stack.health,
        endpoints: stack.reach.words(),
        remark: stack.remark.clone(),
        restarts: stack.ends.as_ref().map(|ends| Restarts { count: ends.count, last: ends.last.clone() }),
        open_requests: sight.open.iter().find(|(n, _)| *n == number).map(|(_, open)| *open),
        looked: format_time(sight.seen.stacks?),
    })
}

pub(super) fn release(release: &machine::Release) -> Release {
    Release {
        number: release.number,
        version: release.version.to_string(),
        artifact: release.artifact.to_string(),
        commit: release.commit.as_deref().map(str::to_owned),
        link: release.link.as_deref().map(str::to_owned),
        adopts: release.adopts.as_ref().map(|adopts| adopts.stack.to_string()),
    }
}
