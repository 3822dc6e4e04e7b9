//! GitHub, known by `X-GitHub-Event`: a workflow run that succeeded, or a release that was published.

use super::{
    Announcement, Error, forge,
    senders::{Message, Sender},
    tree::Fields,
};

const BY: &str = "webhook:github";

pub(super) const SENDER: Sender = Sender {
    title: "GitHub",
    header: "x-github-event",
    events: &["workflow_run", "release"],
    pings: &["ping"],
    signs_pings: true,
    triggers: forge::TRIGGERS,
    other_triggers: forge::OTHER_TRIGGERS,
    wanted: forge::WANTED,
    read,
};

const DIALECT: forge::Dialect = forge::Dialect { by: BY, counted_by_workflow: true, names_forks: true };

fn read(message: &Message<'_>, fields: Fields<'_>) -> Result<Announcement, Error> {
    match message.event {
        "release" => forge::release(message, fields, BY),
        _ => forge::run(message, fields, &DIALECT),
    }
}
