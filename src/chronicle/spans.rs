//! Deployments by how they went, counted by the hour, the day or the week.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Book, Chapter, Went};
use crate::{
    machine::{EnvironmentId, Millis},
    text::format_time,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// The Unix epoch was a Thursday; weeks begin on Monday.
const MONDAY: u64 = 4 * DAY;

/// How long a span of a chart is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CountedBy)]
pub(crate) enum Span {
    /// An hour of the last day.
    Hour,
    /// A day of the last 30.
    #[default]
    Day,
    /// A week, from Monday on, of the last half year.
    Week,
}

impl Span {
    /// All of them, with their words.
    pub(crate) const ALL: [(Self, &str); 3] = [(Self::Hour, "hour"), (Self::Day, "day"), (Self::Week, "week")];

    /// How long one is, in milliseconds.
    fn length(self) -> u64 {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
        }
    }

    /// How many are counted.
    fn count(self) -> u64 {
        match self {
            Self::Hour => 24,
            Self::Day => 30,
            Self::Week => 26,
        }
    }

    /// Where the one begins in which this time is.
    fn begin(self, time: u64) -> u64 {
        let shift = if self == Self::Week { MONDAY } else { 0 };
        let length = self.length();
        time.saturating_sub(shift) / length * length + shift
    }
}

/// What was asked for in one span, by how it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CountsOfSpan)]
pub(crate) struct Counts {
    /// When the span begins.
    pub from: String,
    /// Users have or had it, and it was not taken back.
    pub live: usize,
    /// It failed.
    pub failed: usize,
    /// Users had it, and were sent away from it again.
    pub rolled_back: usize,
    /// Aborted, or superseded by a newer one.
    pub stopped: usize,
    /// It is still on its way.
    pub under_way: usize,
}

impl Counts {
    /// How many there were in all.
    pub(crate) fn all(&self) -> usize {
        self.live + self.failed + self.rolled_back + self.stopped + self.under_way
    }

    fn add(&mut self, chapter: &Chapter) {
        let count = match chapter.went() {
            Went::Live => &mut self.live,
            Went::Failed => &mut self.failed,
            Went::RolledBack => &mut self.rolled_back,
            Went::Aborted | Went::Superseded => &mut self.stopped,
            Went::UnderWay => &mut self.under_way,
        };
        *count += 1;
    }
}

/// Counts the deployments of these environments by when they were asked for, up to now, the oldest span first.
pub(crate) fn counts(book: &Book, environments: &[EnvironmentId], span: Span, now: Millis) -> Vec<Counts> {
    let (length, last) = (span.length(), span.begin(now.0));
    let first = last.saturating_sub(length * (span.count() - 1));
    let begins = (0..span.count()).map(|nth| first + nth * length);
    let mut all: Vec<Counts> =
        begins.map(|from| Counts { from: format_time(Millis(from)), ..Counts::default() }).collect();
    for chapter in environments.iter().flat_map(|id| book.of(id).rev()) {
        let Some(after) = chapter.story.at.0.checked_sub(first) else { continue };
        let place = usize::try_from(after / length).ok();
        if let Some(counts) = place.and_then(|place| all.get_mut(place)) {
            counts.add(chapter);
        }
    }
    all
}
