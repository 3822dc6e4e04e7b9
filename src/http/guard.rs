//! What every request passes: whatever is refused is told as a problem, and before a handler sees it, its body must have
//! arrived whole, in time and within bounds. Must not know what a request is about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use super::{App, Problem};
use crate::{
    access::{Caller, limits::Wait},
    machine::Millis,
};

/// The largest body that people and scripts send, in bytes. Webhooks have limits of their own.
pub(super) const LARGEST: usize = 256 << 10;
/// The largest form that is taken from somebody who is not known yet, in bytes.
const SMALL: usize = 8 << 10;
/// The most streams over one connection: half of the requests that it may have open at once, so that others find room.
const STREAMS_OF_ONE_CONNECTION: usize = 50;
/// When somebody asks again who has as many streams as they may.
const AGAIN: Wait = Wait(Millis(10_000));
/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);
/// The longest text of a refusal that is taken over into a problem, in bytes.
const LONGEST_TEXT: usize = 4096;

/// What one connection is doing: by this the server knows whom it can send away when it is full.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// How many requests have arrived whole and are being answered: by HTTP/2 it may be several.
    answering: AtomicUsize,
    /// How many of its answers are streams: who follows comes again by themselves, and says what they heard last.
    following: AtomicUsize,
    /// When the last answer went out, or the connection came, in the server's own count.
    last: AtomicU64,
    count: Arc<AtomicU64>,
    /// It has asked for something.
    asked: Notify,
}

impl Activity {
    /// Returns the activity of a new connection; `count` is shared by all of a server.
    pub(super) fn new(count: &Arc<AtomicU64>) -> Self {
        let last = AtomicU64::new(count.fetch_add(1, Ordering::Relaxed));
        Self { last, count: count.clone(), ..Self::default() }
    }

    /// When its turn comes to be sent away, the least first: those that have sent no whole request for longest, then
    /// those that only follow. `None` while one of its requests is answered.
    pub(super) fn turn(&self) -> Option<(bool, u64)> {
        let following = self.following.load(Ordering::Relaxed) > 0;
        let busy = self.answering.load(Ordering::Relaxed) > 0;
        (!busy).then(|| (following, self.last.load(Ordering::Relaxed)))
    }

    /// Waits until it has asked for something.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }
}

/// One request of a connection, until it is answered or given up: what is counted of it is given back whichever way it ends.
struct Asked {
    activity: Option<Arc<Activity>>,
    arrived: Arrived,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(activity) = &self.activity else { return };
        activity.last.store(activity.count.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if self.arrived.0.load(Ordering::Relaxed) {
            activity.answering.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One stream of a connection, until it ends.
struct Following(Arc<Activity>);

impl Following {
    /// Begins one more request. `None`: the connection has as many as it may.
    fn begin(activity: &Arc<Activity>) -> Option<Self> {
        let more = |count: usize| (count < STREAMS_OF_ONE_CONNECTION).then_some(count + 1);
        activity.following.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(activity.clone()))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.following.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a request has arrived whole, as its connection knows.
#[derive(Clone, Default)]
struct Arrived(Arc<AtomicBool>);

/// Notes that a request has arrived whole, once.
pub(super) fn note_arrival(of: &Extensions) {
    if let (Some(activity), Some(arrived)) = (of.get::<Arc<Activity>>(), of.get::<Arrived>())
        && !arrived.0.swap(true, Ordering::Relaxed)
    {
        activity.answering.fetch_add(1, Ordering::Relaxed);
    }
}

/// The outermost layer.
pub(super) async fn guard(mut request: Request, next: Next) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>().cloned();
    let asked = Asked { activity, arrived: Arrived::default() };
    if let Some(activity) = &asked.activity {
        activity.asked.notify_one();
    }
    request.extensions_mut().insert(asked.arrived.clone());
    let response = as_problem(next.run(request).await).await;
    // A stream goes on long after its answer began.
    drop(asked);
    response
}

/// Counts streams, by who follows and over which connection, until they end. Behind the layer for who asks.
pub(super) async fn followed(State(app): State<Arc<App>>, caller: Caller, request: Request, next: Next) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>().cloned();
    let response = next.run(request).await;
    if !is(response.headers(), "text/event-stream") {
        return response;
    }
    let of_connection = activity.as_ref().map(Following::begin);
    if matches!(of_connection, Some(None)) {
        return too_many("streams over this connection");
    }
    // The holder of the local token is this host's own.
    let of_person = (!caller.has_local_token()).then(|| app.limits.streams.take(caller.by.clone()));
    if matches!(of_person, Some(None)) {
        return too_many(&format!("streams of `{}`", caller.by));
    }
    let held = (of_connection, of_person);
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &held;
            frame
        }))
    })
}

fn too_many(what: &str) -> Response {
    Problem::too_many(&format!("{what}; close pages that nobody looks at"), AGAIN).into_response()
}

/// The layer behind the one for who asks: nobody's body is not worth reading.
pub(super) async fn arrived(request: Request, next: Next) -> Response {
    arrived_within(LARGEST, request, next).await
}

/// The same for the forms that anybody may send.
pub(super) async fn arrived_small(request: Request, next: Next) -> Response {
    arrived_within(SMALL, request, next).await
}

async fn arrived_within(largest: usize, request: Request, next: Next) -> Response {
    match whole(request, largest).await {
        Ok(request) => {
            note_arrival(request.extensions());
            next.run(request).await
        }
        // The rest of the body is not read: the connection is of no more use.
        Err(problem) => ([(header::CONNECTION, "close")], problem).into_response(),
    }
}

async fn whole(request: Request, largest: usize) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let whole = read(&parts.headers, body, largest as u64).await?;
    Ok(Request::from_parts(parts, Body::from(whole)))
}

/// Reads a body whole, in time and within a limit.
pub(super) async fn read(headers: &HeaderMap, body: Body, largest: u64) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    let mut pieces = Pieces::of(headers, body, largest)?;
    in_time(async {
        while let Some(piece) = pieces.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(())
    })
    .await?;
    Ok(whole)
}

/// Waits for what reads a body, as long as one may take to arrive.
pub(super) async fn in_time<T>(reading: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let late = || Problem::new(408, format!("the body did not arrive within {} s; send it again", BODY.as_secs()));
    tokio::time::timeout(BODY, reading).await.map_err(|_| late())?
}

/// A body that is read as it arrives, within a limit.
pub(super) struct Pieces {
    body: Body,
    largest: u64,
    read: u64,
}

impl Pieces {
    /// Begins to read; refuses a body at once that announces that it is too large.
    pub(super) fn of(headers: &HeaderMap, body: Body, largest: u64) -> Result<Self, Problem> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let pieces = Self { body, largest, read: 0 };
        if announced.is_some_and(|length| length > largest) { Err(pieces.too_large()) } else { Ok(pieces) }
    }

    /// Returns the next piece, and nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        while let Some(frame) = self.body.frame().await {
            let broken = |error| Problem::new(400, format!("the body broke off: {error}; send it again"));
            let Ok(piece) = frame.map_err(broken)?.into_data() else { continue };
            self.read += piece.len() as u64;
            return if self.read > self.largest { Err(self.too_large()) } else { Ok(Some(piece)) };
        }
        Ok(None)
    }

    fn too_large(&self) -> Problem {
        let largest = self.largest;
        Problem::new(413, format!("the body is larger than {largest} bytes; send what names the build"))
    }
}

/// What the router itself refuses comes as plain text.
async fn as_problem(response: Response) -> Response {
    let status = response.status().as_u16();
    // A page says itself what is wrong.
    let told = ["application/problem+json", "text/html"];
    if status < 400 || told.iter().any(|kind| is(response.headers(), kind)) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, LONGEST_TEXT).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut told =
        Problem::new(status, if text.is_empty() { "the request was refused" } else { &text }).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        told.headers_mut().insert(header::ALLOW, allow.clone());
    }
    told
}

fn is(headers: &HeaderMap, kind: &str) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(kind.as_bytes()))
}
