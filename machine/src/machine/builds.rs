//! Knows the newest build by its sender's own count: an older one that comes later is refused. Must not know why a
//! build failed or who vetoed it.

use super::{event::Trigger, ids::Number, state::Environment};

impl Environment {
    /// Returns the newest build by its sender's count, of those that neither failed nor are vetoed.
    pub fn newest_build(&self) -> Option<u64> {
        let banned = |release: u32| self.vetoes.iter().any(|veto| veto.release == release);
        let counted = self
            .counted_builds
            .iter()
            .filter(|(_, _, release)| !banned(*release))
            .map(|(build_number, ..)| *build_number);
        if self.counted_builds.is_empty() { self.last_build_number } else { counted.max() }
    }

    /// Returns the last deployment of the build with that number by its sender's count, while it is remembered.
    pub fn deployment_of_build(&self, build_number: u64) -> Option<Number> {
        let of = self
            .counted_builds
            .iter()
            .rev()
            .find(|(counted, number, _)| *counted == build_number && *number != Number(0));
        of.map(|(_, number, _)| *number)
    }

    /// The deployment of the very build that is asked for, by its sender's count, where a person gave the count then or does
    /// so now (rule R66). What was announced twice under two names is not that: a run that is run again keeps its number.
    pub(super) fn same_build(&self, build_number: Option<u64>, trigger: Trigger) -> Option<Number> {
        let build_number =
            build_number.filter(|build_number| trigger == Trigger::Person || self.by_hand.contains(build_number))?;
        self.deployment_of_build(build_number)
    }

    /// Remembers a build by its sender's count; of many the greatest stay.
    pub(super) fn count(&mut self, build_number: Option<u64>, number: Number, (release, trigger): (u32, Trigger)) {
        let Some(build_number) = build_number else { return };
        if trigger == Trigger::Person {
            self.by_hand.push(build_number);
        }
        if let (true, Some(before)) = (self.counted_builds.is_empty(), self.last_build_number) {
            // Of a snapshot of an older version: which build it was is not known.
            self.counted_builds.push((before, Number(0), 0));
        }
        self.counted_builds.push((build_number, number, release));
        self.counted_builds.sort_unstable();
        if self.counted_builds.len() > Self::BUILDS_KEPT {
            self.counted_builds.remove(0);
        }
        self.last_build_number = self.counted_builds.last().map(|(build_number, ..)| *build_number);
        self.forget_uncounted();
    }

    fn forget_uncounted(&mut self) {
        self.by_hand.retain(|build_number| self.counted_builds.iter().any(|(counted, ..)| counted == build_number));
    }

    /// Counts builds from the beginning.
    pub(super) fn reset_builds(&mut self) {
        (self.last_build_number, self.counted_builds, self.by_hand) = (None, Vec::new(), Vec::new());
    }

    /// Forgets a build that failed: it makes no other too old.
    pub(super) fn uncount(&mut self, number: Number) {
        let counted = self.counted_builds.len();
        self.counted_builds.retain(|(_, of, _)| *of != number);
        if self.counted_builds.len() < counted {
            self.last_build_number = self.counted_builds.last().map(|(build_number, ..)| *build_number);
            self.forget_uncounted();
        }
    }
}
