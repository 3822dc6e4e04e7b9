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
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, header};
use http_body_util::BodyExt;

use super::Problem;

/// The largest body that people and scripts send, in bytes. Webhooks have limits of their own.
pub(super) const LARGEST: usize = 256 << 10;
/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);
/// The longest text of a refusal that is taken over into a problem, in bytes.
const LONGEST_TEXT: usize = 4096;

/// What one connection is doing: by this the server knows whom it can send away when it is full.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// How many requests have arrived whole and are being answered: by HTTP/2 it may be several.
    answering: AtomicUsize,
    /// Its answer is a stream: who follows comes again by themselves, and says what they heard last.
    following: AtomicBool,
    /// When the last answer went out, or the connection came, in the server's own count.
    last: AtomicU64,
    count: Arc<AtomicU64>,
}

impl Activity {
    /// Of a connection that came just now; `count` is shared by all of a server.
    pub(super) fn new(count: &Arc<AtomicU64>) -> Self {
        let last = AtomicU64::new(count.fetch_add(1, Ordering::Relaxed));
        Self { answering: AtomicUsize::new(0), following: AtomicBool::new(false), last, count: count.clone() }
    }

    /// When its turn comes to be sent away, the least first: those that have sent no whole request for longest, then
    /// those that only follow. `None` while one of its requests is answered.
    pub(super) fn turn(&self) -> Option<(bool, u64)> {
        let following = self.following.load(Ordering::Relaxed);
        let busy = self.answering.load(Ordering::Relaxed) > 0;
        (following || !busy).then(|| (following, self.last.load(Ordering::Relaxed)))
    }

    /// Notes that a request has arrived whole and is being answered.
    fn arrived(&self) {
        self.answering.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a request is answered; `arrived`: it was noted before that it had arrived whole.
    fn answered(&self, arrived: bool, stream: bool) {
        self.last.store(self.count.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.following.store(stream, Ordering::Relaxed);
        if arrived {
            self.answering.fetch_sub(1, Ordering::Relaxed);
        }
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
        activity.arrived();
    }
}

/// The outermost layer.
pub(super) async fn guard(mut request: Request, next: Next) -> Response {
    let activity = request.extensions().get::<Arc<Activity>>().cloned();
    let arrived = Arrived::default();
    request.extensions_mut().insert(arrived.clone());
    let response = as_problem(next.run(request).await).await;
    if let Some(activity) = activity {
        // A stream goes on long after its answer began.
        activity.answered(arrived.0.load(Ordering::Relaxed), is(response.headers(), "text/event-stream"));
    }
    response
}

/// The layer behind the one for who asks: nobody's body is not worth reading.
pub(super) async fn arrived(request: Request, next: Next) -> Response {
    match whole(request).await {
        Ok(request) => {
            note_arrival(request.extensions());
            next.run(request).await
        }
        // The rest of the body is not read: the connection is of no more use.
        Err(problem) => ([(header::CONNECTION, "close")], problem).into_response(),
    }
}

async fn whole(request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let whole = read(&parts.headers, body, LARGEST as u64).await?;
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
    /// Begins to read; a body that says at once that it is too large is refused at once.
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
