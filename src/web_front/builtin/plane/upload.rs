//! The body of a request on its way to a stack: streamed, with the clocks that go with it, and with what is needed to
//! send it again as long as the stack cannot have seen it. Must not know headers.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio::{sync::Notify, time::timeout};

use super::{
    activity::{Activity, Busy},
    body::{Lease, give_back},
    line::Facts,
    proxy::Page,
    table::Open,
};
use crate::web_front::builtin::settings::Timeouts;

/// An upload that goes on after its answer is waited for as long as it moves within this time.
const LINGER: Duration = Duration::from_secs(5);
/// More than this is not read for nothing.
const DISCARDED: usize = 16 << 20;

/// Request body that goes to a stack.
pub(super) enum RequestBody {
    /// The request has no body.
    Empty,
    /// The client's upload.
    Upload(Arc<Upload>),
}

impl RequestBody {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Upload(Arc::new(Upload::new(body, activity))) }
    }

    pub(super) fn upload(&self) -> Option<&Arc<Upload>> {
        match self {
            Self::Empty => None,
            Self::Upload(upload) => Some(upload),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Self::Upload(upload) = self {
            upload.over.notify_one();
        }
    }
}

impl Clone for RequestBody {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Upload(upload) => Self::Upload(upload.clone()),
        }
    }
}

/// The reason why an upload is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The client sends nothing.
    Client,
    /// The stack takes nothing, or does not answer.
    Stack,
}

/// A body that a client sends.
pub(super) struct Upload {
    inner: Mutex<Inner>,
    activity: Arc<Activity>,
    /// When something last went through, in ticks.
    moved: AtomicU32,
    /// When it was complete, in ticks; 0 is "not yet".
    complete: AtomicU32,
    /// The client is asked for more, and has nothing.
    awaited: AtomicBool,
    /// What the client sends is not a body.
    broken: AtomicBool,
    over: Notify,
    _busy: Busy,
}

struct Inner {
    body: Option<Incoming>,
    /// The connection that takes it now.
    facts: Option<Arc<Facts>>,
    /// What was taken from the client while the stack had seen nothing yet, and how much of it is sent again.
    kept: Vec<Part>,
    again: usize,
    reader: Option<Waker>,
}

#[derive(Clone)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Part {
    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl Upload {
    fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        activity.in_body(true);
        let inner = Inner { body: Some(body), facts: None, kept: Vec::new(), again: 0, reader: None };
        Self {
            inner: Mutex::new(inner),
            moved: AtomicU32::new(activity.now()),
            complete: AtomicU32::new(0),
            awaited: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            over: Notify::new(),
            _busy: activity.hold(),
            activity: activity.clone(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this connection take the upload, from its beginning.
    pub(super) fn begin(&self, facts: &Arc<Facts>) {
        let mut inner = self.inner();
        inner.facts = Some(facts.clone());
        inner.again = 0;
        self.moved.store(self.activity.now(), Relaxed);
        self.awaited.store(false, Relaxed);
    }

    /// Returns true when the client has sent all of it.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Relaxed) != 0
    }

    /// Returns true when the client sent something that is not a body, or went away.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// How much longer an answer is waited for.
    pub(super) fn outlook(&self, timeouts: &Timeouts) -> Result<Duration, Late> {
        let now = self.activity.now();
        let left = |since: u32, limit: Duration, late: Late| {
            let passed = Duration::from_millis(u64::from(now.saturating_sub(since)) * 100);
            limit.checked_sub(passed).filter(|left| !left.is_zero()).ok_or(late)
        };
        match (self.complete.load(Relaxed), self.moved.load(Relaxed), self.awaited.load(Relaxed)) {
            (0, moved, true) => left(moved, timeouts.stall, Late::Client),
            (0, moved, false) => left(moved, timeouts.stall, Late::Stack),
            (complete, ..) => left(complete, timeouts.response, Late::Stack),
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        if let Some(part) = inner.kept.get(inner.again) {
            inner.again += 1;
            return Poll::Ready(Some(Ok(part.clone().frame())));
        }
        // Never its end: the stack would take a part for the whole.
        let Some(body) = &mut inner.body else {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        self.awaited.store(frame.is_pending(), Relaxed);
        match &frame {
            Poll::Pending => inner.reader = Some(cx.waker().clone()),
            Poll::Ready(Some(Err(_))) => {
                self.broken.store(true, Relaxed);
                self.over.notify_one();
            }
            Poll::Ready(some) => {
                let now = self.activity.now();
                self.moved.store(now, Relaxed);
                if body.is_end_stream() || some.is_none() {
                    self.complete.store(now, Relaxed);
                    self.activity.in_body(false);
                    self.over.notify_one();
                }
            }
        }
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            if inner.facts.as_ref().is_some_and(|facts| facts.untouched()) {
                let data = frame.data_ref().cloned().map(Part::Data);
                inner.kept.extend(data.or_else(|| frame.trailers_ref().cloned().map(Part::Trailers)));
                inner.again = inner.kept.len();
            } else {
                inner.kept.clear();
                inner.again = 0;
            }
        }
        frame.map_err(io::Error::other)
    }

    /// Takes all of it in, for a stack that knows no chunks, and returns how much that is. An error: it is more than
    /// `most`, malformed, or does not come.
    pub(super) async fn gather(&self, most: u64, stall: Duration) -> Result<u64, Page> {
        let facts = Arc::new(Facts::default());
        // Nothing is sent, so all of it is kept.
        facts.begin(false);
        self.begin(&facts);
        let mut length = 0;
        while !self.is_complete() {
            match timeout(stall, poll_fn(|cx| self.poll(cx))).await {
                Ok(Some(Ok(frame))) => length += frame.data_ref().map_or(0, |data| data.len() as u64),
                Ok(Some(Err(_))) => return Err(Page::BadRequest("The body of the request is malformed.")),
                Ok(None) => break,
                Err(_) => return Err(Page::Stalled),
            }
            if length > most {
                return Err(Page::LengthRequired);
            }
        }
        self.inner().kept.retain(|part| matches!(part, Part::Data(_)));
        Ok(length)
    }

    fn is_at_its_end(&self) -> bool {
        let inner = self.inner();
        inner.kept.len() == inner.again && inner.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner();
        let kept: u64 = inner.kept[inner.again..].iter().map(Part::length).sum();
        match inner.body.as_ref().and_then(|body| body.size_hint().exact()) {
            Some(rest) => SizeHint::with_exact(rest + kept),
            None => SizeHint::new(),
        }
    }

    /// Returns what is left of the body; whoever reads it now gets its end.
    fn take(&self) -> Option<Incoming> {
        let mut inner = self.inner();
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
        inner.body.take()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_complete() {
            self.activity.left_unread();
        }
    }
}

/// The answer is complete, and the upload is not: lets it go on for as long as it moves, so that a client that is about
/// to finish keeps its connection, and a stack that reads on gets the rest.
pub(super) async fn wind_up(upload: Arc<Upload>, lease: Lease, open: Open) {
    if Arc::strong_count(&upload) > 1 {
        loop {
            let before = upload.moved.load(Relaxed);
            let stands_still =
                timeout(LINGER, upload.over.notified()).await.is_err() && upload.moved.load(Relaxed) == before;
            if upload.is_complete() {
                return give_back(lease, &open);
            }
            if upload.is_broken() || stands_still || Arc::strong_count(&upload) == 1 {
                break;
            }
        }
    }
    // Nobody takes it any more.
    lease.upstream.facts.kill();
    let Some(mut body) = upload.take() else { return };
    let mut read = 0;
    while read < DISCARDED {
        match timeout(LINGER, body.frame()).await {
            Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len),
            Ok(None) => {
                upload.activity.in_body(false);
                return upload.complete.store(upload.activity.now(), Relaxed);
            }
            _ => return,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Upload(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(upload) => upload.is_at_its_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(upload) => upload.size_hint(),
        }
    }
}
