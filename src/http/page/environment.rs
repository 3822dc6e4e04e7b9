//! The page of one environment: its stacks at the front, what happens next, what somebody may do, and what it costs.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Visitor,
    frame::{Fields, Frame},
    live::Part,
    others::Others,
    page as answer, part, title,
    words::{Look, filters},
};
use crate::{
    access::Role,
    http::{App, Problem, act as api, deployable, place::Place, responses::Environment, shown, story::Past, view},
    machine::{DeploymentState, EnvironmentId, Millis},
    pipelines::EnvironmentDefinition,
    telling::{self, Light, PageUp, Readiness, Step, Sums, WaitsFor},
    text::format_duration,
};

/// One environment, as a page.
#[derive(Template)]
#[template(path = "environment.html", blocks = ["state", "next", "yard", "ways", "steps", "past", "trouble"])]
pub(super) struct Page {
    frame: Frame,
    pub(super) view: Environment,
    pub(super) past: Arc<Past>,
    fields: Fields,
    /// The release that a promotion would bring, and whether it would be granted.
    promotion: Option<Promotion>,
    others: Others,
    id: EnvironmentId,
    /// Whether the driver can start instances again.
    can_restart: bool,
    /// Whether something can be deployed here: a new build, or a release again.
    can_deploy: bool,
    before: Option<String>,
    /// The link of the preview, for whoever may act here; or why nobody knows it.
    preview: Option<Result<String, String>>,
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
    visitor: Visitor,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    answer(&Page::of(&app, &definition, &visitor).await?)
}

impl Page {
    pub(super) async fn of(
        app: &Arc<App>,
        definition: &EnvironmentDefinition,
        visitor: &Visitor,
    ) -> Result<Self, Problem> {
        let look = shown::Look::at(app, &definition.id);
        let view = view::state(app, definition, &look.state);
        let past = app.pasts.of(app, &definition.id, &look.state).await;
        let live = look.state.live().map(|live| live.release.number);
        let promotion = look.promoted.as_ref().ok().filter(|release| Some(release.number) != live);
        let promotion = promotion.map(|release| Promotion {
            release: release.number,
            version: release.version.to_string(),
            barred: api::barred(&look, release.number),
        });
        let before = app.before(&definition.id);
        let may = visitor.caller.may(Role::Deployer, &definition.id).is_ok();
        let key = (view.front.preview.is_some() && may).then(|| app.preview_key(&definition.id));
        let preview = key.map(|key| key.map(|key| key.link).map_err(|why| why.detail().to_owned()));
        let name = format!("{}: {}", definition.id, Self::title(&view));
        let address = format!("/environments/{}", definition.id);
        let stream = Some(format!("{address}/live"));
        let frame = Frame { stream, ..Frame::new(&name, address, app.clock.now()).at(visitor, &definition.id) };
        Ok(Self {
            frame,
            past,
            fields: Fields::new(&look.shown, look.state.seq().0, visitor),
            promotion,
            others: Others::of(app, visitor, &definition.id),
            id: definition.id.clone(),
            can_restart: definition.stack.can_restart,
            can_deploy: before.is_none() || !deployable::known(&look.state).is_empty(),
            before,
            preview,
            view,
        })
    }

    /// Returns the parts that may change, by name.
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

    /// Returns the title of the browser's tab.
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
            (_, _, light @ (Light::Down | Light::Failing | Light::Drift | Light::Maintenance | Light::NotSeen)) => {
                Look::of(light)
            }
            (Some(_), WaitsFor::Approval, _) => Look::tag("wait", "wait", "waits for a person"),
            (Some(_), ..) => Look::tag("move", "move", "under way"),
            (None, _, light) if self.view.hold.is_none() => Look::of(light),
            (None, ..) => Look::tag("hold", "rest", "held"),
        }
    }

    /// Why whoever looks may not do what takes this role; none when they may.
    fn not_for(&self, needs: &str) -> Option<String> {
        let needs: Role = needs.parse().expect("the template names a role");
        self.others.not_for(needs)
    }

    /// Who can end the waiting: by name where whoever looks may read names.
    fn who(&self) -> Option<String> {
        let gate = self.view.candidate.as_ref().and_then(|candidate| candidate.gate.as_ref());
        let by_role = match (self.view.waits_for, gate) {
            (WaitsFor::Approval, Some(gate)) if gate.by.is_empty() => Some((Role::Approver, gate.not.as_deref())),
            (WaitsFor::Resume, _) => Some((Role::Approver, None)),
            (WaitsFor::Pin, _) => Some((Role::Admin, None)),
            _ => None,
        };
        let named = by_role.and_then(|(needs, not)| self.others.who_can(needs, not));
        named.or_else(|| Some(format!("Who can: {}.", self.view.who.as_ref()?)))
    }

    /// Whether whoever looks may read what instances write.
    fn may_read_logs(&self) -> bool {
        self.others.not_for(Role::Deployer).is_none()
    }

    /// Whether the candidate has users already, so that it is not shown beside what is live.
    pub(super) fn candidate_is_live(&self) -> bool {
        let candidate = self.view.candidate.as_ref().map(|candidate| candidate.number);
        candidate.is_some() && candidate == self.view.live.as_ref().map(|live| live.number)
    }

    /// Whether the candidate can be stopped before anybody sees it.
    fn can_abort(&self) -> bool {
        let state = self.view.candidate.as_ref().map(|candidate| candidate.state);
        !self.candidate_is_live()
            && !matches!(state, None | Some(DeploymentState::RollingBack | DeploymentState::Aborting))
    }

    pub(super) fn can_roll_back(&self) -> bool {
        self.view.rollback != Readiness::None && self.view.rollback_to.is_some() && self.step().is_none()
    }

    fn way_back_waits(&self) -> bool {
        let traffic = self.view.candidate.as_ref().and_then(|candidate| candidate.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.way_back_waits)
    }

    /// Deployments for which users get the maintenance page; a person's has a form of its own.
    fn stops(&self) -> impl Iterator<Item = &PageUp> {
        self.view.pages.iter().skip(usize::from(self.view.maintenance.is_some()))
    }

    fn is_warm(&self) -> bool {
        self.view.rollback == Readiness::Ready
    }

    /// What going back costs, as far as the last deployments tell.
    fn price(&self) -> String {
        let length = |ms: Option<u64>| ms.map(|ms| format_duration(Millis(ms)));
        if self.view.rollback == Readiness::Start {
            let down = "Stopped: start and cut over; users get the maintenance page meanwhile";
            return match length(self.view.last_downtime) {
                Some(took) => format!("{down}, about {took} as the last time"),
                None => down.to_owned(),
            };
        }
        match (self.is_warm(), length(self.past.cut_over), length(self.past.stood_up)) {
            (true, Some(took), _) => format!("Warm: one cutover; the last one took {took}"),
            (true, None, _) => "Warm: one cutover".to_owned(),
            (false, _, Some(took)) => {
                format!("Cold: it is stood up and checked first; that took {took} at the last deployment")
            }
            (false, _, None) => "Cold: it is stood up and checked first".to_owned(),
        }
    }

    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn sums(&self, steps: &[Step]) -> Sums {
        telling::sums(steps)
    }
}

impl App {
    /// Returns the environment from which releases come to this one.
    fn before(&self, id: &EnvironmentId) -> Option<String> {
        let before = self.pipelines.get(&id.pipeline).and_then(|pipeline| pipeline.before(id));
        before.map(|before| before.id.to_string())
    }
}
