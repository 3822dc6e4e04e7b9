//! Bodies on their way through: streamed, never gathered. The end of a response gives its connection back to the
//! pool and counts the request as done. Must not know headers.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    activity::{Activity, Busy},
    pool::Upstream,
    table::Open,
    worker::Seat,
};

/// What goes to a stack.
pub(super) enum RequestBody {
    /// Nothing: can be sent again.
    Empty,
    /// What the client sends, and the notes of the connection that it comes from.
    Incoming(Incoming, Arc<Activity>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Incoming(body, activity) => {
                let frame = Pin::new(body).poll_frame(cx);
                activity.awaits_body(frame.is_pending());
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Incoming(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Incoming(body, _) => body.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Self::Incoming(_, activity) = self {
            activity.awaits_body(false);
        }
    }
}

/// What goes to a client.
pub(super) struct ResponseBody {
    source: Source,
    _busy: Busy,
}

enum Source {
    Page(Option<Bytes>),
    Stack { body: Incoming, lease: Option<Lease>, _open: Open },
}

/// A connection to a stack that is in use, and where it belongs.
pub(super) struct Lease {
    pub(super) upstream: Upstream,
    pub(super) index: usize,
    pub(super) seat: Seat,
}

impl ResponseBody {
    /// A page of ours.
    pub(super) fn page(content: Bytes, busy: Busy) -> Self {
        Self { source: Source::Page(Some(content).filter(|c| !c.is_empty())), _busy: busy }
    }

    /// What a stack answers.
    pub(super) fn stack(body: Incoming, lease: Lease, open: Open, busy: Busy) -> Self {
        let mut lease = Some(lease);
        if body.is_end_stream() {
            give_back(&mut lease, &open);
        }
        Self { source: Source::Stack { body, lease, _open: open }, _busy: busy }
    }
}

/// Called when the response is complete; a connection that is dropped before is closed.
fn give_back(lease: &mut Option<Lease>, open: &Open) {
    if let Some(Lease { upstream, index, seat }) = lease.take()
        && let Some(endpoint) = open.stack().upstreams.get(index)
    {
        endpoint.pool(seat.worker).put(upstream, seat.now());
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().source {
            Source::Page(content) => Poll::Ready(content.take().map(|c| Ok(Frame::data(c)))),
            Source::Stack { body, lease, _open } => {
                let frame = Pin::new(&mut *body).poll_frame(cx);
                let whole = match &frame {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
                    _ => false,
                };
                if whole {
                    give_back(lease, _open);
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Page(content) => content.is_none(),
            Source::Stack { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(content) => SizeHint::with_exact(content.as_ref().map_or(0, |c| c.len() as u64)),
            Source::Stack { body, .. } => body.size_hint(),
        }
    }
}
