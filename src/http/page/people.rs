//! The pages of people: everybody for those who look after the doors, and for each their own sessions.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Visitor,
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::http::{
    App, Problem, people,
    responses::{Me, Noted, OpenSession, Person, RoleGrant},
    view_of_people,
};

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
    let frame = Frame::new("People", "/people", app.clock.now()).of(&visitor);
    let frame = Frame { here: Here::People, ..frame };
    let people = view_of_people::people(&app, &visitor.caller).await?.people;
    let notes = people::noted(&app, LINES).await?;
    answer(&Everybody { frame, csrf: visitor.csrf.clone(), people, notes })
}

pub(super) async fn me(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Problem> {
    let frame = Frame::new("Your sessions", "/me", app.clock.now()).of(&visitor);
    let frame = Frame { here: Here::Me, ..frame };
    let me = view_of_people::me(&app, &visitor.caller).await?;
    answer(&Oneself { frame, csrf: visitor.csrf.clone(), me })
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
