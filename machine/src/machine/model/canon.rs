//! States made comparable: what no rule reads (texts, counts of events) is made the same everywhere.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

use super::{
    config::Config,
    people::ASKER,
    source,
    world::{Id, STRANGER, UNKNOWN, small},
};
use crate::machine::{
    Adopts, Back, Entry, Environment, Event, Flaps, Generation, Illegal, Key, Millis, Number, Phase, Plan, Release,
    Seq, Straying, Trigger,
};

/// A folded journal and its fingerprint, so that it is hashed once and not with every world that shares it.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) env: Environment,
    hash: u64,
}

impl PartialEq for Core {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.env == other.env
    }
}
impl Eq for Core {}
impl Hash for Core {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Core {
    pub(super) fn new(mut env: Environment) -> Arc<Self> {
        canonical(&mut env);
        let mut hasher = DefaultHasher::new();
        env.hash(&mut hasher);
        Arc::new(Self { hash: hasher.finish(), env })
    }

    /// The journal with one more event.
    pub(super) fn with(&self, event: &Event) -> Result<Arc<Self>, Illegal> {
        let mut env = self.env.clone();
        let by = if matches!(event, Event::Accepted { .. }) { asker() } else { text() };
        env.apply(&Entry { at: Millis(0), by, event: event.clone() })?;
        Ok(Self::new(env))
    }

    pub(super) fn live(&self) -> Id {
        self.env.live().map_or(0, |s| id(s.number))
    }
    pub(super) fn standby(&self) -> Id {
        self.env.standby().map_or(0, |s| id(s.stack.number))
    }
    pub(super) fn active(&self) -> Id {
        self.env.active().map_or(0, |d| id(d.number))
    }
}

/// A number as the model keeps it. No budget leads beyond the last one.
pub(super) fn id(number: Number) -> Id {
    small(number.0).min(UNKNOWN)
}

/// The one text there is.
pub(super) fn text() -> Arc<str> {
    static TEXT: OnceLock<Arc<str>> = OnceLock::new();
    TEXT.get_or_init(|| "".into()).clone()
}

fn canonical(env: &mut Environment) {
    env.seq = Seq(0);
    for deployment in env.active.iter_mut().chain(&mut env.queue) {
        if let Phase::RollbackRequested { reason }
        | Phase::RevertRequested { reason, .. }
        | Phase::Reverting { reason, .. } = &mut deployment.phase
        {
            *reason = text();
        }
        match &mut deployment.phase {
            Phase::Paging { back: Some(Back { reason, .. }), .. }
            | Phase::Stopping { back: Some(Back { reason, .. }), .. }
            | Phase::Starting { reason, .. } => *reason = text(),
            _ => {}
        }
        if deployment.progress.failed.is_some() {
            deployment.progress.failed = Some(text());
        }
    }
    if let Some(straying) = &mut env.straying {
        straying.shown = text();
    }
    if let Some(down) = &mut env.down {
        down.reason = text();
    }
    if let Some(taken) = env.standby.as_mut().and_then(|s| s.taken.as_mut()) {
        taken.reason = text();
    }
    if let Some(hold) = &mut env.hold {
        (hold.by, hold.reason) = (text(), text());
    }
    if let Some(maintenance) = &mut env.maintenance {
        (maintenance.by, maintenance.reason) = (text(), text());
    }
    (env.paged_since, env.last_downtime) = (None, None);
    env.runs.sort_unstable_by_key(|run| run.number);
    for veto in &mut env.vetoes {
        veto.reason = text();
    }
    for ended in &mut env.ended {
        ended.reason = text();
    }
    env.vetoes.sort_unstable_by_key(|v| v.release);
    env.ended.sort_unstable_by_key(|e| e.number);
}

fn asker() -> Arc<str> {
    static TEXT: OnceLock<Arc<str>> = OnceLock::new();
    TEXT.get_or_init(|| ASKER.into()).clone()
}

/// The stack that is there to be adopted.
pub(super) fn adopts() -> Arc<Adopts> {
    static STACK: OnceLock<Arc<Adopts>> = OnceLock::new();
    STACK.get_or_init(|| Arc::new(Adopts { stack: "old".into(), output: None })).clone()
}

/// What a webhook announces, always the same text.
pub(super) fn draft(config: &Config) -> Release {
    static DRAFT: OnceLock<Release> = OnceLock::new();
    let draft = DRAFT.get_or_init(|| Release::draft("v")).clone();
    Release { source: config.source.is_there().then(text), ..draft }
}

/// The journal at the start: empty, or with deployment 1 live and found good.
pub(super) fn start(config: &Config) -> Arc<Core> {
    let mut env = Environment { rules: config.core_rules(), ..Environment::default() };
    if config.live_at_start {
        let number = Number(1);
        let (release, plan) = (
            Arc::new(Release { number: 1, definition: source::digest(1), ..draft(config) }),
            Arc::new(Plan::clone(&config.plan())),
        );
        let key = Key([0; 16]);
        let hooks = plan.hooks.iter().filter(|hook| hook.at.is_after_the_end()).cloned().collect();
        let plan = Arc::new(Plan { before_provisioning: None, before_cutover: None, hooks, ..Plan::clone(&plan) });
        for event in [
            Event::Accepted {
                number,
                key,
                build_number: None,
                release,
                plan,
                trigger: Trigger::Build,
                reason: None,
                stranger: false,
            },
            Event::Started { number },
            Event::Provisioned { number },
            Event::Checked { number, answers: Vec::new() },
            Event::CutOverOrdered { number, generation: Generation(1), share: None },
            Event::WentLive { number, host: None },
            Event::Succeeded { number },
        ] {
            env.apply(&Entry { at: Millis(0), by: text(), event }).expect("a deployment that goes well fits");
        }
    }
    if config.stranger && !config.live_at_start {
        // It was seen before the first build was announced.
        let event = Event::StrangerFound { number: Number(STRANGER.into()) };
        env.apply(&Entry { at: Millis(0), by: text(), event }).expect("a stranger is found at any time");
    }
    if config.strayed > 0 {
        let (since, began, shown) = (Millis(0), Millis(0), text());
        env.straying = Some(Straying { since, began, in_a_row: config.strayed, shown, operator_needed: false });
    }
    if config.flapped > 0 {
        env.flaps = Some(Flaps { times: config.flapped, up_at: Millis(0) });
    }
    Core::new(env)
}
