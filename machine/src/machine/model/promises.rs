//! The promises, and what they rest on, as properties of every state.

use super::{
    alive::{is_fought_over, rest},
    canon::{Core, id},
    config::Config,
    restarts::judge_restart,
    source,
    ways::Way,
    world::{Id, Look, Request, STRANGER, UNKNOWN, World},
};
use crate::machine::{
    Condition, Deployment, DeploymentState, Environment, Event, Health, HookPoint, Key, Number, Otherwise, Outcome,
    Phase, Trigger,
};

/// A promise that is judged when something happens, not by looking at a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Promise {
    HealthNotFresh,
    NotYetLive,
    LiveTornDown,
    StandbyTornDown,
    RequestKilled,
    ActedTwice,
    Misdirected,
    NotOneCutover,
    Refused,
    WrongApprover,
    NotDefined,
    WaitsForSource,
    VetoedGoesLive,
    OpensWhileHeld,
    StoodUpBeforeHooks,
    GoodBeforeHooks,
    TornDownBeforeHooks,
    RunTwice,
    RunAstray,
    AdoptedTornDown,
    AdoptedStoodUp,
    JudgedUnwatched,
    NeverGiven,
    BlindMove,
    StandbyGivenUp,
    ToAndFro,
    RecoveryInTheWay,
    OrderedToNobody,
    TakenFromUnknown,
    CalledUpTooSoon,
    NoStranger,
    NotItsOwn,
    RestartedInName,
    TwoAtOnce,
    CalledDrift,
    StepSkipped,
    StoppedUnderUsers,
    MaintenanceEndedByItself,
}

type Holds = fn(&Config<'_>, &World) -> bool;

macro_rules! kept {
    ($promise:ident) => {
        |_, w| w.told.broken != Some(Promise::$promise)
    };
}

/// Each has the promise of ARCHITECTURE.md that it belongs to in its name. The state alone is judged first, then what happened.
pub(super) const PROMISES: [(&str, Holds); 53] = [
    ("1. traffic only goes to a stack that passed its checks", |_, w| served(w).all(|n| w.told.passed.has(n))),
    ("1. ... and that was approved where a gate asks", |c, w| {
        c.gate_cutover.is_none() || served(w).all(|n| w.told.may_serve.has(n))
    }),
    ("1. ... whose checks were read afresh right before the cutover", kept!(HealthNotFresh)),
    ("1. ... and never to one that was aborted, failed or rolled back", never_to_the_rejected),
    ("1. a deployment counts as live only when the front obeyed", kept!(NotYetLive)),
    ("2. what is live is never torn down", kept!(LiveTornDown)),
    ("2. traffic never goes to what was torn down", |_, w| served(w).all(|n| !w.told.torn.has(n))),
    ("2. the rollback target is never torn down while promised", kept!(StandbyTornDown)),
    ("2. nobody's request is killed before the time to drain is over", kept!(RequestKilled)),
    ("3. every deployment is accounted for", accounted),
    ("3. every deployment ends, and nothing is left behind", |c, w| !c.is_quiet(w) || is_clean(c, w)),
    ("3. nothing is stood up before it was approved where a gate asks", |c, w| {
        c.gate_start.is_none() || w.cloud.stacks.iter().flatten().all(|t| w.told.may_start.has(t.owner))
    }),
    ("4. an acknowledged webhook is never lost", |_, w| {
        let known = |b: Id| w.core.env.keys.iter().any(|(key, _)| key.0[0] == b + 1);
        let in_memory = w.controllers.iter().any(|c| c.view.is_some());
        in_memory || w.told.acked.iter().all(known)
    }),
    ("4. an acknowledged webhook is never acted on twice", kept!(ActedTwice)),
    ("4. commands hit what they name", kept!(Misdirected)),
    ("5. rollback to a warm standby is one cutover, and nothing is stood up", kept!(NotOneCutover)),
    ("the state is consistent: check()", |_, w| w.core.env.check().is_ok()),
    ("the journal folds: apply() refuses nothing that was decided on the same state", kept!(Refused)),
    ("1. ... and whose gates were opened by those who may", kept!(WrongApprover)),
    ("3. nothing is stood up before its definition is recorded", kept!(NotDefined)),
    ("3. ... and that definition never changes", source::stays),
    ("5. a rollback never waits for the source repository", kept!(WaitsForSource)),
    ("what is vetoed does not go live", kept!(VetoedGoesLive)),
    ("what is held does not approve itself", kept!(OpensWhileHeld)),
    ("3. nothing is stood up before the hooks for that have passed", kept!(StoodUpBeforeHooks)),
    ("1. ... and whose hooks before the cutover have passed", |c, w| {
        served(w).all(|n| c.hooks_passed(&w.cloud, &w.told, n, |at| at < HookPoint::AfterCutover))
    }),
    ("a deployment counts only after its hooks", kept!(GoodBeforeHooks)),
    ("3. nothing is torn down before its own hooks are over", kept!(TornDownBeforeHooks)),
    ("a hook never begins twice", kept!(RunTwice)),
    ("no hook is ordered while the front is astray", kept!(RunAstray)),
    ("2. what was adopted and not found good is never torn down", kept!(AdoptedTornDown)),
    ("what was adopted is never stood up again", kept!(AdoptedStoodUp)),
    ("1. an adoption takes the traffic from nobody", |c, w| {
        let nobody = w.cloud.front.way == Way::default() && w.cloud.front.generation > 0;
        // Without rule R38 what is let go is not known as such.
        let left_to_it = c.adopts > 0 || c.stranger && c.unknown_at_start && w.told.dismissed.is_empty();
        !left_to_it || !c.on(38) || w.told.ordinary || w.told.by_hand || !nobody
    }),
    ("nothing is judged by time in which nobody looked", kept!(JudgedUnwatched)),
    ("no order is called late that was never given", kept!(NeverGiven)),
    ("1. users are moved only to what was seen good in that look", kept!(BlindMove)),
    ("2. a standby that may be needed is not given up", kept!(StandbyGivenUp)),
    ("users are not sent to and fro between two sick stacks", kept!(ToAndFro)),
    ("a recovery is not in the way of what is under way", kept!(RecoveryInTheWay)),
    ("no front is given an order that it cannot take", kept!(OrderedToNobody)),
    ("1. a drift takes no users from a stack that nobody here knows", kept!(TakenFromUnknown)),
    ("what goes up and down is called up only once it has stayed good", kept!(CalledUpTooSoon)),
    ("4. commands end and adopt strangers only", kept!(NoStranger)),
    ("1. no deployment takes a stack that was there for its own", kept!(NotItsOwn)),
    ("a restart is called done only when each instance was started again and is up", kept!(RestartedInName)),
    ("a restart ends no instance while another one is not back", kept!(TwoAtOnce)),
    ("what is served is reached where it is, in the end", |c, w| {
        let good = |n| w.cloud.stack(n).is_some_and(|t| t.health == Health::Passing);
        let elsewhere = w.core.live() != w.cloud.front.way.base;
        c.budget.replace == 0 || elsewhere || !w.cloud.outdated() || !good(w.core.live()) || !c.is_quiet(w)
    }),
    ("a stack that is reached elsewhere does not count as drift", kept!(CalledDrift)),
    ("1. a share grows by the steps that were agreed, each watched or let go on", kept!(StepSkipped)),
    ("2. what users reach is not stopped", kept!(StoppedUnderUsers)),
    ("two that must not run never run", |c, w| {
        !c.stop_first || w.cloud.stacks.iter().flatten().filter(|t| t.runs()).count() < 2
    }),
    ("1. ... and never to one that is stopped", |_, w| {
        served(w)
            .all(|n| w.cloud.stack(n).is_none_or(|t| !matches!(t.condition, Condition::Stopping | Condition::Stopped)))
    }),
    ("nothing automatic ends maintenance", kept!(MaintenanceEndedByItself)),
];

/// Who has users by our order.
fn served(w: &World) -> impl Iterator<Item = Id> {
    w.cloud.front.way.stacks().filter(|_| !w.told.by_hand)
}

/// A front without compare-and-set may obey a late order; that is seen and mended, and nothing is torn down meanwhile.
fn never_to_the_rejected(c: &Config, w: &World) -> bool {
    let good = |outcome| matches!(outcome, Outcome::Succeeded);
    served(w).filter(|n| c.fenced && *n != w.core.live()).all(|served| {
        let excused = w.told.adopting.has(served) || w.told.given_up.has(served) || w.told.left.has(served);
        excused || w.core.env.ended().iter().filter(|e| id(e.number) == served).all(|e| good(e.outcome))
    })
}

fn accounted(c: &Config, w: &World) -> bool {
    let env = &w.core.env;
    let known = |n: Id| {
        let under_way = env.active().iter().copied().chain(env.queue()).any(|d| id(d.number) == n);
        under_way
            || w.told.dismissed.has(n)
            || env.ended().iter().any(|e| id(e.number) == n)
            || c.skips(env, n)
            || env.strangers().iter().any(|s| id(*s) == n)
    };
    (1..=id(env.last_number())).all(known)
}

/// How things must be when nothing happens any more.
fn is_clean(c: &Config, w: &World) -> bool {
    let env = &w.core.env;
    // What is held waits as long as the hold stands, in the queue or at a gate that would open by itself.
    let stopped = env.hold().is_some() || env.pin().is_some();
    let asked = |d: &Deployment| d.question().cloned().or_else(|| d.pause().map(|pause| pause.gate));
    let opens = |d: &Deployment| asked(d).is_some_and(|gate| gate.otherwise == Otherwise::Approve);
    let waits = env.active().filter(|d| stopped && opens(d)).map_or(0, |d| id(d.number));
    let kept = [w.core.live(), w.core.standby(), waits];
    let let_go = |n: Id| env.strangers().iter().any(|s| id(*s) == n);
    let way = w.cloud.front.way;
    let front = way.base;
    let rest = rest(env);
    let waits_for_a_sick_stack =
        env.active().is_some_and(|d| matches!(d.phase, Phase::RevertRequested { .. } | Phase::Starting { .. }));
    if rest.may_be_ended {
        // What may mend both is not held up by it.
        return !waits_for_a_sick_stack || env.startable().is_none();
    }
    // What was adopted and is lost stays lost, a stranger until it was found good; everything else is started again for ever.
    let ready = |n: &Id, t: &super::world::Thing| t.owner == *n && t.condition == Condition::Ready;
    let lost = |n: Id| w.told.adopting.has(n) && !(c.stranger && w.told.good.has(n));
    let asleep = |n: &Id| {
        env.is_halted(Number((*n).into())) && w.cloud.stack(*n).is_none_or(|t| t.condition == Condition::Stopped)
    };
    let there = |n: &Id| lost(*n) || asleep(n) || w.cloud.stacks.iter().flatten().any(|t| ready(n, t));
    let good = |t: &super::world::Thing| ready(&w.core.live(), t) && t.health == Health::Passing;
    let live_is_good = w.core.live() == 0 || w.cloud.stacks.iter().flatten().any(good);
    // What cannot be torn down because users may still reach it.
    let stays = |n: Id| {
        let astray = rest.front_is_astray || w.core.live() == 0 && c.always_on && way.reaches(n);
        astray && env.retiring().iter().any(|r| id(r.number) == n)
    };
    let left = |n: Id| kept.contains(&n) || let_go(n) || stays(n);
    w.core.active() == waits
        && !env.is_paged()
        && env.restart().is_none()
        && (live_is_good || rest.live_is_down)
        && (env.queue().is_empty() || stopped)
        && env.retiring().iter().all(|r| stays(id(r.number)))
        && (env.drift().is_none() || rest.front_is_astray)
        && (way == Way::of(env.wanted())
            || rest.front_is_astray
            || w.core.live() == 0 && (let_go(front) || c.always_on || front == UNKNOWN))
        && !is_fought_over(env)
        && w.cloud.stacks.iter().flatten().all(|t| left(t.owner))
        && kept[..2].iter().filter(|n| **n != 0).all(there)
}

/// Whether the build failed by another name: then it may be tried again by this one.
fn failed_before(base: &Core, key: Key) -> bool {
    let state = |number| base.env.deployment_state(number).map(|(state, _)| state);
    let mut others = base.env.keys.iter().filter(|(known, _)| known.0[0] == key.0[0] && *known != key);
    others.any(|(_, number)| state(*number) == Some(DeploymentState::Failed))
}

impl Config<'_> {
    /// Whether a number was skipped and not given out, because a stranger carries a higher one.
    fn skips(&self, env: &Environment, n: Id) -> bool {
        let given = env.keys.iter().any(|(_, number)| id(*number) == n);
        self.stranger && !self.live_at_start && n < STRANGER && !given
    }

    /// What an event promises, judged at the moment it is written.
    pub(super) fn judge_event(&self, w: &mut World, base: &Core, event: &Event, look: Option<&Look>) {
        let well = |n: Id| look.is_some_and(|l| l.is_good(n));
        self.judge_hooks(w, base, event);
        self.judge_shares(w, base, event, look);
        self.judge_alive(w, base, event, look);
        judge_restart(w, base, event, look);
        let told = &mut w.told;
        match event {
            Event::Accepted { key, stranger: false, .. } => {
                let build = key.0[0] - 1;
                if told.accepted.has(build) && !failed_before(base, *key) {
                    told.broken = Some(Promise::ActedTwice);
                }
                told.accepted.add(build);
            }
            Event::Approved { number, .. } if look.is_some() => {
                let active = base.env.active();
                let pinned = active.is_some_and(|d| base.env.pin().is_some_and(|pin| pin != d.release.number));
                if base.env.hold().is_some() || pinned {
                    told.broken = Some(Promise::OpensWhileHeld);
                }
                let start = matches!(active.map(|d| &d.phase), Some(Phase::AwaitingStart));
                if start { told.may_start.add(id(*number)) } else { told.may_serve.add(id(*number)) }
            }
            Event::Checked { number, .. } if well(id(*number)) => told.passed.add(id(*number)),
            Event::CutOverOrdered { number, .. } => {
                if well(id(*number)) {
                    told.passed.add(id(*number));
                }
                if !well(id(*number)) || look.is_some_and(|l| l.old) {
                    told.broken = Some(Promise::HealthNotFresh);
                }
                let release = base.env.active().map(|d| d.release.number);
                if base.env.vetoes().iter().any(|veto| Some(veto.release) == release) {
                    told.broken = Some(Promise::VetoedGoesLive);
                }
            }
            Event::WentLive { .. } => {
                let ordered = base.env.active().and_then(|d| match d.phase {
                    Phase::CuttingOver { generation, .. } => Some(generation.0),
                    _ => None,
                });
                if ordered.is_some_and(|g| u64::from(told.obeyed.max(w.cloud.front.generation)) < g) {
                    told.broken = Some(Promise::NotYetLive);
                }
            }
            Event::RollbackRequested { .. } => told.rollback = 1,
            Event::RevertOrdered { .. } if told.rollback > 0 => {
                told.rollback += 1;
                if told.rollback > 2 {
                    told.broken = Some(Promise::NotOneCutover);
                }
            }
            Event::DefinitionFrozen { number, definition } => source::record(told, id(*number), definition),
            Event::ColdRollbackQueued { by, release, .. } => {
                source::record(told, id(*by), &release.definition);
                if self.source.is_there() && release.awaits_definition() {
                    told.broken = Some(Promise::WaitsForSource);
                }
                if told.rollback > 0 && well(base.standby()) {
                    told.broken = Some(Promise::NotOneCutover);
                }
                told.rollback = 0;
                told.may_start.add(id(*by));
                told.may_serve.add(id(*by));
            }
            Event::Reverted { .. } | Event::Ended { .. } => told.rollback = 0,
            _ => {}
        }
    }

    pub(super) fn judge_effects(&self, w: &mut World, c: usize, look: &Look) {
        self.judge_order(w, c, look);
        self.judge_maintenance(w, c);
        self.judge_restarts(w, c, look);
        let core = self.base(w, c);
        let kept = [core.live(), core.standby()];
        let new = |r: Request| matches!(r, Request::Ensure(n) if !kept.contains(&n));
        let provisioning = core.env.active().filter(|d| d.phase == Phase::Provisioning).map_or(0, |d| id(d.number));
        let back = core.env.active().is_some_and(|d| d.trigger == Trigger::Rollback) || w.told.rollback > 0;
        if w.told.rollback > 0 && w.controllers[c].hand.iter().any(new) {
            w.told.broken = Some(Promise::NotOneCutover);
        }
        if w.controllers[c].hand.iter().any(|r| matches!(r, Request::Adopt(n) if n != provisioning)) {
            w.told.broken = Some(Promise::AdoptedStoodUp);
        }
        if back && w.controllers[c].hand.iter().any(|r| matches!(r, Request::Fetch(_))) {
            w.told.broken = Some(Promise::WaitsForSource);
        }
    }

    /// What is stood up has a definition, however early that was asked for.
    pub(super) fn judge_ensure(&self, w: &mut World, id: Id) {
        if self.source.is_there() && w.told.defined[usize::from(id)] == 0 {
            w.told.broken = Some(Promise::NotDefined);
        }
        let is_there = w.cloud.stacks[self.slot(id)].is_some();
        if self.stranger && w.told.adopting.has(id) && !w.told.good.has(id) && !is_there {
            w.told.broken = Some(Promise::AdoptedStoodUp);
        }
        if !self.hooks_passed(&w.cloud, &w.told, id, |at| at == HookPoint::BeforeProvisioning) {
            w.told.broken = Some(Promise::StoodUpBeforeHooks);
        }
    }

    /// What a tear-down must not hit, judged when it arrives, however late.
    pub(super) fn judge_retire(&self, w: &mut World, id: Id, patient: bool) {
        let Some(thing) = w.cloud.stacks[self.slot(id)] else { return };
        let owner = thing.owner;
        let front = &w.cloud.front;
        if front.way.reaches(owner) || w.core.live() == owner {
            w.told.broken = Some(Promise::LiveTornDown);
        } else if w.core.standby() == owner {
            w.told.broken = Some(Promise::StandbyTornDown);
        } else if patient && front.busy.has(owner) {
            w.told.broken = Some(Promise::RequestKilled);
        }
        if w.core.env.retiring().iter().any(|r| r.number == Number(owner.into()) && r.hook().is_some()) {
            w.told.broken = Some(Promise::TornDownBeforeHooks);
        }
        if w.told.adopting.has(owner) && !w.told.good.has(owner) && !w.told.dismissed.has(owner) {
            w.told.broken = Some(Promise::AdoptedTornDown);
        }
        w.told.torn.add(owner);
    }
}
