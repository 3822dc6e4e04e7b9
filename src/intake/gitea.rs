//! Gitea, known by `X-Gitea-Event`: a workflow run of its Actions that succeeded (Gitea 1.24 and later tell of these), or
//! a release that was published. The bodies are GitHub's, but for what a run says of its branch, its workflow and its count.

use super::{
    Announcement, Error, forge,
    senders::{Message, Sender},
    tree::Fields,
};

const BY: &str = "webhook:gitea";

pub(super) const SENDER: Sender = Sender {
    title: "Gitea",
    header: "x-gitea-event",
    events: &["workflow_run", "release"],
    pings: &[],
    signs_pings: true,
    triggers: forge::TRIGGERS,
    other_triggers: forge::OTHER_TRIGGERS,
    wanted: forge::WANTED,
    read,
};

/// All workflows of a repository share one count. A run for a pull request is known by its event.
const DIALECT: forge::Dialect = forge::Dialect { by: BY, counted_by_workflow: false, names_forks: false };

fn read(message: &Message<'_>, fields: Fields<'_>) -> Result<Announcement, Error> {
    match message.event {
        "release" => forge::release(message, fields, BY),
        _ => forge::run(message, fields, &DIALECT),
    }
}
