//! Who announces builds: one entry for each sender that is known by a header. Nothing outside this folder names a sender.
//! A new one is a file that turns its message into [facts](super::facts), and its entry here.

use std::iter;

use http::HeaderMap;
use serde_json::Value;

use super::{
    Announcement, Error, bitbucket, forgejo, gitea, github, gitlab, jenkins, json,
    tree::{self, Fields},
};
use crate::{machine::Millis, pipelines::Webhook, text::excerpt};

/// A sender that names its events in a header.
pub(super) struct Sender {
    /// Its name for people.
    pub title: &'static str,
    /// The header that names the event.
    pub header: &'static str,
    /// The events that may tell of a build: of these alone the body is read.
    pub events: &'static [&'static str],
    /// The events by which it tries whether the address answers.
    pub pings: &'static [&'static str],
    /// Whether it signs these as it does all others.
    pub signs_pings: bool,
    /// What starts the runs that count where the pipeline file does not say more; nothing where it does not tell.
    pub triggers: &'static [&'static str],
    /// Other triggers that start its runs.
    pub other_triggers: &'static [&'static str],
    /// The paths of the body that are read.
    pub wanted: &'static [&'static str],
    /// Reads what is left of the body.
    pub read: fn(&Message<'_>, Fields<'_>) -> Result<Announcement, Error>,
}

/// The senders, in the order in which they are looked for. Forgejo sends the headers of Gitea and GitHub too, and Gitea
/// those of GitHub.
const SENDERS: [&Sender; 5] = [&forgejo::SENDER, &gitea::SENDER, &github::SENDER, &gitlab::SENDER, &bitbucket::SENDER];

/// What there is to know beside the body.
pub(super) struct Message<'a> {
    /// The event, as the header says it.
    pub event: &'a str,
    /// The sender's entry.
    pub sender: &'static Sender,
    /// Settings of the pipeline file.
    pub webhook: &'a Webhook,
    /// The time, of this host.
    pub now: Millis,
}

impl Message<'_> {
    /// Returns why a run does not count that was started by this, if so.
    pub(super) fn untriggered(&self, what: &str, trigger: Option<&str>) -> Option<String> {
        let counts = |name: &str| match &self.webhook.triggers {
            Some(named) => named.iter().any(|counts| counts == name),
            None => self.sender.triggers.contains(&name),
        };
        let Some(trigger) = trigger else { return Some(format!("{what} does not say what started it")) };
        if counts(trigger) {
            return None;
        }
        let named = match &self.webhook.triggers {
            Some(named) => named.join(", "),
            None => self.sender.triggers.join(", "),
        };
        let why = format!("{what} was started by `{}`; what is started by {named} counts", excerpt(trigger));
        Some(format!("{why} (`webhook.triggers` of the pipeline file)"))
    }
}

/// A delivery, as far as its headers tell of it.
pub(crate) struct Delivery<'h> {
    from: Option<(&'static Sender, &'h str)>,
}

impl<'h> Delivery<'h> {
    /// Looks at the headers. Without one of a known sender, the shape of the body tells who sent it.
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let from = SENDERS.iter().find_map(|sender| Some((*sender, headers.get(sender.header)?)));
        Self { from: from.map(|(sender, event)| (sender, event.to_str().unwrap_or("without a readable name"))) }
    }

    /// Returns why it is none of a build, where that is known without its body.
    pub(crate) fn ignored(&self) -> Option<String> {
        let (sender, event) = self.from?;
        if sender.pings.contains(&event) {
            return Some("pong".to_owned());
        }
        if sender.events.contains(&event) {
            return None;
        }
        let (title, events) = (sender.title, sender.events.join(" and "));
        let verb = if sender.events.len() == 1 { "counts" } else { "count" };
        Some(format!("the event {} of {title}; {events} {verb}", excerpt(event)))
    }

    /// Whether it is a trial whether the address answers, of a sender that does not sign these.
    pub(crate) fn is_unsigned_ping(&self) -> bool {
        self.from.is_some_and(|(sender, event)| !sender.signs_pings && sender.pings.contains(&event))
    }

    /// Reads a delivery whose proof was good.
    ///
    /// # Errors
    /// What of a build cannot be read or taken. A delivery that tells of no build that counts is no error.
    pub(crate) fn read(&self, body: &[u8], webhook: &Webhook, now: Millis) -> Result<Announcement, Error> {
        if let Some(why) = self.ignored() {
            return Ok(Announcement::Ignored(why));
        }
        let Some((sender, event)) = self.from else { return by_shape(body, webhook) };
        if body.starts_with(b"payload=") {
            let title = sender.title;
            let why = format!("it is a form; set the content type of the webhook on {title} to application/json");
            return Err(Error::Syntax(why));
        }
        let tree = tree::read(body, sender.wanted)?;
        (sender.read)(&Message { event, sender, webhook, now }, Fields::of(&tree))
    }
}

/// Plain JSON and Jenkins' plugin send no header of their own.
fn by_shape(body: &[u8], webhook: &Webhook) -> Result<Announcement, Error> {
    if let Some(facts) = json::quick(body, webhook) {
        return facts.announce(webhook);
    }
    let wanted: Vec<_> = json::KEYS.iter().chain(jenkins::WANTED).copied().collect();
    let tree: Value = tree::read_with_names(body, &wanted)?;
    if jenkins::sent(&tree) {
        jenkins::read(Fields::of(&tree), webhook)
    } else {
        json::slow(&tree, webhook).announce(webhook)
    }
}

/// Returns every trigger that a pipeline file may name: those of all senders.
pub(crate) fn triggers() -> Vec<&'static str> {
    let mut all: Vec<_> = SENDERS.iter().flat_map(|s| s.triggers.iter().chain(s.other_triggers)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Returns the names of the senders whose own messages are understood, for texts about all of them.
pub(crate) fn titles() -> Vec<&'static str> {
    iter::once(jenkins::TITLE).chain(SENDERS.iter().map(|sender| sender.title)).collect()
}
