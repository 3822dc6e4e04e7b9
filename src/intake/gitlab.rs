//! GitLab, known by `X-Gitlab-Event`: a pipeline that succeeded, or a release that was created. The push of a tag comes
//! before anything was built of it, so it does not count; its pipeline does.
//!
//! The same pipeline is the same build, however often it ends: with manual jobs it does so several times. Neither
//! `X-Gitlab-Webhook-UUID`, which names the webhook and not the delivery, nor `Idempotency-Key` is needed for that; both
//! stand outside of what a token vouches for. Ids of pipelines grow over a whole GitLab, so they order builds.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Announcement, Error,
    facts::{Facts, Places},
    senders::{Message, Sender},
    tree::Fields,
};
use crate::text::excerpt;

const BY: &str = "webhook:gitlab";

/// Its hooks for other events are known by their header, and many of them have no `object_kind`.
pub(super) const SENDER: Sender = Sender {
    title: "GitLab",
    header: "x-gitlab-event",
    events: &["Pipeline Hook", "Release Hook"],
    pings: &[],
    signs_pings: true,
    // What was pushed, and what somebody with rights to the project asked for: by the page, the API or a trigger token.
    triggers: &["push", "web", "api", "trigger"],
    // Code that is not merged, parts of other pipelines, scans, what tries an edit, and what runs by the clock.
    other_triggers: &[
        "chat",
        "container_registry_push",
        "duo_workflow",
        "external",
        "external_pull_request_event",
        "merge_request_event",
        "ondemand_dast_scan",
        "ondemand_dast_validation",
        "parent_pipeline",
        "pipeline",
        "pipeline_execution_policy_schedule",
        "schedule",
        "security_orchestration_policy",
        "unknown",
        "webide",
    ],
    wanted: &[
        "object_kind",
        "object_attributes.id",
        "object_attributes.name",
        "object_attributes.ref",
        "object_attributes.tag",
        "object_attributes.sha",
        "object_attributes.source",
        "object_attributes.status",
        "object_attributes.variables",
        "object_attributes.url",
        "id",
        "tag",
        "action",
        "url",
        "commit.id",
    ],
    read,
};

const PIPELINE: Places = &[
    ("commit", "object_attributes.sha"),
    ("branch", "object_attributes.ref"),
    ("tag", "object_attributes.ref"),
    ("build", "object_attributes.id"),
    ("job", "object_attributes.name"),
    ("link", "object_attributes.url"),
    ("parameters", "object_attributes.variables"),
];
const RELEASE: Places = &[("version", "tag"), ("tag", "tag"), ("commit", "commit.id"), ("link", "url")];

fn read(message: &Message<'_>, fields: Fields<'_>) -> Result<Announcement, Error> {
    // A hook with a template of its own for the body may leave it out or say something else.
    match (message.event, fields.deciding("object_kind")) {
        ("Pipeline Hook", Some("pipeline")) => pipeline(message, fields),
        ("Release Hook", Some("release")) => release(message, fields),
        (event, kind) => {
            let (event, kind) = (excerpt(event), excerpt(kind.unwrap_or("none")));
            Ok(Announcement::Ignored(format!("the {event} has the object_kind {kind}; pipeline and release count")))
        }
    }
}

fn pipeline(message: &Message<'_>, mut fields: Fields<'_>) -> Result<Announcement, Error> {
    let status = fields.deciding("object_attributes.status");
    if status != Some("success") {
        let why = format!("the pipeline is {}; success counts", excerpt(status.unwrap_or("without a status")));
        return Ok(Announcement::Ignored(why));
    }
    if let Some(why) = message.untriggered("the pipeline", fields.deciding("object_attributes.source")) {
        return Ok(Announcement::Ignored(why));
    }
    let (id, name) = (fields.needed_number("object_attributes.id"), fields.needed("object_attributes.ref"));
    let is_tag = fields.flag("object_attributes.tag").unwrap_or(false);
    let commit = fields.needed("object_attributes.sha");
    let wanted = message.webhook.parameters.as_deref().unwrap_or(&[]);
    let facts = Facts {
        by: BY,
        places: PIPELINE,
        name: id.map(|id| format!("pipeline/{id}")),
        otherwise: id.map(|id| id.to_string().into()),
        commit: commit.map(Arc::from),
        branch: name.filter(|_| !is_tag).map(Arc::from),
        tag: name.filter(|_| is_tag).map(Arc::from),
        job: fields.text("object_attributes.name").map(Arc::from),
        number: id,
        parameters: variables(&mut fields, wanted),
        link: fields.text("object_attributes.url").map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}

/// Variables of a pipeline are the CI's own and may be secret: none is taken that the pipeline file does not name.
fn variables(fields: &mut Fields<'_>, wanted: &[String]) -> BTreeMap<Arc<str>, Arc<str>> {
    let list = if wanted.is_empty() { None } else { fields.list("object_attributes.variables") };
    let mut taken = BTreeMap::new();
    for variable in list.into_iter().flatten() {
        let text = |name: &str| variable.get(name).and_then(Value::as_str);
        let Some(key) = text("key").filter(|key| wanted.iter().any(|wanted| wanted == key)) else { continue };
        match text("value") {
            Some(value) => drop(taken.insert(key.into(), value.into())),
            None => fields.bad("object_attributes.variables", format!("has no text as `value` of `{}`", excerpt(key))),
        }
    }
    taken
}

fn release(message: &Message<'_>, mut fields: Fields<'_>) -> Result<Announcement, Error> {
    let action = fields.deciding("action");
    if action != Some("create") {
        let why = format!("the release had the action {}; create counts", excerpt(action.unwrap_or("none")));
        return Ok(Announcement::Ignored(why));
    }
    let (id, tag) = (fields.needed_number("id"), fields.needed("tag"));
    let facts = Facts {
        by: BY,
        places: RELEASE,
        name: id.map(|id| format!("release/{id}")),
        version: tag.map(Arc::from),
        tag: tag.map(Arc::from),
        commit: fields.text("commit.id").map(Arc::from),
        link: fields.text("url").map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}
