//! The five figures of DORA (dora.dev/guides/dora-metrics, as of 2026), for some environments and a period. What the journal
//! does not tell is counted as not known, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Book, Chapter};
use crate::{
    machine::{EnvironmentId, Millis, Name, Trigger},
    text::format_duration,
};

const DAY: u64 = 86_400_000;

/// A length of time in the middle of many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MedianTime)]
pub(crate) struct Known {
    /// The median in milliseconds; null when it is not known for any.
    #[schema(required, value_type = Option<u64>)]
    pub median: Option<Millis>,
    /// The same, for people.
    #[schema(required)]
    pub words: Option<String>,
    /// Number of deployments for which it is known.
    pub of: usize,
    pub unknown: usize,
}

/// A part of all deployments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = PartOfAll)]
pub(crate) struct Share {
    pub count: usize,
    pub of: usize,
    /// Share in percent; null when there was no deployment.
    #[schema(required)]
    pub percent: Option<f64>,
}

/// The five figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = FiveFigures)]
pub(crate) struct Figures {
    /// Change lead time: from the commit until users had it first. Deployments that bring an earlier release back do not count.
    pub lead_time: Known,
    /// The part of it that needs no commit: from the announcement of the build until users had it.
    pub since_build: Known,
    /// How many deployments users got.
    pub deployments: usize,
    /// Deployment frequency: so many a day.
    #[schema(required)]
    pub per_day: Option<f64>,
    /// Failed deployment recovery time: from when users had the failed deployment, or from when it was seen down, until they
    /// had a good release again.
    pub recovery_time: Known,
    /// Change fail rate: deployments that users had and that were rolled back, recovered from, failed, or repaired by the next.
    pub failed: Share,
    /// Deployment rework rate: deployments that were not planned, but repair an incident or bring an earlier release back.
    pub rework: Share,
}

/// Makes the figures of what users got in these environments from `from` until `to`. `committed` says when a commit was made.
pub(crate) fn figures(
    book: &Book,
    environments: &[EnvironmentId],
    (from, to): (Millis, Millis),
    committed: &dyn Fn(&Name, &str) -> Option<Millis>,
) -> Figures {
    let (mut lead, mut build, mut recovery) = (Times::default(), Times::default(), Times::default());
    let (mut deployments, mut failed, mut rework) = (0, 0, 0);
    for id in environments {
        let announced = announced(book, id);
        let (live, mut had) = (in_order(book, id), BTreeSet::new());
        for (at, chapter) in live.iter().enumerate() {
            let release = &chapter.story.release;
            let is_new = had.insert(release.number);
            let Some(since) = chapter.story.live.filter(|live| (from..to).contains(live)) else { continue };
            deployments += 1;
            rework += usize::from(chapter.is_rework());
            if is_new && chapter.story.trigger != Trigger::Rollback {
                let commit = release.commit.as_deref().and_then(|commit| committed(&id.pipeline, commit));
                lead.add(commit.map(|commit| since.since(commit)));
                build.add(announced.get(&release.number).map(|announced| since.since(*announced)));
            }
            if has_failed(chapter, live.get(at + 1).copied()) {
                failed += 1;
                let next_good = live[at + 1..].iter().find(|next| !next.has_failed_users());
                let good = chapter.left.or(next_good.and_then(|next| next.story.live));
                recovery.add(good.map(|good| good.since(chapter.down.unwrap_or(since))));
            }
        }
    }
    let share = |count| Share { count, of: deployments, percent: percent(count, deployments) };
    let days = to.since(from).0 as f64 / DAY as f64;
    Figures {
        lead_time: lead.known(),
        since_build: build.known(),
        deployments,
        per_day: (days > 0.0).then(|| rounded(deployments as f64 / days)),
        recovery_time: recovery.known(),
        failed: share(failed),
        rework: share(rework),
    }
}

/// Whether it turned out to be bad, or somebody said that the next one repairs what it did. What brings an earlier release
/// back did nothing: what it takes back has failed already.
fn has_failed(chapter: &Chapter, next: Option<&Chapter>) -> bool {
    let repaired = next.is_some_and(|next| next.repairs) && chapter.story.trigger != Trigger::Rollback;
    chapter.has_failed_users() || repaired
}

/// Those that users had, in the order in which they got them. What was adopted was there before.
fn in_order<'a>(book: &'a Book, id: &EnvironmentId) -> Vec<&'a Chapter> {
    let own = |chapter: &&Chapter| chapter.story.live.is_some() && chapter.story.release.adopts.is_none();
    let mut live: Vec<&Chapter> = book.of(id).filter(own).collect();
    live.sort_by_key(|chapter| chapter.story.live);
    live
}

/// When each release of a pipeline was first asked for anywhere, as far as that is known: where older entries were left out,
/// only what a build asked for is sure to be the first.
fn announced(book: &Book, id: &EnvironmentId) -> BTreeMap<u32, Millis> {
    let mut first: BTreeMap<u32, &Chapter> = BTreeMap::new();
    for other in book.environments().filter(|other| other.pipeline == id.pipeline) {
        for chapter in book.of(other) {
            let known = first.entry(chapter.story.release.number).or_insert(chapter);
            if chapter.story.at < known.story.at {
                *known = chapter;
            }
        }
    }
    let whole = book.since().is_none();
    let sure = first.into_iter().filter(|(_, chapter)| whole || chapter.story.trigger == Trigger::Build);
    sure.map(|(release, chapter)| (release, chapter.story.at)).collect()
}

fn percent(count: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| rounded(count as f64 * 100.0 / of as f64))
}

/// Rounds to one digit behind the point; below one to the first two that tell something, so that what is rare is not none.
fn rounded(value: f64) -> f64 {
    let digits = if value > 0.0 && value < 1.0 { 1 - value.log10().floor() as i32 } else { 1 };
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[derive(Default)]
struct Times {
    known: Vec<Millis>,
    unknown: usize,
}

impl Times {
    fn add(&mut self, time: Option<Millis>) {
        match time {
            Some(time) => self.known.push(time),
            None => self.unknown += 1,
        }
    }

    fn known(mut self) -> Known {
        self.known.sort_unstable();
        let (of, half) = (self.known.len(), self.known.len() / 2);
        let median = match self.known.as_slice() {
            [] => None,
            times if of % 2 == 1 => Some(times[half]),
            times => Some(Millis((times[half - 1].0 + times[half].0) / 2)),
        };
        Known { median, words: median.map(whole), of, unknown: self.unknown }
    }
}

/// A length of time in whole seconds, or minutes where it is long.
fn whole(time: Millis) -> String {
    let unit = match time.0 {
        0..=9_999 => 1,
        10_000..=599_999 => 1_000,
        600_000..=86_399_999 => 60_000,
        _ => 3_600_000,
    };
    format_duration(Millis(time.0 / unit * unit))
}
