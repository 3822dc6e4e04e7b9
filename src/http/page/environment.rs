//! The page of one environment: its stacks at the front, what happens next, what somebody may do, and what it costs.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Browser, Session,
    frame::{Frame, Here},
    live::Part,
    page as answer, part, title,
    words::{Look, filters},
};
use crate::{
    access::{Caller, Role},
    http::{
        App, Problem, act,
        place::Place,
        responses::{Environment, Release, Seen, Stack},
        shown,
        story::Past,
        view,
    },
    machine::{Condition, DeploymentState, Health, Millis},
    pipelines::EnvironmentDefinition,
    telling::{Light, Readiness, Step, StepState, WaitsFor},
    text::format_duration,
};

/// One environment, as a page.
#[derive(Template)]
#[template(path = "environment.html", blocks = ["state", "next", "yard", "ways", "steps", "past", "trouble"])]
pub(super) struct Page {
    frame: Frame,
    view: Environment,
    past: Arc<Past>,
    /// What decisions are held to, as it is sent back.
    shown: String,
    /// A name for what is pressed next, so that it is done once.
    key: String,
    /// The release that a promotion would bring, and whether it would be granted.
    promotion: Option<Promotion>,
    role: Option<Role>,
    /// Whether the driver can start instances again.
    can_restart: bool,
    before: Option<String>,
}

struct Promotion {
    release: u32,
    version: String,
    /// Why it would be refused.
    barred: Option<String>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
    session: Session,
    browser: Browser,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    answer(&Page::of(&app, &definition, &caller, session, browser).await?)
}

impl Page {
    pub(super) async fn of(
        app: &Arc<App>,
        definition: &EnvironmentDefinition,
        caller: &Caller,
        session: Session,
        browser: Browser,
    ) -> Result<Self, Problem> {
        let look = shown::Look::at(app, &definition.id);
        let view = view::state(app, definition, &look.state);
        let past = app.pasts.of(app, &definition.id, &look.state).await?;
        let live = look.state.live().map(|live| live.release.number);
        let promotion = look.promoted.as_ref().ok().filter(|release| Some(release.number) != live);
        let promotion = promotion.map(|release| Promotion {
            release: release.number,
            version: release.version.to_string(),
            barred: act::barred(&look, release.number),
        });
        let name = format!("{}: {}", definition.id, Self::title(&view));
        let frame = Frame::new(&name, app.clock.now()).at(caller, definition);
        let address = format!("/environments/{}", definition.id);
        let frame = Frame {
            here: Here::Nowhere,
            theme: browser.theme,
            csrf: session.csrf,
            stream: format!("{address}/live"),
            docked: true,
            address,
            ..frame
        };
        Ok(Self {
            frame,
            past,
            shown: look.shown.text(),
            key: super::act::key(&look.shown.text(), look.state.seq().0),
            promotion,
            role: caller.role_in(&definition.id),
            can_restart: definition.stack.can_restart,
            before: app.before(&definition.id),
            view,
        })
    }

    /// What may change, by name.
    pub(super) fn parts(&self) -> Result<Vec<Part>, Problem> {
        Ok(vec![
            title(&self.frame),
            part("state", &self.as_state())?,
            part("next", &self.as_next())?,
            part("yard", &self.as_yard())?,
            part("ways", &self.as_ways())?,
            part("trouble", &self.as_trouble())?,
            part("steps", &self.as_steps())?,
            part("past", &self.as_past())?,
        ])
    }

    /// What every form of the page carries.
    fn hidden(&self) -> String {
        let field = |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        // None of the three has a character that HTML knows.
        let shown = self.shown.replace('"', "&quot;");
        format!("{}{}{}", field("shown", &shown), field("key", &self.key), field("csrf", &self.frame.csrf))
    }

    /// The attributes of a button that may not be pressed by whoever looks; `why`: the element that says why.
    fn locked(&self, needs: &str, why: &str) -> String {
        match self.not_for(needs) {
            Some(_) => format!(" aria-disabled=\"true\" aria-describedby=\"{why}\""),
            None => String::new(),
        }
    }

    /// The releases that could be vetoed here: number, version, whether it is the candidate's.
    fn vetoable(&self) -> Vec<(u32, String, bool)> {
        let candidate = self.view.candidate.as_ref().filter(|_| !self.candidate_is_live());
        let candidate = candidate.map(|c| (c.release.number, c.release.version.clone(), true));
        let live = self.view.live.as_ref().map(|l| (l.release.number, l.release.version.clone(), false));
        let known = |number: u32| self.view.vetoes.iter().any(|veto| veto.release == number);
        candidate.into_iter().chain(live).filter(|(number, ..)| !known(*number)).collect()
    }

    /// What stands in the tab.
    fn title(view: &Environment) -> String {
        let word = Look::of(view.light).word;
        match (&view.candidate, view.waits_for) {
            (Some(candidate), WaitsFor::Approval) => format!("{} waits for approval", candidate.release.number),
            (Some(candidate), _) => format!("{} under way", candidate.release.number),
            (None, _) => word.to_owned(),
        }
    }

    fn look(&self) -> Look {
        match (&self.view.candidate, self.view.waits_for, self.view.light) {
            (_, WaitsFor::Operator, _) => Look::tag("fail", "stop", "needs a person"),
            (_, _, light @ (Light::Down | Light::Failing | Light::Drift | Light::NotSeen)) => Look::of(light),
            (Some(_), WaitsFor::Approval, _) => Look::tag("wait", "wait", "waits for a person"),
            (Some(_), ..) => Look::tag("move", "move", "under way"),
            (None, _, light) if self.view.hold.is_none() => Look::of(light),
            (None, ..) => Look::tag("hold", "rest", "held"),
        }
    }

    /// Why somebody may not do what takes this role; none when they may.
    fn not_for(&self, needs: &str) -> Option<String> {
        let needs: Role = needs.parse().unwrap_or(Role::Admin);
        let role = self.role.filter(|role| *role >= needs);
        let place = &self.view.environment;
        role.is_none().then(|| format!("Not for you: it takes the role {needs} on {place}."))
    }

    /// Whether the candidate has users already, so that it is not shown beside what is live.
    fn candidate_is_live(&self) -> bool {
        let candidate = self.view.candidate.as_ref().map(|candidate| candidate.number);
        candidate.is_some() && candidate == self.view.live.as_ref().map(|live| live.number)
    }

    /// Whether the candidate can be stopped before anybody sees it.
    fn can_abort(&self) -> bool {
        let state = self.view.candidate.as_ref().map(|candidate| candidate.state);
        !self.candidate_is_live()
            && !matches!(state, None | Some(DeploymentState::RollingBack | DeploymentState::Aborting))
    }

    fn can_roll_back(&self) -> bool {
        self.view.rollback != Readiness::None && self.view.rollback_to.is_some()
    }

    fn is_warm(&self) -> bool {
        self.view.rollback == Readiness::Ready
    }

    /// What going back costs, as far as the last deployments tell.
    fn price(&self) -> String {
        let length = |ms: Option<u64>| ms.map(|ms| format_duration(Millis(ms)));
        match (self.is_warm(), length(self.past.cut_over), length(self.past.stood_up)) {
            (true, Some(took), _) => format!("Warm: one cutover; the last one took {took}"),
            (true, None, _) => "Warm: one cutover".to_owned(),
            (false, _, Some(took)) => {
                format!("Cold: it is stood up and checked first; that took {took} at the last deployment")
            }
            (false, _, None) => "Cold: it is stood up and checked first".to_owned(),
        }
    }

    /// How much of the traffic a stack has, as the front shows it.
    fn share(&self, number: u32) -> Share {
        let has = self.view.front.shows == Some(number);
        let known = self.view.light != Light::NotSeen;
        let live = self.view.live.as_ref().map(|live| live.number) == Some(number);
        match (known, has, live) {
            (false, ..) => Share { path: "lie", words: "not known", note: "the front was not asked in time" },
            (true, true, true) if matches!(self.view.light, Light::Down | Light::Failing) => {
                Share { path: "sick", words: "100 % of traffic", note: "set, but it does not answer well" }
            }
            (true, true, _) => Share { path: "set", words: "100 % of traffic", note: "set and seen" },
            (true, false, true) => Share { path: "sick", words: "0 %", note: "ordered, not shown by the front" },
            (true, false, false) => Share { path: "lie", words: "0 %", note: "no traffic" },
        }
    }

    /// How a stack is shown.
    fn lamp(&self, seen: Option<&Seen>) -> Look {
        match seen {
            _ if self.view.light == Light::NotSeen => Look::tag("stale", "blind", "not seen"),
            Some(seen) if seen.condition.is_good(seen.health) => Look::tag("live", "go", "healthy"),
            Some(seen) if seen.health == Health::Failing => Look::tag("down", "stop", "fails its checks"),
            Some(seen) => Look::tag("move", "move", condition_word(seen.condition)),
            None => Look::tag("stale", "blind", "not seen"),
        }
    }

    /// The three places of stacks, which never change theirs.
    fn tracks(&self) -> [Track<'_>; 3] {
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
        facts.extend(stack.seen.and_then(|seen| seen.remark.clone()).map(|remark| ("Seen", remark)));
        let share = self.share(stack.number);
        Track { id, class: "", kind, share, lamp: Some(lamp), stack: Some(stack), facts, empty: String::new() }
    }

    /// The sums of the rail: what was worked, and what people were waited for, in words.
    fn sums(&self) -> (String, String) {
        let sum = |human: bool| {
            let of = self.past.steps.iter().filter(|step| step.human == human);
            format_duration(Millis(of.filter_map(|step| step.took).sum()))
        };
        (sum(false), sum(true))
    }

    fn last(&self) -> Option<&crate::http::releases::PastDeployment> {
        self.past.deployments.first()
    }
}

fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Creating => "is made",
        Condition::Ready => "up, not checked yet",
        Condition::Failed => "failed",
        Condition::Deleting => "is torn down",
    }
}

/// One of the places where stacks stand.
struct Track<'a> {
    id: &'static str,
    class: &'static str,
    kind: &'static str,
    share: Share,
    lamp: Option<Look>,
    stack: Option<OnTrack<'a>>,
    /// Names and values; a value that is a time is shown by the clock.
    facts: Vec<(&'static str, String)>,
    /// What is said where none stands.
    empty: String,
}

struct OnTrack<'a> {
    number: u32,
    release: &'a Release,
    seen: Option<&'a Seen>,
}

impl Track<'_> {
    fn empty(id: &'static str, kind: &'static str, empty: String) -> Self {
        let share = Share { path: "lie", words: "0 %", note: "no traffic" };
        Self { id, class: "empty", kind, share, lamp: None, stack: None, facts: Vec::new(), empty }
    }
}

/// How a track is drawn, and what stands beside it.
struct Share {
    path: &'static str,
    words: &'static str,
    note: &'static str,
}

impl Step {
    /// The class of its station.
    fn class(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done",
            (StepState::Done, true) => "done human",
            (StepState::Now, false) => "now",
            (StepState::Now, true) => "now human",
            (StepState::Todo, false) => "todo",
            (StepState::Todo, true) => "todo human",
            (StepState::Failed, _) => "bad",
        }
    }

    fn mark(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done",
            (StepState::Done, true) => "hdone",
            (StepState::Now, false) => "move",
            (StepState::Now, true) => "wait",
            (StepState::Todo, _) => "todo",
            (StepState::Failed, _) => "fail",
        }
    }

    fn state_word(&self) -> &'static str {
        match (self.state, self.human) {
            (StepState::Done, false) => "done: ",
            (StepState::Done, true) => "done, a person: ",
            (StepState::Now, false) => "now: ",
            (StepState::Now, true) => "now, a person: ",
            (StepState::Todo, _) => "to come: ",
            (StepState::Failed, _) => "failed: ",
        }
    }

    fn took_words(&self) -> String {
        self.took.map(|took| format_duration(Millis(took))).unwrap_or_default()
    }
}

impl App {
    /// Returns the environment from which releases come to this one.
    fn before(&self, id: &crate::machine::EnvironmentId) -> Option<String> {
        let before = self.pipelines.get(&id.pipeline).and_then(|pipeline| pipeline.before(id));
        before.map(|before| before.id.to_string())
    }
}
