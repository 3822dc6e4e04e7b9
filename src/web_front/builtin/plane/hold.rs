//! Requests of users that wait for a route instead of being answered that there is none. How many there are, and what wakes them. Must
//! not know requests: while one waits nothing of its body is read.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::clock::after;

/// So often one that waits is looked at although nothing has happened: the end of an HTTP/1 connection whose client has sent a part
/// of a body is seen only when somebody looks.
const LOOK: Duration = Duration::from_millis(500);

/// All that wait.
#[derive(Default)]
pub(super) struct Waiting {
    count: AtomicUsize,
    news: Notify,
}

impl Waiting {
    /// Takes a place until what is returned is dropped. `None`: so many are taken.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let place = Place(self.clone());
        (self.count.fetch_add(1, Relaxed) < most).then_some(place)
    }

    /// Returns how many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Has all of them look again.
    pub(super) fn wake(&self) {
        self.news.notify_waiters();
    }

    /// Looks until there is something to say, for no longer than this.
    pub(super) async fn until<T>(&self, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let looking = async {
            loop {
                let mut news = pin!(self.news.notified());
                // What happens from here on wakes it.
                news.as_mut().enable();
                if let Some(said) = look() {
                    return said;
                }
                tokio::select! {
                    () = news => {}
                    () = after(LOOK) => {}
                }
            }
        };
        timeout(limit, looking).await.ok()
    }
}

/// A place of one that waits.
pub(super) struct Place(Arc<Waiting>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::time::Instant;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the time of this test stands still")]
    #[tokio::test(start_paused = true)]
    async fn one_waits_until_there_is_a_route_or_its_time_is_over() {
        let (waiting, there) = (Arc::new(Waiting::default()), AtomicBool::new(false));
        let look = || there.load(Relaxed).then_some("a route");
        let limit = Duration::from_secs(10);
        let before = Instant::now();
        assert_eq!(waiting.until(limit, look).await, None);
        assert_eq!(before.elapsed(), limit);
        let before = Instant::now();
        let route = async {
            after(Duration::from_millis(700)).await;
            there.store(true, Relaxed);
            waiting.wake();
        };
        assert_eq!(tokio::join!(waiting.until(limit, look), route).0, Some("a route"));
        assert_eq!(before.elapsed(), Duration::from_millis(700), "at once, and not with the next look");
        assert_eq!(waiting.until(Duration::ZERO, look).await, Some("a route"), "it is there already");
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Arc::new(Waiting::default());
        let (one, two) = (waiting.enter(2), waiting.enter(2));
        assert!(one.is_some() && two.is_some() && waiting.enter(2).is_none());
        assert_eq!(waiting.count(), 2, "one that found none counts no more");
        drop(one);
        assert!(waiting.enter(2).is_some());
    }
}
