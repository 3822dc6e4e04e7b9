//! What there is in the modelled world. Small and `Copy` wherever possible: millions of these are made.

use std::sync::Arc;

use super::{canon::Core, config::Budget, promises::Promise, runs::Runs, source::Source, ways::Way};
use crate::machine::{
    Condition, FrontView, GateName, Generation, Health, InstanceView, Looked, Number, Observation, OrderView, Outdated,
    Seq, StackView,
};

/// Numbers of deployments run from 1 to `N - 1`; 0 is nobody.
pub(super) const N: usize = 8;

/// The number of a deployment and of its stack, small; 0 is nobody.
pub type Id = u8;

/// A stack that no journal knows: somebody else's, or from before a journal that was lost.
pub(super) const UNKNOWN: Id = 7;

/// The stack of an installation's own that its journal, which was put back or was begun again, does not know.
pub(super) const STRANGER: Id = 2;

/// A count as the model keeps it. Budgets lead to small ones only.
pub(super) fn small(count: impl TryInto<u8>) -> u8 {
    count.try_into().unwrap_or(u8::MAX)
}

/// A set of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ids(u16);

impl Ids {
    pub(super) fn of(id: Id) -> Self {
        Self(1 << id)
    }
    pub(super) fn has(self, id: Id) -> bool {
        self.0 & (1 << id) != 0
    }
    pub(super) fn add(&mut self, id: Id) {
        self.0 |= 1 << id;
    }
    pub(super) fn remove(&mut self, id: Id) {
        self.0 &= !(1 << id);
    }
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub(super) fn iter(self) -> impl Iterator<Item = Id> {
        (0..16).filter(move |id| self.has(*id))
    }
}

/// A few things without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bag<T, const M: usize>([Option<T>; M]);

impl<T: Copy + Ord, const M: usize> Default for Bag<T, M> {
    fn default() -> Self {
        Self([None; M])
    }
}

impl<T: Copy + Ord, const M: usize> Bag<T, M> {
    pub(super) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().filter_map(|t| *t)
    }
    pub(super) fn has(&self, thing: T) -> bool {
        self.0.contains(&Some(thing))
    }
    pub(super) fn is_empty(&self) -> bool {
        self.0[M - 1].is_none()
    }
    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.len() + more <= M
    }
    /// Takes a thing in. A full bag takes none, as a controller that has its hands full does the rest after its next look; no world
    /// of the tests is to come to that.
    pub(super) fn add(&mut self, thing: T) {
        assert!(cfg!(not(test)) || self.has(thing) || self.has_room(1), "the model's bag is too small");
        if !self.has(thing) && self.has_room(1) {
            self.0[0] = Some(thing);
            self.0.sort_unstable();
        }
    }
    pub(super) fn remove(&mut self, thing: T) {
        if let Some(place) = self.0.iter().position(|t| *t == Some(thing)) {
            self.0[place] = None;
            self.0.sort_unstable();
        }
    }
}

/// A stack, as it really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Thing {
    /// The deployment it belongs to.
    pub(super) owner: Id,
    pub(super) condition: Condition,
    pub(super) health: Health,
    /// The order for which each of its two instances was last started again.
    pub(super) started: [u8; 2],
    /// An instance was replaced: it is reached elsewhere than at first.
    pub(super) moved: bool,
    /// The highest order to stop or to start it that it has obeyed.
    pub(super) obeyed: u8,
    /// Nothing of it runs, since it was stopped.
    pub(super) asleep: bool,
}

impl Thing {
    /// A stack of which nothing stands out.
    pub(super) fn new(owner: Id, condition: Condition, health: Health) -> Self {
        Self { owner, condition, health, started: [0; 2], moved: false, obeyed: 0, asleep: false }
    }
}

/// The front, as it really is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Front {
    pub(super) way: Way,
    pub(super) generation: u8,
    pub(super) staged: Id,
    /// Stacks with requests still in flight.
    pub(super) busy: Ids,
    /// It reaches what it serves where that is after an instance was replaced.
    pub(super) moved: bool,
}

/// All that a look can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Cloud {
    /// Stacks by slot: the number, or number modulo 2 where names are used again (rule R6 off).
    pub(super) stacks: [Option<Thing>; N],
    pub(super) front: Front,
    /// What a local mirror has of the source repository.
    pub(super) source: Source,
    /// Runs of hooks.
    pub(super) runs: Runs,
    /// Owner of the mark on the stack that was there before us: 0 is nobody.
    pub(super) adoptee: Option<Id>,
}

impl Cloud {
    /// A stack, wherever it is.
    pub(super) fn stack(&self, owner: Id) -> Option<&Thing> {
        self.stacks.iter().flatten().find(|t| t.owner == owner)
    }

    /// Whether the front serves a stack where that is no longer reached.
    pub(super) fn outdated(&self) -> bool {
        self.stack(self.front.way.base).is_some_and(|t| t.condition == Condition::Ready && t.moved != self.front.moved)
    }
}

/// An effect on its way: delayed without bound, lost or repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// Read the definition that the deployment's release awaits.
    Fetch(Id),
    /// Make the stack, or start it again.
    Ensure(Id),
    /// Mark the stack that is there.
    Adopt(Id),
    /// Begin the run of a hook.
    Run(Id, u8),
    /// Make the stack known to the front.
    Stage(Id),
    /// End an instance and start it again, for that order.
    Restart(Id, u8, u8),
    /// Send users there, by the order of that generation.
    CutOver(Way, u8),
    /// Reach what is served where it is, by the order that is in force.
    Refresh(Way, u8, bool),
    /// Tear the stack down.
    Retire {
        /// Number of the deployment.
        id: Id,
        /// The time to drain had not passed when it was permitted.
        patient: bool,
    },
    /// Start again what is there and is not ours to make.
    Revive(Id),
    /// End all that runs of it and keep the rest.
    Stop {
        /// Number of the deployment.
        id: Id,
        /// Number of the order.
        order: u8,
        /// The time to drain had not passed when it was permitted.
        patient: bool,
    },
    /// Start what was stopped, by that order.
    Start(Id, u8),
}

/// Somebody at a guarded gate who was not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Person {
    /// Whoever asked for the deployment.
    Asker,
    /// Anybody else.
    Stranger,
}

/// A command of a person, on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wish {
    /// Approval by the one who was named where gates are guarded, and did not ask.
    Approve(Id, GateName),
    /// Approval by somebody else.
    Meddle(Person, Id, GateName),
    /// Stop the deployment.
    Abort(Id),
    /// Put back what was live before it.
    Rollback(Id),
    /// Stop automatic deployments.
    Hold,
    /// Let them go on.
    Resume,
    /// Keep to that release.
    Pin(u8),
    /// Do not.
    Unpin,
    /// Ban that release.
    Veto(u8),
    /// Do not.
    Unveto(u8),
    /// End a stack, by its number.
    Dismiss(Id),
    /// Make a stack live that the journal does not know, by its number.
    Adopt(Id),
    /// Start what is live again, or only its second instance.
    Restart(Id, bool),
    /// Go on at once.
    Proceed(Id),
    /// Keep the share.
    Pause(Id),
    /// Begin maintenance, or end it.
    Maintain(bool),
}

/// One look at the world, held by a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) cloud: Cloud,
    pub(super) stacks_answer: bool,
    pub(super) front_answers: bool,
    /// The deployment whose definition was looked for.
    pub(super) awaits: Id,
    pub(super) quiet: bool,
    /// The stack that is started again: 0 is none.
    pub(super) restarts: Id,
    /// The journal has moved since it began.
    pub(super) old: bool,
    /// The last order that this life of the controller has given, if it is the last one that there is; 0: it has not.
    pub(super) given: u8,
    pub(super) refused: bool,
    /// Stacks that a request can still make or start, and those that one can still stop by an order that is not their last.
    pub(super) may_rise: Ids,
    pub(super) may_fall: Ids,
}

impl Look {
    /// The instances of the stack that is started again. One of those that were is up when the stack is.
    fn instances(&self) -> Vec<InstanceView> {
        let things = self.cloud.stacks.iter().flatten();
        let there = things.filter(|t| self.restarts != 0 && t.owner == self.restarts && self.stacks_answer);
        let view = |t: &Thing, order: u8| {
            let up = t.condition == Condition::Ready;
            let passes = up && t.health == Health::Passing;
            InstanceView { started_for: order.into(), ending_for: order.into(), up, passes, ..InstanceView::default() }
        };
        there.flat_map(|t| t.started.map(|order| view(t, order))).collect()
    }

    /// What the core is shown. The model sets `Environment::seq` to 0 after each event.
    pub(super) fn observation(&self) -> Observation {
        let number = |id: Id| (id != 0).then_some(Number(id.into()));
        let Front { way, generation, staged, busy, .. } = self.cloud.front;
        let outdated = Outdated { number: Number(way.base.into()), lost: false };
        let is_outdated = self.stacks_answer && self.cloud.outdated();
        let seen = |t: &Thing| StackView {
            number: Number(t.owner.into()),
            condition: t.condition,
            health: t.health,
            obeyed: t.obeyed.into(),
            remark: None,
        };
        let numbers = |ids: Ids| ids.iter().map(|id| Number(id.into())).collect();
        let mut stacks = Vec::with_capacity(4);
        stacks.extend(self.cloud.stacks.iter().flatten().map(seen));
        stacks.sort_unstable_by_key(|s| s.number);
        let answers = |t: &&Thing| Way::whole(t.owner) == way && t.condition == Condition::Ready;
        let public = self.cloud.stacks.iter().flatten().find(answers).map(|t| Number(t.owner.into()));
        Observation {
            as_of: Seq(self.old.into()),
            stacks: self.stacks_answer.then_some(stacks),
            front: self.front_answers.then(|| FrontView {
                traffic: way.traffic(),
                generation: Generation(generation.into()),
                staged: number(staged),
                outdated: is_outdated.then_some(outdated).into_iter().collect(),
                busy: busy.iter().map(|id| Number(id.into())).collect(),
                words: None,
                host: None,
            }),
            public: public.filter(|_| self.front_answers),
            definition: self.cloud.source.seen(self.awaits),
            hooks: self.cloud.runs.views(),
            instances: self.instances(),
            quiet: self.quiet,
            may_rise: numbers(self.may_rise),
            may_fall: numbers(self.may_fall),
            order: (self.given != 0).then(|| OrderView {
                generation: Generation(self.given.into()),
                said: None,
                refused: self.refused,
            }),
            looked: Looked::default(),
        }
    }
}

/// What a controller is about to send.
pub(super) type Hand = Bag<Request, 6>;

/// A controller process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Controller {
    pub(super) leads: bool,
    /// What it believes the journal to be, where that may differ from the truth (rules R1, R2, R16 off).
    pub(super) view: Option<Arc<Core>>,
    pub(super) seen: Option<Look>,
    /// Calls that it is about to send.
    pub(super) hand: Hand,
    /// The last order to the front that it has given in this life.
    pub(super) given: u8,
    /// Tear-downs that it found open when it started and does not resume (rule R21 off).
    pub(super) forgot: Ids,
}

/// What the model remembers in order to judge; no part of the system knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Told {
    /// Builds whose webhook was answered with 202.
    pub(super) acked: Ids,
    /// Builds for which there is a deployment.
    pub(super) accepted: Ids,
    /// Deployments that a person allowed to begin, and to take the traffic.
    pub(super) may_start: Ids,
    pub(super) may_serve: Ids,
    /// Stacks that were seen to pass their checks.
    pub(super) passed: Ids,
    /// Stacks that a request of ours tore down.
    pub(super) torn: Ids,
    /// What the front shows was set by hand, not ordered.
    pub(super) by_hand: bool,
    /// The highest order of ours that the front obeyed.
    pub(super) obeyed: u8,
    /// While a warm rollback is on its way: one more than the orders given for it.
    pub(super) rollback: u8,
    /// The definition that was recorded for a deployment: 0 is none.
    pub(super) defined: [u8; N],
    /// Deployments whose plan has hooks.
    pub(super) hooked: Ids,
    /// Deployments that adopt, somebody else's stack or a stranger, and those of them that were found good.
    pub(super) adopting: Ids,
    pub(super) good: Ids,
    /// Deployments whose way back a person gave up: their order may yet arrive, and is mended.
    pub(super) given_up: Ids,
    /// Stacks that are not in the journal, as it was put back, and that a person ended.
    pub(super) dismissed: Ids,
    /// Stacks from which users were taken because they were down, since the last deployment or word of a person.
    pub(super) left: Ids,
    /// Where there is a stack to adopt: the front was ordered to one that we made.
    pub(super) ordinary: bool,
    pub(super) broken: Option<Promise>,
}

/// The state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The durable journal, folded.
    pub(super) core: Arc<Core>,
    pub(super) cloud: Cloud,
    /// What the front served before the last change: what a stale read still shows.
    pub(super) before: (Way, u8),
    pub(super) net: Bag<Request, 10>,
    pub(super) controllers: [Controller; 2],
    pub(super) wishes: Bag<Wish, 3>,
    pub(super) left: Budget,
    pub(super) told: Told,
}
