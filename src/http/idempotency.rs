//! `Idempotency-Key`: what a person asked for once is done once, however often it is asked again. Answers are kept in
//! memory, for a day at most; deployments are known by their keys in the journal as well, also after a restart. Only
//! what was granted is kept: a refusal recorded nothing, and may be another one next time.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::{App, Problem, guard::LARGEST};
use crate::{
    access::Caller,
    intake,
    machine::{self, Millis},
};

/// The header.
pub(super) const HEADER: &str = "idempotency-key";
/// The longest key, in characters.
pub(super) const LONGEST: usize = 128;
/// How long an answer is kept.
const KEPT: Millis = Millis(24 * 3_600_000);
/// How many are kept at most; the oldest go first.
const MOST: usize = 10_000;
/// The largest answer that is kept, in bytes.
const LARGEST_ANSWER: usize = 64 << 10;

type Name = [u8; 32];

/// The answers that were given.
#[derive(Default)]
pub struct Answers(Mutex<Known>);

#[derive(Default)]
struct Known {
    given: HashMap<Name, Given>,
    /// The names by age.
    order: VecDeque<(Millis, Name)>,
}

struct Given {
    request: Name,
    answer: Slot,
}

/// Whoever holds it is at work on the answer.
type Slot = Arc<Turn<Option<Answer>>>;

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answers {
    /// The place for the answer to a request; `None` when its name is another request's.
    fn place(&self, name: Name, request: Name, now: Millis) -> Option<Slot> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, oldest)) = known.order.front().copied()
            && (now.since(since) >= KEPT || known.given.len() >= MOST)
        {
            known.order.pop_front();
            known.given.remove(&oldest);
        }
        if let Some(given) = known.given.get_mut(&name) {
            // Nothing came of the request before, or it is still under way.
            let free = given.answer.try_lock().is_ok_and(|answer| answer.is_none());
            if free {
                given.request = request;
            }
            return (given.request == request).then(|| given.answer.clone());
        }
        let answer = Slot::default();
        known.given.insert(name, Given { request, answer: answer.clone() });
        known.order.push_back((now, name));
        Some(answer)
    }
}

/// The key that a request carries: for what the journal is to know it by.
#[derive(Clone, Debug, Default)]
pub(super) struct Key(pub Option<Arc<str>>);

impl Key {
    /// Returns the key of the deployment in the journal. `otherwise`: what makes it the same request where the request
    /// carries no key.
    pub(super) fn of_deployment(
        &self,
        pipeline: &machine::Name,
        sender: &str,
        otherwise: impl FnOnce() -> String,
        body: &[u8],
    ) -> machine::Key {
        let identity = self.0.as_deref().map_or_else(otherwise, str::to_owned);
        intake::key(pipeline, sender, intake::Identity::Delivery(&identity), body)
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.as_bytes();
    let good = (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic) && values.next().is_none();
    let key = value.to_str().ok().filter(|_| good);
    let why = || format!("`Idempotency-Key` must be one text of 1 to {LONGEST} printable ASCII characters, no spaces");
    key.map(|key| Some(key.into())).ok_or_else(|| Problem::new(400, why()))
}

/// The layer around everything that people ask for.
pub(super) async fn once(State(app): State<Arc<App>>, caller: Caller, request: Request, next: Next) -> Response {
    match attempt(&app, &caller, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a client that goes away must not take the answer with it")]
async fn attempt(app: &App, caller: &Caller, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST).await.map_err(|e| Problem::new(400, e.to_string()))?;
    let name = digest(&[caller.by.as_bytes(), parts.uri.path().as_bytes(), key.as_bytes()]);
    let asked = digest(&[parts.uri.query().unwrap_or_default().as_bytes(), &body]);
    let slot = app.answers.place(name, asked, app.clock.now()).ok_or_else(Problem::key_used)?;
    let slot = slot.lock_owned().await;
    if let Some(answer) = &*slot {
        let Answer { status, headers, body } = answer.clone();
        return Ok((status, headers, body).into_response());
    }
    parts.extensions.insert(Key(Some(key)));
    let request = Request::from_parts(parts, Body::from(body));
    let answered = tokio::task::spawn(async move { keep(slot, next.run(request).await).await }).await;
    answered.map_err(|error| {
        tracing::error!(%error, "a request met a defect");
        Problem::new(500, "a defect of pointsman; its log says more")
    })
}

async fn keep(mut slot: OwnedMutexGuard<Option<Answer>>, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let small = |headers: &HeaderMap| {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        length.is_none_or(|length| length <= LARGEST_ANSWER)
    };
    if !parts.status.is_success() || !small(&parts.headers) {
        return Response::from_parts(parts, body);
    }
    match axum::body::to_bytes(body, LARGEST_ANSWER).await {
        Ok(body) => {
            *slot = Some(Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() });
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => Problem::new(500, format!("the answer broke off: {error}")).into_response(),
    }
}

fn digest(parts: &[&[u8]]) -> Name {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
