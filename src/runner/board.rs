//! What is known of the world beyond the journal: health, reach, what stands in the way. For people only: nothing
//! here may decide anything, and all of it is gone with the process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

use crate::{
    machine::{Condition, EnvironmentId, Health, Millis, Number, StackView, Traffic},
    reach::Reach,
    telling,
    text::format_time,
    web_front::{FrontTrouble, ShownPreview},
};

/// The step by which it is known which stacks there are.
pub(super) const LISTING: &str = "listing the stacks";

/// The step by which it is known what users see.
pub(super) const ASKING_THE_FRONT: &str = "asking the front";

/// The step by which a front is brought up. Where that fails, it says more than that nobody answers there.
pub(super) const STARTING_FRONT: &str = "starting the front";

/// The step by which somebody is told of trouble. It stands in nobody's way, so other trouble is named first.
pub(crate) const TELLING: &str = "running `on_trouble`";

/// Facts that are shown of one environment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sight {
    /// When a look ended last, whoever of those that were asked then answered.
    pub looked: Millis,
    /// When each of those that are asked answered last.
    pub seen: Seen,
    /// Who got users' requests at that look; nothing where the front did not answer.
    pub traffic: Option<Traffic>,
    /// The stacks that are there.
    pub stacks: Vec<StackSight>,
    /// The last restart that was looked at: its order, how many instances are back, and how many it is for.
    pub restarted: Option<(u64, usize, usize)>,
    /// What does not work at the moment, newest last: one sentence for each kind of step.
    pub trouble: Vec<Trouble>,
    /// Requests still open, per stack.
    pub open: Vec<(Number, u64)>,
    /// What the front has counted of users' requests.
    pub counted: Counted,
    /// What is wrong with the front although it may serve, the most pressing last.
    pub front: Vec<Concern>,
    /// How the candidate is reached before users get it; with the key, which is never written anywhere.
    #[serde(skip)]
    pub preview: Option<Arc<ShownPreview>>,
}

/// What a front has counted of users' requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Counted {
    /// It was not asked yet, or did not answer.
    #[default]
    Unknown,
    /// It does not count, and why.
    Not(&'static str),
    /// Since when, whether that was a cutover or the beginning of the front, and how many there were of each stack: requests,
    /// and those that failed.
    Since {
        /// Since when, by the clock of the front's host.
        at: Millis,
        /// Whether that was a cutover.
        cutover: bool,
        /// The stack that users are sent to, then the one before.
        sides: Vec<(Number, u64, u64)>,
    },
}

/// How often parts of a stack ended by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// How often since all of it was up.
    pub count: u64,
    /// How the last one did, in one sentence.
    pub last: Option<String>,
}

/// When those that are asked at a look answered last; none when they have not since the controller started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When the stacks were as the provider has shown them. A provider may be asked more seldom than it is looked.
    pub stacks: Option<Millis>,
    /// When the front answered.
    pub front: Option<Millis>,
}

impl Seen {
    /// When all of them were seen: the oldest of their answers.
    pub(crate) fn all(self) -> Option<Millis> {
        self.stacks.zip(self.front).map(|(stacks, front)| stacks.min(front))
    }
}

/// Something that is wrong with a front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// Trouble of the front.
    pub what: FrontTrouble,
    /// Since when it is so, or known.
    pub since: Millis,
    /// When it was logged last.
    logged: Millis,
}

/// How often the log says again what is still wrong with a front.
const AGAIN: Millis = Millis(86_400_000);

/// One stack.
#[derive(Clone, Debug, Serialize)]
pub struct StackSight {
    /// Number of the deployment that owns the stack.
    pub number: Number,
    /// How far it is.
    pub condition: Condition,
    /// Health, by its checks.
    pub health: Health,
    /// When it was made, where its provider tells.
    pub made: Option<Millis>,
    /// Where it serves.
    pub reach: Reach,
    /// Remark on what stands out.
    pub remark: Option<String>,
    /// How often parts of it ended by themselves, where its driver tells.
    pub ends: Option<Ends>,
}

/// A step that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Step that failed.
    pub step: String,
    /// Why it did not work, as the other side says.
    pub why: String,
    /// Since when.
    pub since: Millis,
}

/// All environments.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<HashMap<EnvironmentId, Sight>>>);

impl Board {
    /// Returns what is known of an environment.
    pub fn sight(&self, environment: &EnvironmentId) -> Sight {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(environment).cloned().unwrap_or_default()
    }

    /// A step beside the runner's own does not work; only news reaches the log.
    pub(crate) fn fails(&self, environment: &EnvironmentId, step: &str, why: &str, now: Millis) {
        let mut news = false;
        self.update(environment, |sight| news = sight.fails(step, why, now));
        if news {
            tracing::warn!(%environment, step, why, "{environment}: {step} failed: {why}");
        }
    }

    /// It works again.
    pub(crate) fn works(&self, environment: &EnvironmentId, step: &str) {
        self.update(environment, |sight| sight.works(step));
    }

    /// Changes what is known of an environment.
    pub(crate) fn update(&self, environment: &EnvironmentId, change: impl FnOnce(&mut Sight)) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match board.get_mut(environment) {
            Some(sight) => change(sight),
            None => change(board.entry(environment.clone()).or_default()),
        }
    }
}

impl Sight {
    /// Returns what sentences are made of, at a time at which a look counts that long.
    pub(crate) fn outlook_at(&self, now: Millis, fresh: Millis) -> telling::Outlook<'_> {
        telling::Outlook { now, fresh, ..self.outlook() }
    }

    /// The same as it was at the last look.
    pub(crate) fn outlook(&self) -> telling::Outlook<'_> {
        let stacks = self.stacks.iter().map(|stack| telling::Glimpse {
            number: stack.number,
            condition: stack.condition,
            health: stack.health,
            remark: stack.remark.as_deref(),
        });
        let step = |step: &str| self.trouble.iter().find(|t| t.step == step);
        let not_started = step(STARTING_FRONT);
        let trouble = self.trouble.iter().rfind(|t| t.step != TELLING).or(self.trouble.last());
        let trouble = trouble.filter(|t| t.step != ASKING_THE_FRONT).or(not_started).or(trouble);
        telling::Outlook {
            now: self.looked,
            fresh: Millis(0),
            front_silent: step(ASKING_THE_FRONT).map(|silent| &*not_started.unwrap_or(silent).why),
            stacks_silent: step(LISTING).map(|silent| &*silent.why),
            looked: (self.looked.0 > 0).then_some(self.looked),
            stacks_at: self.seen.stacks,
            shows: self.traffic,
            stacks: stacks.collect(),
            front: self.front.iter().map(|concern| &concern.what).collect(),
            trouble: trouble.map(|t| telling::Hindrance { step: &t.step, why: &t.why, since: t.since }),
        }
    }

    /// A step does not work. Returns whether that is news.
    pub(super) fn fails(&mut self, step: &str, why: &str, now: Millis) -> bool {
        match self.trouble.iter_mut().find(|t| t.step == step) {
            Some(known) if known.why == why => false,
            Some(known) => {
                why.clone_into(&mut known.why);
                true
            }
            None => {
                self.trouble.push(Trouble { step: step.to_owned(), why: why.to_owned(), since: now });
                true
            }
        }
    }

    /// Takes down what is wrong with the front. Returns what the log is to say: what is new, and what it has not said for a
    /// day.
    pub(super) fn front_has(&mut self, trouble: Vec<FrontTrouble>, now: Millis) -> Vec<FrontTrouble> {
        let before = std::mem::take(&mut self.front);
        let mut news = Vec::new();
        for what in trouble {
            let known = before.iter().find(|known| what.is_still(&known.what));
            let logged = known.map(|known| known.logged).filter(|logged| now.since(*logged) < AGAIN);
            if logged.is_none() {
                news.push(what.clone());
            }
            let since = known.map(|known| known.since).or(what.since()).unwrap_or(now);
            self.front.push(Concern { what, since, logged: logged.unwrap_or(now) });
        }
        news
    }

    /// A step works.
    pub(super) fn works(&mut self, step: &str) {
        self.trouble.retain(|t| t.step != step);
    }
}

impl StackSight {
    pub(super) fn new(stack: &StackView, reach: Option<&Reach>, made: Option<Millis>) -> Self {
        Self {
            number: stack.number,
            condition: stack.condition,
            health: stack.health,
            made,
            reach: reach.cloned().unwrap_or_default(),
            remark: stack.remark.as_deref().map(str::to_owned),
            ends: None,
        }
    }

    /// The same, with how often parts of it ended.
    pub(super) fn with_ends(self, ends: Option<Ends>) -> Self {
        Self { ends, ..self }
    }

    /// The same, where a check has had no answer since then: that it passed once is nothing that was seen lately.
    pub(super) fn without_answer_since(self, since: Option<Millis>) -> Self {
        match since {
            Some(since) if self.health == Health::Passing => Self {
                health: Health::Unknown,
                remark: Some(format!("its checks have had no answer since {}", format_time(since))),
                ..self
            },
            Some(_) | None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_an_error_is_no_look_however_young_the_look_is() {
        let mut sight = Sight { looked: Millis(9), traffic: Some(Traffic::Whole(Number(1))), ..Sight::default() };
        sight.seen = Seen { stacks: Some(Millis(5)), front: Some(Millis(9)) };
        let blind = |sight: &Sight| sight.outlook_at(Millis(10), Millis(25)).blind().map(|blind| format!("{blind:?}"));
        assert_eq!(blind(&sight), None);
        assert_eq!(sight.seen.all(), Some(Millis(5)), "the older of the two");
        sight.fails(LISTING, "503", Millis(9));
        assert_eq!(blind(&sight).as_deref(), Some("Provider(\"503\")"));
        sight.works(LISTING);
        sight.fails(ASKING_THE_FRONT, "refused", Millis(9));
        assert_eq!(blind(&sight).as_deref(), Some("Front(\"refused\")"));
    }

    #[test]
    fn checks_that_had_no_answer_for_long_say_nothing_good() {
        let view =
            |health| StackView { number: Number(1), condition: Condition::Ready, health, remark: None, obeyed: 0 };
        let seen = |health, since| StackSight::new(&view(health), None, None).without_answer_since(since).health;
        assert_eq!(seen(Health::Passing, None), Health::Passing);
        assert_eq!(seen(Health::Passing, Some(Millis(5))), Health::Unknown);
        assert_eq!(seen(Health::Failing, Some(Millis(5))), Health::Failing);
    }

    #[test]
    fn trouble_of_a_front_is_logged_when_it_is_new_and_once_a_day() {
        let day = 86_400_000;
        let ends = || FrontTrouble::CertificateEnds { file: "c.pem".into(), at: Millis(9 * day) };
        let ended = || FrontTrouble::CertificateEnded { file: "c.pem".into(), at: Millis(9 * day) };
        let mut sight = Sight::default();
        let mut logged = |trouble: FrontTrouble, now: u64| sight.front_has(vec![trouble], Millis(now)).len();
        assert_eq!(logged(ends(), 5), 1);
        assert_eq!(logged(ends(), day), 0, "known");
        assert_eq!(logged(ends(), day + 5), 1, "a day later");
        assert_eq!(logged(ends(), day + 6), 0);
        assert_eq!(logged(ended(), 9 * day), 1, "something else");
        assert_eq!(sight.front[0].since, Millis(9 * day));
        assert!(sight.front_has(Vec::new(), Millis(10 * day)).is_empty());
        assert_eq!(sight.front, [], "it is over");
    }
}
