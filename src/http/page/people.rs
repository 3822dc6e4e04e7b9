//! The pages of people: everybody for those who look after the doors, and for each their own sessions.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{
    Visitor,
    act::{self, Api, Sent},
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::http::{
    App, Problem, door, people,
    responses::{MadeUser, Me, Noted, OpenSession, Person, RoleGrant},
    transport::Way,
    view_of_people,
};

/// The largest answer that is read here, in bytes.
const LARGEST: usize = 64 << 10;

/// How many lines of the record are shown.
const LINES: usize = 20;

/// The page of everybody who is known by name.
#[derive(Template)]
#[template(path = "people.html")]
struct Everybody {
    frame: Frame,
    csrf: Option<Arc<str>>,
    people: Vec<Person>,
    notes: Vec<Noted>,
    said: Said,
}

/// What became of a form.
#[derive(Default)]
struct Said {
    /// A user who can choose a password, and where: in this answer only.
    made: Option<(MadeUser, String)>,
    /// Why nothing was done, and what was typed.
    problem: Option<Problem>,
    typed: Vec<(String, String)>,
}

/// The page of one's own sessions.
#[derive(Template)]
#[template(path = "me.html")]
struct Oneself {
    frame: Frame,
    csrf: Option<Arc<str>>,
    me: Me,
}

pub(super) async fn page(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Problem> {
    shown(&app, &visitor, Said::default()).await
}

/// A form about a user was sent.
pub(super) async fn press(
    State(app): State<Arc<App>>,
    Extension(Api(api)): Extension<Api>,
    visitor: Visitor,
    way: Way,
    request: Request,
) -> Result<Response, Problem> {
    let sent = Sent::read(request).await?;
    let mut body = Map::new();
    for (name, value) in sent.own() {
        // As many grants as there are words.
        let value = if name == "grants" { value.split_whitespace().collect() } else { Value::from(value) };
        body.insert(name.to_owned(), value);
    }
    let answered = sent.ask(api, "", body).await?;
    match answered.status() {
        StatusCode::CREATED => {
            let defect = |why: &dyn std::fmt::Display| {
                Problem::new(500, format!("it was done, and its link cannot be shown ({why}): make another link"))
            };
            let text = axum::body::to_bytes(answered.into_body(), LARGEST).await.map_err(|why| defect(&why))?;
            let made: MadeUser = serde_json::from_slice(&text).map_err(|why| defect(&why))?;
            let link = format!("{}{}", door::address(&app, &way, sent.parts()), made.link);
            shown(&app, &visitor, Said { made: Some((made, link)), ..Said::default() }).await
        }
        status if status.is_success() => Ok(Redirect::to("/people#list").into_response()),
        _ => {
            let problem = act::told(&answered);
            let said = Said { made: None, problem: Some(problem.clone()), typed: sent.fields };
            // Who may not look after the doors is told so, and nobody is named.
            match shown(&app, &visitor, said).await {
                Ok(page) if visitor.caller.may_everywhere(crate::access::Role::Admin).is_ok() => {
                    Ok(act::as_refusal(page, &problem, answered.headers()))
                }
                Ok(_) | Err(_) => Err(problem),
            }
        }
    }
}

async fn shown(app: &Arc<App>, visitor: &Visitor, said: Said) -> Result<Response, Problem> {
    let frame = Frame::new("People", "/people", app.clock.now()).of(visitor);
    let frame = Frame { here: Here::People, ..frame };
    let people = view_of_people::people(app, &visitor.caller).await?.people;
    let notes = people::noted(app, LINES).await?;
    answer(&Everybody { frame, csrf: visitor.csrf.clone(), people, notes, said })
}

pub(super) async fn me(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Problem> {
    let frame = Frame::new("Your sessions", "/me", app.clock.now()).of(&visitor);
    let frame = Frame { here: Here::Me, ..frame };
    let me = view_of_people::me(&app, &visitor.caller).await?;
    answer(&Oneself { frame, csrf: visitor.csrf.clone(), me })
}

impl Everybody {
    /// What was typed into the form that adds a user.
    fn typed(&self, name: &str) -> &str {
        let typed = self.said.typed.iter().find(|(known, _)| known == name).filter(|_| self.is_of_new());
        typed.map_or("", |(_, value)| value.as_str())
    }

    /// Why a field of that form cannot be taken.
    fn wrong(&self, name: &str) -> Option<&str> {
        let problem = self.said.problem.as_ref().filter(|_| self.is_of_new())?;
        problem.fields().iter().find(|(field, _)| field == name).map(|(_, why)| why.as_str())
    }

    fn is_of_new(&self) -> bool {
        self.said.typed.iter().any(|(name, _)| name == "new")
    }

    /// Why nothing was done.
    fn refusal(&self) -> Option<String> {
        self.said.problem.as_ref().map(|problem| format!("Nothing was done: {}", problem.detail()))
    }
}

/// Grants as they are written into a field.
fn written(grants: &[RoleGrant]) -> String {
    let one = |grant: &RoleGrant| match &grant.only {
        Some(only) => format!("{}={}", grant.role, only.join(",")),
        None => grant.role.clone(),
    };
    grants.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Returns in words what somebody may do.
fn may(grants: &[RoleGrant]) -> String {
    let one = |grant: &RoleGrant| match &grant.only {
        Some(only) => format!("{} of {}", grant.role, only.join(", ")),
        None => format!("{} everywhere", grant.role),
    };
    grants.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// When they were here last: the session that was used last comes first.
fn last(sessions: &[OpenSession]) -> Option<&OpenSession> {
    sessions.first()
}

/// Returns in words what was done.
fn act(act: &str) -> String {
    act.replace('-', " ")
}
