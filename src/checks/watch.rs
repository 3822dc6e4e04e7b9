//! When to ask, and what the answers mean. Pure: no clock, no I/O; times come in, questions and a verdict come out.
//!
//! Passing only when every check passed often enough in a row at every endpoint. Failing when one failed often enough
//! in a row, once it had passed or its grace was over; or when it flaps: neither comes about in a window of answers, or most
//! answers of one that had passed are bad. Everything else is unknown.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use super::{At, Check, Checks, KnownAs, NoPass, Via, via};
use crate::machine::{CheckAnswer, Health, Millis};

/// How late an answer may be on a host that is busy, before it is missed.
const LATE: Duration = Duration::from_secs(10);

/// A question that is due: which check, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// The check's place in [`Checks::list`].
    pub check: usize,
    /// Where it is asked.
    pub at: At,
}

/// The watch over one stack.
#[derive(Debug, Clone)]
pub struct Watch {
    checks: Arc<Checks>,
    points: BTreeMap<Probe, Point>,
}

/// What is known of one check at one endpoint.
#[derive(Debug, Clone)]
struct Point {
    since: Millis,
    due: Millis,
    asked: Option<Millis>,
    /// When it was answered last, or began to be watched.
    answered: Millis,
    passed: u32,
    failed: u32,
    /// Passes in a row that met the latency of the warm-up.
    warm: u32,
    /// Whether the last answers were good, since bad ones count; as many as [`Point::window`] says.
    recent: VecDeque<bool>,
    /// How many of the last were good and bad, when that is why it is failing.
    flapped: Option<(usize, usize)>,
    verdict: Health,
    last: Option<Result<Duration, String>>,
    /// Last bad answer.
    bad: Option<String>,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(checks: Arc<Checks>) -> Self {
        Self { checks, points: BTreeMap::new() }
    }

    /// Says where the stack serves, and whether the front knows it. What is known of a place that stays is kept; the grace of a
    /// new one begins.
    pub fn set_endpoints(&mut self, endpoints: &[SocketAddr], known: KnownAs, now: Millis) {
        let of = |check: &Check| check.via.places(endpoints, known);
        let places =
            self.checks.list.iter().enumerate().flat_map(|(check, c)| of(c).into_iter().map(move |at| (check, at)));
        let places: BTreeSet<Probe> = places.map(|(check, at)| Probe { check, at }).collect();
        self.points.retain(|probe, _| places.contains(probe));
        for probe in places {
            self.points.entry(probe).or_insert_with(|| Point::new(now));
        }
    }

    /// What is to be asked now. Each is asked once, until its answer is recorded; one whose answer was lost is asked
    /// again.
    pub fn due(&mut self, now: Millis) -> Vec<Probe> {
        let mut due = Vec::new();
        for (probe, point) in &mut self.points {
            let Some(check) = self.checks.list.get(probe.check) else { continue };
            let lost = point.asked.is_some_and(|asked| now.since(asked) > millis(check.timeout * 2 + check.every));
            if (point.asked.is_none() && now >= point.due) || lost {
                point.asked = Some(now);
                due.push(*probe);
            }
        }
        due
    }

    /// When something is due next, unless an answer comes before.
    pub fn next_due(&self) -> Option<Millis> {
        self.points.values().filter(|point| point.asked.is_none()).map(|point| point.due).min()
    }

    /// Takes an answer. One for an endpoint that is no longer the stack's is dropped.
    pub fn record(&mut self, now: Millis, probe: Probe, answer: Result<Duration, NoPass>) {
        let (Some(check), Some(point)) = (self.checks.list.get(probe.check), self.points.get_mut(&probe)) else {
            return;
        };
        point.record(check, now, answer);
    }

    /// The verdict.
    pub fn health(&self) -> Health {
        let verdicts = || self.points.values().map(|point| point.verdict);
        if verdicts().any(|verdict| verdict == Health::Failing) {
            Health::Failing
        } else if verdicts().all(|verdict| verdict == Health::Passing) && self.unasked().is_none() {
            Health::Passing
        } else {
            Health::Unknown
        }
    }

    /// Returns a check that is asked nowhere.
    fn unasked(&self) -> Option<&Check> {
        let asked = |check: usize| self.points.keys().any(|probe| probe.check == check);
        self.checks.list.iter().enumerate().find(|(at, _)| !asked(*at)).map(|(_, check)| check)
    }

    /// Since when a check has had no answer for longer than it may take, where questions may wait for `pause`: what the verdict
    /// rests on is that old.
    pub fn unanswered_since(&self, now: Millis, pause: Duration) -> Option<Millis> {
        let overdue = self.points.iter().filter(|(probe, point)| {
            let check = self.checks.list.get(probe.check);
            let every = check.map_or(Duration::ZERO, |check| check.every + check.timeout);
            now.since(point.answered) > millis((every + pause) * 2 + LATE)
        });
        overdue.map(|(_, point)| point.answered).min()
    }

    /// Returns one sentence on what keeps the checks from passing, the worst first; `None` when all pass.
    pub fn remark(&self) -> Option<String> {
        let failing = self.points.values().filter(|point| point.verdict == Health::Failing);
        if let Some(said) = failing.chain(self.points.values()).find_map(Point::complaint) {
            return Some(said);
        }
        let behind = self.points.iter().find(|(_, point)| point.verdict != Health::Passing);
        let Some((probe, point)) = behind else {
            return self.unasked().filter(|c| c.via == Via::Front).map(via::waits);
        };
        let check = self.checks.list.get(probe.check)?;
        let at = probe.at;
        Some(match check.warm_up {
            Some(warm_up) if point.passed >= check.passes => {
                let (done, all, within) = (point.warm, warm_up.requests, warm_up.within.as_millis());
                format!("{at} is warming up: {done} of {all} answers in a row within {within} ms")
            }
            _ => format!("{at} passed {} of {} times in a row", point.passed, check.passes),
        })
    }

    /// What each check answered last, where it passed.
    pub fn answers(&self) -> Vec<CheckAnswer> {
        let of = |check: usize| self.points.iter().filter(move |(probe, _)| probe.check == check);
        let took = |check| of(check).filter_map(|(_, point)| point.last.as_ref()?.as_ref().ok().copied());
        self.checks.list.iter().enumerate().map(|(at, check)| check.passed(&took(at).collect::<Vec<_>>())).collect()
    }

    /// The slowest last answer.
    pub fn latency(&self) -> Option<Duration> {
        self.points.values().filter_map(|point| point.last.as_ref()?.as_ref().ok().copied()).max()
    }
}

impl Point {
    fn new(now: Millis) -> Self {
        Self {
            since: now,
            due: now,
            asked: None,
            answered: now,
            passed: 0,
            failed: 0,
            warm: 0,
            recent: VecDeque::new(),
            flapped: None,
            verdict: Health::Unknown,
            last: None,
            bad: None,
        }
    }

    /// What is wrong with it, in one sentence.
    fn complaint(&self) -> Option<String> {
        match (self.flapped, &self.bad) {
            (Some((passed, failed)), Some(bad)) => {
                Some(format!("passed {passed} and failed {failed} of the last {}, at last: {bad}", passed + failed))
            }
            _ => self.last.as_ref()?.as_ref().err().cloned(),
        }
    }

    /// Returns how many answers show whether it flaps: enough for either verdict to have come about.
    fn window(check: &Check) -> usize {
        usize::try_from(check.passes.saturating_add(check.fails).saturating_add(1)).unwrap_or(usize::MAX)
    }

    /// Whether the last answers, which brought no verdict of their own, are one.
    fn judge_flapping(&mut self, check: &Check, good: bool) {
        self.recent.push_back(good);
        let window = Self::window(check);
        while self.recent.len() > window {
            self.recent.pop_front();
        }
        let passed = self.recent.iter().filter(|good| **good).count();
        let failed = self.recent.len() - passed;
        let flaps = match self.verdict {
            Health::Unknown => failed > 1,
            Health::Passing => failed > passed,
            Health::Failing => false,
        };
        // After a good answer it may be on its way to pass; one that is warmed up has no bad ones.
        if flaps && !good && self.recent.len() == window {
            self.verdict = Health::Failing;
            self.flapped = Some((passed, failed));
        }
    }

    fn record(&mut self, check: &Check, now: Millis, answer: Result<Duration, NoPass>) {
        // From question to question; a slow answer does not make the next one come at once.
        let asked = self.asked.take().unwrap_or(now);
        self.due = asked.plus(millis(check.every)).max(now);
        let answer = match answer {
            Ok(took) => Ok(took),
            Err(NoPass::Failed(why)) => Err(why),
            Err(NoPass::NotReached(why)) => {
                // Nothing is known of the stack: what passed before it is not in a row with what comes, and nothing failed.
                (self.passed, self.warm, self.last) = (0, 0, Some(Err(why)));
                return;
            }
        };
        self.answered = now;
        let grace_over = self.verdict == Health::Passing || now.since(self.since) >= millis(check.grace);
        match &answer {
            Ok(latency) => {
                (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
                let in_time = check.warm_up.is_none_or(|warm_up| *latency <= warm_up.within);
                self.warm = if in_time { self.warm.saturating_add(1) } else { 0 };
                let is_warm = self.verdict == Health::Passing || check.warm_up.is_none_or(|w| self.warm >= w.requests);
                if self.passed >= check.passes && is_warm {
                    if self.verdict != Health::Passing {
                        self.recent.clear();
                    }
                    (self.verdict, self.flapped) = (Health::Passing, None);
                }
            }
            Err(why) => {
                self.bad = Some(why.clone());
                (self.passed, self.failed, self.warm) = (0, self.failed.saturating_add(1), 0);
                if self.failed >= check.fails && grace_over {
                    (self.verdict, self.flapped) = (Health::Failing, None);
                }
            }
        }
        if grace_over {
            self.judge_flapping(check, answer.is_ok());
        }
        self.last = Some(answer);
    }
}

fn millis(length: Duration) -> Millis {
    Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}
