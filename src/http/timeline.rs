//! What happened, over all environments that somebody may see: deployments from who asked to how they ended, and acts.
//! Filtered and paged here; all of it stands in the address.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App, Problem,
    releases::{PastDeployment, past, shown},
};
use crate::{
    access::Caller,
    chronicle::{Approval, Book, Chapter, Check, Entry, Went},
    journal::Record,
    machine::{EnvironmentId, Millis},
    telling,
    text::{format_duration, format_time, parse_time},
};

/// How many entries an answer has, where nobody says, and at most.
const ENTRIES: u32 = 100;
const MOST: u32 = 500;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// What is wanted of the past. All of it stands in the address, so that a view can be saved and sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct WantedPast {
    /// Only this environment, all of a pipeline, or all of that name: `shop/prod`, `shop`, `*/prod`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "shop/prod")]
    pub environment: String,
    /// Only what somebody whose name has this in it asked for, approved or did.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "alice")]
    pub who: String,
    /// Only deployments of this release: by its number, where it is one, or by a part of its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "1.4.2")]
    pub release: String,
    /// Only deployments that went so.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, pattern = "^(|live|failed|rolled_back|aborted|superseded|under_way)$", example = "rolled_back")]
    pub outcome: String,
    /// Only what has these words in its name, its reason or its outcome.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "orders fail")]
    pub what: String,
    /// Only from this day on, in UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, pattern = "^(|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))$", example = "2026-11-01")]
    pub from: String,
    /// Only up to this day, with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, pattern = "^(|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]))$", example = "2026-11-30")]
    pub to: String,
    /// Only so long ago: `1h`, `14d`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, pattern = "^(|[1-9][0-9]{0,2}[hd])$", example = "24h")]
    pub last: String,
    /// Only what is older than this place: `older` of the answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = 100_000)]
    pub before: Option<u64>,
    /// How many entries, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4_294_967_295_u32, example = 100)]
    pub most: Option<u32>,
}

/// One entry of the timeline.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Happening {
    /// A deployment, at the place where it was asked for.
    Deployment(Box<Deployed>),
    /// Anything else.
    Act {
        seq: u64,
        #[schema(example = "shop/prod")]
        environment: String,
        at: String,
        by: String,
        /// Name of the entry.
        #[schema(example = "held")]
        what: String,
        /// Why, or what it is about.
        about: String,
        /// The deployment that it concerns.
        deployment: Option<u32>,
    },
}

/// A deployment, with what was checked and who agreed.
#[derive(Serialize, ToSchema)]
pub(super) struct Deployed {
    /// The place of its first record.
    pub seq: u64,
    #[schema(example = "shop/prod")]
    pub environment: String,
    #[serde(flatten)]
    pub deployment: PastDeployment,
    /// How it went.
    pub went: Went,
    /// How long it took until users had it, or else until its end, in milliseconds.
    #[schema(required)]
    pub took: Option<u64>,
    /// The same, for people.
    #[schema(required)]
    pub took_words: Option<String>,
    /// Who aborted it, where somebody did.
    #[schema(required)]
    pub stopped_by: Option<String>,
    /// Whoever asked said that it repairs an incident.
    pub repairs: bool,
    pub approvals: Vec<Approval>,
    pub checks: Vec<Check>,
}

/// What happened, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Timeline {
    pub entries: Vec<Happening>,
    /// What `before` takes for what is older; null when that is all.
    #[schema(required)]
    pub older: Option<u64>,
    /// How many entries the filter left out on the way.
    pub hidden: usize,
    /// Since when everything is there, where the oldest was left out.
    #[schema(required)]
    pub since: Option<String>,
    /// Says that a part of the state file cannot be read; null where all of it can be.
    #[schema(required)]
    pub unread: Option<String>,
}

/// What happened, deployment by deployment
///
/// Deployments with outcome, duration, checks and approvals, and acts between them; `GET /v1/history` has every record.
#[utoipa::path(
    get, path = "/v1/timeline", tag = "looking", params(WantedPast),
    responses((status = 200, description = "Those that the caller may see, the newest first", body = Timeline)),
)]
pub(super) async fn timeline(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(wanted): Query<WantedPast>,
) -> Result<Json<Timeline>, Problem> {
    of(&app, &caller, &wanted).await.map(Json)
}

/// The part of the past that is wanted and that the caller may see.
pub(super) async fn of(app: &Arc<App>, caller: &Caller, wanted: &WantedPast) -> Result<Timeline, Problem> {
    let filter = Filter::of(wanted, app.clock.now())?;
    let most = wanted.most.unwrap_or(ENTRIES).clamp(1, MOST) as usize;
    let (caller, before) = (caller.clone(), wanted.before);
    past(app, move |app, book| filter.read(app, &caller, book, (before, most))).await
}

/// What is said where a part of the state file cannot be read.
pub(super) fn unread(book: &Book) -> Option<String> {
    book.is_unread().then(|| telling::UNREAD.to_owned())
}

/// What is wanted, as it is compared.
struct Filter {
    pipeline: Option<String>,
    place: Option<String>,
    who: String,
    release: String,
    what: String,
    outcome: Option<Went>,
    time: std::ops::Range<Millis>,
}

impl Filter {
    fn of(wanted: &WantedPast, now: Millis) -> Result<Self, Problem> {
        let lower = |text: &str| text.trim().to_lowercase();
        let environment = lower(&wanted.environment);
        let (pipeline, place) = environment.split_once('/').unwrap_or((&environment, "*"));
        let named = |name: &str| (!name.is_empty() && name != "*").then(|| name.to_owned());
        let outcome = match wanted.outcome.trim() {
            "" => None,
            word => Some(Went::named(word).ok_or_else(|| {
                let all = Went::ALL.map(Went::name).join(", ");
                Problem::new(400, format!("`outcome` must be one of {all}"))
            })?),
        };
        let (from, to) = (day("from", &wanted.from)?, day("to", &wanted.to)?);
        let since = ago(&wanted.last)?.map(|ago| Millis(now.0.saturating_sub(ago)));
        let begin = from.max(since).unwrap_or_default();
        let end = to.map_or(Millis(u64::MAX), |to| to.plus(Millis(DAY)));
        Ok(Self {
            pipeline: named(pipeline),
            place: named(place),
            who: lower(&wanted.who),
            release: lower(&wanted.release),
            what: lower(&wanted.what),
            outcome,
            time: begin..end,
        })
    }

    fn read(&self, app: &App, caller: &Caller, book: &Book, (before, most): (Option<u64>, usize)) -> Timeline {
        let (mut entries, mut hidden, mut older, mut last) = (Vec::new(), 0, None, None);
        let seen = book.before(before).filter(|(_, entry)| caller.sees(entry.environment()));
        for (seq, entry) in seen {
            if !self.wants(&entry) {
                hidden += 1;
            } else if entries.len() == most {
                older = last;
                break;
            } else {
                last = Some(seq);
                entries.push(happening(app, seq, entry));
            }
        }
        Timeline { entries, older, hidden, since: book.since().map(format_time), unread: unread(book) }
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        let id = entry.environment();
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        is(&self.pipeline, id.pipeline.as_str())
            && is(&self.place, id.environment.as_str())
            && self.time.contains(&entry.at())
            && match entry {
                Entry::Deployment(_, chapter) => self.wants_deployment(chapter),
                Entry::Act(record) => self.wants_act(record),
            }
    }

    fn wants_deployment(&self, chapter: &Chapter) -> bool {
        let story = &chapter.story;
        let has = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
        let release = &story.release;
        let people = [Some(&story.by), story.rolled_back_by.as_ref(), chapter.stopped_by.as_ref()]
            .into_iter()
            .flatten()
            .map(|name| &**name);
        let mut people = people.chain(chapter.approvals.iter().map(|approval| &*approval.by));
        let texts = [story.reason.as_ref(), story.end.as_ref().map(|end| &end.why), Some(&release.version)];
        let mut texts = texts.into_iter().flatten().map(|text| &**text).chain([chapter.went().words()]);
        (self.who.is_empty() || people.any(|name| has(name, &self.who)))
            && self.is_release(release.number, &release.version)
            && self.outcome.is_none_or(|outcome| chapter.went() == outcome)
            && (self.what.is_empty() || texts.any(|text| has(text, &self.what)))
    }

    fn is_release(&self, number: u32, version: &str) -> bool {
        match self.release.parse::<u32>() {
            // A digit stands in most versions.
            Ok(wanted) => wanted == number || version == self.release,
            Err(_) => self.release.is_empty() || version.to_lowercase().contains(&self.release),
        }
    }

    fn wants_act(&self, record: &Record) -> bool {
        let (kind, about) = telling::named(&record.event);
        let has = |text: &str, wanted: &str| wanted.is_empty() || text.to_lowercase().contains(wanted);
        self.release.is_empty()
            && self.outcome.is_none()
            && has(&record.by, &self.who)
            && (has(&kind, &self.what) || has(&about, &self.what))
    }
}

/// The beginning of a day.
fn day(field: &str, text: &str) -> Result<Option<Millis>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let time = parse_time(&format!("{text}T00:00:00.000Z")).filter(|_| text.len() == 10);
    time.map(Some).ok_or_else(|| Problem::new(400, format!("`{field}` must be a day, written 2026-11-26")))
}

/// How long ago something may be at most, in milliseconds.
fn ago(text: &str) -> Result<Option<u64>, Problem> {
    let text = text.trim();
    let number = |unit: char| text.strip_suffix(unit).and_then(|number| number.parse::<u16>().ok()).map(u64::from);
    match (text.is_empty(), number('h'), number('d')) {
        (true, _, _) => Ok(None),
        (false, Some(hours), _) => Ok(Some(hours * HOUR)),
        (false, _, Some(days)) => Ok(Some(days * DAY)),
        (false, None, None) => Err(Problem::new(400, "`last` must be hours or days: `1h`, `14d`")),
    }
}

/// An entry as it is shown.
pub(super) fn happening(app: &App, seq: u64, entry: Entry<'_>) -> Happening {
    match entry {
        Entry::Deployment(id, chapter) => Happening::Deployment(Box::new(deployed(app, seq, id, chapter))),
        Entry::Act(record) => {
            let (what, about) = telling::named(&record.event);
            Happening::Act {
                seq,
                environment: record.environment.to_string(),
                at: format_time(record.at),
                by: record.by.to_string(),
                what,
                about,
                deployment: telling::deployment_of(&record.event).map(|number| number.0),
            }
        }
    }
}

pub(super) fn deployed(app: &App, seq: u64, id: &EnvironmentId, chapter: &Chapter) -> Deployed {
    let took = chapter.took();
    Deployed {
        seq,
        environment: id.to_string(),
        deployment: shown(chapter.story.clone(), &app.journal.state(id)),
        went: chapter.went(),
        took: took.map(|took| took.0),
        took_words: took.map(|took| format_duration(if took.0 < 10_000 { took } else { Millis(took.0 / 1000 * 1000) })),
        stopped_by: chapter.stopped_by.as_deref().map(str::to_owned),
        repairs: chapter.repairs,
        approvals: chapter.approvals.clone(),
        checks: chapter.checks.clone(),
    }
}

impl Deployed {
    /// Returns the name of its pipeline.
    pub(super) fn pipeline(&self) -> &str {
        self.environment.split('/').next().unwrap_or_default()
    }
}

impl Entry<'_> {
    fn environment(&self) -> &EnvironmentId {
        match self {
            Self::Deployment(id, _) => id,
            Self::Act(record) => &record.environment,
        }
    }

    fn at(&self) -> Millis {
        match self {
            Self::Deployment(_, chapter) => chapter.story.at,
            Self::Act(record) => record.at,
        }
    }
}
