//! What the instances of stacks and the hooks of deployments write: a part of it as lines of JSON, or all that comes as
//! server-sent events. Must not know where it is kept.

mod hook;
mod stack;

use std::{convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use axum::{
    extract::{Path, Query, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::{hook::HookTail, stack::StackTail};
use super::{App, Problem, place::Place};
use crate::{
    access::Caller,
    machine::{EnvironmentId, Number},
};

pub(super) use self::{hook::latest, stack::parts};

/// How many lines of each stream are shown, where nobody says.
const LINES: u32 = 100;
/// How many at most.
const MOST: u32 = 10_000;
/// How often a silent stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked again while nothing rings, and whether the token is still good.
const RECHECK: Duration = Duration::from_secs(2);

/// The part that a stack has in its environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LogsOf)]
pub(super) enum Of {
    /// The stack that has the users' traffic.
    #[default]
    Live,
    /// The stack of the deployment whose turn it is.
    Candidate,
    /// The stack before, kept warm.
    Standby,
    /// The stack of the last deployment that failed or was rolled back.
    Failed,
}

impl Of {
    /// Its name, in addresses and for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Candidate => "candidate",
            Self::Standby => "standby",
            Self::Failed => "failed",
        }
    }
}

/// Which output, and how much of it.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The stack, by the part that it has; `live` when neither this nor `stack` says.
    pub of: Option<Of>,
    /// The stack, by the number of its deployment.
    #[param(maximum = 4_294_967_295_u32, example = 5)]
    pub stack: Option<u32>,
    /// Only what this instance wrote, counted from 0.
    #[param(maximum = 4_294_967_295_u32)]
    pub instance: Option<u32>,
    /// Instead of a stack: the hook of this name.
    #[param(max_length = 100, example = "migrate")]
    pub hook: Option<String>,
    /// The deployment for which the hook ran; the last one when nobody says.
    #[param(maximum = 4_294_967_295_u32, example = 7)]
    pub deployment: Option<u32>,
    /// The last so many lines of each stream of each instance, 10,000 at most.
    #[param(maximum = 4_294_967_295_u32, example = 100)]
    pub lines: Option<u32>,
    /// Go on with what is written from then on, as server-sent events.
    #[serde(default)]
    pub follow: bool,
}

/// One line of the answer, or the data of one event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = LogEntry)]
pub(super) enum Entry {
    /// The stack of the lines that follow.
    Stack {
        stack: u32,
        /// Null when it was named by its number and has no part.
        of: Option<Of>,
        version: Option<String>,
    },
    /// A line, without the secrets of the pipeline.
    Line {
        stack: u32,
        instance: u32,
        /// `out` or `err`.
        stream: &'static str,
        text: String,
    },
    /// An instance was started again.
    Started { stack: u32, instance: u32 },
    /// Some lines were removed before they could be read.
    Missed { stack: u32 },
    /// The stack is gone: nothing more comes.
    Ended { stack: u32 },
    /// The hook of the lines that follow.
    Hook {
        deployment: u32,
        hook: String,
        /// Null when the deployment's release is not remembered.
        version: Option<String>,
    },
    /// A line that the hook wrote, to either stream, without the secrets of the pipeline.
    HookLine { deployment: u32, hook: String, text: String },
    /// Some lines of the hook were removed before they could be read.
    HookMissed { deployment: u32, hook: String },
    /// The hook is over: nothing more comes.
    HookEnded {
        deployment: u32,
        hook: String,
        /// The reason; null when it succeeded.
        failed: Option<String>,
    },
}

impl Entry {
    fn name(&self) -> &'static str {
        match self {
            Self::Stack { .. } => "stack",
            Self::Line { .. } => "line",
            Self::Started { .. } => "started",
            Self::Missed { .. } => "missed",
            Self::Ended { .. } => "ended",
            Self::Hook { .. } => "hook",
            Self::HookLine { .. } => "hook_line",
            Self::HookMissed { .. } => "hook_missed",
            Self::HookEnded { .. } => "hook_ended",
        }
    }
}

/// What the instances of a stack, or a hook, wrote
///
/// Lines of JSON; with `follow=true` server-sent events whose data are the same. The first says which stack or hook it is. Lines of
/// one stream are in order; between streams and instances there is none. Followed by its part, another stack that gets that
/// part is followed from then on; a hook is followed to its end, which is the last entry. Ids of events are positions: sent back as `Last-Event-ID`, it goes on there.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/logs", tag = "looking", params(
        Place, Wanted,
        ("last-event-id" = Option<String>, Header, description = "The last event that was heard; browsers send it by themselves")
    ),
    responses((status = 200, description = "Lines of JSON, or with `follow=true` `text/event-stream`", body = Entry, content_type = "application/x-ndjson")),
)]
pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    Query(wanted): Query<Wanted>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = place.find(&app)?.id.clone();
    let follow = wanted.follow;
    let mut tail = Tail::begin(app, id, wanted, caller, last_event_id(&headers)?.as_deref()).await?;
    if follow {
        let events =
            stream::unfold(tail, |mut tail| async move { Some((Ok::<_, Infallible>(tail.event().await?), tail)) });
        return Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response());
    }
    let mut text = String::new();
    while let Some((entry, _)) = tail.at_hand() {
        text += &serde_json::to_string(&entry).map_err(|error| Problem::new(500, error.to_string()))?;
        text.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}

/// The id of the last event that a reader has heard already.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    value.to_str().map(|id| Some(id.to_owned())).map_err(|_| no_event_id())
}

fn no_event_id() -> Problem {
    Problem::new(
        400,
        "`Last-Event-ID` must be the id of an event of this stream, such as 5.0out-1a2b-4096, or 7.4096 of a hook",
    )
}

/// Reads the id of an event: the number of the deployment, and how far was read.
fn event_id<P: FromStr>(text: &str) -> Result<(Number, P), Problem> {
    let read = || {
        let (number, position) = text.trim().split_once('.')?;
        Some((Number(number.parse().ok()?), position.parse().ok()?))
    };
    read().ok_or_else(no_event_id)
}

/// How many lines are wanted at first.
fn lines(wanted: &Wanted) -> usize {
    usize::try_from(wanted.lines.unwrap_or(LINES).min(MOST)).unwrap_or(usize::MAX)
}

/// One reader.
pub(super) enum Tail {
    Stack(Box<StackTail>),
    Hook(Box<HookTail>),
}

impl Tail {
    /// Begins with the last lines, or after what was heard.
    ///
    /// # Errors
    /// That there is no such stack, instance or hook, nothing is kept of it, or it cannot be read now.
    pub(super) async fn begin(
        app: Arc<App>,
        id: EnvironmentId,
        wanted: Wanted,
        caller: Caller,
        heard: Option<&str>,
    ) -> Result<Self, Problem> {
        let of_stack = wanted.of.is_some() || wanted.stack.is_some() || wanted.instance.is_some();
        match &wanted.hook {
            Some(_) if of_stack => Err(Problem::new(400, "name a stack, or a hook by `hook`, not both")),
            None if wanted.deployment.is_some() => {
                Err(Problem::new(400, "`deployment` says for which deployment the `hook` ran; name a stack by `stack`"))
            }
            Some(hook) => {
                let hook = hook.as_str().into();
                HookTail::begin(app, id, hook, wanted, caller, heard).await.map(|tail| Self::Hook(Box::new(tail)))
            }
            None => StackTail::begin(app, id, wanted, caller, heard).await.map(|tail| Self::Stack(Box::new(tail))),
        }
    }

    /// The next entry as an event.
    async fn event(&mut self) -> Option<Event> {
        let (entry, id) = self.next().await?;
        Event::default().id(id).event(entry.name()).json_data(&entry).ok()
    }

    /// The next entry, with the id after which it goes on; waits for it. None when nothing more comes, or whoever asked
    /// may not hear it any more.
    pub(super) async fn next(&mut self) -> Option<(Entry, String)> {
        match self {
            Self::Stack(tail) => tail.next().await,
            Self::Hook(tail) => tail.next().await,
        }
    }

    /// The next entry, if it has been read already.
    pub(super) fn at_hand(&mut self) -> Option<(Entry, String)> {
        match self {
            Self::Stack(tail) => tail.at_hand(),
            Self::Hook(tail) => tail.at_hand(),
        }
    }

    /// Whether more may come.
    pub(super) fn goes_on(&self) -> bool {
        match self {
            Self::Stack(tail) => tail.goes_on(),
            Self::Hook(tail) => tail.goes_on(),
        }
    }
}
