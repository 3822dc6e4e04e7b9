//! The event stream: every record as it is made, without gap or doubles, also across a lost connection. Whoever was away
//! gets what is missing from the state file first.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::{
    Semaphore,
    broadcast::{Receiver, error::RecvError},
};
use utoipa::IntoParams;

use super::{App, Problem};
use crate::{
    access::{Caller, Role},
    journal::{Record, Replay},
    machine::EnvironmentId,
};

/// How often a silent stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// How often the token of a silent stream is looked at again.
const RECHECK: Duration = Duration::from_secs(5);
/// How many records are read again at most for one who was away.
const MOST: u64 = 10_000;
/// How many are read at once.
const PAGE: usize = 100;
/// How many streams and questions read the state file at once: the disk is the journal's first.
pub(super) static READERS: Semaphore = Semaphore::const_new(4);

/// Query of the event stream.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Follow {
    /// Only those of this environment.
    #[param(value_type = Option<String>, example = "shop/prod")]
    environment: Option<EnvironmentId>,
    /// Those after this one come first; `Last-Event-ID` says the same, and counts when both are there.
    since: Option<u64>,
}

/// Follow what happens (server-sent events)
///
/// Events `record` hold a record as `GET /v1/history` shows it; their ids are the records' `seq`. An event `missed` says
/// that too much happened while you were away: look at the environments instead. Every 15 s a comment shows that the
/// stream is alive. A first event without data names the record from which on you hear everything.
#[utoipa::path(
    get, path = "/v1/events", tag = "looking",
    params(
        Follow,
        ("last-event-id" = Option<u64>, Header, description = "The last one that was heard; browsers send it by themselves")
    ),
    responses((status = 200, description = "A stream that does not end", body = String, content_type = "text/event-stream")),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(follow): Query<Follow>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    if let Some(id) = &follow.environment {
        // In this order: what there is outside of a token's scope is nothing to learn from the answer.
        caller.may(Role::Viewer, id)?;
        app.environment(id.pipeline.as_str(), id.environment.as_str())?;
    }
    let since = last_event_id(&headers)?.or(follow.since);
    // First this, then the look at where the journal is: what is recorded in between comes twice and is told once.
    let records = app.journal.follow();
    let newest = app.journal.newest();
    // A state file that was put back from a backup may not go that far.
    let last = since.filter(|since| *since <= newest);
    let feed = Feed {
        hello: Some(match (since, last) {
            (Some(since), None) => missed(since, newest),
            _ => Event::default().id(last.unwrap_or(newest).to_string()),
        }),
        last: last.unwrap_or(newest),
        replay: last.map(|last| app.journal.since(last)),
        read: VecDeque::new(),
        only: follow.environment,
        records,
        app,
        caller,
    };
    let events = stream::unfold(feed, |mut feed| async move { feed.next().await.map(|event| (Ok(event), feed)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let read = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    read.map(Some).ok_or_else(|| Problem::new(400, "`Last-Event-ID` must be the id of an event: a whole number"))
}

/// What happened after `last` and is not told, up to the record `next`.
fn missed(last: u64, next: u64) -> Event {
    let how = "look at GET /v1/environments for how things are now, and at GET /v1/history?last=1000 for what happened";
    let data = serde_json::json!({ "after": last, "until": next, "how": how });
    Event::default().event("missed").id(next.to_string()).data(data.to_string())
}

/// One follower.
struct Feed {
    app: Arc<App>,
    caller: Caller,
    only: Option<EnvironmentId>,
    hello: Option<Event>,
    /// The last record that was told, or was not this follower's to hear.
    last: u64,
    /// Records that are read again first; `None` once there are none left.
    replay: Option<Replay>,
    read: VecDeque<Record>,
    records: Receiver<Arc<Record>>,
}

impl Feed {
    async fn next(&mut self) -> Option<Event> {
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        loop {
            if let Some(record) = self.read.pop_front() {
                if let Some(event) = self.tell(&record)? {
                    return Some(event);
                }
                continue;
            }
            if let Some(replay) = self.replay.take() {
                match self.more(replay).await {
                    Ok(None) => continue,
                    Ok(Some(missed)) => return Some(missed),
                    Err(error) => {
                        // Whoever comes again names the last one they heard.
                        tracing::error!(%error, "the state file cannot be read for a follower");
                        return None;
                    }
                }
            }
            let Ok(heard) = tokio::time::timeout(RECHECK, self.records.recv()).await else {
                if self.known() {
                    continue;
                }
                return None;
            };
            match heard {
                Ok(record) if record.seq <= self.last => {}
                Ok(record) => {
                    if let Some(event) = self.tell(&record)? {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(_)) => self.replay = Some(self.app.journal.since(self.last)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads on; at the end the replay is over. Gives an event where too much would have to be read.
    async fn more(&mut self, mut replay: Replay) -> std::io::Result<Option<Event>> {
        let newest = self.app.journal.newest();
        if newest.saturating_sub(self.last) > MOST {
            let next = newest - MOST;
            let event = missed(self.last, next);
            self.last = next;
            self.replay = Some(self.app.journal.since(next));
            return Ok(Some(event));
        }
        let turn = READERS.acquire().await.map_err(std::io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            // The reading goes on without a follower who hangs up.
            let _turn = turn;
            replay.more(PAGE).map(|records| (records, replay))
        });
        let (records, replay) = read.await.map_err(std::io::Error::other)??;
        self.replay = (!records.is_empty()).then_some(replay);
        self.read = records.into();
        Ok(None)
    }

    /// Whether the token is still good.
    fn known(&self) -> bool {
        self.app.access.still(&self.caller, self.app.clock.host())
    }

    /// The event of a record; nothing when it is not this follower's to hear. `None` when the token is no longer good.
    #[expect(clippy::option_option, reason = "the outer one ends the stream")]
    fn tell(&mut self, record: &Record) -> Option<Option<Event>> {
        self.last = record.seq;
        if !self.known() {
            return None;
        }
        let wanted = self.only.as_ref().is_none_or(|only| *only == record.environment);
        let event = || {
            Event::default()
                .id(record.seq.to_string())
                .event("record")
                .json_data(record)
                .expect("a record serialises: it was written as JSON")
        };
        Some((wanted && self.caller.sees(&record.environment)).then(event))
    }
}
