//! Jenkins' Notification plugin, known by the shape of its body: `build.phase`. It cannot sign, ignores the answer and
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
use crate::{
    pipelines::Webhook,
    text::{excerpt, percent_decoded},
};

const PLACES: Places = &[
    ("commit", "build.scm.commit"),
    ("branch", "build.scm.branch"),
    ("build", "build.number"),
    ("job", "name"),
    ("link", "build.full_url"),
    ("parameters", "build.parameters"),
    ("artifact", "build.artifacts"),
];

/// Its name for people.
pub(super) const TITLE: &str = "Jenkins";
/// The paths that are read.
pub(super) const WANTED: &[&str] = &[
    "name",
    "url",
    "build.phase",
    "build.status",
    "build.number",
    "build.full_url",
    "build.scm.branch",
    "build.scm.commit",
    "build.parameters",
    "build.artifacts",
];

/// Whether the body is the plugin's: there `build` is an object, with plain JSON it is a number.
pub(super) fn sent(tree: &Value) -> bool {
    tree.get("build").is_some_and(Value::is_object)
}

/// Reads it.
pub(super) fn read(fields: Fields<'_>, webhook: &Webhook) -> Result<Announcement, Error> {
    match ignored(&fields) {
        Some(why) => Ok(Announcement::Ignored(why)),
        None => facts(fields, webhook).announce(webhook),
    }
}

fn ignored(fields: &Fields<'_>) -> Option<String> {
    let (phase, status) = (fields.deciding("build.phase"), fields.deciding("build.status"));
    match (phase, status) {
        (Some("FINALIZED"), Some("SUCCESS")) => {}
        (Some("FINALIZED"), Some(status)) => {
            return Some(format!("the build ended with {}; only SUCCESS counts", excerpt(status)));
        }
        (Some("FINALIZED"), None) => return Some("the build has no status; only SUCCESS counts".to_owned()),
        (phase, _) => {
            let phase = excerpt(phase.unwrap_or("none"));
            return Some(format!("the build is in the phase {phase}; only FINALIZED with SUCCESS counts"));
        }
    }
    let names = [fields.deciding("url").map(full_name), fields.deciding("name").map(str::to_owned)];
    let change = names.into_iter().flatten().find(|name| is_change(name))?;
    Some(format!("the job `{}` builds a pull request, which nobody has merged", excerpt(&change)))
}

/// Whether a job of a multibranch project builds a pull or merge request: `PR-7`, `MR-7`, `PR-7-merge`.
fn is_change(job: &str) -> bool {
    let last = job.rsplit('/').next().unwrap_or(job);
    let number = last.strip_prefix("PR-").or(last.strip_prefix("MR-"));
    let number = number.map(|number| number.trim_end_matches("-merge").trim_end_matches("-head"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn facts(mut fields: Fields<'_>, webhook: &Webhook) -> Facts {
    let (job, number) = (fields.needed("name"), fields.needed_number("build.number"));
    let full_job = fields.text("url").map(full_name).filter(|name| !name.is_empty());
    // What was archived is not always what is to be deployed: the pipeline's own word goes before it.
    let artifact = if webhook.artifact.is_some() { Err(None) } else { artifact(&mut fields).map_err(Some) };
    // The plugin sends whatever the job was started with, most of it none of ours: only what is asked for by name is taken.
    let wanted = webhook.parameters.as_deref().unwrap_or(&[]);
    let parameters = fields.texts("build.parameters", |name| wanted.iter().any(|wanted| *wanted == *name));
    Facts {
        by: "webhook:jenkins",
        places: PLACES,
        name: full_job.as_deref().or(job).zip(number).map(|(job, number)| format!("{job}/{number}")),
        otherwise: number.map(|number| number.to_string().into()),
        artifact: artifact.as_ref().ok().map(|text| Arc::from(*text)),
        no_artifact: artifact.err().flatten(),
        commit: filled(fields.text("build.scm.commit")),
        branch: filled(fields.text("build.scm.branch").map(branch)),
        job: job.map(Arc::from),
        full_job: full_job.as_deref().map(Arc::from),
        number,
        counted_by_job: true,
        parameters,
        link: filled(fields.text("build.full_url")),
        bad: fields.into_bad(),
        ..Facts::default()
    }
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
        Some(Value::String(_)) => Err("has an entry that is not an http:// or https:// address".to_owned()),
        Some(other) => Err(format!("has an entry that is {}; it must be an address", kind(other))),
        None => Err("has an entry with neither `s3` nor `archive`".to_owned()),
    }
}

/// Returns Jenkins' own name of the job, with its folders: `job/My%20Team/job/shop/` is `My Team/shop`. In a multibranch
/// project it has a branch in it that is encoded once more, `feature%2Fx`; that is the name, as `JOB_NAME` has it.
fn full_name(url: &str) -> String {
    let mut parts = url.trim_matches('/').split('/');
    let mut names = Vec::new();
    while let (Some("job"), Some(name)) = (parts.next(), parts.next()) {
        names.push(percent_decoded(name));
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_in_folders_has_a_full_name_that_is_decoded_once() {
        assert_eq!(full_name("job/shop/"), "shop");
        assert_eq!(full_name("/job/team/job/shop/job/main"), "team/shop/main");
        assert_eq!(full_name("job/My%20Team/job/Caf%C3%A9/"), "My Team/Café");
        assert_eq!(full_name("job/shop/job/feature%252Fx/"), "shop/feature%2Fx");
        assert_eq!(full_name("view/all"), "");
    }

    #[test]
    fn a_job_of_a_pull_request_is_known_by_its_name() {
        for change in ["PR-7", "team/shop/PR-12", "shop/MR-3-merge", "PR-7-head"] {
            assert!(is_change(change), "{change}");
        }
        for other in ["PR-", "PR-x", "shop/main", "PREVIEW-7", "PR-7/build", "feature%2FPR-7"] {
            assert!(!is_change(other), "{other}");
        }
    }
}
