//! What the instances of one stack write, for one reader. Must not know where it is kept.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Entry, Of, RECHECK, Wanted, event_id, lines};
use crate::{
    access::Caller,
    http::{App, Problem},
    machine::{Environment, EnvironmentId, Number, StackName},
    runner::{Begin, LogPage, Logs, LogsFrom, Position},
    telling,
};

/// How long more is waited for, so that what is written at the same time is read at once.
const GATHER: Duration = Duration::from_millis(30);

/// One reader of what a stack writes.
pub(in crate::http) struct StackTail {
    app: Arc<App>,
    id: EnvironmentId,
    caller: Caller,
    states: watch::Receiver<Arc<Environment>>,
    /// Part that is followed; `None` when the stack is named by its number.
    of: Option<Of>,
    instance: Option<u32>,
    lines: usize,
    follow: bool,
    /// What is read now, and how far.
    stack: Number,
    at: Begin,
    /// Where the last entry that was told ends.
    heard: Position,
    starts: Option<Vec<u64>>,
    told: VecDeque<(Entry, Position)>,
    writes: Option<watch::Receiver<u64>>,
    over: bool,
}

impl StackTail {
    /// Begins with the last lines, or after what was heard.
    ///
    /// # Errors
    /// That there is no such stack or instance, nothing is kept of it, or it cannot be read now.
    pub(super) async fn begin(
        app: Arc<App>,
        id: EnvironmentId,
        wanted: Wanted,
        caller: Caller,
        heard: Option<&str>,
    ) -> Result<Self, Problem> {
        let of = wanted.of.or(wanted.stack.is_none().then_some(Of::Live));
        if wanted.of.is_some() && wanted.stack.is_some() {
            return Err(Problem::new(400, "name the stack by `stack` or by `of`, not by both"));
        }
        let states = app.journal.watch(&id);
        let state = states.borrow().clone();
        let number = wanted.stack.map(Number).or_else(|| of.and_then(|of| number_of(&state, of)));
        let heard = heard.filter(|_| wanted.follow).map(event_id::<Position>).transpose()?;
        let stack = heard.as_ref().map(|(number, _)| *number).or(number);
        let stack = stack.ok_or_else(|| none(&id, &state, of))?;
        let lines = lines(&wanted);
        let resumed = heard.is_some();
        let heard = heard.map(|(_, position)| position);
        let mut tail = Self {
            at: heard.clone().map_or(Begin::Last(lines), Begin::After),
            heard: heard.unwrap_or_default(),
            instance: wanted.instance,
            follow: wanted.follow,
            starts: None,
            told: VecDeque::new(),
            writes: None,
            over: false,
            app,
            id,
            caller,
            states,
            of,
            lines,
            stack,
        };
        if !resumed {
            tail.say_which(&state);
        }
        tail.read(&state).await?;
        Ok(tail)
    }

    fn name(&self) -> StackName {
        StackName { environment: self.id.clone(), number: self.stack }
    }

    fn say_which(&mut self, state: &Environment) {
        let of = parts(state).into_iter().find(|(_, number)| *number == self.stack).map(|(of, _)| of);
        let version = state.release_of(self.stack).map(|release| release.version.to_string());
        self.told.push_back((Entry::Stack { stack: self.stack.0, of, version }, self.heard.clone()));
    }

    /// Reads what there is more, once. Returns whether there was anything.
    async fn read(&mut self, state: &Environment) -> Result<bool, Problem> {
        let from = LogsFrom { instance: self.instance, begin: self.at.clone(), unfinished: !self.follow };
        let page = match self.app.instances.logs(&self.name(), &from).await {
            Ok(Logs::Page(page)) => page,
            // It has not written yet, or is just being put away.
            Ok(Logs::NotKept(_)) if is_there(state, self.stack) => return Ok(false),
            Ok(Logs::NotKept(kept)) => return Err(not_kept(&self.id, state, self.stack, &kept)),
            Err(error) => return Err(Problem::new(if error.is_refusal() { 409 } else { 503 }, error.to_string())),
        };
        if let Some(instance) = self.instance.filter(|i| !page.instances.is_empty() && !page.instances.contains(i)) {
            let all: Vec<String> = page.instances.iter().map(ToString::to_string).collect();
            let why = format!("stack {} has no instance {instance}; it has: {}", self.stack, all.join(", "));
            return Err(Problem::not_found(&format!("{why} (`pointsman logs {} --stack {}`)", self.id, self.stack)));
        }
        let (more, before) = (page.more, self.told.len());
        self.take(page);
        Ok(more || self.told.len() > before)
    }

    fn take(&mut self, page: LogPage) {
        let stack = self.stack.0;
        let missed = (page.missed, Entry::Missed { stack });
        self.told.extend(missed.0.then(|| (missed.1, self.heard.clone())));
        let before = self.starts.replace(page.starts.clone()).unwrap_or_else(|| page.starts.clone());
        let again = before.iter().zip(&page.starts).enumerate().filter(|(_, (before, now))| before < now);
        let again = again.filter_map(|(instance, _)| u32::try_from(instance).ok());
        let again = again.filter(|instance| self.instance.is_none_or(|only| only == *instance));
        self.told.extend(again.map(|instance| (Entry::Started { stack, instance }, self.heard.clone())));
        for line in page.lines {
            self.heard.advance(line.instance, line.stream, line.next);
            let (instance, stream, text) = (line.instance, line.stream.as_str(), line.text);
            self.told.push_back((Entry::Line { stack, instance, stream, text }, self.heard.clone()));
        }
        self.heard = page.next.clone();
        self.at = Begin::After(page.next);
    }

    /// The next entry, with the id after which it goes on; waits for it. None when nothing more comes, or whoever asked
    /// may not hear it any more.
    pub(super) async fn next(&mut self) -> Option<(Entry, String)> {
        loop {
            if let Some(next) = self.at_hand() {
                return Some(next);
            }
            if self.over || !self.app.access.still(&self.caller, self.app.clock.host()) {
                return None;
            }
            // First this, then the look: what is written in between rings.
            if self.writes.is_none() {
                self.writes = self.app.instances.writes(&self.name());
            }
            self.writes.as_mut().map(watch::Receiver::mark_unchanged);
            let state = self.states.borrow_and_update().clone();
            let more = match self.read(&state).await {
                Ok(more) => more,
                // It was removed meanwhile, or cannot be read now: said by what comes next, or asked again.
                Err(problem) => {
                    tracing::debug!(?problem, "what a stack wrote cannot be read for a follower");
                    self.leave(&state);
                    false
                }
            };
            if more || self.go_over(&state) {
                continue;
            }
            if !self.told.is_empty() {
                continue;
            }
            self.wait().await;
        }
    }

    /// Follows another stack that has the part now. Returns whether that is so.
    fn go_over(&mut self, state: &Environment) -> bool {
        let now = self.of.and_then(|of| number_of(state, of)).filter(|now| *now != self.stack);
        if let Some(now) = now {
            (self.stack, self.at, self.writes) = (now, Begin::Last(self.lines), None);
            (self.heard, self.starts) = (Position::default(), None);
            self.say_which(state);
            return true;
        }
        self.leave(state);
        self.over
    }

    /// Ends when the stack that is followed is gone for ever.
    fn leave(&mut self, state: &Environment) {
        let there = is_there(state, self.stack);
        if !there && !matches!(self.of, Some(Of::Live)) && !self.over {
            self.over = true;
            self.told.push_back((Entry::Ended { stack: self.stack.0 }, self.heard.clone()));
        }
    }

    pub(super) fn goes_on(&self) -> bool {
        self.of == Some(Of::Live) || is_there(&self.states.borrow(), self.stack)
    }

    /// The next entry, if it has been read already.
    pub(super) fn at_hand(&mut self) -> Option<(Entry, String)> {
        let (entry, heard) = self.told.pop_front()?;
        Some((entry, format!("{}.{heard}", self.stack)))
    }

    async fn wait(&mut self) {
        let written = async {
            if let Some(bell) = &mut self.writes
                && bell.changed().await.is_ok()
            {
                return self.app.clock.wait(GATHER).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = written => {}
            _ = self.states.changed() => {}
            () = self.app.clock.wait(RECHECK) => {}
        }
    }
}

/// Whether the stack is of use, or not gone yet.
fn is_there(state: &Environment, number: Number) -> bool {
    let stacks = state.live().into_iter().chain(state.standby().map(|s| &s.stack)).map(|s| s.number);
    let others = state.active().into_iter().chain(state.queue()).map(|d| d.number);
    stacks.chain(others).chain(state.retiring().iter().map(|r| r.number)).any(|there| there == number)
}

/// The stack that has this part now.
fn number_of(state: &Environment, of: Of) -> Option<Number> {
    match of {
        Of::Live => state.live().map(|live| live.number),
        Of::Candidate => state.active().map(|d| d.number).filter(|n| state.live().is_none_or(|live| live.number != *n)),
        Of::Standby => state.standby().map(|standby| standby.stack.number),
        Of::Failed => telling::last_failure(state).map(|ended| ended.number),
    }
}

/// The parts that a stack has now.
pub(in crate::http) fn parts(state: &Environment) -> Vec<(Of, Number)> {
    let all = [Of::Live, Of::Candidate, Of::Standby, Of::Failed];
    all.into_iter().filter_map(|of| Some((of, number_of(state, of)?))).collect()
}

/// The stacks whose output may be looked at, with the part that each has.
fn listed(id: &EnvironmentId, state: &Environment, kept: &[Number]) -> String {
    let mut all: Vec<(Number, &str)> = parts(state).into_iter().map(|(of, number)| (number, of.word())).collect();
    let more = kept.iter().rev().filter(|n| !all.iter().any(|(known, _)| known == *n)).map(|n| (*n, ""));
    all.extend(more.collect::<Vec<_>>());
    let one = |(number, part): &(Number, &str)| {
        let version = state.release_of(*number).map(|release| release.version.to_string());
        let words: Vec<String> = version.into_iter().chain((!part.is_empty()).then(|| (*part).to_owned())).collect();
        if words.is_empty() { format!("stack {number}") } else { format!("stack {number} ({})", words.join(", ")) }
    };
    match all.as_slice() {
        [] => format!("there is no stack yet (`pointsman status {id}`)"),
        [first, ..] => {
            let listed: Vec<String> = all.iter().map(one).collect();
            format!("there are: {} (`pointsman logs {id} --stack {}`)", listed.join(", "), first.0)
        }
    }
}

fn none(id: &EnvironmentId, state: &Environment, of: Option<Of>) -> Problem {
    let what = match of {
        Some(Of::Live) | None => "nothing is live in",
        Some(Of::Candidate) => "no deployment is under way in",
        Some(Of::Standby) => "there is no standby in",
        Some(Of::Failed) => "no deployment has failed of late in",
    };
    Problem::not_found(&format!("{what} {id}; {}", listed(id, state, &[])))
}

fn not_kept(id: &EnvironmentId, state: &Environment, stack: Number, kept: &[Number]) -> Problem {
    let made = stack <= state.last_number();
    let why = if made { "no output is kept of" } else { "there was never" };
    Problem::not_found(&format!("{why} stack {stack} in {id}; {}", listed(id, state, kept)))
}
