//! Stacks that bear our mark and that the journal does not know: after an older journal was put back, or a journal was begun
//! anew. They are left alone until a person ends them.

use std::sync::Arc;

use super::{
    apply::Illegal,
    command::Refusal,
    event::Event,
    ids::{Millis, Number},
    release::Plan,
    state::Environment,
};

impl Environment {
    /// The answer to whoever wants a stranger gone. Whether it is in use now decides the permit, on a fresh look.
    pub(super) fn dismiss_stranger(&self, number: Number, reason: &Arc<str>) -> Result<Event, Refusal> {
        if let Some(what) = self.known_as(number).filter(|_| self.rules.r58()) {
            return Err(Refusal::NotAStranger { number, what });
        }
        if self.not_ours.contains(&number) && self.rules.r59() {
            let what = "was to be adopted and was let go, so it is not ours to end";
            return Err(Refusal::NotAStranger { number, what });
        }
        Ok(Event::StrangerDismissed { number, reason: reason.clone() })
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

    pub(super) fn stranger_dismissed(&mut self, number: Number, at: Millis) -> Result<(), Illegal> {
        let why = "it is no stranger";
        if self.known_as(number).is_some() && self.rules.r58() {
            return Err(Illegal { event: "stranger_dismissed", number, why });
        }
        self.strangers.retain(|n| *n != number);
        self.retire(number, &Plan::default(), (Vec::new(), None), at);
        Ok(())
    }
}
