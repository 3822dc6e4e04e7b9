//! What people were shown when they decided: the `ETag` of an environment says it in full, so that `If-Match` can be
//! answered with what has become different, in words. It holds what matters for a decision and nothing that changes by
//! itself, such as health. Must not decide anything else.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{App, Problem, problem::Difference, responses::GateName};
use crate::{
    machine::{Environment, EnvironmentId, Plan, Release, Share},
    pipelines::release,
    text::format_time,
};

/// The longest part of a version that a tag holds, in characters: a header must stay small.
const LONGEST: usize = 40;
/// How many bytes of a digest a tag holds.
const DIGEST: usize = 6;
/// The most tags of one `If-Match`.
const MOST: usize = 8;

/// Facts that a decision is made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    environment: EnvironmentId,
    live: Option<Brought>,
    standby: Option<Brought>,
    candidate: Option<Brought>,
    gate: Option<GateName>,
    /// The part of 100 users that the candidate has.
    share: Option<u8>,
    queue: Vec<Brought>,
    hold: Option<Held>,
    pin: Option<u32>,
    /// Release that a promotion would bring.
    promote: Option<Named>,
    /// What it would be made of and what it would wait for.
    terms: Option<Terms>,
}

/// What a release would be in the environment to which it goes, by digests: a pipeline file or a secret may change while
/// somebody reads what would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    definition: String,
    parameters: String,
    secrets: String,
    gates: String,
    hooks: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Brought {
    deployment: u32,
    release: Named,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    number: u32,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    by: String,
    since: String,
}

/// One look: the states that everything about a decision is taken from.
pub(super) struct Look {
    /// The environment.
    pub state: Arc<Environment>,
    /// The one before it, from which releases are promoted.
    pub before: Option<Arc<Environment>>,
    /// What a promotion would bring, as it would be here, or why there is nothing.
    pub promoted: Result<Arc<Release>, String>,
    /// Facts shown of both.
    pub shown: Shown,
}

impl Look {
    pub(super) fn at(app: &App, id: &EnvironmentId) -> Self {
        let before = app.pipelines.get(&id.pipeline).and_then(|p| p.before(id));
        let before = before.map(|before| app.journal.state(&before.id));
        let state = app.journal.state(id);
        let promoted = adapted(app, id, before.as_deref());
        let plan = app.pipelines.environment(id).map(|definition| &*definition.plan);
        let terms = promoted.as_ref().ok().zip(plan).map(|(release, plan)| Terms::of(release, plan));
        let shown = Shown { terms, ..Shown::of(id, &state, before.as_deref()) };
        Self { state, before, promoted, shown }
    }
}

/// The release that a promotion to `to` would bring, as it would be there.
fn adapted(app: &App, to: &EnvironmentId, before: Option<&Environment>) -> Result<Arc<Release>, String> {
    let pipeline = app.pipelines.get(&to.pipeline).ok_or("there is no such pipeline")?;
    let from = pipeline.before(to).ok_or_else(|| {
        let deploy = format!("`pointsman deploy {to} --version VERSION --artifact ARTIFACT`");
        format!("the first environment has none before it; deploy a build: {deploy}")
    })?;
    let to = app.pipelines.environment(to).ok_or("there is no such environment")?;
    let live = before
        .and_then(Environment::live)
        .ok_or_else(|| format!("nothing is live in {0} (`pointsman why {0}`)", from.id))?;
    let release = release::promoted(pipeline, from, to, &live.release, &app.secrets);
    release.map(Arc::new).map_err(|why| why.to_string())
}

impl Terms {
    fn of(release: &Release, plan: &Plan) -> Self {
        Self {
            definition: digest(&(&release.definition, &release.source)),
            parameters: digest(&release.parameters),
            secrets: digest(&release.secrets),
            gates: digest(&(&plan.before_provisioning, &plan.before_cutover)),
            hooks: digest(&plan.hooks),
        }
    }
}

fn digest(what: &impl Serialize) -> String {
    let json = serde_json::to_vec(what).expect("what a release is made of serialises: it is recorded as JSON");
    hex::encode(&Sha256::digest(json)[..DIGEST])
}

impl Shown {
    fn of(id: &EnvironmentId, state: &Environment, before: Option<&Environment>) -> Self {
        let brought = |number: crate::machine::Number, release: &Release| Brought {
            deployment: number.0,
            release: Named::of(release),
        };
        let active = state.active();
        Self {
            environment: id.clone(),
            live: state.live().map(|s| brought(s.number, &s.release)),
            standby: state.standby().map(|s| brought(s.stack.number, &s.stack.release)),
            candidate: active.map(|d| brought(d.number, &d.release)),
            gate: active.and_then(|d| d.gate()).map(GateName::from),
            share: active.and_then(|d| d.share()).map(Share::percent),
            queue: state.queue().iter().map(|d| brought(d.number, &d.release)).collect(),
            hold: state.hold().map(|h| Held { by: h.by.to_string(), since: format_time(h.since) }),
            pin: state.pin(),
            promote: before.and_then(|e| e.live()).map(|s| Named::of(&s.release)),
            terms: None,
        }
    }

    /// Returns it as a strong entity tag.
    pub(super) fn tag(&self) -> HeaderValue {
        HeaderValue::from_str(&self.text()).expect("base64 between quotes is visible ASCII")
    }

    /// The same as text.
    pub(super) fn text(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts and numbers serialise");
        format!("\"{}\"", URL_SAFE_NO_PAD.encode(json))
    }

    fn read(tag: &str) -> Option<Self> {
        // A proxy that packs answers makes tags weak; what they say stays true.
        let tag = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(tag).ok()?).ok()
    }

    /// What of it that concerns `action` is different `now`.
    fn differences(&self, now: &Self, action: Action) -> Vec<Difference> {
        // Those of another release are other ones anyway.
        let same = self.promote == now.promote;
        let terms = |of: &Self, term: fn(&Terms) -> &String| {
            let terms = of.terms.as_ref().filter(|_| same);
            terms.map_or("nothing".into(), |terms| format!("what has the digest {}", term(terms)))
        };
        let both = |term: fn(&Terms) -> &String| (terms(self, term), terms(now, term));
        let [definition, parameters, secrets] =
            [both(|t| &t.definition), both(|t| &t.parameters), both(|t| &t.secrets)];
        let [gates, hooks] = [both(|t| &t.gates), both(|t| &t.hooks)];
        let all = [
            ("live", live(self), live(now)),
            ("standby", brought(self.standby.as_ref()), brought(now.standby.as_ref())),
            ("candidate", candidate(self), candidate(now)),
            ("share", share(self), share(now)),
            ("queue", queue(self), queue(now)),
            ("hold", hold(self), hold(now)),
            ("pin", pin(self), pin(now)),
            ("promote", promoted(self), promoted(now)),
            ("definition", definition.0, definition.1),
            ("parameters", parameters.0, parameters.1),
            ("secrets", secrets.0, secrets.1),
            ("gates", gates.0, gates.1),
            ("hooks", hooks.0, hooks.1),
        ];
        let concerned = all.into_iter().filter(|(what, ..)| action.concerns().contains(what));
        let changed = concerned.filter(|(_, shown, now)| shown != now);
        changed.map(|(what, shown, now)| Difference { what, shown, now }).collect()
    }
}

impl Named {
    fn of(release: &Release) -> Self {
        Self { number: release.number, version: release.version.chars().take(LONGEST).collect() }
    }
}

fn brought(what: Option<&Brought>) -> String {
    what.map_or("nothing".into(), |b| {
        format!("deployment {} with release {} ({})", b.deployment, b.release.number, b.release.version)
    })
}

fn live(of: &Shown) -> String {
    brought(of.live.as_ref())
}

fn candidate(of: &Shown) -> String {
    let gate = match of.gate {
        Some(GateName::BeforeProvisioning) => ", waiting for approval before provisioning",
        Some(GateName::BeforeCutover) => ", waiting for approval before the cutover",
        None => "",
    };
    brought(of.candidate.as_ref()) + gate
}

fn share(of: &Shown) -> String {
    of.share.map_or("no share of the users".into(), |share| format!("{share} % of the users"))
}

fn queue(of: &Shown) -> String {
    let waiting: Vec<_> = of.queue.iter().map(|b| brought(Some(b))).collect();
    if waiting.is_empty() { "nothing".into() } else { waiting.join(", then ") }
}

fn hold(of: &Shown) -> String {
    of.hold.as_ref().map_or("no hold".into(), |h| format!("held by {} since {}", h.by, h.since))
}

fn pin(of: &Shown) -> String {
    of.pin.map_or("no pin".into(), |release| format!("pinned to release {release}"))
}

fn promoted(of: &Shown) -> String {
    of.promote.as_ref().map_or("nothing".into(), |r| format!("release {} ({})", r.number, r.version))
}

/// What is about to be done, which says what of that shown matters: a new build in qa is no reason not to roll prod back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Promote,
    Rollback,
    Abort,
    Approve,
    /// Going on from a share of the users, or keeping it.
    Step,
    Deploy,
}

impl Action {
    fn concerns(self) -> &'static [&'static str] {
        match self {
            Self::Promote => &[
                "live",
                "candidate",
                "queue",
                "hold",
                "pin",
                "promote",
                "definition",
                "parameters",
                "secrets",
                "gates",
                "hooks",
            ],
            Self::Rollback => &["live", "standby", "candidate"],
            Self::Abort => &["live", "candidate", "queue"],
            Self::Approve => &["live", "candidate"],
            Self::Step => &["live", "candidate", "share"],
            Self::Deploy => &["live", "candidate", "queue", "hold", "pin"],
        }
    }
}

/// What the caller was shown, where they say so.
#[derive(Debug, Default)]
pub(super) struct IfMatch(Vec<Shown>);

impl IfMatch {
    /// Reads the header; absent and `*` ask for nothing.
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            let text = value.to_str().map_err(|_| malformed())?.trim();
            if text == "*" {
                continue;
            }
            for tag in text.split(',') {
                tags.push(Shown::read(tag.trim()).ok_or_else(malformed)?);
            }
        }
        if tags.len() > MOST { Err(malformed()) } else { Ok(Self(tags)) }
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything was said, if it is still so.
    pub(super) fn still(&self, now: &Shown, action: Action) -> Result<bool, Problem> {
        let Some(first) = self.0.first() else { return Ok(false) };
        if self.0.iter().all(|shown| shown.environment != now.environment) {
            let why = format!("this `If-Match` is of {}, not of {}", first.environment, now.environment);
            return Err(Problem::new(400, format!("{why}; take the `ETag` of the environment that you mean")));
        }
        let mut differences = self.0.iter().map(|shown| shown.differences(now, action));
        let first = differences.next().unwrap_or_default();
        if first.is_empty() || differences.any(|d| d.is_empty()) { Ok(true) } else { Err(Problem::changed(first)) }
    }
}

fn malformed() -> Problem {
    Problem::new(
        400,
        "`If-Match` cannot be read: send the `ETag` of GET /v1/environments/{pipeline}/{environment} as it came, or `*`",
    )
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}
