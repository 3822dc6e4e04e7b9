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
    tree::{self, Fields},
};
use crate::{pipelines::Webhook, text::excerpt};

/// The header that tells of GitLab.
pub(super) const EVENT: &str = "x-gitlab-event";

/// Pipelines of code that is not merged, and parts of other pipelines.
const NOT_OURS: [&str; 4] =
    ["merge_request_event", "external_pull_request_event", "parent_pipeline", "ondemand_dast_scan"];

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

/// Reads it.
pub(super) fn read(body: &[u8], webhook: &Webhook) -> Result<Announcement, Error> {
    let tree = tree::read(body)?;
    let mut fields = Fields::of(&tree);
    let kind = fields.needed("object_kind");
    fields.done()?;
    match kind {
        Some("pipeline") => pipeline(fields, webhook),
        Some("release") => release(fields, webhook),
        other => Ok(Announcement::Ignored(format!(
            "the event {}; pipelines and releases count",
            excerpt(other.unwrap_or_default())
        ))),
    }
}

fn pipeline(mut fields: Fields<'_>, webhook: &Webhook) -> Result<Announcement, Error> {
    let (status, source) = (fields.needed("object_attributes.status"), fields.needed("object_attributes.source"));
    fields.done()?;
    if status != Some("success") {
        let why = format!("the pipeline is {}; success counts", excerpt(status.unwrap_or_default()));
        return Ok(Announcement::Ignored(why));
    }
    if let Some(source) = source.filter(|source| NOT_OURS.contains(source)) {
        return Ok(Announcement::Ignored(format!(
            "the pipeline is one of source {source}, which builds nothing merged"
        )));
    }
    let (id, name) = (fields.needed_number("object_attributes.id"), fields.needed("object_attributes.ref"));
    let is_tag = fields.flag("object_attributes.tag").unwrap_or_default();
    let commit = fields.needed("object_attributes.sha");
    let facts = Facts {
        by: "webhook:gitlab",
        places: PIPELINE,
        name: id.map(|id| format!("pipeline/{id}")),
        otherwise: id.map(|id| id.to_string().into()),
        commit: commit.map(Arc::from),
        branch: name.filter(|_| !is_tag).map(Arc::from),
        tag: name.filter(|_| is_tag).map(Arc::from),
        job: fields.text("object_attributes.name").map(Arc::from),
        number: id,
        parameters: variables(&mut fields, webhook.parameters.as_deref().unwrap_or_default()),
        link: fields.text("object_attributes.url").map(Arc::from),
        ..Facts::default()
    };
    fields.done()?;
    facts.announce(webhook)
}

/// Variables of a pipeline are the CI's own and may be secret: none is taken that the pipeline file does not name.
fn variables(fields: &mut Fields<'_>, wanted: &[String]) -> BTreeMap<Arc<str>, Arc<str>> {
    let list = if wanted.is_empty() { None } else { fields.list("object_attributes.variables") };
    let mut taken = BTreeMap::new();
    for variable in list.into_iter().flatten() {
        let text = |name: &str| variable.get(name).and_then(Value::as_str);
        let (Some(key), Some(value)) = (text("key"), text("value")) else {
            fields.bad("object_attributes.variables", "has an entry without the texts `key` and `value`");
            continue;
        };
        if wanted.iter().any(|wanted| wanted == key) {
            taken.insert(key.into(), value.into());
        }
    }
    taken
}

fn release(mut fields: Fields<'_>, webhook: &Webhook) -> Result<Announcement, Error> {
    let action = fields.needed("action");
    fields.done()?;
    if action != Some("create") {
        let why = format!("the release had the action {}; create counts", excerpt(action.unwrap_or_default()));
        return Ok(Announcement::Ignored(why));
    }
    let (id, tag) = (fields.needed_number("id"), fields.needed("tag"));
    let facts = Facts {
        by: "webhook:gitlab",
        places: RELEASE,
        name: id.map(|id| format!("release/{id}")),
        version: tag.map(Arc::from),
        tag: tag.map(Arc::from),
        commit: fields.text("commit.id").map(Arc::from),
        link: fields.text("url").map(Arc::from),
        ..Facts::default()
    };
    fields.done()?;
    facts.announce(webhook)
}
