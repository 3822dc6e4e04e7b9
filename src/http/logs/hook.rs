//! What one run of a hook writes, for one reader. Must not know where it is kept.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{Entry, Wanted, event_id, lines};
use crate::{
    access::Caller,
    http::{App, Problem},
    machine::{Environment, EnvironmentId, Number},
    runner::{HookRun, LinesFrom, RunState, Written},
};

/// How often it is looked whether there is more, and whether the token is still good.
const LOOK: Duration = Duration::from_millis(250);

/// One reader of what a hook writes.
pub(in crate::http) struct HookTail {
    app: Arc<App>,
    id: EnvironmentId,
    caller: Caller,
    states: watch::Receiver<Arc<Environment>>,
    run: HookRun,
    from: LinesFrom,
    /// Where the last entry that was told ends.
    heard: u64,
    told: VecDeque<(Entry, u64)>,
    /// It has come to its end, and that was told.
    over: bool,
}

impl HookTail {
    pub(super) async fn begin(
        app: Arc<App>,
        id: EnvironmentId,
        hook: Arc<str>,
        wanted: Wanted,
        caller: Caller,
        heard: Option<&str>,
    ) -> Result<Self, Problem> {
        let heard = heard.filter(|_| wanted.follow).map(event_id::<u64>).transpose()?;
        let states = app.journal.watch(&id);
        let state = states.borrow().clone();
        let known = known(&app, &id, &state).await?;
        let number = heard.map(|(number, _)| number).or(wanted.deployment.map(Number));
        let number = number.or_else(|| known.iter().filter(|run| run.hook == hook).map(|run| run.number).max());
        let none = |number| Problem::not_found(&nothing(&app, &id, &hook, number, &known));
        let run = HookRun { number: number.ok_or_else(|| none(None))?, hook: hook.clone() };
        if !known.contains(&run) {
            return Err(none(Some(run.number)));
        }
        let from = heard.map_or(LinesFrom::Last(lines(&wanted)), |(_, at)| LinesFrom::At(at));
        let first = heard.is_none().then(|| which(&state, &run));
        let told = first.into_iter().map(|entry| (entry, 0)).collect();
        let mut tail =
            Self { app, id, caller, states, run, from, heard: heard.map_or(0, |(_, at)| at), told, over: false };
        tail.read().await.map_err(unreadable)?;
        Ok(tail)
    }

    /// Reads what there is more, once.
    async fn read(&mut self) -> io::Result<()> {
        // First this: what was ordered then and has no folder has not begun yet.
        let ordered = is_ordered(&self.states.borrow_and_update(), &self.run);
        match self.app.hook_logs.written(&self.id, &self.run, self.from).await? {
            Some(written) => self.take(written),
            None if ordered => {}
            None => self.end(Some("it was abandoned before it began".to_owned())),
        }
        Ok(())
    }

    fn take(&mut self, Written { lines, state }: Written) {
        let (deployment, hook) = (self.run.number.0, self.run.hook.to_string());
        if lines.missed {
            self.told.push_back((Entry::HookMissed { deployment, hook: hook.clone() }, self.heard));
        }
        for line in lines.lines {
            self.told.push_back((Entry::HookLine { deployment, hook: hook.clone(), text: line.text }, line.next));
        }
        self.heard = lines.next;
        self.from = LinesFrom::At(lines.next);
        if let RunState::Done(outcome) = state {
            self.end(outcome.failed);
        }
    }

    fn end(&mut self, failed: Option<String>) {
        let (deployment, hook) = (self.run.number.0, self.run.hook.to_string());
        self.told.push_back((Entry::HookEnded { deployment, hook, failed }, self.heard));
        self.over = true;
    }

    pub(super) async fn next(&mut self) -> Option<(Entry, String)> {
        loop {
            if let Some(next) = self.at_hand() {
                return Some(next);
            }
            if self.over || !self.app.access.still(&self.caller, self.app.clock.host()) {
                return None;
            }
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "what a hook wrote cannot be read for a follower");
            }
            if self.told.is_empty() {
                self.app.clock.wait(LOOK).await;
            }
        }
    }

    pub(super) fn at_hand(&mut self) -> Option<(Entry, String)> {
        let (entry, at) = self.told.pop_front()?;
        Some((entry, format!("{}.{at}", self.run.number)))
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.over
    }
}

fn unreadable(error: io::Error) -> Problem {
    Problem::new(503, format!("what the hooks wrote cannot be read: {error}"))
}

fn is_ordered(state: &Environment, run: &HookRun) -> bool {
    state.hooks_ordered().any(|(number, hook)| number == run.number && hook.name == run.hook)
}

fn which(state: &Environment, run: &HookRun) -> Entry {
    let version = state.release_of(run.number).map(|release| release.version.to_string());
    Entry::Hook { deployment: run.number.0, hook: run.hook.to_string(), version }
}

/// The runs of which something is kept, and those that are about to begin.
async fn known(app: &App, id: &EnvironmentId, state: &Environment) -> Result<Vec<HookRun>, Problem> {
    let mut known = app.hook_logs.kept(id).await.map_err(unreadable)?;
    known.extend(state.hooks_ordered().map(|(number, hook)| HookRun { number, hook: hook.name.clone() }));
    known.sort();
    known.dedup();
    Ok(known)
}

/// The last run of each hook whose output may be looked at.
///
/// # Errors
/// When what is kept cannot be read.
pub(in crate::http) async fn latest(
    app: &App,
    id: &EnvironmentId,
    state: &Environment,
) -> Result<BTreeMap<Arc<str>, Number>, Problem> {
    // The later one comes later.
    Ok(known(app, id, state).await?.into_iter().map(|run| (run.hook, run.number)).collect())
}

/// Says why there is nothing of this hook, and of which there is something.
fn nothing(app: &App, id: &EnvironmentId, hook: &str, number: Option<Number>, known: &[HookRun]) -> String {
    let definition = app.pipelines.environment(id);
    let defined = definition.into_iter().flat_map(|definition| &definition.hooks);
    let defined: Vec<&str> = defined.map(|hook| &*hook.name).collect();
    let ran = known.iter().any(|run| &*run.hook == hook);
    let why = match number {
        Some(number) if ran || defined.contains(&hook) => {
            format!(
                "nothing is kept of hook {hook} of deployment {number} in {id}: it did not run, or was cleared away"
            )
        }
        None if defined.contains(&hook) => format!("hook {hook} did not run yet in {id}, or was cleared away"),
        Some(_) | None if defined.is_empty() => format!("{id} has no hook {hook:?}, and no other"),
        Some(_) | None => format!("{id} has no hook {hook:?}; it has: {}", defined.join(", ")),
    };
    let kept = known.iter().rev().map(|run| format!("{} of deployment {}", run.hook, run.number));
    let kept: Vec<String> = kept.collect();
    match known.last() {
        None => format!("{why}; nothing is kept of any hook (`pointsman history {id}` shows how hooks went)"),
        Some(last) => {
            let command = format!("pointsman logs {id} --hook {} --deployment {}", last.hook, last.number);
            format!("{why}; there are: {} (`{command}`)", kept.join(", "))
        }
    }
}
