//! What the instances of a stack write, as it comes: the last lines in the page, and each later one by its stream. Must not
//! know where it is kept.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response, sse::Event, sse::Sse},
};
use futures_util::{Stream, stream};
use http::{HeaderMap, header};
use serde::Deserialize;
use std::{convert::Infallible, time::Duration};

use super::{Visitor, frame::Frame, page as answer, unwritable, words::filters};
use crate::{
    http::{
        App, Problem,
        logs::{self, Entry, Of, Tail},
        place::Place,
    },
    machine::{EnvironmentId, Number},
    pipelines::Tier,
};

/// How many lines of each stream of each instance a page begins with.
const LINES: u32 = 200;
/// How many entries are sent at once.
const AT_ONCE: usize = 200;
/// How long a stream is silent at most, so that a page knows that it is live.
const ALIVE: Duration = Duration::from_secs(2);

/// Query of the logs page.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Wanted {
    of: Option<Of>,
    stack: Option<u32>,
    instance: Option<u32>,
}

impl Wanted {
    fn as_logs(self) -> logs::Wanted {
        let Self { of, stack, instance } = self;
        logs::Wanted { of, stack, instance, lines: Some(LINES), follow: true }
    }

    /// Returns it as a query: empty, or with its question mark.
    fn query(self) -> String {
        let of = self.of.map(|of| format!("of={}", of.word()));
        let stack = self.stack.map(|stack| format!("stack={stack}"));
        let instance = self.instance.map(|instance| format!("instance={instance}"));
        let all: Vec<String> = of.into_iter().chain(stack).chain(instance).collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }
}

/// The lines of one stack.
#[derive(Template)]
#[template(path = "logs.html")]
struct Page {
    frame: Frame,
    id: EnvironmentId,
    tier: Option<Tier>,
    stacks: Vec<Choice>,
    lines: Vec<Line>,
    /// Why there are none.
    why: Option<String>,
    /// The same lines for a script.
    api: String,
}

/// A stack whose lines may be looked at.
struct Choice {
    part: &'static str,
    number: u32,
    version: Option<String>,
    address: String,
    here: bool,
}

/// One line of a log, or what is said between two.
#[derive(Template)]
#[template(path = "logs-line.html")]
struct Line {
    /// The instance and the stream.
    from: Option<(u32, &'static str)>,
    text: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    Query(wanted): Query<Wanted>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let id = definition.id.clone();
    let here = format!("/environments/{id}/logs");
    let state = app.journal.watch(&id).borrow().clone();
    let tail = Tail::begin(app.clone(), id.clone(), wanted.as_logs(), visitor.caller.clone(), None).await;
    let (lines, stack, heard, why) = match tail {
        Ok(mut tail) => {
            let (lines, heard) = read(&mut tail);
            (lines, tail.followed(), heard, None)
        }
        Err(problem) if problem.status() < 500 => (Vec::new(), None, None, Some(problem.detail().to_owned())),
        Err(problem) => return Err(problem),
    };
    let stream = stack.map(|_| format!("{here}/live{}", after(wanted, heard)));
    let shown = wanted.stack.map(Number).or(stack);
    let part = wanted.of.or(wanted.stack.is_none().then_some(Of::Live));
    let stacks = logs::parts(&state).into_iter().map(|(of, number)| Choice {
        part: of.word(),
        number: number.0,
        version: state.release_of(number).map(|release| release.version.to_string()),
        address: format!("{here}?of={}", of.word()),
        here: part == Some(of) || (part.is_none() && shown == Some(number)),
    });
    let address = format!("{here}{}", wanted.query());
    let name = format!("Logs of {id}");
    let frame = Frame { stream, ..Frame::new(&name, address, app.clock.now()).at(&visitor, &id) };
    let (tier, api) = (definition.tier(), format!("/v1/environments/{id}/logs{}", wanted.query()));
    answer(&Page { frame, tier, stacks: stacks.collect(), lines, why, api, id })
}

/// What has been read already, and the id after which it goes on.
fn read(tail: &mut Tail) -> (Vec<Line>, Option<String>) {
    let (mut lines, mut heard) = (Vec::new(), None);
    while let Some((entry, id)) = tail.at_hand() {
        lines.push(Line::of(entry));
        heard = Some(id);
    }
    (lines, heard)
}

/// The query of the stream that goes on after this id.
fn after(wanted: Wanted, heard: Option<String>) -> String {
    let query = wanted.query();
    let mark = if query.is_empty() { "?" } else { "&" };
    heard.map_or(query.clone(), |heard| format!("{query}{mark}after={heard}"))
}

impl Line {
    fn of(entry: Entry) -> Self {
        let between = |text: String| Self { from: None, text };
        match entry {
            Entry::Line { instance, stream, text, .. } => Self { from: Some((instance, stream)), text },
            Entry::Stack { stack, of, version } => {
                let named = version.map_or(format!("stack {stack}"), |version| format!("stack {stack}, {version}"));
                between(of.map_or(named.clone(), |of| format!("{named}: {}", of.word())))
            }
            Entry::Started { stack, instance } => {
                between(format!("instance {instance} of stack {stack} was started again"))
            }
            Entry::Missed { .. } => between("some lines were removed before they could be read".to_owned()),
            Entry::Ended { stack } => between(format!("stack {stack} is gone: nothing more comes")),
        }
    }
}

/// Where the stream of a page goes on.
#[derive(Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

/// The stream of the lines that come.
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    (Query(wanted), Query(After { after })): (Query<Wanted>, Query<After>),
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = place.find(&app)?.id.clone();
    // A browser that comes again says itself what it heard last.
    let heard = match (logs::last_event_id(&headers)?, after) {
        (None, Some(after)) => Some(logs::event_id(&after)?),
        (heard, _) => heard,
    };
    let tail = Tail::begin(app.clone(), id, wanted.as_logs(), visitor.caller, heard).await?;
    let events = Sse::new(events(app, tail));
    Ok(([(header::CACHE_CONTROL, "no-store")], events).into_response())
}

fn events(app: Arc<App>, tail: Tail) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((Some(tail), app), |(tail, app)| async move {
        let mut tail = tail?;
        let first = tokio::select! {
            next = tail.next() => next,
            () = app.clock.wait(ALIVE) => {
                let clock = Event::default().event("clock").data(app.clock.now().0.to_string());
                return Some((Ok(clock), (Some(tail), app)));
            }
        };
        // The page is asked for again: it says what is the matter.
        let Some(first) = first else {
            return Some((Ok(Event::default().event("bye").data("")), (None, app)));
        };
        match message(&mut tail, first) {
            Ok(event) => Some((Ok(event), (Some(tail), app))),
            Err(problem) => {
                tracing::warn!(why = problem.detail(), "lines of a stack cannot be shown to a follower");
                None
            }
        }
    })
}

/// An entry and those that have been read with it, as the browser takes them.
fn message(tail: &mut Tail, first: (Entry, String)) -> Result<Event, Problem> {
    let mut html = "<hx-partial hx-target=\"#log\" hx-swap=\"beforeend\">".to_owned();
    let mut next = Some(first);
    let mut heard = String::new();
    for _ in 0..AT_ONCE {
        let Some((entry, id)) = next.take().or_else(|| tail.at_hand()) else { break };
        html.push_str(&Line::of(entry).render().map_err(unwritable)?);
        heard = id;
    }
    html.push_str("</hx-partial>");
    Ok(Event::default().id(heard).data(html))
}
