//! What is kept of the past says what was recorded, and the figures count that and nothing else.

use std::sync::Arc;

use super::*;
use crate::{
    journal::{Journal, Options},
    machine::{
        Entry as Recorded, Generation, Name, Outcome, Plan, Release, Trigger,
        fixture_tests::{self, to_success},
    },
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A Monday: 2026-11-23, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000_000;

struct Past {
    journal: Journal,
    chronicle: Chronicle,
}

fn id(name: &str) -> EnvironmentId {
    name.parse().expect("a good name")
}

/// A deployment as it is asked for.
#[derive(Clone, Copy)]
struct Asked {
    number: u32,
    release: u32,
    at: u64,
    trigger: Trigger,
    repairs: bool,
}

fn asked(number: u32, release: u32, at: u64) -> Asked {
    Asked { number, release, at, trigger: Trigger::Person, repairs: false }
}

impl Past {
    fn new() -> Self {
        Self { journal: Journal::in_memory(Options::default()).expect("opened"), chronicle: Chronicle::default() }
    }

    async fn record(&self, name: &str, at: u64, by: &str, event: Event) {
        let (id, at) = (id(name), Millis(at));
        let entry = Recorded { at, by: by.into(), event };
        self.journal.append(&id, self.journal.state(&id).seq(), entry).await.expect("it fits");
    }

    async fn ask(&self, name: &str, asked: Asked) {
        let Asked { number, release, at, trigger, repairs } = asked;
        let commit = Some(format!("{release:040x}").into());
        let release = Release { number: release, commit, ..Release::draft(&format!("1.{release}")) };
        let plan = Plan { repairs, ..Plan::default() };
        self.record(name, at, "alice", fixture_tests::accepted(number, release, plan, trigger)).await;
    }

    /// It is asked for, and users have it two minutes later.
    async fn live(&self, name: &str, asked: Asked) {
        self.ask(name, asked).await;
        let number = Number(asked.number);
        let generation = self.journal.state(&id(name)).generation().next();
        let [steps @ .., succeeded] = to_success(number, generation);
        for event in steps {
            self.record(name, asked.at + 2 * MINUTE, "pointsman", event).await;
        }
        self.record(name, asked.at + 3 * MINUTE, "pointsman", succeeded).await;
    }

    /// Users are sent back to the one before.
    async fn back(&self, name: &str, number: u32, to: u32, at: u64) {
        let generation = self.journal.state(&id(name)).generation().next();
        let (number, reason): (_, Arc<str>) = (Number(number), "orders fail".into());
        self.record(name, at, "bob", Event::RollbackRequested { number, reason: reason.clone() }).await;
        let (to, outcome) = (Some(Number(to)), Outcome::RolledBack);
        self.record(name, at, "pointsman", Event::RevertOrdered { number, to, generation, outcome, reason }).await;
        self.record(name, at + MINUTE, "pointsman", Event::Reverted { number, host: None }).await;
    }

    fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.chronicle.look(&self.journal, look).expect("read")
    }

    fn figures(&self, names: &[&str], period: (u64, u64)) -> Figures {
        let ids: Vec<EnvironmentId> = names.iter().map(|name| id(name)).collect();
        // A release was committed an hour before the Monday; of release 3 nobody knows.
        let committed = |_: &Name, commit: &str| (!commit.ends_with('3')).then_some(Millis(MONDAY - HOUR));
        self.look(|book| figures(book, &ids, (Millis(period.0), Millis(period.1)), &committed))
    }
}

#[tokio::test]
async fn each_look_adds_what_came_since_and_says_what_the_whole_journal_says() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    assert_eq!(past.look(|book| book.of(&id("shop/prod")).count()), 1);
    for number in 2..120 {
        past.live("shop/prod", asked(number, number, MONDAY + u64::from(number) * HOUR)).await;
    }
    past.record("shop/prod", MONDAY + 200 * HOUR, "bob", Event::Held { reason: "audit".into() }).await;
    past.back("shop/prod", 119, 118, MONDAY + 201 * HOUR).await;
    past.ask("shop/prod", asked(120, 120, MONDAY + 202 * HOUR)).await;
    past.ask("shop/prod", asked(121, 121, MONDAY + 203 * HOUR)).await;
    let records = past.journal.history(None, usize::MAX).expect("read");
    let whole =
        telling::stories(records.iter().map(|r| (r.at, &r.by, &r.event)), &crate::machine::Environment::default());
    let kept: Vec<Story> = past.look(|book| book.of(&id("shop/prod")).map(|chapter| chapter.story.clone()).collect());
    assert_eq!(kept, whole);
    let went =
        past.look(|book| [118, 119, 120, 121].map(|n| book.chapter(&id("shop/prod"), Number(n)).map(Chapter::went)));
    assert_eq!(went, [Some(Went::Live), Some(Went::RolledBack), Some(Went::Superseded), Some(Went::UnderWay)]);
    let acts = past.look(|book| book.before(None).filter(|(_, entry)| matches!(entry, Entry::Act(_))).count());
    assert_eq!(acts, 2, "the hold, and that bob wanted the one before");
}

#[tokio::test]
async fn the_timeline_is_read_from_any_place_on_and_the_newest_comes_first() {
    let past = Past::new();
    past.live("shop/qa", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(1, 1, MONDAY + HOUR)).await;
    past.record("shop/qa", MONDAY + 2 * HOUR, "bob", Event::Held { reason: "audit".into() }).await;
    let places: Vec<u64> = past.look(|book| book.before(None).map(|(place, _)| place).collect());
    assert_eq!(places, [15, 8, 1]);
    let older: Vec<u64> = past.look(|book| book.before(Some(15)).map(|(place, _)| place).collect());
    assert_eq!(older, [8, 1]);
}

#[test]
fn the_oldest_is_forgotten_and_that_is_said() {
    let mut book = Book::default();
    assert_eq!(book.since(), None);
    for seq in 1..=20 {
        let event = if seq % 2 == 0 { Event::Resumed { reason: None } } else { Event::Held { reason: "audit".into() } };
        let (environment, by, at) = (id("shop/prod"), "bob".into(), Millis(MONDAY + seq));
        book.take(Record { v: 1, seq, at, environment, by, event, sum: Default::default() }, 5);
    }
    let places: Vec<u64> = book.before(None).map(|(place, _)| place).collect();
    assert_eq!(places, [20, 19, 18, 17, 16]);
    assert_eq!(book.since(), Some(Millis(MONDAY + 15)));
}

#[tokio::test]
async fn the_five_figures_are_those_of_the_journal() {
    let past = Past::new();
    past.live("shop/qa", asked(1, 1, MONDAY - 10 * MINUTE)).await;
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    past.back("shop/prod", 2, 1, MONDAY + 2 * HOUR).await;
    past.live("shop/prod", Asked { repairs: true, ..asked(3, 3, MONDAY + 3 * HOUR) }).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + 2 * DAY));
    assert_eq!((figures.deployments, figures.per_day), (3, Some(1.5)));
    // Two of three are known: 62 and 122 minutes.
    assert_eq!(
        (figures.lead_time.median, figures.lead_time.of, figures.lead_time.unknown),
        (Some(Millis(92 * MINUTE)), 2, 1)
    );
    // The build of release 1 was announced in qa; those of 2 and 3 when they were asked for.
    assert_eq!(figures.since_build.median, Some(Millis(2 * MINUTE)));
    assert_eq!((figures.failed.count, figures.failed.of, figures.failed.percent), (1, 3, Some(33.3)));
    // Live at 1:02, back at 2:01.
    assert_eq!(figures.recovery_time.median, Some(Millis(59 * MINUTE)));
    assert_eq!((figures.rework.count, figures.rework.percent), (1, Some(33.3)));
}

#[tokio::test]
async fn a_deployment_that_repairs_an_incident_makes_the_one_before_a_failed_one_and_its_recovery() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", Asked { repairs: true, ..asked(2, 2, MONDAY + HOUR) }).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.failed.count, figures.rework.count), (1, 1));
    assert_eq!(figures.recovery_time.median, Some(Millis(HOUR)));
    // The same without the tick: nobody can know.
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.failed.count, figures.rework.count, figures.recovery_time.median), (0, 0, None));
}

#[tokio::test]
async fn what_went_down_counts_from_when_it_was_seen_until_users_were_sent_elsewhere() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    let (number, reason): (_, Arc<str>) = (Number(2), "exit status 3".into());
    let down = MONDAY + 5 * HOUR;
    past.record("shop/prod", down, "pointsman", Event::LiveDown { number, reason: reason.clone() }).await;
    let generation: Generation = past.journal.state(&id("shop/prod")).generation().next();
    let recovered = Event::Recovered { number, to: Number(1), generation, reason };
    past.record("shop/prod", down + 4 * MINUTE, "pointsman", recovered).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.failed.count, figures.recovery_time.median), (1, Some(Millis(4 * MINUTE))));
}

#[tokio::test]
async fn without_a_deployment_nothing_is_known() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    let figures = past.figures(&["shop/prod"], (MONDAY + DAY, MONDAY + 2 * DAY));
    let none = (figures.lead_time.median, figures.recovery_time.median, figures.failed.percent, figures.rework.percent);
    assert_eq!((figures.deployments, none), (0, (None, None, None, None)));
}

#[tokio::test]
async fn deployments_are_counted_by_hour_day_and_week_as_they_went() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY - DAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + 5 * MINUTE)).await;
    past.back("shop/prod", 2, 1, MONDAY + 20 * MINUTE).await;
    past.ask("shop/prod", asked(3, 3, MONDAY + 30 * MINUTE)).await;
    let now = Millis(MONDAY + 90 * MINUTE);
    let count = |span| past.look(|book| counts(book, &[id("shop/prod")], span, now));
    let shown = |counts: &Counts| (counts.live, counts.rolled_back, counts.under_way, counts.all());
    let hours = count(Span::Hour);
    assert_eq!((hours.len(), &*hours[23].from), (24, "2026-11-23T01:00:00.000Z"));
    assert_eq!((shown(&hours[23]), shown(&hours[22])), ((0, 0, 0, 0), (0, 1, 1, 2)));
    let days = count(Span::Day);
    assert_eq!((shown(&days[29]), shown(&days[28])), ((0, 1, 1, 2), (1, 0, 0, 1)));
    let weeks = count(Span::Week);
    assert_eq!((weeks.len(), &*weeks[25].from), (26, "2026-11-23T00:00:00.000Z"));
    assert_eq!((shown(&weeks[25]), shown(&weeks[24])), ((0, 1, 1, 2), (1, 0, 0, 1)));
}
