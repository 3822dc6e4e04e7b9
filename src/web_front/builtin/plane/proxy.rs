//! One request: see for whom it asks, have it sent, pass the answer back. Must not accept connections.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};

use super::{
    Stage,
    activity::Activity,
    body::ResponseBody,
    bucket::Bucket,
    headers::{self, Client},
    pages::wants_json,
    preview::Asks,
    send::{Answered, Terms},
    streams::Stream,
    table::Wish,
    upgrade,
    upload::RequestBody,
    worker::Slot,
};
use crate::web_front::Sticky;

/// A page instead of an answer of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    NoRoute,
    Maintenance,
    NoCandidate,
    Unreachable,
    Timeout,
    Crowded,
    /// The stack has as many connections as it may have.
    Busy,
    BadAnswer,
    /// The client does not send what it announced.
    Stalled,
    /// The stack needs to know how long a request is, and this one is too long to be gathered.
    LengthRequired,
    BadRequest(&'static str),
}

/// What all requests of one client connection have in common.
pub(super) struct Connection {
    pub(super) slot: Slot,
    pub(super) client: Client,
    pub(super) activity: Arc<Activity>,
    /// Came beyond the limit of connections: as long as there is no room it gets a page, and has to go.
    pub(super) crowded: AtomicBool,
}

impl Connection {
    /// Answers a request. Never fails: what goes wrong becomes a page.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        stream: Option<Arc<Stream>>,
    ) -> Response<ResponseBody> {
        let busy = self.activity.begin();
        let http1 = stream.is_none();
        let probe = request.headers_mut().remove(&headers::PROBE);
        let probe = probe.is_some_and(|secret| self.slot.shared.may_know(&secret));
        let wish = match self.asks(&mut request, probe) {
            Asks::For(wish) => Some(wish),
            Asks::Users | Asks::Visit => None,
            link @ (Asks::Enter | Asks::Leave) => {
                let secure = self.client.is_secure(request.headers());
                let response = self.slot.shared.door.load().answer(&link, secure);
                return response.map(|content| ResponseBody::page(content, busy));
            }
        };
        let json = wants_json(request.headers());
        let upgrade = headers::upgrade(&request);
        let to_client = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let request = request.map(|body| RequestBody::new(body, &self.activity));
        let upload = request.body().upload().cloned();
        let asked = self.forward(request, upgrade.as_ref(), wish.clone(), !probe).await;
        let answered = asked.and_then(|mut answered| {
            let label = probe.then(|| answered.origin.open.stack().label.clone());
            headers::strip_response(&mut answered.response, upgrade.as_ref(), label.as_ref())
                .map_err(|_| answered.origin.gone_wrong())?;
            Ok(answered)
        });
        let mut early = false;
        let mut response = match answered {
            Ok(Answered { mut response, origin }) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    self.activity.speaks_something_else();
                    upgrade::join(to_client, &mut response, origin);
                    response.map(|_| ResponseBody::page(bytes::Bytes::new(), busy))
                } else {
                    early = response.status().as_u16() >= 300 && upload.is_some_and(|upload| !upload.is_complete());
                    let (head, body) = response.into_parts();
                    let body = ResponseBody::stack(body, origin, stream, busy);
                    // One connection of a client must not hold many of the stack's.
                    let body = if http1 { body } else { body.gathered().await };
                    Response::from_parts(head, body)
                }
            }
            Err(page) => {
                self.count(page);
                let mut response = self.slot.shared.pages.load().answer(page, json);
                if let Some(label) = self.slot.shared.table.load().label(wish.as_ref()).filter(|_| probe) {
                    response.headers_mut().insert(&headers::STACK, label.clone());
                }
                early = upload.is_some_and(|upload| !upload.is_complete());
                response.map(|content| ResponseBody::page(content, busy))
            }
        };
        if http1 && (early || self.must_go()) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Counts what a limit refuses.
    fn count(&self, page: Page) {
        let shared = &self.slot.shared;
        match page {
            Page::Crowded => shared.crowded.fetch_add(1, Ordering::Relaxed),
            Page::Busy => shared.busy.fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }

    fn must_go(&self) -> bool {
        self.is_crowded() || *self.slot.shared.stage.borrow() != Stage::Serving
    }

    /// Whether there is still no room. Once there is, the connection is like any other.
    fn is_crowded(&self) -> bool {
        if !self.crowded.load(Ordering::Relaxed) {
            return false;
        }
        let shared = &self.slot.shared;
        let full = shared.connections.load(Ordering::SeqCst) > shared.settings.connections;
        if !full {
            self.crowded.store(false, Ordering::Relaxed);
        }
        full
    }

    async fn forward(
        &self,
        mut request: Request<RequestBody>,
        upgrade: Option<&HeaderValue>,
        wish: Option<Wish>,
        may_wait: bool,
    ) -> Result<Answered, Page> {
        if self.is_crowded() {
            return Err(Page::Crowded);
        }
        if request.method() == Method::CONNECT {
            return Err(Page::BadRequest("CONNECT is not supported here."));
        }
        let secure = self.client.is_secure(request.headers());
        let kept = self.bucket(request.headers_mut());
        self.client.prepare(&mut request).map_err(Page::BadRequest)?;
        let (wish, drawn) = match wish {
            Some(wish) => (wish, None),
            None => {
                let drawn = if kept.is_none() { self.draw() } else { None };
                (Wish::Live(kept.or(drawn)), drawn)
            }
        };
        let repeatable = request.body().upload().is_none() && upgrade.is_none() && is_idempotent(request.method());
        if let Some(protocol) = upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol.clone());
        }
        let mut answered = self.send(request, &wish, Terms { repeatable, may_wait }).await?;
        if let Some(bucket) = drawn.filter(|_| self.slot.shared.settings.sticky == Sticky::Cookie) {
            bucket.give(answered.response.headers_mut(), secure);
        }
        Ok(answered)
    }

    /// Returns the bucket that a user is known to be in.
    fn bucket(&self, headers: &mut HeaderMap) -> Option<Bucket> {
        let told = Bucket::take(headers);
        match self.slot.shared.settings.sticky {
            Sticky::None => None,
            Sticky::Cookie => told,
            Sticky::Address => Some(Bucket::of_address(self.client.address(headers))),
        }
    }

    /// Draws a bucket where it matters in which one a user is.
    fn draw(&self) -> Option<Bucket> {
        let shared = &self.slot.shared;
        shared.table.load().split.as_ref().map(|_| shared.draw.next())
    }

    /// Returns what a request asks for. Who probes may name any stack that the front knows, and needs no key for that.
    fn asks<B>(&self, request: &mut Request<B>, probe: bool) -> Asks {
        let shared = &self.slot.shared;
        let asks = shared.door.load().asks(request, |headers| self.client.comes_from(headers));
        match (request.headers_mut().remove(&headers::STACK), asks) {
            (Some(label), _) if probe => Asks::For(Wish::Named(label)),
            (_, Asks::Visit) if shared.table.load().choose(&Wish::Candidate).is_ok() => Asks::For(Wish::Candidate),
            (_, Asks::Visit) => Asks::Users,
            (_, asks) => asks,
        }
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}
