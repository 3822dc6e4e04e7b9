//! What has changed on a page, as it happens: the smallest parts that have a name, each only when it is another one. Whoever
//! comes again gets all of them first.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Path, Query, State},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::{Stream, stream};
use http::header;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use super::{Visitor, environment, overview};
use crate::{
    http::{App, Problem, overview::Wanted, place::Place},
    journal::Record,
    machine::EnvironmentId,
    pipelines::EnvironmentDefinition,
};

/// How often a page is looked at when nothing is recorded: health is in no record.
const LOOK: Duration = Duration::from_secs(1);
/// How long records are gathered before a page is made again.
const GATHER: Duration = Duration::from_millis(30);
/// How many looks pass between two signs of life.
const ALIVE: u32 = 2;

/// A part of a page: its name, and its text.
pub(super) type Part = (String, String);

/// Subject of a page.
enum Subject {
    Overview(Wanted),
    Environment(Arc<EnvironmentDefinition>),
}

/// The stream of the overview.
pub(super) async fn of_overview(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Response {
    follow(app, visitor, Subject::Overview(wanted))
}

/// The stream of an environment.
pub(super) async fn of_environment(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    Ok(follow(app, visitor, Subject::Environment(definition)))
}

fn follow(app: Arc<App>, visitor: Visitor, subject: Subject) -> Response {
    let records = app.journal.follow();
    let follower = Follower {
        app,
        visitor,
        subject,
        records,
        sent: HashMap::new(),
        quiet: 0,
        over: false,
        hasher: RandomState::new(),
    };
    // A browser that might keep it lets a second page wait until the first one has heard all of it.
    ([(header::CACHE_CONTROL, "no-store")], Sse::new(events(follower))).into_response()
}

fn events(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

struct Follower {
    app: Arc<App>,
    visitor: Visitor,
    subject: Subject,
    records: Receiver<Arc<Record>>,
    /// What was sent of each part, as its hash.
    sent: HashMap<String, u64>,
    /// How many looks nothing was sent.
    quiet: u32,
    /// Its end was told.
    over: bool,
    hasher: RandomState,
}

impl Follower {
    /// Waits for something to tell. Ends when the caller is nobody any more, or the controller stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.sent.is_empty() && !self.news().await {
                return None;
            }
            if !self.app.access.still(&self.visitor.caller, self.app.clock.host()) {
                // Once, and then the stream ends.
                return (!std::mem::replace(&mut self.over, true)).then(|| Event::default().event("bye").data(""));
            }
            let parts = match self.parts().await {
                Ok(parts) => parts,
                Err(problem) => {
                    tracing::warn!(why = problem.detail(), "a page cannot be made for a follower");
                    return None;
                }
            };
            if let Some(changed) = self.changed(&parts) {
                self.quiet = 0;
                return Some(Event::default().data(changed));
            }
            self.quiet += 1;
            if self.quiet >= ALIVE {
                self.quiet = 0;
                return Some(Event::default().event("clock").data(self.app.clock.now().0.to_string()));
            }
        }
    }

    /// Waits until something is recorded that the page may show, or it is time to look. Returns whether there is more to come.
    async fn news(&mut self) -> bool {
        let clock = self.app.clock.clone();
        let mut look = pin!(clock.wait(LOOK));
        loop {
            let heard = tokio::select! {
                () = &mut look => return true,
                heard = self.records.recv() => heard,
            };
            match heard {
                Ok(record) if !self.shows(&record.environment) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return false,
            }
        }
        // Of a burst, the page is made once: what came meanwhile is in it.
        clock.wait(GATHER).await;
        while !matches!(self.records.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
        true
    }

    fn shows(&self, id: &EnvironmentId) -> bool {
        match &self.subject {
            Subject::Overview(_) => self.visitor.caller.sees(id),
            // What is live in the one before may be promoted.
            Subject::Environment(definition) => definition.id.pipeline == id.pipeline,
        }
    }

    async fn parts(&self) -> Result<Arc<Vec<Part>>, Problem> {
        match &self.subject {
            Subject::Overview(wanted) => overview::parts(&self.app, &self.visitor, wanted).await,
            Subject::Environment(definition) => {
                environment::Page::of(&self.app, definition, &self.visitor).await?.parts().map(Arc::new)
            }
        }
    }

    /// The parts that are other ones than those that were sent, as the browser takes them.
    fn changed(&mut self, parts: &[Part]) -> Option<String> {
        let mut message = String::new();
        for (name, text) in parts {
            let hash = self.hasher.hash_one(text);
            if self.sent.insert(name.clone(), hash) == Some(hash) {
                continue;
            }
            if name == "title" {
                message.push_str(text);
                continue;
            }
            message.push_str("<hx-partial hx-target=\"#");
            message.push_str(name);
            message.push_str("\" hx-swap=\"outerMorph\">");
            message.push_str(text);
            message.push_str("</hx-partial>");
        }
        (!message.is_empty()).then_some(message)
    }
}
