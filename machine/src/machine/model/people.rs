//! What people want, when it arrives, and who may.

use super::{
    actions::Action,
    canon::{self, id, text},
    config::{Config, People},
    promises::Promise,
    world::{Id, Person, Request, Wish, World, small},
};
use crate::machine::{Ask, Event, Gate, GateName, Key, Millis, Number, Otherwise, Phase};

/// Who asks for every deployment.
pub(super) const ASKER: &str = "asker";

/// The keys of adoptions begin here, above those of builds.
const ADOPTIONS: u8 = 100;

/// Who is named at a guarded gate, and approves.
pub(super) const NAMED: &str = "named";

impl Config<'_> {
    pub(super) fn people_actions(&self, world: &World, out: &mut Vec<Action>) {
        if !world.wishes.has_room(1) {
            return;
        }
        let env = &world.core.env;
        let mut may = |wish: Wish| {
            if self.people.give(wish) && !world.wishes.has(wish) {
                out.push(Action::Issue(wish));
            }
        };
        let active = world.core.active();
        match env.active().map(|d| &d.phase) {
            Some(Phase::AwaitingStart) if !world.told.may_start.has(active) => {
                may(Wish::Approve(active, GateName::BeforeProvisioning))
            }
            Some(Phase::AwaitingCutover) if !world.told.may_serve.has(active) => {
                may(Wish::Approve(active, GateName::BeforeCutover))
            }
            _ => {}
        }
        if world.left.wishes == 0 {
            return;
        }
        if let Some(gate) = env.active().and_then(|d| d.gate()).filter(|_| self.guarded) {
            [Person::Asker, Person::Stranger].into_iter().for_each(|who| may(Wish::Meddle(who, active, gate)));
        }
        env.active().iter().copied().chain(env.queue()).for_each(|d| may(Wish::Abort(id(d.number))));
        if (world.core.live() > 1 || world.core.standby() != 0) && self.people != People::Steps {
            may(Wish::Rollback(world.core.live()));
        }
        let live = world.core.live();
        if live != 0 {
            may(Wish::Restart(live, false));
        }
        if live != 0 && self.builds == 0 {
            may(Wish::Restart(live, true));
        }
        if let Some(d) = env.active().filter(|_| !self.steps.is_empty()) {
            may(Wish::Proceed(active));
            may(Wish::Pause(active));
            if d.share().is_some() {
                may(Wish::Rollback(active));
            }
        }
        may(Wish::Maintain(env.maintenance().is_none()));
        may(if env.hold().is_some() { Wish::Resume } else { Wish::Hold });
        may(if env.pin().is_some() { Wish::Unpin } else { Wish::Pin(1) });
        if let Some(d) = env.active().or(env.queue().first()) {
            let release = small(d.release.number);
            may(Wish::Veto(release));
        }
        if self.stranger || self.adopts > 0 {
            world.cloud.stacks.iter().flatten().for_each(|t| may(Wish::Dismiss(t.owner)));
        }
        if self.stranger {
            world.cloud.stacks.iter().flatten().for_each(|t| may(Wish::Adopt(t.owner)));
        }
        env.vetoes().iter().for_each(|v| may(Wish::Unveto(small(v.release))));
    }

    /// What somebody asks for.
    fn command(&self, w: &World, wish: Wish) -> Ask {
        let number = |id: Id| Number(id.into());
        match wish {
            Wish::Approve(id, gate) | Wish::Meddle(_, id, gate) => Ask::Approve(number(id), gate),
            Wish::Abort(id) => Ask::Abort(number(id), text()),
            Wish::Rollback(id) => Ask::Rollback(number(id), text()),
            Wish::Hold => Ask::Hold(text()),
            Wish::Resume => Ask::Resume,
            Wish::Maintain(true) => Ask::BeginMaintenance { hold: false, reason: text() },
            Wish::Maintain(false) => Ask::EndMaintenance,
            Wish::Pin(release) => Ask::Pin(release.into()),
            Wish::Unpin => Ask::Unpin,
            Wish::Veto(release) => Ask::Veto(release.into(), text()),
            Wish::Unveto(release) => Ask::Unveto(release.into()),
            Wish::Dismiss(id) => Ask::DismissStranger(number(id), text()),
            Wish::Adopt(id) => {
                // Each is another one, though it may be of the same stack.
                let key = Key([ADOPTIONS + small(w.core.env.keys.len()); 16]);
                let (release, plan) = (canon::draft(self), self.plan());
                Ask::AdoptStranger { number: number(id), key, release, plan }
            }
            Wish::Proceed(id) => Ask::Proceed(number(id)),
            Wish::Pause(id) => {
                let (timeout, otherwise) = (Millis(10), Otherwise::Abort);
                Ask::Pause(number(id), Gate { timeout, otherwise, by: Vec::new(), not_the_asker: false })
            }
            Wish::Restart(id, one) => Ask::Restart { number: number(id), instance: one.then_some(1), at: Millis(0) },
        }
    }

    /// What a command leads to when it arrives; `None`: it is refused.
    pub(super) fn answer(&self, w: &World, c: usize, wish: Wish) -> Option<Event> {
        self.base(w, c).env.command(&self.command(w, wish).into(), wish.by()).ok()
    }

    pub(super) fn obey(&self, w: &mut World, c: usize, wish: Wish) {
        w.wishes.remove(wish);
        if let Wish::Abort(id) = wish
            && !self.on(22)
        {
            w.net.add(Request::Retire { id, patient: false });
        }
        let Some(event) = self.answer(w, c, wish) else { return };
        let meant = match wish {
            Wish::Approve(id, _) | Wish::Meddle(_, id, _) => named(&event) == Some(id),
            Wish::Proceed(id) | Wish::Pause(id) => named(&event) == Some(id),
            Wish::Abort(id) | Wish::Rollback(id) | Wish::Dismiss(id) | Wish::Adopt(id) | Wish::Restart(id, _) => {
                named(&event) == Some(id)
            }
            _ => true,
        };
        if !meant {
            w.told.broken = Some(Promise::Misdirected);
        }
        if let Event::StrangerDismissed { number, .. } = &event {
            w.told.dismissed.add(id(*number));
        }
        if matches!(wish, Wish::Meddle(person, _, gate) if !may_open(person, gate)) {
            w.told.broken = Some(Promise::WrongApprover);
        }
        let is_ours_to_name = self.is_a_stranger(w, c, &event);
        self.commit(w, c, &event, None, true);
        if !is_ours_to_name {
            w.told.broken = Some(Promise::NoStranger);
        }
    }

    /// Whether what a person ends or adopts by its number is a stack that the journal does not know, and not somebody else's.
    fn is_a_stranger(&self, w: &World, c: usize, event: &Event) -> bool {
        let (Event::StrangerDismissed { number, .. } | Event::Accepted { number, stranger: true, .. }) = event else {
            return true;
        };
        let (core, number) = (self.base(w, c), *number);
        let under_way = core.env.active().into_iter().chain(core.env.queue()).any(|d| d.number == number);
        let kept = [core.live(), core.standby()].contains(&id(number));
        let theirs = self.adopts > 0 && w.told.adopting.has(id(number));
        let stranger = core.env.strangers().contains(&number) && !theirs;
        stranger && !under_way && !kept && core.env.retiring().iter().all(|r| r.number != number)
    }
}

pub(super) fn issue(w: &mut World, wish: Wish) {
    match wish {
        Wish::Approve(id, gate) => allow(w, id, gate),
        Wish::Meddle(person, id, gate) => {
            w.left.wishes -= 1;
            if may_open(person, gate) {
                allow(w, id, gate);
            }
        }
        _ => w.left.wishes -= 1,
    }
    w.wishes.add(wish);
}

fn allow(w: &mut World, id: Id, gate: GateName) {
    if gate == GateName::BeforeProvisioning { w.told.may_start.add(id) } else { w.told.may_serve.add(id) }
}

/// Who may open a gate where gates are guarded, besides the one who was named: at the start nobody, later all but the
/// one who asked.
fn may_open(person: Person, gate: GateName) -> bool {
    gate == GateName::BeforeCutover && person != Person::Asker
}

impl Wish {
    /// Returns whose command it is.
    fn by(self) -> &'static str {
        match self {
            Self::Approve(..) => NAMED,
            Self::Meddle(Person::Asker, ..) => ASKER,
            Self::Meddle(Person::Stranger, ..) => "stranger",
            _ => "someone",
        }
    }
}

/// The deployment that an event, made from a command, is about.
fn named(event: &Event) -> Option<Id> {
    match event {
        Event::Approved { number, .. }
        | Event::Ended { number, .. }
        | Event::RollbackRequested { number, .. }
        | Event::RevertOrdered { number, .. }
        | Event::RevertRequested { number, .. }
        | Event::Proceeded { number, .. }
        | Event::Paused { number, .. }
        | Event::ColdRollbackQueued { number, .. }
        | Event::Accepted { number, stranger: true, .. }
        | Event::RestartAsked { number, .. }
        | Event::PageOrdered { number, .. }
        | Event::StopOrdered { number, .. }
        | Event::StartOrdered { number, .. }
        | Event::StrangerDismissed { number, .. } => Some(id(*number)),
        _ => None,
    }
}
