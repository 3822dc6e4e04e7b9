//! What is kept of the past says what was recorded, and the figures count that and nothing else.

use std::sync::Arc;

use super::*;
use crate::{
    fixture_tests::{self, to_success},
    journal::{Journal, Options},
    machine::{Entry as Recorded, Generation, Name, Outcome, Plan, Release, Trigger},
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
        self.goes_live(name, asked.number, asked.at + 2 * MINUTE).await;
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

    /// Bob brings an earlier release back in place of this one of prod, by a new deployment.
    async fn cold(&self, number: u32, by: u32, at: u64) {
        let release = Release { number: 1, ..Release::draft("1.1") };
        let (number, by, reason) = (Number(number), Number(by), "orders fail".into());
        let (release, plan) = (Arc::new(release), Arc::new(Plan::default()));
        self.record("shop/prod", at, "bob", Event::ColdRollbackQueued { number, by, release, plan, reason }).await;
    }

    /// One that was asked for goes live.
    async fn goes(&self, name: &str, number: u32, at: u64) {
        let generation = self.journal.state(&id(name)).generation().next();
        let [steps @ .., _] = to_success(Number(number), generation);
        for event in steps {
            self.record(name, at, "pointsman", event).await;
        }
    }

    /// The same, and is found good.
    async fn goes_live(&self, name: &str, number: u32, at: u64) {
        self.goes(name, number, at).await;
        self.record(name, at + MINUTE, "pointsman", Event::Succeeded { number: Number(number) }).await;
    }

    fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.chronicle.look(&self.journal, look)
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

#[tokio::test]
async fn a_rollback_is_not_blamed_for_what_it_took_back_though_the_next_repairs_it() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    past.cold(2, 3, MONDAY + 2 * HOUR).await;
    past.goes_live("shop/prod", 3, MONDAY + 2 * HOUR + 10 * MINUTE).await;
    past.live("shop/prod", Asked { repairs: true, ..asked(4, 4, MONDAY + 4 * HOUR) }).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.deployments, figures.failed.count, figures.rework.count), (4, 1, 2));
    // Live at 1:02, the release before is live again at 2:10.
    assert_eq!(figures.recovery_time.median, Some(Millis(68 * MINUTE)));
}

#[tokio::test]
async fn what_is_to_be_taken_back_is_live_until_users_are_sent_away_from_it() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    past.cold(2, 3, MONDAY + 2 * HOUR).await;
    let went = |number| past.look(|book| book.chapter(&id("shop/prod"), Number(number)).map(Chapter::went));
    assert_eq!((went(2), went(3)), (Some(Went::Live), Some(Went::UnderWay)));
    let failed = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((failed.failed.count, failed.recovery_time.median, failed.recovery_time.unknown), (1, None, 1));
    past.goes_live("shop/prod", 3, MONDAY + 3 * HOUR).await;
    assert_eq!((went(2), went(3)), (Some(Went::RolledBack), Some(Went::Live)));
}

#[tokio::test]
async fn what_failed_with_users_on_it_and_nowhere_to_go_is_called_failed_and_recovers_with_the_next_good_one() {
    let past = Past::new();
    past.ask("shop/prod", asked(1, 1, MONDAY)).await;
    past.goes("shop/prod", 1, MONDAY + 2 * MINUTE).await;
    let (number, reason) = (Number(1), "it failed its checks while it was watched".into());
    past.record(
        "shop/prod",
        MONDAY + 5 * MINUTE,
        "pointsman",
        Event::Ended { number, outcome: Outcome::Failed, reason },
    )
    .await;
    assert_eq!(past.look(|book| book.chapter(&id("shop/prod"), number).map(Chapter::went)), Some(Went::Failed));
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.failed.count, figures.recovery_time.median, figures.recovery_time.unknown), (1, None, 1));
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + DAY));
    assert_eq!((figures.failed.count, figures.recovery_time.median), (1, Some(Millis(HOUR))));
}

#[tokio::test]
async fn a_release_that_comes_again_has_no_second_lead_time() {
    let past = Past::new();
    for (number, release) in [(1, 1), (2, 2), (3, 1)] {
        past.live("shop/prod", asked(number, release, MONDAY + u64::from(number) * DAY)).await;
    }
    let figures = past.figures(&["shop/prod"], (MONDAY, MONDAY + 7 * DAY));
    assert_eq!((figures.deployments, figures.lead_time.of, figures.since_build.of), (3, 2, 2));
    let figures = past.figures(&["shop/prod"], (MONDAY + 3 * DAY, MONDAY + 4 * DAY));
    assert_eq!((figures.deployments, figures.lead_time.of, figures.lead_time.unknown), (1, 0, 0));
}

#[tokio::test]
async fn an_announcement_that_is_not_kept_any_more_is_not_guessed() {
    let past = Past::new();
    let build = |number, at| Asked { trigger: Trigger::Build, ..asked(number, number, at) };
    past.live("shop/qa", build(1, MONDAY)).await;
    past.live("shop/qa", build(2, MONDAY + HOUR)).await;
    past.live("shop/prod", asked(1, 1, MONDAY + DAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + DAY + HOUR)).await;
    let records = past.journal.history(None, usize::MAX).expect("read");
    let mut book = Book::default();
    records.into_iter().for_each(|record| book.take(record, 3));
    let made = figures(&book, &[id("shop/prod")], (Millis(MONDAY), Millis(MONDAY + 9 * DAY)), &|_, _| None);
    assert_eq!((made.since_build.of, made.since_build.unknown), (1, 1), "that of release 1 was forgotten");
    assert_eq!(made.since_build.median, Some(Millis(DAY + 2 * MINUTE)));
}

#[tokio::test]
async fn what_is_rare_is_not_none_and_a_period_ends_before_its_last_moment() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    let live = MONDAY + 2 * MINUTE;
    assert_eq!(past.figures(&["shop/prod"], (MONDAY, MONDAY + 30 * DAY)).per_day, Some(0.033));
    let counted = |period| past.figures(&["shop/prod"], period).deployments;
    assert_eq!((counted((live, live + 1)), counted((live - 1, live)), counted((live + 1, live))), (1, 0, 0));
    assert_eq!(past.figures(&["shop/prod"], (live + 1, live)).per_day, None, "no time at all has no frequency");
}

#[tokio::test]
async fn what_waits_long_is_told_to_its_end_however_many_builds_come_meanwhile() {
    let past = Past::new();
    past.ask("shop/prod", asked(1, 1, MONDAY)).await;
    past.record("shop/prod", MONDAY, "pointsman", Event::Started { number: Number(1) }).await;
    for number in 2..100 {
        past.ask("shop/prod", asked(number, number, MONDAY + u64::from(number) * MINUTE)).await;
    }
    let [_, rest @ ..] = to_success(Number(1), past.journal.state(&id("shop/prod")).generation().next());
    for event in rest {
        past.record("shop/prod", MONDAY + 2 * HOUR, "pointsman", event).await;
    }
    let went = |number| past.look(|book| book.chapter(&id("shop/prod"), Number(number)).map(Chapter::went));
    assert_eq!((went(1), went(2), went(99)), (Some(Went::Live), Some(Went::Superseded), Some(Went::UnderWay)));
}

#[tokio::test]
async fn what_is_live_is_told_to_its_end_however_many_after_it_were_taken_back() {
    let past = Past::new();
    past.live("shop/prod", asked(1, 1, MONDAY)).await;
    past.live("shop/prod", asked(2, 2, MONDAY + HOUR)).await;
    for number in 3..60 {
        let at = MONDAY + u64::from(number) * HOUR;
        past.live("shop/prod", asked(number, number, at)).await;
        past.back("shop/prod", number, 2, at + 10 * MINUTE).await;
    }
    past.cold(2, 60, MONDAY + 100 * HOUR).await;
    let by = past.look(|book| book.chapter(&id("shop/prod"), Number(2)).and_then(|c| c.story.rolled_back_by.clone()));
    assert_eq!(by.as_deref(), Some("bob"));
}

/// A journal of a hundred records in several files.
async fn on_a_disk(folder: &std::path::Path) -> Past {
    let options = Options { snapshot_every: 20, snapshot_in_place: true, ballast_bytes: 0, ..Options::default() };
    let journal = Journal::open(folder, options).expect("opened").0;
    let past = Past { journal, chronicle: Chronicle::default() };
    for number in 1..=14 {
        past.live("shop/prod", asked(number, number, MONDAY + u64::from(number) * HOUR)).await;
    }
    assert_eq!(past.look(|book| (book.before(None).count(), book.since(), book.is_unread())), (14, None, false));
    Past { chronicle: Chronicle::default(), ..past }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_is_left_out_and_that_is_said_once_and_for_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let past = on_a_disk(folder.path()).await;
    let file = folder.path().join("journal-000002.jsonl");
    let text = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, text.replacen("\"kind\":\"accepted\"", "\"kind\":\"axxepted\"", 1)).expect("written");
    for _ in 0..2 {
        let (entries, since, unread) = past.look(|book| (book.before(None).count(), book.since(), book.is_unread()));
        assert_eq!((entries, unread), (13, true));
        // The record behind the one that is missing: deployment 4 is the first that began in that file.
        assert_eq!(since, Some(Millis(MONDAY + 4 * HOUR + 2 * MINUTE)));
    }
    past.live("shop/prod", asked(15, 15, MONDAY + 20 * HOUR)).await;
    assert_eq!(past.look(|book| book.before(None).count()), 14, "what comes is told");
}

#[tokio::test]
async fn a_file_that_is_gone_or_of_nonsense_costs_what_stood_in_it_and_no_more() {
    for nonsense in [None, Some(&b"\0\0\0\0"[..]), Some(b"\n\n\n"), Some(b"{}\n\xff\xfe\n")] {
        let folder = tempfile::tempdir().expect("a folder");
        let past = on_a_disk(folder.path()).await;
        let file = folder.path().join("journal-000001.jsonl");
        match nonsense {
            Some(bytes) => std::fs::write(&file, bytes).expect("written"),
            None => std::fs::remove_file(&file).expect("it was there"),
        }
        let (entries, since) = past.look(|book| (book.before(None).count(), book.since()));
        assert_eq!((entries, since.is_some()), (11, true), "{nonsense:?}");
    }
}
