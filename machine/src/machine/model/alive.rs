//! What is promised of stacks that die, of fronts that go astray or never obey, and of controllers that were away: judged
//! when an event is written or an effect taken in hand, and at the end of every run.

use super::{
    canon::{Core, id, text},
    config::Config,
    promises::Promise,
    ways::Way,
    world::{Id, Look, Request, STRANGER, UNKNOWN, World},
};
use crate::machine::{Ask, Condition, Environment, Event, Health, Millis, Outcome, Phase, Straying};

impl Look {
    /// How far a stack was in it, and how it was.
    fn shows(&self, n: Id) -> Option<(Condition, Health)> {
        self.cloud.stacks.iter().flatten().find(|t| t.owner == n).map(|t| (t.condition, t.health))
    }

    /// It was asked for, and was there.
    fn lists(&self, n: Id) -> bool {
        self.stacks_answer && self.shows(n).is_some()
    }

    pub(super) fn is_good(&self, n: Id) -> bool {
        self.stacks_answer && self.shows(n) == Some((Condition::Ready, Health::Passing))
    }

    /// It was neither seen good nor seen bad.
    fn is_starting(&self, n: Id) -> bool {
        let starting = [(Condition::Creating, Health::Unknown), (Condition::Ready, Health::Unknown)];
        self.stacks_answer && self.shows(n).is_some_and(|shown| starting.contains(&shown))
    }
}

/// Whether an event says that somebody's time is over, or that of a promise.
fn judges(event: &Event) -> bool {
    use Event::*;
    let failed = |outcome: &Outcome| *outcome != Outcome::Superseded;
    match event {
        Ended { outcome, .. } => failed(outcome),
        CutOverOrdered { .. } | RevertRequested { .. } => true,
        PageOrdered { .. } | StopOrdered { .. } | StartOrdered { .. } => true,
        Succeeded { .. } | RevertOrdered { .. } | HookFinished { .. } | OperatorNeeded { .. } => true,
        StandbyReleased { .. } | Recovered { .. } | ColdRollbackQueued { .. } => true,
        _ => false,
    }
}

impl Config<'_> {
    /// Whether an event that was written after a time in which nobody looked would have been written had only the time
    /// passed that was watched.
    pub(super) fn judge_away(&self, env: &Environment, event: &Event, look: &Look, watched: Millis) -> bool {
        !judges(event) || env.tick(&look.observation(), watched).as_ref() == Some(event)
    }

    /// What an event means for what is live and promised.
    pub(super) fn judge_alive(&self, w: &mut World, base: &Core, event: &Event, look: Option<&Look>) {
        let told = &mut w.told;
        let phase = base.env.active().map(|d| &d.phase);
        if matches!(event, Event::WentLive { .. } | Event::Reverted { .. }) {
            told.left = Default::default();
        }
        if let (
            Event::Ended { number, .. },
            Some(Phase::Reverting { .. } | Phase::RevertRequested { .. } | Phase::Starting { .. }),
        ) = (event, phase)
        {
            told.given_up.add(id(*number));
        }
        let Some(look) = look else { return };
        let starting = base.standby() != 0 && look.is_starting(base.standby());
        match event {
            Event::Started { number }
                if self.stranger && !told.adopting.has(id(*number)) && look.lists(id(*number)) =>
            {
                told.broken = Some(Promise::NotItsOwn);
            }
            Event::DriftSeen { .. } if self.fenced && self.budget.replace > 0 && !told.by_hand => {
                let (front, env) = (&w.cloud.front, &base.env);
                if (front.way, u64::from(front.generation)) == (Way::of(env.wanted()), env.generation().0) {
                    told.broken = Some(Promise::CalledDrift);
                }
            }
            Event::StandbyReleased { .. } if !look.is_good(base.live()) => told.broken = Some(Promise::StandbyGivenUp),
            Event::Recovered { number, to, .. } => {
                let at_the_front = base.env.active().is_some_and(|d| !d.phase.before_cutover());
                if at_the_front || base.env.drift().is_some() {
                    told.broken = Some(Promise::RecoveryInTheWay);
                }
                if !look.is_good(id(*to)) {
                    told.broken = Some(Promise::BlindMove);
                }
                if told.left.has(id(*to)) {
                    told.broken = Some(Promise::ToAndFro);
                }
                told.left.add(id(*number));
            }
            Event::ColdRollbackQueued { .. } | Event::Ended { outcome: Outcome::Failed, .. }
                if starting && matches!(phase, Some(Phase::RollbackRequested { .. } | Phase::Baking)) =>
            {
                told.broken = Some(Promise::StandbyGivenUp);
            }
            Event::Ended { .. } | Event::RevertOrdered { .. } | Event::PageOrdered { .. } => {
                let Some(Phase::CuttingOver { generation, .. }) = phase else { return };
                let front = &look.cloud.front;
                let elsewhere = u64::from(front.generation) >= generation.0;
                if look.front_answers && !elsewhere && u64::from(look.given) != generation.0 {
                    told.broken = Some(Promise::NeverGiven);
                }
            }
            _ => {}
        }
    }

    /// An order that no deployment gives leads to what was seen good, and none to nobody where the front cannot do that.
    pub(super) fn judge_order(&self, w: &mut World, c: usize, look: &Look) {
        let env = &self.base(w, c).env;
        let of_a_deployment = env.active().is_some_and(|d| {
            matches!(d.phase, Phase::CuttingOver { .. } | Phase::Reverting { .. } | Phase::Paging { .. })
        });
        let hand = w.controllers[c].hand;
        if hand.iter().any(|r| {
            matches!(r, Request::Refresh(to, generation, _)
            if generation == look.cloud.front.generation && !to.stacks().all(|n| look.is_good(n)))
        }) {
            w.told.broken = Some(Promise::BlindMove);
        }
        let mut orders = hand.iter().filter_map(|r| match r {
            Request::CutOver(to, _) => Some(to),
            _ => None,
        });
        let Some(to) = orders.next() else { return };
        if to == Way::default() && self.always_on {
            w.told.broken = Some(Promise::OrderedToNobody);
        } else if to == Way::default() && !of_a_deployment && self.is_unknown(w, w.cloud.front.way.base) {
            w.told.broken = Some(Promise::TakenFromUnknown);
        } else if !of_a_deployment && !to.stacks().all(|n| look.is_good(n)) {
            w.told.broken = Some(Promise::BlindMove);
        }
    }
}

impl Config<'_> {
    /// Whether users who reach that stack have it from before the journal: with nothing live, they keep it.
    fn is_unknown(&self, w: &World, number: Id) -> bool {
        let stranger = self.stranger && number == STRANGER && w.core.live() == 0;
        number == UNKNOWN || stranger && !w.told.dismissed.has(number)
    }
}

/// What is not as it should be when nothing happens any more, and why that may be.
pub(super) struct Rest {
    /// What is live does not do its work, a person was called, and it is started again.
    pub(super) live_is_down: bool,
    /// The front is not where it was sent, and a person was called.
    pub(super) front_is_astray: bool,
    /// A deployment does not go on, a person was called, and may end it.
    pub(super) may_be_ended: bool,
}

pub(super) fn rest(env: &Environment) -> Rest {
    let ends = |n| {
        let abort = env.command(&Ask::Abort(n, text()).into(), "someone");
        abort.is_ok() || env.command(&Ask::Rollback(n, text()).into(), "someone").is_ok()
    };
    Rest {
        live_is_down: env.down().is_some_and(|down| down.operator_needed),
        front_is_astray: env.drift().is_some() && env.straying().is_some_and(|s| s.operator_needed),
        may_be_ended: env.active().is_some_and(|d| d.operator_needed && ends(d.number)),
    }
}

/// Who is repointed again and again is held, until a person lets it go on.
pub(super) fn is_fought_over(env: &Environment) -> bool {
    let too_often = |s: &Straying| s.in_a_row >= Straying::TOO_OFTEN && !s.operator_needed;
    env.straying().is_some_and(too_often)
}
