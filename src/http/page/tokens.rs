//! The page of tokens: all of them, how one is made, and its text, this once.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    Visitor,
    act::{self, Api},
    frame::{Frame, Here},
    page as answer,
    words::filters,
};
use crate::http::{
    App, Problem,
    responses::{MadeToken, Token},
    view_of_people,
};

/// The largest answer that is read here, in bytes.
const LARGEST: usize = 64 << 10;
/// How long a token is good, as the form has it.
const ENDS: [(&str, &str); 4] = [("90d", "in 90 days"), ("30d", "in 30 days"), ("365d", "in a year"), ("", "never")];
const ROLES: [(&str, &str); 4] = [
    ("viewer", "viewer: look"),
    ("deployer", "deployer: deploy, promote, abort, roll back, hold, restart"),
    ("approver", "approver: approve, resume"),
    ("admin", "admin: adopt, pin, veto, people and tokens"),
];

/// All tokens.
#[derive(Template)]
#[template(path = "tokens.html")]
struct Page {
    frame: Frame,
    csrf: Option<Arc<str>>,
    tokens: Vec<Token>,
    made: Option<MadeToken>,
}

pub(super) async fn page(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Problem> {
    shown(&app, &visitor, None)
}

/// A form was sent. The text of the token is in this answer only, and nobody keeps it.
pub(super) async fn make(
    State(app): State<Arc<App>>,
    Extension(Api(api)): Extension<Api>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Problem> {
    let (_, answered) = act::ask(api, request).await?;
    if !answered.status().is_success() {
        let frame = Frame::new("Nothing was done", "/tokens", app.clock.now()).of(&visitor);
        return act::refused(frame, &act::told(&answered), answered.headers(), "/tokens".to_owned(), None);
    }
    let defect = |why: &dyn std::fmt::Display| {
        Problem::new(500, format!("the token was made and cannot be shown ({why}): revoke it and make another"))
    };
    let text = axum::body::to_bytes(answered.into_body(), LARGEST).await.map_err(|why| defect(&why))?;
    let made = serde_json::from_slice(&text).map_err(|why| defect(&why))?;
    Ok(shown(&app, &visitor, Some(made))?.into_response())
}

fn shown(app: &App, visitor: &Visitor, made: Option<MadeToken>) -> Result<Response, Problem> {
    let frame = Frame::new("Tokens", "/tokens", app.clock.now()).of(visitor);
    let frame = Frame { here: Here::Tokens, ..frame };
    let tokens = view_of_people::tokens(app)?.tokens;
    answer(&Page { frame, csrf: visitor.csrf.clone(), tokens, made })
}

impl Page {
    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn roles(&self) -> [(&'static str, &'static str); 4] {
        ROLES
    }

    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn ends(&self) -> [(&'static str, &'static str); 4] {
        ENDS
    }
}
