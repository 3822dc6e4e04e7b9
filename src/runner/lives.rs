//! When earlier lives of the controller looked at an environment, kept in a file: a controller that ends again and again
//! still comes to the end of a time limit. Losing the file gives whatever is under way its time again, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::spawn::blocking;
use crate::machine::{Looked, Millis};

/// How often it is written while a life is young, and at most; in between it is a part of how old that is.
const OFTEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
const PART: u64 = 16;
/// How many spans are kept one by one; older ones are taken together.
const KEPT: usize = 64;

/// The start and the end of a span.
type Span = (Millis, Millis);

/// Contents of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    looked: Vec<Span>,
}

/// The file of one environment.
#[derive(Debug)]
pub(super) struct Lives {
    file: PathBuf,
    before: Arc<[Span]>,
    written: Option<Millis>,
}

impl Lives {
    /// Reads what earlier lives left; an error says why nothing of it counts.
    pub(super) fn open(file: &Path, now: Millis) -> (Self, io::Result<()>) {
        let (text, result) = match fs::read(file) {
            Ok(text) => match serde_json::from_slice::<Text>(&text) {
                Ok(text) => (text, Ok(())),
                Err(why) => (Text::default(), Err(io::Error::other(why))),
            },
            Err(why) if why.kind() == io::ErrorKind::NotFound => (Text::default(), Ok(())),
            Err(why) => (Text::default(), Err(why)),
        };
        let until_now = |(begin, end): &Span| (*begin, (*end).min(now));
        let before: Vec<Span> = text.looked.iter().map(until_now).filter(|(begin, end)| begin < end).collect();
        let written = (!before.is_empty()).then_some(Millis(0));
        (Self { file: file.to_owned(), before: before.into(), written }, result)
    }

    /// When earlier lives looked.
    pub(super) fn before(&self) -> Arc<[Span]> {
        self.before.clone()
    }

    /// Writes down when it was looked, if it is time to; while nothing has a time limit, forgets it.
    pub(super) async fn keep(&mut self, looked: &Looked, limited: bool, now: Millis) -> io::Result<()> {
        if !limited {
            if self.written.take().is_none() {
                return Ok(());
            }
            self.before = Arc::default();
            let file = self.file.clone();
            return blocking(move || remove(&file)).await.unwrap_or(Ok(()));
        }
        let pause = Millis(now.since(looked.since).0 / PART).clamp(OFTEN.0.into(), OFTEN.1.into());
        if self.written.is_some_and(|written| now.since(written) < pause) {
            return Ok(());
        }
        self.written = Some(now);
        let mut spans = self.before.to_vec();
        spans.extend(spans_of(looked, now));
        let (file, text) = (self.file.clone(), Text { looked: bounded(spans) });
        blocking(move || write(&file, &text)).await.unwrap_or(Ok(()))
    }
}

/// When this life looked and the provider answered.
fn spans_of(looked: &Looked, now: Millis) -> Vec<Span> {
    let mut gaps: Vec<Span> = looked.breaks.iter().chain(looked.silent.iter()).copied().collect();
    gaps.sort_unstable();
    let (mut spans, mut from) = (Vec::new(), looked.since);
    for (begin, end) in gaps {
        if begin > from {
            spans.push((from, begin.min(now)));
        }
        from = from.max(end);
    }
    if now > from {
        spans.push((from, now));
    }
    spans
}

/// The oldest are taken together, without the time between them.
fn bounded(mut spans: Vec<Span>) -> Vec<Span> {
    while spans.len() > KEPT {
        let (begin, end) = spans.remove(0);
        if let Some(second) = spans.first_mut() {
            second.0 = Millis(second.0.0.saturating_sub(end.since(begin).0));
        }
    }
    spans
}

/// Puts it in place whole. It need not outlive a power cut.
fn write(file: &Path, text: &Text) -> io::Result<()> {
    let beside = file.with_extension("new");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&beside, serde_json::to_vec(text).map_err(io::Error::other)?)?;
    fs::rename(&beside, file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(since: u64, silent: &[(u64, u64)]) -> Looked {
        let silent = silent.iter().map(|(begin, end)| (Millis(*begin), Millis(*end))).collect();
        Looked { since: Millis(since), silent, ..Looked::default() }
    }

    fn open(file: &Path, now: u64) -> Lives {
        let (lives, read) = Lives::open(file, Millis(now));
        read.unwrap();
        lives
    }

    #[tokio::test]
    async fn what_lives_looked_adds_up_and_is_forgotten_when_nothing_has_a_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop/qa.json");
        let mut first = open(&file, 0);
        assert!(first.before().is_empty());
        first.keep(&looked(10_000, &[(12_000, 15_000)]), true, Millis(20_000)).await.unwrap();
        first.keep(&looked(10_000, &[]), true, Millis(20_500)).await.unwrap();
        let mut second = open(&file, 60_000);
        let pair = |begin, end| (Millis(begin), Millis(end));
        assert_eq!(*second.before(), [pair(10_000, 12_000), pair(15_000, 20_000)], "half a second is not worth it");
        second.keep(&looked(60_000, &[]), true, Millis(70_000)).await.unwrap();
        let mut third = open(&file, 65_000);
        assert_eq!(third.before().last(), Some(&pair(60_000, 65_000)), "a clock that went back");
        third.keep(&looked(80_000, &[]), false, Millis(80_000)).await.unwrap();
        assert!(third.before().is_empty() && !file.exists());
        fs::write(&file, "{").unwrap();
        let (lives, read) = Lives::open(&file, Millis(0));
        assert!(read.is_err() && lives.before().is_empty());
    }

    #[test]
    fn many_short_lives_are_taken_together_and_none_of_their_time_is_lost_or_won() {
        let spans: Vec<Span> = (0..1000).map(|n| (Millis(n * 60_000), Millis(n * 60_000 + 20_000))).collect();
        let kept = bounded(spans);
        let length: u64 = kept.iter().map(|(begin, end)| end.since(*begin).0).sum();
        assert_eq!((kept.len(), length), (KEPT, 20_000_000));
        assert!(kept.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }
}
