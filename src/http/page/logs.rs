//! What the instances of a stack, or a hook, write, as it comes: the last lines in the page, and each later one by its stream. Must not
//! know where it is kept.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response, sse::Event, sse::Sse},
};
use futures_util::{Stream, stream};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use super::{Visitor, frame::Frame, page as answer, unwritable, words::filters};
use crate::{
    http::{
        App, Problem,
        logs::{self, Entry, Of, Tail},
        place::Place,
    },
    machine::{Environment, EnvironmentId, Number},
    pipelines::Tier,
    telling,
};

/// How many lines of each stream of each instance a page begins with.
const LINES: u32 = 200;
/// How many entries are sent at once.
const AT_ONCE: usize = 200;
/// How long a stream is silent at most, so that a page knows that it is live.
const ALIVE: Duration = Duration::from_secs(2);

/// Query of the logs page.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct Wanted {
    of: Option<Of>,
    stack: Option<u32>,
    instance: Option<u32>,
    hook: Option<String>,
    deployment: Option<u32>,
}

impl Wanted {
    fn as_logs(&self) -> logs::Wanted {
        let Self { of, stack, instance, hook, deployment } = self.clone();
        logs::Wanted { of, stack, instance, hook, deployment, lines: Some(LINES), follow: true }
    }

    /// Returns it as a query: empty, or with its question mark.
    fn query(&self) -> String {
        let query = serde_urlencoded::to_string(self).expect("words and numbers make a query");
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// The lines of one stack or hook.
#[derive(Template)]
#[template(path = "logs.html")]
struct Page {
    frame: Frame,
    id: EnvironmentId,
    tier: Option<Tier>,
    choices: Vec<Choice>,
    of_hook: bool,
    lines: Vec<Line>,
    /// Why there are none.
    why: Option<String>,
    /// The same lines for a script.
    api: String,
}

/// A stack or a hook whose lines may be looked at.
struct Choice {
    name: String,
    number: u32,
    version: Option<String>,
    address: String,
    here: bool,
}

/// One line of a log.
#[derive(Template)]
#[template(path = "logs-line.html")]
struct Line {
    from: Source,
    text: String,
}

/// The origin of a line.
enum Source {
    /// An instance, on one of its streams.
    Instance(u32, &'static str),
    Hook,
    /// It is said about the lines, between two.
    Us,
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
    let (lines, stream, why) = match tail {
        Ok(mut tail) => {
            let (lines, heard) = read(&mut tail);
            (lines, tail.goes_on().then(|| format!("{here}/live{}", after(&wanted, heard))), None)
        }
        Err(problem) if problem.status() < 500 => (Vec::new(), None, Some(problem.detail().to_owned())),
        Err(problem) => return Err(problem),
    };
    let hooks = logs::latest(&app, &id, &state).await?;
    let choices = choices(&here, &wanted, &state, hooks);
    let address = format!("{here}{}", wanted.query());
    let name = format!("Logs of {id}");
    let frame = Frame { stream, ..Frame::new(&name, address, app.clock.now()).at(&visitor, &id) };
    let (tier, api) = (definition.tier(), format!("/v1/environments/{id}/logs{}", wanted.query()));
    answer(&Page { frame, tier, choices, of_hook: wanted.hook.is_some(), lines, why, api, id })
}

/// The stacks by their part, then the hooks by their last run.
fn choices(here: &str, wanted: &Wanted, state: &Environment, hooks: BTreeMap<Arc<str>, Number>) -> Vec<Choice> {
    let by_part = wanted.stack.is_none() && wanted.hook.is_none();
    let part = wanted.of.or(by_part.then_some(Of::Live));
    let choice = |name: String, number: Number, query: String, is_here: bool| {
        let version = state.release_of(number).map(|release| release.version.to_string());
        Choice { name, number: number.0, version, address: format!("{here}?{query}"), here: is_here }
    };
    let stacks = logs::parts(state).into_iter().map(|(of, number)| {
        let shown = part == Some(of) || (part.is_none() && wanted.stack == Some(number.0));
        choice(of.word().to_owned(), number, format!("of={}", of.word()), shown)
    });
    let hooks = hooks.into_iter().map(|(hook, number)| {
        choice(format!("hook {hook}"), number, format!("hook={hook}"), wanted.hook.as_deref() == Some(&*hook))
    });
    stacks.chain(hooks).collect()
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
fn after(wanted: &Wanted, heard: Option<String>) -> String {
    let query = wanted.query();
    let mark = if query.is_empty() { "?" } else { "&" };
    heard.map_or(query.clone(), |heard| format!("{query}{mark}after={heard}"))
}

impl Line {
    fn of(entry: Entry) -> Self {
        let between = |text: String| Self { from: Source::Us, text };
        match entry {
            Entry::Line { instance, stream, text, .. } => Self { from: Source::Instance(instance, stream), text },
            Entry::HookLine { text, .. } => Self { from: Source::Hook, text },
            Entry::Hook { deployment, hook, version } => {
                let version = version.map(|version| format!(", {version}")).unwrap_or_default();
                between(format!("hook {hook} of deployment {deployment}{version}"))
            }
            Entry::HookEnded { hook, failed, .. } => between(telling::hook_end(&hook, failed.as_deref())),
            Entry::Stack { stack, of, version } => {
                let named = version.map_or(format!("stack {stack}"), |version| format!("stack {stack}, {version}"));
                between(of.map_or(named.clone(), |of| format!("{named}: {}", of.word())))
            }
            Entry::Started { stack, instance } => {
                between(format!("instance {instance} of stack {stack} was started again"))
            }
            Entry::Missed { .. } | Entry::HookMissed { .. } => {
                between("some lines were removed before they could be read".to_owned())
            }
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
        (None, after) => after,
        (heard, _) => heard,
    };
    let tail = Tail::begin(app.clone(), id, wanted.as_logs(), visitor.caller, heard.as_deref()).await?;
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
