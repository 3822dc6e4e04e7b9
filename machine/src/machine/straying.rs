//! A front that is not where it was sent: when it is put right, when that has to wait, and when a person is called. An order
//! of a deployment that is under way is that deployment's own matter.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Illegal,
    effect::shown,
    event::{Event, Matter},
    ids::{Generation, Millis, Number},
    observation::{FrontView, Observation},
    release::Plan,
    state::Environment,
};

/// Somebody else repointed the front, or an order of ours is still to be carried through.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Straying {
    /// Since when, this time.
    pub since: Millis,
    /// When the first of the row was seen.
    #[serde(default)]
    pub began: Millis,
    /// How often in a row somebody else repointed it; 0: nobody did.
    pub in_a_row: u32,
    /// Words for what the front showed.
    pub shown: Arc<str>,
    /// A person was called.
    #[serde(default)]
    pub operator_needed: bool,
}

impl Straying {
    /// How often in a row is too often: a person is called, and automatic deployments are held.
    pub const TOO_OFTEN: u32 = 5;
    /// Time without it after which the next one starts a new row.
    const ROW: Millis = Millis(3_600_000);

    /// How long the front is left where somebody else pointed it: the longer, the oftener they did.
    pub fn pause(&self) -> Millis {
        match self.in_a_row {
            0..=2 => Millis(0),
            often => Millis((1_000_u64 << (often - 2).min(9)).min(300_000)),
        }
    }

    /// When the front may be put right.
    pub fn mended_from(&self) -> Millis {
        self.since.plus(self.pause())
    }

    /// Whether it happens so often that automatic deployments are held.
    pub fn too_often(&self) -> bool {
        self.in_a_row >= Self::TOO_OFTEN
    }
}

impl Environment {
    /// Sees drift: nothing else is safe while the front is not where the journal says, or may yet move (rule R15).
    pub(super) fn drift_seen(&self, seen: &Observation, now: Millis) -> Option<Event> {
        if self.ordered_elsewhere() || !self.rules.mend_drift() {
            return None;
        }
        if let Some(called) = self.fought_over() {
            return Some(called);
        }
        let Some(front) = &seen.front else { return self.front_is_stuck(seen, now) };
        let right = shown(seen, self.wanted(), self.generation, self.rules) || self.may_stay(front);
        match self.drift {
            Some(_) if right => Some(Event::DriftMended),
            None if right => None,
            Some(ordered) if front.generation < ordered || self.pauses(now) => self.front_is_stuck(seen, now),
            _ => Some(self.astray(front, seen, now)),
        }
    }

    /// Whether a deployment has an order of its own at the front.
    fn ordered_elsewhere(&self) -> bool {
        self.active.as_ref().is_some_and(|d| d.phase.has_open_order())
    }

    fn astray(&self, front: &FrontView, seen: &Observation, now: Millis) -> Event {
        // An order that was overtaken before it was given is only given another number.
        let untried = self.drift.is_some_and(|ordered| seen.given(ordered).is_none());
        let in_a_row = match &self.straying {
            Some(known) if untried => known.in_a_row,
            Some(known) if now.since(known.since) < Straying::ROW => known.in_a_row + 1,
            Some(_) | None => 1,
        };
        let (generation, words) = (self.next_generation(seen), front.words.clone());
        Event::DriftSeen { shown: front.traffic.base(), generation, in_a_row, words }
    }

    /// Whether the front is left as it is for now, since somebody repoints it again and again (rule R52).
    fn pauses(&self, now: Millis) -> bool {
        let pauses = |s: &Straying| now.since(s.since) < s.pause();
        self.straying.as_ref().is_some_and(pauses) && self.rules.mend_more_seldom()
    }

    /// Whether the front may be put right now: what is to have the users was seen good in this look (rule R43), and where
    /// nothing is live, the front was seen to take nobody's users away by it (rule R54).
    pub(super) fn may_mend(&self, seen: &Observation, now: Millis) -> bool {
        let harmless = |front: &FrontView| !self.serves_unknown(front);
        let seen_harmless =
            self.live.is_some() || seen.front.as_ref().is_some_and(harmless) || !self.rules.leave_unknown_front();
        self.wanted_is_good(seen) && seen_harmless && !self.pauses(now)
    }

    /// Whether the order that puts the front right cannot be given, so that a new deployment need not wait for it.
    pub(super) fn cannot_mend(&self, seen: &Observation) -> bool {
        self.live.is_none() || !self.wanted_is_good(seen)
    }

    fn wanted_is_good(&self, seen: &Observation) -> bool {
        self.wanted().stacks().all(|n| self.is_good(n, seen)) || !self.rules.mend_onto_good()
    }

    /// Two who point the front at different stacks never end by themselves.
    fn fought_over(&self) -> Option<Event> {
        let straying =
            self.straying.as_ref().filter(|s| s.too_often() && !s.operator_needed && self.rules.mend_more_seldom())?;
        let reason = format!(
            "somebody else repointed the front {} times in a row, at last to {}; it is put right ever more seldom; \
             find out who does that, then resume",
            straying.in_a_row, straying.shown
        );
        Some(self.call_about_front(reason))
    }

    /// A front that cannot be put right calls a person (rule R50).
    fn front_is_stuck(&self, seen: &Observation, now: Millis) -> Option<Event> {
        let straying = self.straying.as_ref().filter(|s| !s.operator_needed && self.rules.call_operator())?;
        let ordered = self.drift?;
        let within = self.live.as_ref().map_or(Plan::default().cut_over_within, |s| s.plan.cut_over_within);
        let limit = straying.pause().plus(within);
        if !seen.watched(straying.since, now, self.rules).reaches(limit) {
            return None;
        }
        let said = seen.given(ordered).and_then(|order| order.said.as_deref());
        let what = match (&seen.front, &self.live) {
            (None, _) => "the front does not answer".to_owned(),
            (Some(_), Some(live)) if !self.wanted_is_good(seen) => {
                format!("the front is not pointed at stack {}, which does not pass its checks", live.number)
            }
            (Some(_), _) => match said {
                Some(said) => format!("the front cannot be put right: {said}"),
                None => "the front does not take the order that puts it right".to_owned(),
            },
        };
        Some(self.call_about_front(format!("{what}; it is still tried")))
    }

    fn call_about_front(&self, reason: String) -> Event {
        let number = self.live.as_ref().map_or(self.last_number, |s| s.number);
        Event::OperatorNeeded { number, reason: reason.into(), about: Some(Matter::Front) }
    }
}

/// The fold.
impl Environment {
    pub(super) fn stray(
        &mut self,
        (number, words): (Option<Number>, Option<&Arc<str>>),
        generation: Generation,
        in_a_row: u32,
        at: Millis,
    ) -> Result<(), Illegal> {
        self.higher("drift_seen", Number(0), generation)?;
        let before = self.straying.take();
        let same = before.as_ref().filter(|s| self.drift.is_some() && s.in_a_row == in_a_row);
        let since = same.map_or(at, |s| s.since);
        let began = before.as_ref().filter(|_| in_a_row > 1).map_or(since, |s| s.began);
        let operator_needed = before.is_some_and(|s| s.operator_needed && in_a_row != 1);
        self.order(generation);
        let plain = || number.map_or_else(|| "nobody".to_owned(), |n| format!("stack {n}"));
        let shown = words.cloned().unwrap_or_else(|| plain().into());
        self.straying = Some(Straying { since, began, in_a_row, shown, operator_needed });
        self.drift = Some(generation);
        Ok(())
    }

    /// An order of ours that no deployment waits for is given until it is seen done.
    pub(super) fn carry_through(&mut self, generation: Generation, at: Millis) {
        self.drift = Some(generation);
        let in_a_row = self.straying.as_ref().map_or(0, |s| s.in_a_row);
        let operator_needed = self.straying.as_ref().is_some_and(|s| s.operator_needed && s.too_often());
        let began = self.straying.as_ref().filter(|s| s.in_a_row > 0).map_or(at, |s| s.began);
        self.straying = Some(Straying { since: at, began, in_a_row, shown: "".into(), operator_needed });
    }

    /// The front is where it was sent, or is sent elsewhere.
    pub(super) fn settle_front(&mut self) {
        self.drift = None;
        self.straying.take_if(|s| s.in_a_row == 0);
        if let Some(straying) = self.straying.as_mut().filter(|s| !s.too_often()) {
            straying.operator_needed = false;
        }
    }

    /// A person lets things go on: whatever was repointed before is another row.
    pub(super) fn resume(&mut self) {
        self.hold = None;
        let drifts = self.drift.is_some();
        self.straying.take_if(|_| !drifts);
        if let Some(straying) = &mut self.straying {
            (straying.in_a_row, straying.operator_needed) = (0, false);
        }
    }

    pub(super) fn front_needs_operator(&mut self, by: &Arc<str>, reason: &Arc<str>, at: Millis) {
        let Some(straying) = &mut self.straying else { return };
        straying.operator_needed = true;
        if straying.too_often() && self.hold.is_none() {
            self.set_hold(by, reason, at);
        }
    }
}
