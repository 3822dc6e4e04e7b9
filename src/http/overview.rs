//! All environments at a glance: a pipeline is a row, an environment a cell; what needs a person stands above. Filtered, searched
//! and paged here, so that thousands cost no browser anything.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use crate::{
    access::Caller,
    machine::{DeploymentState, Environment, Millis, Release},
    pipelines::{EnvironmentDefinition, Pipeline, Tier},
    runner::Sight,
    telling::{self, Light, Need, WaitsFor},
    text::format_time,
};

/// How many pipelines one page has.
pub(super) const ROWS: usize = 50;
/// How many needs are listed at most; the rest is told by number.
const NEEDS: usize = 50;

/// What is wanted of the overview. All of it stands in the address, so that a view can be saved and sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Wanted {
    /// Only pipelines that have this in a name, a version, a commit, or the name of who asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[param(value_type = Option<String>, example = "shop")]
    pub q: String,
    /// Only pipelines with an environment of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Show>, inline)]
    pub show: Option<Show>,
    /// Their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Sort>, inline)]
    pub sort: Option<Sort>,
    /// Which page, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(maximum = 4_294_967_295_u32, example = 1)]
    pub page: Option<u32>,
}

/// A kind of environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Show {
    /// What is live is seen to be good.
    Healthy,
    /// It needs a person.
    Needs,
    /// A deployment is under way.
    Moving,
    /// What is live is down or fails its checks.
    Down,
    /// The front shows something else than it was ordered to.
    Drift,
    /// Automatic deployments are held.
    Held,
    /// Only one release may be deployed.
    Pinned,
    /// The controller could not look lately.
    Unseen,
    /// In the environment before it newer releases are live, or were found good.
    Behind,
}

impl Show {
    /// All of them, with the word for each.
    pub(super) const ALL: [(Self, &str); 9] = [
        (Self::Healthy, "Healthy"),
        (Self::Needs, "Needs you"),
        (Self::Moving, "Under way"),
        (Self::Down, "Live is down"),
        (Self::Drift, "Drift"),
        (Self::Held, "Held"),
        (Self::Pinned, "Pinned"),
        (Self::Unseen, "Not seen"),
        (Self::Behind, "Behind"),
    ];
}

/// The order of the pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Those that need a person first, then by name.
    Needs,
    /// The last change first.
    Changed,
    /// Sorted by name.
    Name,
}

/// All environments that the caller may see, as far as they are wanted.
#[derive(Serialize, ToSchema)]
pub(super) struct Overview {
    /// What needs a person, the most pressing first, whatever is filtered.
    pub needs: Vec<Needed>,
    /// How many needs there are; more than are listed where there are very many.
    pub needed: usize,
    /// How many environments there are of each kind, whatever is filtered.
    pub counts: BTreeMap<Show, usize>,
    /// How many pipelines and environments there are.
    pub pipelines_in_all: usize,
    pub environments_in_all: usize,
    /// How many pipelines are wanted.
    pub found: usize,
    pub page: usize,
    pub pages: usize,
    pub pipelines: Vec<Row>,
}

/// A need, and the environment that has it.
#[derive(Serialize, ToSchema)]
pub(super) struct Needed {
    #[schema(example = "shop/prod")]
    pub environment: String,
    #[serde(flatten)]
    pub need: Need,
}

/// One pipeline.
#[derive(Serialize, ToSchema)]
pub(super) struct Row {
    pub pipeline: String,
    pub environments: Vec<Cell>,
}

/// One environment at a glance.
#[derive(Serialize, ToSchema)]
pub(super) struct Cell {
    /// Its address.
    #[schema(example = "shop/prod")]
    pub environment: String,
    pub name: String,
    /// How near it is to users; null where its name does not tell.
    #[schema(required)]
    pub tier: Option<Tier>,
    pub light: Light,
    /// Live release, in brief.
    #[schema(required)]
    pub live: Option<Brief>,
    /// Deployment that is under way.
    #[schema(required)]
    pub candidate: Option<Moving>,
    pub waits_for: WaitsFor,
    /// When its stacks and its front were seen last, the older of the two; null when one of them was not since the controller
    /// started.
    #[schema(required)]
    pub looked: Option<String>,
    /// Who stopped automatic deployments, and since when.
    #[schema(required)]
    pub held: Option<Held>,
    #[schema(required)]
    pub pin: Option<u32>,
    /// It needs a person.
    pub needs: bool,
    /// How many releases it is behind the environment from which releases come to it: those that are live there, or were found
    /// good in one of its last ten deployments, and are newer than what is live here. A promotion brings the newest of them.
    pub behind: usize,
}

/// A release where it is.
#[derive(Serialize, ToSchema)]
pub(super) struct Brief {
    pub release: u32,
    #[schema(example = "1.4.2")]
    pub version: String,
    #[schema(required)]
    pub commit: Option<String>,
    /// Since when.
    pub since: String,
}

/// A deployment on its way.
#[derive(Serialize, ToSchema)]
pub(super) struct Moving {
    pub number: u32,
    #[serde(flatten)]
    pub release: Brief,
    #[schema(value_type = super::responses::State)]
    pub state: DeploymentState,
    pub asked_by: String,
    /// Time until which it may stay so.
    #[schema(required)]
    pub until: Option<String>,
}

/// Automatic deployments are stopped.
#[derive(Serialize, ToSchema)]
pub(super) struct Held {
    pub by: String,
    pub since: String,
}

/// What is known of one environment before anything of it is written down.
struct Known<'a> {
    definition: &'a EnvironmentDefinition,
    state: Arc<Environment>,
    light: Light,
    needs: Vec<Need>,
    looked: Option<Millis>,
    behind: usize,
}

/// All environments at a glance
///
/// What needs a person, then a page of pipelines; the rest by search, filter and page.
#[utoipa::path(
    get, path = "/v1/overview", tag = "looking", params(Wanted),
    responses((status = 200, description = "Those that the caller may see", body = Overview)),
)]
pub(super) async fn overview(State(app): State<Arc<App>>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let glance = app.glances.of(&app, &caller, &wanted).await;
    Json(&glance.view).into_response()
}

pub(super) fn at_a_glance(app: &App, caller: &Caller, wanted: &Wanted) -> Overview {
    let now = app.clock.now();
    let all: Vec<_> = app.pipelines.iter().map(|pipeline| (pipeline, known(app, caller, pipeline, now))).collect();
    let all: Vec<_> = all.into_iter().filter(|(_, environments)| !environments.is_empty()).collect();
    let counts = counts(all.iter().flat_map(|(_, environments)| environments));
    let (needs, needed) = listed(&all);
    let (pipelines_in_all, environments_in_all) = (all.len(), all.iter().map(|(_, all)| all.len()).sum());
    let mut found: Vec<_> = all.into_iter().filter(|(pipeline, all)| is_wanted(pipeline, all, wanted)).collect();
    sort(&mut found, wanted.sort.unwrap_or(Sort::Needs));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = wanted.page.map_or(1, |page| usize::try_from(page).unwrap_or(pages)).clamp(1, pages);
    let count = found.len();
    let rows = found.into_iter().skip((page - 1) * ROWS).take(ROWS);
    let rows = rows.map(|(pipeline, all)| Row {
        pipeline: pipeline.name.to_string(),
        environments: all.iter().map(cell).collect(),
    });
    Overview {
        needs,
        needed,
        counts,
        pipelines_in_all,
        environments_in_all,
        found: count,
        page,
        pages,
        pipelines: rows.collect(),
    }
}

/// What needs a person, as far as it is listed, and how much there is.
fn listed(all: &[(&Arc<Pipeline>, Vec<Known<'_>>)]) -> (Vec<Needed>, usize) {
    let known = all.iter().flat_map(|(_, environments)| environments);
    let mut needs: Vec<_> =
        known.flat_map(|known| known.needs.iter().map(|need| (need, &known.definition.id))).collect();
    needs.sort_by_key(|(need, id)| (need.kind, *id));
    let shown = needs.iter().take(NEEDS);
    let shown = shown.map(|(need, id)| Needed { environment: id.to_string(), need: (*need).clone() });
    (shown.collect(), needs.len())
}

fn known<'a>(app: &App, caller: &Caller, pipeline: &'a Pipeline, now: Millis) -> Vec<Known<'a>> {
    let all = pipeline.environments.iter().filter(|e| caller.sees(&e.id));
    let one = |definition: &'a Arc<EnvironmentDefinition>| {
        let (state, sight) = (app.journal.state(&definition.id), app.board.sight(&definition.id));
        let before = pipeline.before(&definition.id).filter(|before| caller.sees(&before.id));
        let behind = before.map_or(0, |before| telling::behind(&app.journal.state(&before.id), &state));
        look(definition, state, &sight, (now, behind))
    };
    all.map(one).collect()
}

fn look<'a>(
    definition: &'a EnvironmentDefinition,
    state: Arc<Environment>,
    sight: &Sight,
    (now, behind): (Millis, usize),
) -> Known<'a> {
    let seen = sight.outlook_at(now, definition.fresh_for());
    let (light, needs) = (telling::light(&state, &seen), telling::needs(&state, &seen));
    let looked = sight.seen.all();
    Known { definition, light, needs, looked, behind, state }
}

impl Known<'_> {
    fn is(&self, show: Show) -> bool {
        match show {
            Show::Healthy => matches!(self.light, Light::Healthy | Light::Watched),
            Show::Needs => !self.needs.is_empty(),
            Show::Moving => self.state.active().is_some(),
            Show::Down => matches!(self.light, Light::Down | Light::Failing),
            Show::Drift => self.light == Light::Drift,
            Show::Held => self.state.hold().is_some(),
            Show::Pinned => self.state.pin().is_some(),
            Show::Unseen => self.light == Light::NotSeen,
            Show::Behind => self.behind > 0,
        }
    }

    fn releases(&self) -> impl Iterator<Item = &Release> {
        let moving = self.state.active().into_iter().chain(self.state.queue()).map(|d| &*d.release);
        self.state.live().map(|live| &*live.release).into_iter().chain(moving)
    }

    fn has(&self, q: &str) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(q);
        let of = |r: &Release| holds(&r.version) || r.commit.as_deref().is_some_and(|commit| commit.starts_with(q));
        let mut asked = self.state.active().into_iter().chain(self.state.queue()).map(|d| &*d.asked_by);
        holds(self.definition.id.environment.as_str()) || self.releases().any(of) || asked.any(holds)
    }
}

fn counts<'a>(all: impl Iterator<Item = &'a Known<'a>>) -> BTreeMap<Show, usize> {
    let mut counts: BTreeMap<Show, usize> = Show::ALL.iter().map(|(show, _)| (*show, 0)).collect();
    for known in all {
        for (show, count) in &mut counts {
            *count += usize::from(known.is(*show));
        }
    }
    counts
}

fn is_wanted(pipeline: &Pipeline, all: &[Known<'_>], wanted: &Wanted) -> bool {
    let q = wanted.q.trim().to_lowercase();
    let shown = wanted.show.is_none_or(|show| all.iter().any(|known| known.is(show)));
    // `shop/prod` finds what it says.
    let named = || all.iter().any(|known| known.definition.id.to_string() == q);
    shown && (q.is_empty() || pipeline.name.as_str().contains(&q) || named() || all.iter().any(|known| known.has(&q)))
}

fn sort(found: &mut [(&Arc<Pipeline>, Vec<Known<'_>>)], by: Sort) {
    let changed = |known: &Known<'_>| {
        let live = known.state.live().map(|live| live.since);
        known.state.active().map(|d| d.since).max(live).unwrap_or_default()
    };
    match by {
        // They come by name.
        Sort::Name => {}
        Sort::Needs => found.sort_by_key(|(_, all)| {
            all.iter().flat_map(|k| &k.needs).map(|n| n.kind).min().map_or((1, None), |kind| (0, Some(kind)))
        }),
        Sort::Changed => found.sort_by_key(|(_, all)| std::cmp::Reverse(all.iter().map(changed).max())),
    }
}

fn cell(known: &Known<'_>) -> Cell {
    let Known { definition, state, light, needs, looked, behind } = known;
    Cell {
        environment: definition.id.to_string(),
        name: definition.id.environment.to_string(),
        tier: definition.tier(),
        light: *light,
        live: state.live().map(|live| brief(&live.release, live.since)),
        candidate: state.active().map(|d| Moving {
            number: d.number.0,
            release: brief(&d.release, d.since),
            state: d.state(),
            asked_by: d.asked_by.to_string(),
            until: d.deadline().map(format_time),
        }),
        waits_for: telling::waits(state).what,
        looked: looked.map(format_time),
        held: state.hold().map(|hold| Held { by: hold.by.to_string(), since: format_time(hold.since) }),
        pin: state.pin(),
        needs: !needs.is_empty(),
        behind: *behind,
    }
}

fn brief(release: &Release, since: Millis) -> Brief {
    Brief {
        release: release.number,
        version: telling::shown(&release.version),
        commit: release.commit.as_deref().map(str::to_owned),
        since: format_time(since),
    }
}

impl EnvironmentDefinition {
    /// Returns for how long a look at it counts.
    pub(super) fn fresh_for(&self) -> Millis {
        telling::fresh_for(Millis(u64::try_from(self.watch.as_millis()).unwrap_or(u64::MAX / 4)))
    }

    /// Returns how near it is to users, where its name tells.
    pub(super) fn tier(&self) -> Option<Tier> {
        Tier::of(&self.id.environment)
    }
}
