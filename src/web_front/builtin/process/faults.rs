//! What is wrong with a front although it serves, so that its controller can tell people. Must not mend it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{clock::Clock, descriptors, machine::Millis, web_front::FrontTrouble};

/// How long what has happened is told after it happened last.
const TOLD: Millis = Millis(3_600_000);

/// Faults that were noticed.
pub(super) struct Faults {
    folder: PathBuf,
    clock: Clock,
    /// The settings ask for more than the system gives.
    short: Option<String>,
    /// The reason why certificate and pages could not be read again, and since when.
    reload: Option<(String, Millis)>,
    descriptors: Tally,
    clients: Tally,
    stacks: Tally,
    /// `limits.connections` and `limits.stack_connections`, as they hold.
    limits: (usize, usize),
}

impl Faults {
    /// Returns the state at the start of a front.
    pub(super) fn new(folder: &Path, short: Option<String>, limits: (usize, usize), clock: Clock) -> Self {
        let descriptors = Tally { known: descriptors::refused(), ..Tally::default() };
        let (clients, stacks) = (Tally::default(), Tally::default());
        Self { folder: folder.to_owned(), clock, short, reload: None, descriptors, clients, stacks, limits }
    }

    /// Returns the time by the host's clock.
    pub(super) fn now(&self) -> Millis {
        self.clock.host()
    }

    /// Takes down how many requests were refused so far, and how many descriptors.
    pub(super) fn count(&mut self, (clients, stacks): (u64, u64)) {
        let now = self.clock.host();
        self.descriptors.count(descriptors::refused(), now);
        self.clients.count(clients, now);
        self.stacks.count(stacks, now);
    }

    /// Takes down how reading certificate and pages again went.
    pub(super) fn reloaded(&mut self, result: &io::Result<()>) {
        let since = self.reload.take().map_or_else(|| self.clock.host(), |(_, since)| since);
        self.reload = result.as_ref().err().map(|error| (error.to_string(), since));
    }

    /// Returns all of it, with what is wrong with the certificate; the most pressing last.
    pub(super) fn all(&self, certificate: impl FnOnce(Millis) -> Vec<FrontTrouble>) -> Vec<FrontTrouble> {
        let now = self.clock.host();
        let mut all = Vec::new();
        all.extend(self.short.clone().map(|why| FrontTrouble::Limited { why }));
        let (connections, per_stack) = self.limits;
        for (limit, most, tally) in
            [("stack_connections", per_stack, &self.stacks), ("connections", connections, &self.clients)]
        {
            let refused = |(times, since, last)| FrontTrouble::ClientsRefused {
                limit: format!("limits.{limit}"),
                most,
                times,
                since,
                last,
            };
            all.extend(tally.told(now).map(refused));
        }
        let refused = |(times, since, last)| FrontTrouble::DescriptorsRefused { times, since, last };
        all.extend(self.descriptors.told(now).map(refused));
        let failed = |(why, since)| FrontTrouble::ReloadFailed { why, since, folder: self.folder.clone() };
        all.extend(self.reload.clone().map(failed));
        all.extend(certificate(now));
        all
    }
}

/// How often something happened, in a row without an hour between.
#[derive(Default)]
struct Tally {
    /// The count at the last look.
    known: u64,
    times: u64,
    since: Millis,
    last: Millis,
}

impl Tally {
    fn count(&mut self, all: u64, now: Millis) {
        let more = all.saturating_sub(self.known);
        self.known = all;
        if more == 0 {
            return;
        }
        if self.told(now).is_none() {
            (self.times, self.since) = (0, now);
        }
        (self.times, self.last) = (self.times + more, now);
    }

    fn told(&self, now: Millis) -> Option<(u64, Millis, Millis)> {
        (self.times > 0 && now.since(self.last) < TOLD).then_some((self.times, self.since, self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_within_an_hour_is_one_thing_and_after_an_hour_it_is_over() {
        let mut tally = Tally { known: 5, ..Tally::default() };
        let hour = TOLD.0;
        tally.count(5, Millis(1_000));
        assert_eq!(tally.told(Millis(1_000)), None, "nothing since this front began");
        tally.count(7, Millis(2_000));
        tally.count(7, Millis(3_000));
        assert_eq!(tally.told(Millis(3_000)), Some((2, Millis(2_000), Millis(2_000))));
        tally.count(8, Millis(hour));
        assert_eq!(tally.told(Millis(hour)), Some((3, Millis(2_000), Millis(hour))));
        assert_eq!(tally.told(Millis(2 * hour)), None);
        tally.count(9, Millis(3 * hour));
        assert_eq!(tally.told(Millis(3 * hour)), Some((1, Millis(3 * hour), Millis(3 * hour))));
    }

    #[test]
    fn a_failed_reload_is_told_since_its_first_time_until_one_succeeds() {
        let clock = Clock::real();
        let mut faults = Faults::new(Path::new("/f"), None, (1, 1), clock.clone());
        let told = |faults: &Faults| faults.all(|_| Vec::new());
        faults.reloaded(&Err(io::Error::other("torn")));
        let first = told(&faults);
        let [FrontTrouble::ReloadFailed { why, since, .. }] = &first[..] else { panic!("{first:?}") };
        assert_eq!(why, "torn");
        clock.let_pass(std::time::Duration::from_secs(60));
        faults.reloaded(&Err(io::Error::other("no such file")));
        let again = told(&faults);
        let folder = "/f".into();
        assert_eq!(again, [FrontTrouble::ReloadFailed { why: "no such file".into(), since: *since, folder }]);
        faults.reloaded(&Ok(()));
        assert_eq!(told(&faults), []);
    }
}
