//! Bitbucket, known by `X-Event-Key`. The Cloud tells of build statuses: that of a commit that became SUCCESSFUL is a
//! build. Data Center tells of pushes and pull requests, and of no build, so all that it sends is ignored; there the build
//! server announces.
//!
//! A status names its build by the address of its page: what was posted for the same commit, key and page is the same
//! build. Bitbucket's own pipelines have their number at the end of that address, which orders them. Other build servers
//! have no number here, so an old status is refused by its time.

use std::sync::Arc;

use super::{
    Announcement, Error,
    facts::{Facts, Places, reference},
    forge,
    senders::{Message, Sender},
    tree::{Fields, GREATEST_NUMBER},
};
use crate::text::excerpt;

pub(super) const SENDER: Sender = Sender {
    title: "Bitbucket",
    header: "x-event-key",
    events: &["repo:commit_status_updated", "repo:commit_status_created"],
    pings: &["diagnostics:ping"],
    // "Test connection" of Data Center sends no signature.
    signs_pings: false,
    triggers: &[],
    other_triggers: &[],
    wanted: &[
        "commit_status.state",
        "commit_status.key",
        "commit_status.name",
        "commit_status.url",
        "commit_status.refname",
        "commit_status.updated_on",
        "commit_status.commit.hash",
        "commit_status.links.commit.href",
    ],
    read,
};

const STATUS: Places = &[
    ("commit", "commit_status.commit.hash"),
    ("branch", "commit_status.refname"),
    ("tag", "commit_status.refname"),
    ("build", "commit_status.url"),
    ("job", "commit_status.key"),
    ("link", "commit_status.url"),
];

/// What `webhook.jobs` calls Bitbucket's own pipelines, whose keys and names are other ones with each run.
const OWN: &str = "Pipelines";

fn read(message: &Message<'_>, mut fields: Fields<'_>) -> Result<Announcement, Error> {
    let state = fields.deciding("commit_status.state");
    if state != Some("SUCCESSFUL") {
        let why = format!("the build status is {}; SUCCESSFUL counts", excerpt(state.unwrap_or("none")));
        return Ok(Announcement::Ignored(why));
    }
    let (key, page) = (fields.needed("commit_status.key"), fields.needed("commit_status.url"));
    let href = fields.text("commit_status.links.commit.href").and_then(|href| href.rsplit('/').next());
    let commit = fields.text("commit_status.commit.hash").or(href).filter(|hash| !hash.is_empty());
    if commit.is_none() {
        fields.bad("commit_status.commit.hash", "is missing");
    }
    let number = page.and_then(own_number);
    let updated = fields.needed("commit_status.updated_on");
    if let Some(why) = updated.filter(|_| number.is_none()).and_then(|at| forge::stale(at, message.now)) {
        fields.bad("commit_status.updated_on", why);
    }
    let named = fields.text("commit_status.refname").filter(|name| !name.is_empty());
    let (branch, tag) = named.map_or((None, None), reference);
    let (job, called) = if number.is_some() { (Some(OWN), key) } else { (key, fields.text("commit_status.name")) };
    let facts = Facts {
        by: "webhook:bitbucket",
        places: STATUS,
        name: key.zip(page).zip(commit).map(|((key, page), commit)| format!("{commit} {key} {page}")),
        otherwise: number.map(|number| number.to_string().into()),
        commit: commit.map(Arc::from),
        branch: branch.map(Arc::from),
        tag: tag.map(Arc::from),
        job: job.map(Arc::from),
        full_job: called.filter(|name| !name.is_empty()).map(Arc::from),
        number,
        link: page.map(Arc::from),
        bad: fields.into_bad(),
        ..Facts::default()
    };
    facts.announce(message.webhook)
}

/// The number of a run of Bitbucket's own pipelines: the page is `.../pipelines/results/7`, and was
/// `.../addon/pipelines/home#!/results/7`.
fn own_number(page: &str) -> Option<u64> {
    let (before, number) = page.rsplit_once("/results/")?;
    let own = before.ends_with("/pipelines") || before.ends_with("/pipelines/home#!");
    let number = number.trim_end_matches('/').parse().ok().filter(|number| *number <= GREATEST_NUMBER);
    number.filter(|_| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_bitbuckets_own_pipelines_ends_in_their_number() {
        assert_eq!(own_number("https://bitbucket.org/example/shop/pipelines/results/792"), Some(792));
        assert_eq!(own_number("https://bitbucket.org/example/shop/addon/pipelines/home#!/results/792"), Some(792));
        assert_eq!(own_number("https://ci.example/job/shop/results/792"), None);
        assert_eq!(own_number("https://bitbucket.org/example/shop/pipelines/results/1000000000000000"), None);
    }
}
