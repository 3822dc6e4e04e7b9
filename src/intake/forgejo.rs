//! Forgejo, known by `X-Forgejo-Event`: a run of its Actions that succeeded, or a release that was published. The release
//! is GitHub's; the run has a shape of its own (`action_run_success`, Forgejo 12 and later).
//!
//! A run says its ref in short, without telling a branch from a tag. The event that started it stands in the body as text,
//! and in that the whole ref.

use std::sync::Arc;

use super::{
    Announcement, Error,
    facts::{Facts, Places, reference},
    forge,
    senders::{Message, Sender},
    tree::{self, Fields},
};
use crate::text::excerpt;

const BY: &str = "webhook:forgejo";

pub(super) const SENDER: Sender = Sender {
    title: "Forgejo",
    header: "x-forgejo-event",
    events: &["action_run_success", "release"],
    pings: &[],
    signs_pings: true,
    triggers: forge::TRIGGERS,
    other_triggers: forge::OTHER_TRIGGERS,
    wanted: &[
        "action",
        "run.id",
        "run.status",
        "run.event",
        "run.trigger_event",
        "run.event_payload",
        "run.is_fork_pull_request",
        "run.workflow_id",
        "run.index_in_repo",
        "run.prettyref",
        "run.commit_sha",
        "run.html_url",
        "release.id",
        "release.tag_name",
        "release.target_commitish",
        "release.published_at",
        "release.html_url",
    ],
    read,
};

const RUN: Places = &[
    ("commit", "run.commit_sha"),
    ("branch", "run.prettyref"),
    ("tag", "run.prettyref"),
    ("build", "run.index_in_repo"),
    ("job", "run.workflow_id"),
    ("link", "run.html_url"),
];

fn read(message: &Message<'_>, fields: Fields<'_>) -> Result<Announcement, Error> {
    match message.event {
        "release" => forge::release(message, fields, BY),
        _ => run(message, fields),
    }
}

fn run(message: &Message<'_>, mut fields: Fields<'_>) -> Result<Announcement, Error> {
    if let Some(why) = ignored(message, &mut fields) {
        return Ok(Announcement::Ignored(why));
    }
    let (id, number) = (fields.needed_number("run.id"), fields.needed_number("run.index_in_repo"));
    let (commit, workflow) = (fields.needed("run.commit_sha"), fields.needed("run.workflow_id"));
    let whole = fields.text("run.event_payload").and_then(whole_ref);
    let short = fields.text("run.prettyref").filter(|name| !name.is_empty());
    let (branch, tag) = match &whole {
        Some(whole) => reference(whole),
        None => (short, None),
    };
    let facts = Facts {
        by: BY,
        places: RUN,
        name: id.map(|id| format!("run/{id}")),
        otherwise: number.map(|number| number.to_string().into()),
        commit: commit.map(Arc::from),
        branch: branch.map(Arc::from),
        tag: tag.map(Arc::from),
        job: workflow.map(Arc::from),
        number,
        link: fields.text("run.html_url").map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}

fn ignored(message: &Message<'_>, fields: &mut Fields<'_>) -> Option<String> {
    let (action, status) = (fields.deciding("action"), fields.deciding("run.status"));
    if action != Some("success") || status != Some("success") {
        let (action, status) = (excerpt(action.unwrap_or("nothing")), excerpt(status.unwrap_or("nothing")));
        return Some(format!("the action is {action} and the run's status {status}; success counts"));
    }
    // `pull_request_target` has the event of a pull request and its own trigger; either may tell.
    for path in ["run.event", "run.trigger_event"] {
        if let Some(why) = message.untriggered("the run", fields.deciding(path)) {
            return Some(why);
        }
    }
    let fork = fields.flag("run.is_fork_pull_request").unwrap_or(false);
    fork.then(|| "the run is of a fork's pull request, whose code nobody has merged".to_owned())
}

/// The ref of the event that started the run. An event without one is no mistake.
fn whole_ref(payload: &str) -> Option<String> {
    let tree = tree::read(payload.as_bytes(), &["ref"]).ok()?;
    tree.get("ref")?.as_str().filter(|name| name.starts_with("refs/")).map(str::to_owned)
}
