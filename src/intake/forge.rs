//! What GitHub, Gitea and Forgejo say alike: a workflow run that succeeded, and a release that was published.
//!
//! They sign the body and nothing else, neither a time nor the delivery. So what makes a build the same stands in the
//! body: a workflow run by its id and attempt (a re-run is a new build), a release by its id. A delivery that is sent
//! again, by the sender or by somebody who recorded it, names a build that is known, or one whose `run_number` is older
//! than the newest and is superseded. Releases have no order; one that is older than GitHub delivers again is refused.

use std::sync::Arc;

use super::{
    Announcement, Error,
    facts::{Facts, Places, reference},
    senders::Message,
    tree::Fields,
};
use crate::{
    machine::Millis,
    text::{excerpt, format_duration, parse_offset_time},
};

/// How long after a build a sender can deliver it again: GitHub does so for three days.
const DELIVERS_FOR: Millis = Millis(3 * 86_400_000);

/// What starts the runs that count: what was pushed to the repository itself, and what somebody with rights to it asked
/// for. Not a merge queue (nothing is merged yet), a schedule, another workflow (it runs for pull requests as well).
pub(super) const TRIGGERS: &[&str] = &["push", "workflow_dispatch", "repository_dispatch", "release"];
/// The others that there are, by the documentation of GitHub's workflow syntax, Gitea and Forgejo.
pub(super) const OTHER_TRIGGERS: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "dynamic",
    "fork",
    "gollum",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "public",
    "pull_request",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "registry_package",
    "schedule",
    "status",
    "watch",
    "workflow_call",
    "workflow_run",
];

/// The paths that are read of both.
pub(super) const WANTED: &[&str] = &[
    "action",
    "repository.full_name",
    "workflow.name",
    "workflow_run.id",
    "workflow_run.name",
    "workflow_run.path",
    "workflow_run.head_branch",
    "workflow_run.head_sha",
    "workflow_run.run_number",
    "workflow_run.run_attempt",
    "workflow_run.event",
    "workflow_run.conclusion",
    "workflow_run.html_url",
    "workflow_run.head_repository.full_name",
    "release.id",
    "release.tag_name",
    "release.target_commitish",
    "release.published_at",
    "release.html_url",
];

const RUN: Places = &[
    ("commit", "workflow_run.head_sha"),
    ("branch", "workflow_run.head_branch"),
    ("tag", "workflow_run.path"),
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

/// The differences between the workflow runs of these senders.
pub(super) struct Dialect {
    /// `webhook:` and the sender's name.
    pub by: &'static str,
    /// Whether each workflow counts its runs from 1. Otherwise a repository has one count.
    pub counted_by_workflow: bool,
    /// Whether every run names the repository of its code.
    pub names_forks: bool,
}

/// Where a merge queue tries what it may merge; these branches are pushed, so the runs on them may say `push`.
const QUEUES: &str = "gh-readonly-queue/";

/// Reads a workflow run.
pub(super) fn run(message: &Message<'_>, mut fields: Fields<'_>, dialect: &Dialect) -> Result<Announcement, Error> {
    if let Some(why) = run_ignored(message, &fields, dialect) {
        return Ok(Announcement::Ignored(why));
    }
    let (id, number) = (fields.needed_number("workflow_run.id"), fields.needed_number("workflow_run.run_number"));
    let attempt = fields.number("workflow_run.run_attempt").filter(|attempt| *attempt > 0).unwrap_or(1);
    let commit = fields.needed("workflow_run.head_sha");
    // Gitea names the workflow beside the run, and the ref behind the workflow's file.
    let file = fields.text("workflow_run.path").unwrap_or("");
    let (file, at) = file.split_once('@').map_or((file, None), |(file, at)| (file, Some(at)));
    let file = file.rsplit('/').next().filter(|name| !name.is_empty());
    let named = fields.text("workflow_run.name").or(fields.text("workflow.name")).filter(|name| !name.is_empty());
    let head = fields.text("workflow_run.head_branch").filter(|branch| !branch.is_empty());
    let (branch, tag) = head.map_or_else(|| at.map_or((None, None), reference), |branch| (Some(branch), None));
    if named.or(file).is_none() {
        fields.bad("workflow_run.name", "is missing");
    }
    let facts = Facts {
        by: dialect.by,
        places: RUN,
        name: id.map(|id| format!("run/{id}/{attempt}")),
        otherwise: number.map(|number| number.to_string().into()),
        commit: commit.map(Arc::from),
        branch: branch.map(Arc::from),
        tag: tag.map(Arc::from),
        job: named.or(file).map(Arc::from),
        full_job: file.map(Arc::from),
        number,
        counted_by_job: dialect.counted_by_workflow,
        link: fields.text("workflow_run.html_url").map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}

fn run_ignored(message: &Message<'_>, fields: &Fields<'_>, dialect: &Dialect) -> Option<String> {
    let (action, conclusion) = (fields.deciding("action"), fields.deciding("workflow_run.conclusion"));
    if action != Some("completed") || conclusion != Some("success") {
        let (action, conclusion) = (excerpt(action.unwrap_or("nothing")), excerpt(conclusion.unwrap_or("nothing yet")));
        return Some(format!(
            "the workflow run is {action}, its conclusion {conclusion}; completed with success counts"
        ));
    }
    if let Some(why) = message.untriggered("the workflow run", fields.deciding("workflow_run.event")) {
        return Some(why);
    }
    if let Some(branch) = fields.deciding("workflow_run.head_branch").filter(|branch| branch.starts_with(QUEUES)) {
        return Some(format!(
            "the workflow ran on `{}`, the branch of a merge queue: nothing is merged yet",
            excerpt(branch)
        ));
    }
    // The branch of a fork can have any name, that of ours as well.
    let home = fields.deciding("repository.full_name");
    let head = fields.deciding("workflow_run.head_repository.full_name");
    let own = head == home && home.is_some() || !dialect.names_forks && head.is_none();
    (!own).then(|| "the workflow ran for a fork, whose code nobody has merged".to_owned())
}

/// Reads a release.
pub(super) fn release(message: &Message<'_>, mut fields: Fields<'_>, by: &'static str) -> Result<Announcement, Error> {
    let action = fields.deciding("action");
    if action != Some("published") {
        let why = format!("the release is {}; published counts", excerpt(action.unwrap_or("nothing")));
        return Ok(Announcement::Ignored(why));
    }
    let (id, tag) = (fields.needed_number("release.id"), fields.needed("release.tag_name"));
    let target = fields.text("release.target_commitish").filter(|target| !target.is_empty());
    let is_commit = |target: &&str| matches!(target.len(), 40 | 64) && target.bytes().all(|b| b.is_ascii_hexdigit());
    let published = fields.needed("release.published_at");
    if let Some(why) = published.and_then(|at| stale(at, message.now)) {
        fields.bad("release.published_at", why);
    }
    let facts = Facts {
        by,
        places: RELEASE,
        name: id.map(|id| format!("release/{id}")),
        version: tag.map(Arc::from),
        tag: tag.map(Arc::from),
        commit: target.filter(is_commit).map(Arc::from),
        branch: target.filter(|target| !is_commit(target)).map(Arc::from),
        link: fields.text("release.html_url").map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}

/// Returns why what happened then is not taken any more.
pub(super) fn stale(at: &str, now: Millis) -> Option<String> {
    match parse_offset_time(at) {
        None => Some("is not a time such as 2026-11-21T10:14:00Z".to_owned()),
        Some(at) if now.since(at) > DELIVERS_FOR => {
            let ago = format_duration(now.since(at));
            Some(format!("is {ago} ago, longer than a sender delivers again; deploy it by hand"))
        }
        Some(_) => None,
    }
}
