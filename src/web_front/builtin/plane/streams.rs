//! The HTTP/2 streams of one connection, each with a clock of its own: one whose client takes nothing is reset, and its
//! neighbours go on. Must not look at requests.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;

use super::{Shared, worker::detach};

/// While requests wait for a connection to the stack, a client that takes nothing is waited for no longer than this.
const PRESSED: Duration = Duration::from_secs(5);

/// One stream.
pub(super) struct Stream {
    shared: Arc<Shared>,
    /// When the client was given something that it has not made room for yet, in ticks; 0 is "not".
    given_since: AtomicU32,
    cut: AtomicBool,
    waker: AtomicWaker,
}

impl Stream {
    /// Something is there for the client, or the stack is waited for.
    pub(super) fn gave(&self, given: bool) {
        self.given_since.store(if given { self.shared.now() } else { 0 }, Relaxed);
    }
}

/// All of one connection.
#[derive(Clone)]
pub(super) struct Streams(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, Arc<Stream>>,
    /// Made by [`Streams::begin`], not yet taken by the task that hyper starts for it right after.
    begun: Option<(u64, Arc<Stream>)>,
}

impl Streams {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::new(Inner { shared: shared.clone(), open: Mutex::default() }))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come, for which hyper starts a task next.
    pub(super) fn begin(&self) -> Arc<Stream> {
        let stream = Arc::new(Stream {
            shared: self.0.shared.clone(),
            given_since: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let mut open = self.open();
        open.last += 1;
        let id = open.last;
        open.streams.insert(id, stream.clone());
        open.begun = Some((id, stream.clone()));
        stream
    }

    /// Resets those whose clients take nothing.
    pub(super) fn cut_stuck(&self, stall: Duration) {
        let (now, shared) = (self.0.shared.now(), &self.0.shared);
        let limit = if shared.is_pressed() { stall.min(PRESSED) } else { stall };
        for stream in self.open().streams.values() {
            let since = stream.given_since.load(Relaxed);
            if since != 0 && u128::from(now.saturating_sub(since)) * 100 >= limit.as_millis() {
                stream.cut.store(true, Relaxed);
                stream.waker.wake();
            }
        }
    }
}

/// hyper has the task of a stream, and nothing else, started here.
impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        let begun = self.open().begun.take();
        match begun {
            Some((id, stream)) => detach(Guarded { task: Box::pin(task), stream, id, streams: self.clone() }),
            None => detach(task),
        }
    }
}

/// A stream's task. That it is dropped resets the stream.
struct Guarded<F> {
    task: Pin<Box<F>>,
    stream: Arc<Stream>,
    id: u64,
    streams: Streams,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.cut.load(Relaxed) {
            return Poll::Ready(());
        }
        self.stream.waker.register(cx.waker());
        self.task.as_mut().poll(cx)
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        self.streams.open().streams.remove(&self.id);
    }
}
