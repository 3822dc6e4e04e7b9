//! Stacks that bear our mark and that the journal does not know: after an older journal was put back, or a new one was begun.
//! They are left alone until a person ends them, or adopts them: then a stranger is the candidate of a deployment with the
//! number that it carries, and stays a stranger until it was found good.

use std::sync::Arc;

use super::{
    adoption::of_what_is_there,
    apply::Illegal,
    command::in_order,
    event::{Event, Outcome, Trigger},
    ids::{Key, Millis, Number},
    observation::Observation,
    phase::Phase,
    refusal::Refusal,
    release::{Plan, Release},
    state::{Deployment, Environment},
};

impl Environment {
    /// Whether a stack is not ours to tear down: nobody adopted it, or it was not found good yet (rule R64).
    pub fn is_stranger(&self, number: Number) -> bool {
        self.strangers.contains(&number) && self.rules.adopt_stranger_late()
    }

    /// Whether a stack that is not there is made: not a stranger, which is adopted as it is (rule R39).
    pub fn may_make(&self, number: Number) -> bool {
        !self.strangers.contains(&number) || !self.rules.never_remake_adopted()
    }

    /// A stack that bears our mark and is in no record: its number was not given out yet, or to a deployment that has not begun.
    pub(super) fn strangers_seen(&self, seen: &Observation) -> Option<Event> {
        let given =
            |number: &Number| self.queue.iter().any(|d| d.number == *number && !self.strangers.contains(number));
        let unknown = |n: &Number| *n > self.last_number || given(n) && self.rules.skip_used_numbers();
        let number = seen.stacks.as_ref()?.iter().map(|s| s.number).filter(unknown).min()?;
        Some(Event::StrangerFound { number })
    }

    /// Its number is skipped. A deployment that had it, before anybody looked, ends: its stack would be this one.
    pub(super) fn stranger_found(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let given = self.queue.iter().position(|d| d.number == number).filter(|_| !self.strangers.contains(&number));
        match given {
            Some(place) => {
                let queued = self.queue.remove(place);
                let reason =
                    format!("stack {number} is there from before the journal and carries its number; deploy it again");
                self.end(number, &queued.release, Outcome::Failed, &reason.into(), at);
            }
            None => self.unused("stranger_found", number)?,
        }
        self.last_number = self.last_number.max(number);
        self.strangers.push(number);
        Ok(())
    }

    /// The answer to whoever wants a stranger gone. Whether it is in use now decides the permit, on a fresh look.
    pub(super) fn dismiss_stranger(&self, number: Number, reason: &Arc<str>) -> Result<Event, Refusal> {
        self.named_stranger(number)?;
        Ok(Event::StrangerDismissed { number, reason: reason.clone() })
    }

    /// The answer to whoever wants a stranger live. What runs in it is a release that was known here, or a new one.
    pub(super) fn adopt_stranger(
        &self,
        number: Number,
        key: Key,
        (release, last_release): (&Release, u32),
        plan: &Arc<Plan>,
        reason: Option<&Arc<str>>,
    ) -> Result<Event, Refusal> {
        self.asked_before(key)?;
        self.named_stranger(number)?;
        let under_way = self.active.iter().map(|d| (d.number, "is under way"));
        let queued = self.queue.iter().map(|d| (d.number, "is queued"));
        // An order that led to what is torn down may still arrive, and is waited for by nobody once an adoption is let go.
        let retiring = self.retiring.iter().filter(|_| self.live.is_none()).map(|r| (r.number, "is being torn down"));
        if let Some((other, is)) = under_way.chain(queued).chain(retiring).next() {
            return Err(Refusal::Occupied { number, other, is });
        }
        let known = self.same_release(release);
        let release = known.unwrap_or_else(|| Arc::new(Release { number: last_release + 1, ..release.clone() }));
        if let Some(vetoed) = self.vetoed(release.number) {
            return Err(vetoed);
        }
        let (plan, trigger) = (in_order(of_what_is_there(plan)), Trigger::Person);
        Ok(Event::Accepted {
            number,
            key,
            build_number: None,
            release,
            plan,
            trigger,
            reason: reason.cloned(),
            stranger: true,
        })
    }

    /// The release of the same content that is remembered here.
    fn same_release(&self, wanted: &Release) -> Option<Arc<Release>> {
        let kept = self.live.iter().chain(self.standby.iter().map(|s| &s.stack)).map(|s| &s.release);
        let mut known = kept.chain(self.proven()).chain(self.ended.iter().rev().map(|e| &e.release));
        let same = |known: &&Arc<Release>| Release { number: known.number, ..wanted.clone() } == ***known;
        known.find(same).cloned()
    }

    /// Refuses what is not a stranger (rule R58), or is somebody else's (rule R59).
    fn named_stranger(&self, number: Number) -> Result<(), Refusal> {
        if let Some(what) = self.known_as(number).filter(|_| self.rules.end_only_strangers()) {
            return Err(Refusal::NotAStranger { number, what });
        }
        if self.not_ours.contains(&number) && self.rules.let_go_is_not_ours() {
            let what = "was to be adopted and was let go, so it is somebody else's";
            return Err(Refusal::NotAStranger { number, what });
        }
        Ok(())
    }

    /// What a stack is, in words that go on from its number; nothing for a stranger.
    fn known_as(&self, number: Number) -> Option<&'static str> {
        let is = |n: Option<Number>| n == Some(number);
        match () {
            () if is(self.live.as_ref().map(|s| s.number)) => Some("is live"),
            () if is(self.standby.as_ref().map(|s| s.stack.number)) => Some("is the standby, which a rollback goes to"),
            () if is(self.active.as_ref().map(|d| d.number)) => {
                Some("belongs to the deployment that is under way; `pointsman abort` stops that")
            }
            () if self.queue.iter().any(|d| d.number == number) => Some("belongs to a deployment that is queued"),
            () if self.retiring.iter().any(|r| r.number == number) => Some("is being torn down already"),
            () if self.strangers.contains(&number) => None,
            () => Some("was not found here"),
        }
    }

    /// The same end of a deployment, said with what becomes of a stranger that it was to make live.
    pub(super) fn with_what_is_left(&self, d: &Deployment, mut event: Event) -> Event {
        let stays = matches!(event, Event::Ended { .. }) && self.live.as_ref().is_some_and(|s| s.number == d.number);
        if let Event::Ended { reason, .. } | Event::RevertOrdered { reason, .. } = &mut event
            && self.is_stranger(d.number)
            && !matches!(d.phase, Phase::Reverting { .. })
            && !stays
        {
            *reason = format!("{reason}; stack {} is left as it is, a stranger again", d.number).into();
        }
        event
    }

    /// Refuses a deployment whose number is another's: it is a new one, or that of the stranger that it adopts.
    pub(super) fn free(&self, number: Number, stranger: bool) -> Result<(), Illegal> {
        if stranger { self.a_stranger("accepted", number) } else { self.unused("accepted", number) }
    }

    /// Refuses a number that was given out or skipped.
    pub(super) fn unused(&self, event: &'static str, number: Number) -> Result<(), Illegal> {
        if number > self.last_number {
            Ok(())
        } else {
            Err(Illegal { event, number, why: "its number was used before" })
        }
    }

    /// Refuses an event about what is not a stranger.
    pub(super) fn a_stranger(&self, event: &'static str, number: Number) -> Result<(), Illegal> {
        let known = self.known_as(number).is_some() && self.rules.end_only_strangers();
        if known { Err(Illegal { event, number, why: "it is not a stranger" }) } else { Ok(()) }
    }

    pub(super) fn stranger_dismissed(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        self.a_stranger("stranger_dismissed", number)?;
        self.strangers.retain(|n| *n != number);
        self.retire(number, &Plan::default(), (Vec::new(), None), at);
        let late = self.let_go == Some(self.generation);
        self.retiring.iter_mut().filter(|r| r.number == number).for_each(|r| r.stranger = late);
        Ok(())
    }
}
