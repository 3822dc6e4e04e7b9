//! What is live and does not do its work: when it counts as down and as up again. It decides from the look alone; what is
//! down is started again by the effects, for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    event::Event,
    ids::{Millis, Number},
    observation::{Condition, Health, Observation},
    state::Environment,
};

/// The live stack was seen not to do its work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Down {
    /// Since when, as far as anybody looked.
    pub since: Millis,
    /// What was seen, in one sentence.
    pub reason: Arc<str>,
    /// It was recorded that a person is needed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub operator_needed: bool,
}

fn is_false(yes: &bool) -> bool {
    !yes
}

/// Why a stack was seen not to do its work; nothing while it does, and while nobody knows.
fn why_down(number: Number, seen: &Observation) -> Option<Arc<str>> {
    if seen.lacks(number) {
        return Some("its stack is gone".into());
    }
    let stack = seen.stack(number)?;
    let what = match (stack.condition, stack.health) {
        (Condition::Failed, _) => "its stack failed",
        (Condition::Deleting, _) => "its stack is being deleted",
        (_, Health::Failing) => "it fails its checks",
        (Condition::Creating, Health::Unknown) => "it is not up",
        (Condition::Creating, Health::Passing) | (Condition::Ready, _) => return None,
    };
    Some(stack.remark.clone().unwrap_or_else(|| what.into()))
}

impl Environment {
    /// What the look makes of the live stack: that it is down, or up again.
    pub(super) fn live_seen(&self, seen: &Observation) -> Option<Event> {
        let number = self.live.as_ref()?.number;
        match &self.down {
            None => why_down(number, seen).map(|reason| Event::LiveDown { number, reason }),
            Some(_) => seen.ready(number, Health::Passing).then_some(Event::LiveUp { number }),
        }
    }

    pub(super) fn live_down(&mut self, number: Number, reason: &Arc<str>, at: Millis) -> Result<(), Illegal> {
        self.is_live("live_down", number)?;
        if self.down.is_some() {
            return Err(Illegal { event: "live_down", number, why: "it was down before" });
        }
        self.down = Some(Down { since: at, reason: reason.clone(), operator_needed: false });
        Ok(())
    }

    pub(super) fn live_up(&mut self, number: Number) -> Result<(), Illegal> {
        self.is_live("live_up", number)?;
        let why = "it was not down";
        self.down.take().map(drop).ok_or(Illegal { event: "live_up", number, why })
    }

    fn is_live(&self, event: &'static str, number: Number) -> Result<(), Illegal> {
        let live = self.live.as_ref().is_some_and(|s| s.number == number);
        if live { Ok(()) } else { Err(Illegal { event, number, why: "it is not live" }) }
    }
}
