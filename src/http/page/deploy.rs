//! The page that says what a deployment takes, and takes it: a new build, or a release that was there before. What was typed
//! stays when it cannot be taken, with the reason beside its field.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, Request, State},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Map, Value};

use super::{
    Visitor,
    act::{self, Api, Sent},
    frame::{Fields, Frame},
    others::Others,
    page as answer,
    words::filters,
};
use crate::{
    access::Role,
    http::{
        App, Problem,
        deployable::{self, Deployable},
        place::Place,
        problem::Difference,
        responses::{Candidate, Environment},
        shown::Look,
        view,
    },
    intake::build::{LONGEST_NAME, LONGEST_TEXT},
    machine::{EnvironmentId, Trigger},
    pipelines::{EnvironmentDefinition, Tier},
};

/// The beginning of the names of fields that are parameters.
const PARAMETER: &str = "parameter.";
/// The field of parameters where a build may set any.
const PARAMETERS: &str = "parameters";
/// Fields that say how it is deployed: they stand in the address of the request.
const IN_QUERY: [&str; 3] = ["repairs", "reason", "release"];

/// What a deployment takes.
#[derive(Template)]
#[template(path = "deploy.html")]
struct Page {
    frame: Frame,
    id: EnvironmentId,
    tier: Option<Tier>,
    view: Deployable,
    now: Environment,
    fields: Fields,
    /// Why whoever looks may not deploy.
    not_for: Option<String>,
    /// What was typed, where it could not be taken.
    typed: Vec<(String, String)>,
    problem: Option<Problem>,
}

/// A field for a text.
struct Input {
    id: String,
    name: String,
    label: String,
    hint: String,
    required: bool,
    longest: usize,
    /// It has more lines than one.
    lines: bool,
    value: String,
    wrong: Option<String>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    answer(&Page::of(&app, &definition, &visitor, Vec::new(), None)?)
}

/// A form was sent.
pub(super) async fn press(
    State(app): State<Arc<App>>,
    Extension(Api(api)): Extension<Api>,
    Path(place): Path<Place>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let sent = Sent::read(request).await?;
    let answered = match body(&sent) {
        Ok(body) => sent.ask(api, &query(&sent), body).await?,
        Err(problem) => problem.into_response(),
    };
    if answered.status().is_success() {
        return Ok(Redirect::to(&format!("/environments/{}#next", definition.id)).into_response());
    }
    let problem = act::told(&answered);
    let page = answer(&Page::of(&app, &definition, &visitor, sent.fields, Some(problem.clone()))?)?;
    Ok(act::as_refusal(page, &problem, answered.headers()))
}

/// What of a form says how it is deployed.
fn query(sent: &Sent) -> String {
    let mut query = form_urlencoded::Serializer::new("?".to_owned());
    query.extend_pairs(sent.own().filter(|(name, _)| IN_QUERY.contains(name)));
    query.finish()
}

/// What of a form is the build.
fn body(sent: &Sent) -> Result<Map<String, Value>, Problem> {
    let (mut body, mut parameters) = (Map::new(), Map::new());
    for (name, value) in sent.own().filter(|(name, _)| !IN_QUERY.contains(name)) {
        match name.strip_prefix(PARAMETER) {
            Some(parameter) => drop(parameters.insert(parameter.to_owned(), value.into())),
            None if name == PARAMETERS => parameters.extend(lines(value)?),
            None => drop(body.insert(name.to_owned(), value.into())),
        }
    }
    if !parameters.is_empty() {
        body.insert(PARAMETERS.to_owned(), parameters.into());
    }
    Ok(body)
}

/// Reads parameters, each in a line of its own.
fn lines(text: &str) -> Result<Map<String, Value>, Problem> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let one = |(at, line): (usize, &str)| {
        let (name, value) = line.split_once('=').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(|| {
            let why = format!("line {} is not a parameter: write NAME=VALUE", at + 1);
            Problem::new(400, &*why).about(PARAMETERS, why)
        })?;
        Ok((name.trim().to_owned(), value.trim().into()))
    };
    lines.map(one).collect()
}

impl Page {
    fn of(
        app: &App,
        definition: &EnvironmentDefinition,
        visitor: &Visitor,
        typed: Vec<(String, String)>,
        problem: Option<Problem>,
    ) -> Result<Self, Problem> {
        let id = &definition.id;
        let look = Look::at(app, id);
        let (view, shown) = deployable::of(app, definition, &visitor.caller, &look)?;
        let fields = Fields::new(shown, look.state.seq().0, visitor);
        let frame = Frame::new(&format!("Deploy to {id}"), format!("/environments/{id}/deploy"), app.clock.now());
        Ok(Self {
            frame: frame.at(visitor, id),
            id: id.clone(),
            tier: definition.tier(),
            view,
            now: view::state(app, definition, &look.state),
            fields,
            not_for: Others::of(app, visitor, id).not_for(Role::Deployer),
            typed,
            problem,
        })
    }

    /// The fields of a new build.
    fn inputs(&self) -> Vec<Input> {
        let commit = match self.view.needs_commit {
            true => "In full: the stack definition is read from git at this commit",
            false => "What it was built from; the page of a promotion lists the commits between two",
        };
        let fixed = [
            ("version", "Version", "What people call it", true, LONGEST_NAME),
            (
                "artifact",
                "Artifact",
                "Where the build is: a path on the controller's host, or a name that the stacks' driver knows",
                true,
                LONGEST_TEXT,
            ),
            ("commit", "Commit", commit, self.view.needs_commit, LONGEST_NAME),
            ("link", "Page of the build", "http or https", false, LONGEST_TEXT),
        ];
        let fixed = fixed.into_iter().map(|(name, label, hint, required, longest)| Input {
            required,
            longest,
            ..self.input(name.to_owned(), label.to_owned(), hint.to_owned())
        });
        let parameter = |(at, settable): (usize, &deployable::Settable)| {
            let hint = match &settable.otherwise {
                Some(value) => format!("If left empty: {value}"),
                None => "If left empty: what the stack definition says".to_owned(),
            };
            let input = self.input(format!("{PARAMETER}{}", settable.name), settable.name.clone(), hint);
            Input { id: format!("parameter-{at}"), ..input }
        };
        let any = self.view.parameters.is_none().then(|| Input {
            lines: true,
            ..self.input(PARAMETERS.to_owned(), "Parameters".to_owned(), "One a line: NAME=VALUE".to_owned())
        });
        fixed.chain(self.view.parameters.iter().flatten().enumerate().map(parameter)).chain(any).collect()
    }

    fn input(&self, name: String, label: String, hint: String) -> Input {
        let value = self.typed_in(&name, false).to_owned();
        let wrong = self.wrong(&name, false);
        Input {
            id: name.clone(),
            label,
            hint,
            required: false,
            longest: LONGEST_TEXT,
            lines: false,
            value,
            wrong,
            name,
        }
    }

    /// What was typed into a field; `again`: of the form that deploys a release again.
    fn typed_in(&self, name: &str, again: bool) -> &str {
        let typed = self.typed.iter().find(|(known, _)| known == name).filter(|_| again == self.was_again());
        typed.map_or("", |(_, value)| value.as_str())
    }

    /// Why a field cannot be taken.
    fn wrong(&self, name: &str, again: bool) -> Option<String> {
        let problem = self.problem.as_ref().filter(|_| again == self.was_again())?;
        let any = |field: &str| name == PARAMETERS && field.starts_with(PARAMETER);
        let all = problem.fields().iter().filter(|(field, _)| field == name || any(field));
        let all: Vec<&str> = all.map(|(_, why)| why.as_str()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether the form that was sent was the one that deploys a release again.
    fn was_again(&self) -> bool {
        self.typed.iter().any(|(name, _)| name == "release")
    }

    fn is_chosen(&self, release: &u32) -> bool {
        self.typed_in("release", true).parse() == Ok(*release)
    }

    /// What stands in the way and is not said beside a field.
    fn refusal(&self) -> Option<String> {
        let problem = self.problem.as_ref().filter(|problem| problem.differences().is_empty())?;
        let names = ["release", "reason"].map(str::to_owned).into_iter();
        let names: Vec<String> = names.chain(self.inputs().into_iter().map(|input| input.name)).collect();
        let is_beside = |(field, _): &(String, String)| {
            names.contains(field) || field.starts_with(PARAMETER) && names.iter().any(|name| name == PARAMETERS)
        };
        match problem.fields().iter().all(is_beside) && !problem.fields().is_empty() {
            true => Some("Nothing was deployed. What cannot be taken says so beside its field.".to_owned()),
            false => Some(format!("Nothing was deployed: {}", problem.detail())),
        }
    }

    /// Whether what is deployed takes the place of a deployment that waits: a rollback keeps its own.
    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn is_displaced(&self, queued: &Candidate) -> bool {
        queued.trigger != Trigger::Rollback
    }

    fn changed(&self) -> &[Difference] {
        self.problem.as_ref().map_or(&[], Problem::differences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_a_line_each_and_a_line_that_is_none_is_named() {
        let read = lines("greeting=hi there\n\n size = 2=2 \n").unwrap();
        assert_eq!(read, serde_json::from_str(r#"{"greeting":"hi there","size":"2=2"}"#).unwrap());
        for bad in ["a=b\nnothing", "a=b\n=x"] {
            let problem = lines(bad).unwrap_err();
            assert_eq!(problem.fields()[0].0, "parameters");
            assert!(problem.detail().contains("line 2"), "{}", problem.detail());
        }
    }
}
