//! The three places of stacks at a front: live, candidate, standby. They never change theirs; what changes is the way of the traffic.

use super::{environment::Page, words::Look};
use crate::{
    http::responses::{Release, Restarts, Seen, Stack},
    machine::{Condition, DeploymentState, Health},
    telling::Light,
};

impl Page {
    /// How much of the traffic a stack has, as the front shows it.
    fn share(&self, number: u32) -> Share {
        let known = self.view.front.silent.is_none() && self.view.front.looked.is_some();
        let live = self.view.live.as_ref().map(|live| live.number) == Some(number);
        let (seen, ordered) = (self.seen_share(number), self.ordered_share(number));
        let words = if seen == 0 { "0 %".to_owned() } else { format!("{seen} % of traffic") };
        let not_yet = ordered.filter(|ordered| *ordered != seen);
        let not_yet = not_yet.map(|ordered| format!("{ordered} % ordered, not shown by the front yet"));
        let (path, words, note) = match (known, seen > 0, live) {
            (false, ..) => ("lie", "not known".to_owned(), "the front did not answer in time".to_owned()),
            (true, true, true) if matches!(self.view.light, Light::Down | Light::Failing) => {
                ("sick", words, "set, but it does not answer well".to_owned())
            }
            (true, true, _) => ("set", words, not_yet.unwrap_or_else(|| "set and seen".to_owned())),
            (true, false, true) if self.view.light == Light::Maintenance => {
                ("lie", words, "users get the maintenance page".to_owned())
            }
            (true, false, true) => ("sick", words, "ordered, not shown by the front".to_owned()),
            (true, false, false) => ("lie", words, not_yet.unwrap_or_else(|| "no traffic".to_owned())),
        };
        Share { path, words, note, failed: None }
    }

    /// The part of 100 users that the front shows for a stack.
    fn seen_share(&self, number: u32) -> u8 {
        let front = &self.view.front;
        match &front.split {
            Some(split) if split.number == number => split.share,
            Some(split) if front.shows == Some(number) => 100 - split.share,
            Some(_) => 0,
            None => {
                if front.shows == Some(number) {
                    100
                } else {
                    0
                }
            }
        }
    }

    /// The part of 100 users that a stack is to have, while a deployment gets them in steps.
    fn ordered_share(&self, number: u32) -> Option<u8> {
        let candidate = self.view.candidate.as_ref()?;
        let ordered = candidate.traffic.as_ref()?.ordered;
        let live = self.view.live.as_ref().map(|live| live.number);
        match () {
            () if candidate.number == number => Some(ordered),
            () if live == Some(number) => Some(100 - ordered),
            () => None,
        }
    }

    /// The step at which the candidate has a share of the users.
    pub(super) fn step(&self) -> Option<StepNow> {
        let candidate = self.view.candidate.as_ref().filter(|c| c.state == DeploymentState::Shifting)?;
        let traffic = candidate.traffic.as_ref()?;
        let next = traffic.steps.iter().find(|step| step.share > traffic.ordered);
        let next = next.map_or("all users".to_owned(), |step| format!("{} % of users", step.share));
        Some(StepNow { share: traffic.ordered, next, paused: traffic.pause.is_some() })
    }

    /// How many requests of users failed on a stack, as far as the front has counted them.
    fn failed(&self, number: u32) -> Option<Failed> {
        let counted = self.view.front.counted.as_ref()?;
        let side = counted.sides.iter().find(|side| side.number == number)?;
        let of = if side.requests == 1 { "request" } else { "requests" };
        Some(Failed { any: side.failed > 0, words: format!("{} of {} {of} failed", side.failed, side.requests) })
    }

    /// Since when requests are counted, or why they are not.
    pub(super) fn counting(&self) -> Option<(&'static str, String)> {
        let front = &self.view.front;
        let since = front.counted.as_ref().map(|counted| {
            let words = match counted.cutover {
                true => "Requests counted at the front since the last cutover, at",
                false => "Requests counted at the front since it began after the last cutover, at",
            };
            (words, counted.since.clone())
        });
        since.or_else(|| front.not_counted.clone().map(|why| ("Failed requests are not counted:", why)))
    }

    /// How a stack is shown.
    fn lamp(&self, seen: Option<&Seen>) -> Look {
        match seen {
            _ if self.view.provider.silent.is_some() => Look::tag("stale", "blind", "not seen"),
            Some(seen) if seen.condition.is_good(seen.health) => Look::tag("live", "go", "healthy"),
            Some(Seen { condition: condition @ (Condition::Stopping | Condition::Stopped), .. }) => {
                Look::tag("stale", "blind", condition_word(*condition))
            }
            Some(seen) if seen.health == Health::Failing => Look::tag("down", "stop", "fails its checks"),
            Some(seen) if seen.condition.is_bad(seen.health) => Look::tag("fail", "stop", "failed"),
            Some(seen) => Look::tag("move", "move", condition_word(seen.condition)),
            None => Look::tag("stale", "blind", "not seen"),
        }
    }

    /// When those that are asked answered last: the front, and what the stacks run on.
    pub(super) fn answers(&self) -> [Answer<'_>; 2] {
        let (front, provider) = (&self.view.front, &self.view.provider);
        [
            Answer {
                id: "looked",
                what: "front asked",
                who: "the front",
                looked: front.looked.as_ref(),
                silent: front.silent.is_some(),
            },
            Answer {
                id: "stacks-looked",
                what: "stacks seen",
                who: "the provider",
                looked: provider.looked.as_ref(),
                silent: provider.silent.is_some(),
            },
        ]
    }

    /// The three places of stacks, which never change theirs.
    pub(super) fn tracks(&self) -> [Track<'_>; 3] {
        [self.live_track(), self.candidate_track(), self.standby_track()]
    }

    fn live_track(&self) -> Track<'_> {
        let kind = if self.candidate_is_live() { "Live, watched" } else { "Live" };
        let Some(live) = &self.view.live else {
            return Track::empty("live", kind, "Nothing is live yet.".to_owned());
        };
        let lamp = self.lamp(live.stack.as_ref());
        let class = if lamp.colour == "stop" { "live bad" } else { "live" };
        let put = self.past.deployments.iter().find(|past| past.number == live.number);
        let mut facts = vec![("Live since", live.since.clone())];
        facts.extend(put.map(|past| ("Put live by", past.asked_by.clone())));
        let stack = OnTrack { number: live.number, release: &live.release, seen: live.stack.as_ref() };
        Track { class, ..self.track("live", kind, lamp, stack, facts) }
    }

    fn candidate_track(&self) -> Track<'_> {
        let candidate = self.view.candidate.as_ref().filter(|_| !self.candidate_is_live());
        let Some(candidate) = candidate else {
            let why = if self.candidate_is_live() { "It is live, and watched." } else { "No deployment is under way." };
            let line = match self.view.queue.len() {
                0 => String::new(),
                1 => " One waits in line.".to_owned(),
                many => format!(" {many} wait in line."),
            };
            return Track::empty("candidate", "Candidate", format!("{why}{line}"));
        };
        let lamp = self.lamp(candidate.stack.as_ref());
        let mut facts = vec![("Since", candidate.since.clone())];
        if !candidate.asked_by.is_empty() {
            facts.push(("Asked by", candidate.asked_by.clone()));
        }
        let stack = OnTrack { number: candidate.number, release: &candidate.release, seen: candidate.stack.as_ref() };
        Track { class: "cand", ..self.track("candidate", "Candidate", lamp, stack, facts) }
    }

    fn standby_track(&self) -> Track<'_> {
        const KIND: &str = "Standby, the way back";
        let Some(standby) = &self.view.standby else {
            let cold = if self.can_roll_back() { " A rollback would be cold." } else { "" };
            return Track::empty("standby", KIND, format!("No stack is kept warm.{cold}"));
        };
        let lamp = match self.lamp(standby.stack.stack.as_ref()) {
            look if look.colour == "go" => Look::tag("warm", "rest", "warm, healthy"),
            look => look,
        };
        let mut facts = vec![("Live from", standby.stack.since.clone()), ("Kept until", standby.until.clone())];
        if standby.suspect {
            facts.push(("Suspect", "users were taken from it because it was down".to_owned()));
        }
        let Stack { number, release, stack: seen, .. } = &standby.stack;
        let stack = OnTrack { number: *number, release, seen: seen.as_ref() };
        Track { class: "standby", ..self.track("standby", KIND, lamp, stack, facts) }
    }

    fn track<'a>(
        &self,
        id: &'static str,
        kind: &'static str,
        lamp: Look,
        stack: OnTrack<'a>,
        mut facts: Vec<(&'static str, String)>,
    ) -> Track<'a> {
        facts.push(("Deployment", stack.number.to_string()));
        facts.extend(stack.seen.and_then(|seen| seen.open_requests).map(|open| ("In flight", open.to_string())));
        facts.extend(stack.seen.and_then(|seen| seen.restarts.as_ref()).map(|restarts| ("Restarts", told(restarts))));
        facts.extend(stack.seen.and_then(|seen| seen.remark.clone()).map(|remark| ("Seen", remark)));
        let share = Share { failed: self.failed(stack.number), ..self.share(stack.number) };
        Track { id, class: "", kind, share, lamp: Some(lamp), stack: Some(stack), facts, empty: String::new() }
    }
}

/// How often instances ended by themselves, and how the last one did.
fn told(restarts: &Restarts) -> String {
    match &restarts.last {
        Some(last) => format!("{}; the last: {last}", restarts.count),
        None => restarts.count.to_string(),
    }
}

fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Creating => "is made",
        Condition::Ready => "up, not checked yet",
        Condition::Failed => "failed",
        Condition::Deleting => "is torn down",
        Condition::Stopping => "is being stopped",
        Condition::Stopped => "stopped, kept whole",
    }
}

/// When one of those that are asked answered last.
pub(super) struct Answer<'a> {
    /// The name of the element.
    pub id: &'static str,
    pub what: &'static str,
    pub who: &'static str,
    pub looked: Option<&'a String>,
    /// It did not answer when it was asked last.
    pub silent: bool,
}

/// One of the places where stacks stand.
pub(super) struct Track<'a> {
    pub id: &'static str,
    pub class: &'static str,
    pub kind: &'static str,
    pub share: Share,
    pub lamp: Option<Look>,
    pub stack: Option<OnTrack<'a>>,
    /// Names and values; a value that is a time is shown by the clock.
    pub facts: Vec<(&'static str, String)>,
    /// Text in the place of a stack that is not there.
    pub empty: String,
}

pub(super) struct OnTrack<'a> {
    pub number: u32,
    pub release: &'a Release,
    pub seen: Option<&'a Seen>,
}

impl Track<'_> {
    fn empty(id: &'static str, kind: &'static str, empty: String) -> Self {
        let share = Share { path: "lie", words: String::new(), note: "no stack".to_owned(), failed: None };
        Self { id, class: "empty", kind, share, lamp: None, stack: None, facts: Vec::new(), empty }
    }
}

/// A share of the users that the candidate has.
pub(super) struct StepNow {
    pub share: u8,
    /// Words for what it gets next.
    pub next: String,
    /// It keeps its share until somebody lets it go on.
    pub paused: bool,
}

/// How a track is drawn, and what stands beside it.
pub(super) struct Share {
    pub path: &'static str,
    pub words: String,
    pub note: String,
    /// How many requests of users failed on it since the last cutover.
    pub failed: Option<Failed>,
}

/// How many requests of users failed.
pub(super) struct Failed {
    pub any: bool,
    pub words: String,
}
