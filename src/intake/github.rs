//! GitHub, known by `X-GitHub-Event`: a workflow run that succeeded, or a release that was published.
//!
//! GitHub signs the body and nothing else, neither a time nor the delivery. So what makes a build the same stands in the
//! body: a workflow run by its id and attempt (a re-run is a new build), a release by its id. A delivery that is sent
//! again, by GitHub or by somebody who recorded it, names a build that is known, or one whose `run_number` is older than
//! the newest and is refused by order. Releases have no order; one that is older than GitHub delivers again is refused.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use super::{
    Announcement, Error,
    build::BadField,
    facts::{Facts, Places},
    tree::{self, Fields},
};
use crate::{
    machine::Millis,
    pipelines::Webhook,
    text::{excerpt, format_duration, parse_time},
};

/// The header that tells of GitHub.
pub(super) const EVENT: &str = "x-github-event";

/// How long after a release GitHub can deliver it again.
const DELIVERS_FOR: Millis = Millis(3 * 86_400_000);

const RUN: Places = &[
    ("commit", "workflow_run.head_sha"),
    ("branch", "workflow_run.head_branch"),
    ("build", "workflow_run.run_number"),
    ("job", "workflow_run.name"),
    ("link", "workflow_run.html_url"),
];
const RELEASE: Places = &[
    ("version", "release.tag_name"),
    ("tag", "release.tag_name"),
    ("branch", "release.target_commitish"),
    ("commit", "release.target_commitish"),
    ("link", "release.html_url"),
];

/// Reads it.
pub(super) fn read(headers: &HeaderMap, body: &[u8], webhook: &Webhook, now: Millis) -> Result<Announcement, Error> {
    if body.starts_with(b"payload=") {
        let why = "it is a form; set the content type of the webhook on GitHub to application/json".to_owned();
        return Err(Error::Syntax(why));
    }
    let tree = tree::read(body)?;
    match headers.get(EVENT).and_then(|event| event.to_str().ok()).unwrap_or("without a name") {
        "ping" => Ok(Announcement::Ignored("pong".to_owned())),
        "workflow_run" => run(&tree, webhook),
        "release" => release(&tree, webhook, now),
        other => Ok(Announcement::Ignored(format!("the event {}; workflow_run and release count", excerpt(other)))),
    }
}

fn run(tree: &Value, webhook: &Webhook) -> Result<Announcement, Error> {
    let mut fields = Fields::of(tree);
    let (action, conclusion) = (fields.needed("action"), fields.text("workflow_run.conclusion"));
    fields.done()?;
    if action != Some("completed") || conclusion != Some("success") {
        let (action, conclusion) = (excerpt(action.unwrap_or_default()), excerpt(conclusion.unwrap_or("nothing yet")));
        let why = format!("the workflow run is {action}, its conclusion {conclusion}; completed with success counts");
        return Ok(Announcement::Ignored(why));
    }
    let (id, number) = (fields.needed_number("workflow_run.id"), fields.needed_number("workflow_run.run_number"));
    let attempt = fields.number("workflow_run.run_attempt").unwrap_or(1);
    let (job, commit) = (fields.needed("workflow_run.name"), fields.needed("workflow_run.head_sha"));
    let facts = Facts {
        by: "webhook:github",
        places: RUN,
        name: id.map(|id| format!("run/{id}/{attempt}")),
        otherwise: number.map(|number| number.to_string().into()),
        commit: commit.map(Arc::from),
        branch: fields.text("workflow_run.head_branch").map(Arc::from),
        job: job.map(Arc::from),
        number,
        counted_by_job: true,
        link: fields.text("workflow_run.html_url").map(Arc::from),
        ..Facts::default()
    };
    let trigger = fields.needed("workflow_run.event");
    let (home, head) = (fields.needed("repository.full_name"), fields.text("workflow_run.head_repository.full_name"));
    fields.done()?;
    // The branch of a fork can have any name, that of ours as well.
    if head != home || trigger.is_some_and(|trigger| trigger.starts_with("pull_request")) {
        let why = "the workflow ran for a pull request or a fork, whose code nobody has merged";
        return Ok(Announcement::Ignored(why.to_owned()));
    }
    facts.announce(webhook)
}

fn release(tree: &Value, webhook: &Webhook, now: Millis) -> Result<Announcement, Error> {
    let mut fields = Fields::of(tree);
    let action = fields.needed("action");
    fields.done()?;
    if action != Some("published") {
        let why = format!("the release is {}; published counts", excerpt(action.unwrap_or_default()));
        return Ok(Announcement::Ignored(why));
    }
    let (id, tag) = (fields.needed_number("release.id"), fields.needed("release.tag_name"));
    let target = fields.text("release.target_commitish").filter(|target| !target.is_empty());
    let is_commit = |target: &&str| matches!(target.len(), 40 | 64) && target.bytes().all(|b| b.is_ascii_hexdigit());
    let published = fields.needed("release.published_at");
    let facts = Facts {
        by: "webhook:github",
        places: RELEASE,
        name: id.map(|id| format!("release/{id}")),
        version: tag.map(Arc::from),
        tag: tag.map(Arc::from),
        commit: target.filter(is_commit).map(Arc::from),
        branch: target.filter(|target| !is_commit(target)).map(Arc::from),
        link: fields.text("release.html_url").map(Arc::from),
        ..Facts::default()
    };
    fields.done()?;
    fresh(published.unwrap_or_default(), now)?;
    facts.announce(webhook)
}

fn fresh(published: &str, now: Millis) -> Result<(), Error> {
    let at = published.strip_suffix('Z').and_then(|text| parse_time(&format!("{text}.000Z")));
    let why = match at {
        None => "is no time as in 2026-11-21T10:14:00Z".to_owned(),
        Some(at) if now.since(at) > DELIVERS_FOR => {
            format!("is {} ago, longer than GitHub delivers again; deploy it by hand", format_duration(now.since(at)))
        }
        Some(_) => return Ok(()),
    };
    Err(Error::Fields(vec![BadField { field: "release.published_at".to_owned(), why }]))
}
