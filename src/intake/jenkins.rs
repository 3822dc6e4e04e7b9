//! Jenkins' Notification plugin, known by the shape of its body: `build.phase`. It can not sign, ignores the answer and
//! sends again when it got none; so a build is known by its job and number, and only FINALIZED with SUCCESS counts: by
//! then everything is archived.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Announcement, Error,
    build::is_web_address,
    facts::{Facts, Places, branch},
    tree::{Fields, kind},
};
use crate::{pipelines::Webhook, text::excerpt};

const PLACES: Places = &[
    ("commit", "build.scm.commit"),
    ("branch", "build.scm.branch"),
    ("build", "build.number"),
    ("job", "name"),
    ("link", "build.full_url"),
    ("parameters", "build.parameters"),
    ("artifact", "build.artifacts"),
];

/// Whether the body is the plugin's: there `build` is an object, with plain JSON it is a number.
pub(super) fn sent(tree: &Value) -> bool {
    tree.get("build").is_some_and(Value::is_object)
}

/// Reads it.
pub(super) fn read(tree: &Value, webhook: &Webhook) -> Result<Announcement, Error> {
    let mut fields = Fields::of(tree);
    let (phase, status) = (fields.needed("build.phase"), fields.text("build.status"));
    fields.done()?;
    let ignored = |why: String| Ok(Announcement::Ignored(why));
    match (phase, status) {
        (Some("FINALIZED"), Some("SUCCESS")) => {}
        (Some("FINALIZED"), Some(status)) => {
            return ignored(format!("the build ended with {}; only SUCCESS counts", excerpt(status)));
        }
        (Some("FINALIZED"), None) => return ignored("the build has no status; only SUCCESS counts".to_owned()),
        (phase, _) => {
            let phase = excerpt(phase.unwrap_or_default());
            return ignored(format!("the build is in the phase {phase}; only FINALIZED with SUCCESS counts"));
        }
    }
    facts(fields, webhook)?.announce(webhook)
}

fn facts(mut fields: Fields<'_>, webhook: &Webhook) -> Result<Facts, Error> {
    let (job, number) = (fields.needed("name"), fields.needed_number("build.number"));
    let full_job = fields.text("url").map(full_name).filter(|name| !name.is_empty());
    // What was archived is not always what is to be deployed: the pipeline's own word goes before it.
    let artifact = if webhook.artifact.is_some() { Err(None) } else { artifact(&mut fields).map_err(Some) };
    let mut parameters = fields.texts("build.parameters");
    // The plugin sends whatever the job was started with, most of it none of ours: only what is asked for by name is taken.
    let wanted = webhook.parameters.as_deref().unwrap_or_default();
    parameters.retain(|name, _| wanted.iter().any(|wanted| **wanted == **name));
    let facts = Facts {
        by: "webhook:jenkins",
        places: PLACES,
        name: full_job.as_deref().or(job).zip(number).map(|(job, number)| format!("{job}/{number}")),
        otherwise: number.map(|number| number.to_string().into()),
        artifact: artifact.as_ref().ok().map(|text| Arc::from(*text)),
        no_artifact: artifact.err().flatten(),
        commit: filled(fields.text("build.scm.commit")),
        branch: filled(fields.text("build.scm.branch").map(branch)),
        job: job.map(Arc::from),
        full_job: full_job.map(Arc::from),
        number,
        counted_by_job: true,
        parameters,
        link: filled(fields.text("build.full_url")),
        ..Facts::default()
    };
    fields.done()?;
    Ok(facts)
}

fn filled(text: Option<&str>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty()).map(Arc::from)
}

/// The only artifact, or why there is none.
fn artifact<'a>(fields: &mut Fields<'a>) -> Result<&'a str, String> {
    let archived = fields.object("build.artifacts").into_iter().flatten().collect::<Vec<_>>();
    let [(_, places)] = archived[..] else {
        let count = archived.len();
        return Err(format!(
            "has {count} entries, and one would be taken; archive one file, or set `webhook.artifact` in the pipeline file"
        ));
    };
    let place = ["s3", "archive"].into_iter().find_map(|name| places.get(name).filter(|place| !place.is_null()));
    match place {
        Some(Value::String(address)) if is_web_address(address) => Ok(address),
        Some(Value::String(_)) => Err("has an entry that is no http:// or https:// address".to_owned()),
        Some(other) => Err(format!("has an entry that is {}; it must be an address", kind(other))),
        None => Err("has an entry with neither `s3` nor `archive`".to_owned()),
    }
}

/// `job/team/job/shop/` is `team/shop`.
fn full_name(url: &str) -> String {
    let mut parts = url.trim_matches('/').split('/');
    let mut names = Vec::new();
    while let (Some("job"), Some(name)) = (parts.next(), parts.next()) {
        names.push(name);
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_in_folders_has_a_full_name() {
        assert_eq!(full_name("job/shop/"), "shop");
        assert_eq!(full_name("/job/team/job/shop/job/main"), "team/shop/main");
        assert_eq!(full_name("view/all"), "");
    }
}
