//! Answers on their way to clients: streamed, never gathered beyond a small size. The end of an answer gives its
//! connection back to the pool and counts the request as done. Must not know headers.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    activity::Busy,
    counts::Served,
    pool::Upstream,
    proxy::Page,
    streams::Stream,
    table::Open,
    upload::{Upload, wind_up},
    worker::{Slot, detach},
};

/// HTTP/2 gets its data in pieces of this size at most, so that each shows that the client takes something.
const PIECE: usize = 16 << 10;
/// An answer to HTTP/2 of this size at most leaves its connection to the stack before the client takes it.
const SMALL: u64 = 16 << 10;

/// Response body that goes to a client.
pub(super) struct ResponseBody {
    source: Source,
    /// The HTTP/2 stream that it goes to.
    stream: Option<Arc<Stream>>,
    /// What of the last piece was too much.
    rest: Bytes,
    _busy: Busy,
}

enum Source {
    Page(Option<Bytes>),
    Stack(Box<Answer>),
    Gathered(VecDeque<Bytes>, Option<hyper::Error>),
}

struct Answer {
    body: Incoming,
    /// Taken at the end.
    origin: Option<Origin>,
}

/// Where an answer comes from.
pub(super) struct Origin {
    pub(super) lease: Lease,
    pub(super) open: Open,
    /// What the client sends along, when it is more than nothing.
    pub(super) upload: Option<Arc<Upload>>,
    /// Where it was counted as answered well, for a user: if it breaks off it was not.
    pub(super) counts: Option<Arc<Served>>,
}

impl Origin {
    /// What it says cannot be passed on.
    pub(super) fn gone_wrong(&mut self) -> Page {
        if let Some(served) = self.counts.take() {
            served.broke();
        }
        Page::BadAnswer
    }
}

/// A connection to a stack that is in use, and where it belongs.
pub(super) struct Lease {
    pub(super) upstream: Upstream,
    pub(super) index: usize,
    pub(super) slot: Slot,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl ResponseBody {
    /// A page of ours.
    pub(super) fn page(content: Bytes, busy: Busy) -> Self {
        let source = Source::Page(Some(content).filter(|c| !c.is_empty()));
        Self { source, stream: None, rest: Bytes::new(), _busy: busy }
    }

    /// Wraps the response body of a stack.
    pub(super) fn stack(body: Incoming, origin: Origin, stream: Option<Arc<Stream>>, busy: Busy) -> Self {
        let mut answer = Answer { body, origin: Some(origin) };
        if answer.body.is_end_stream() {
            answer.finish();
        }
        Self { source: Source::Stack(Box::new(answer)), stream, rest: Bytes::new(), _busy: busy }
    }

    /// Takes a small answer in at once, so that a client that does not read holds none of the stack's connections.
    pub(super) async fn gathered(mut self) -> Self {
        let Source::Stack(answer) = &mut self.source else { return self };
        if answer.origin.is_none() || answer.body.size_hint().exact().is_none_or(|length| length > SMALL) {
            return self;
        }
        let (mut pieces, mut failed) = (VecDeque::new(), None);
        while let Some(frame) = answer.body.frame().await {
            match frame {
                Ok(frame) => pieces.extend(frame.into_data().ok()),
                Err(error) => {
                    answer.broke();
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none() {
            answer.finish();
        }
        self.source = Source::Gathered(pieces, failed);
        self
    }
}

impl Answer {
    fn finish(&mut self) {
        let Some(Origin { lease, open, upload, .. }) = self.origin.take() else { return };
        match upload.filter(|upload| !upload.is_complete()) {
            None => give_back(lease, &open),
            Some(upload) => detach(wind_up(upload, lease, open)),
        }
    }

    /// The stack did not send the rest of it.
    fn broke(&mut self) {
        if let Some(served) = self.origin.as_mut().and_then(|origin| origin.counts.take()) {
            served.broke();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let whole = match &frame {
            Poll::Ready(Some(Err(_))) => {
                self.broke();
                false
            }
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            _ => false,
        };
        if whole {
            self.finish();
        }
        frame
    }
}

/// Called when the answer is complete; a connection that is dropped before is closed.
pub(super) fn give_back(lease: Lease, open: &Open) {
    let Lease { upstream, index, slot, .. } = lease;
    if let Some(endpoint) = open.stack().upstreams.get(index) {
        endpoint.pool(slot.worker).put(upstream, slot.now());
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let mut frame = if this.rest.is_empty() {
            match &mut this.source {
                Source::Page(content) => Poll::Ready(content.take().map(|c| Ok(Frame::data(c)))),
                Source::Stack(answer) => answer.poll(cx),
                Source::Gathered(pieces, failed) => {
                    let piece = pieces.pop_front().map(|piece| Ok(Frame::data(piece)));
                    Poll::Ready(piece.or_else(|| failed.take().map(Err)))
                }
            }
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        let Some(stream) = &this.stream else { return frame };
        stream.gave(frame.is_ready());
        if let Poll::Ready(Some(Ok(whole))) = &mut frame
            && let Some(data) = whole.data_mut()
            && data.len() > PIECE
        {
            this.rest = data.split_off(PIECE);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.source {
                Source::Page(content) => content.is_none(),
                Source::Stack(answer) => answer.body.is_end_stream(),
                Source::Gathered(pieces, failed) => pieces.is_empty() && failed.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Page(content) => SizeHint::with_exact(content.as_ref().map_or(0, |c| c.len() as u64)),
            Source::Stack(answer) if self.rest.is_empty() => answer.body.size_hint(),
            // The header says it already, as it was known.
            _ => SizeHint::default(),
        }
    }
}
