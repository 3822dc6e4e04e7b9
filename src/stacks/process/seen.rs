//! What is said of a stack, from what its supervisor has written. Must not change anything.

use std::{fs, iter, net::SocketAddr, time::Duration};

use super::{
    super::{Condition, SeenInstance, SeenStack},
    folder::{InstancePhase, InstanceState, Spec, StackFolder, State},
    left::Left,
    order::RunOrder,
};
use crate::{machine::StackName, reach::Reach, units};

/// A stack that is meant to be.
pub(super) fn look(name: StackName, folder: &StackFolder, order: RunOrder) -> SeenStack {
    let spec = match folder.spec() {
        Ok(spec) => spec,
        Err(error) => {
            let remark = Some(format!("what it is cannot be read: {error}"));
            let seen = SeenStack::new(name, Condition::Failed, Reach::default()).remarked(remark);
            return SeenStack { obeyed: order.order, ..seen };
        }
    };
    let state = folder.state();
    let (condition, remark) = match (folder.is_supervised(), &state) {
        // What was told to end it before that order still does.
        (Ok(true), Some(state)) if state.obeyed.unwrap_or(0) < order.order => {
            (Condition::Creating, Some("it waits to be started again".to_owned()))
        }
        (Ok(true), Some(state)) => judge(state),
        (Ok(true), None) => (Condition::Creating, None),
        (Ok(false), None) => (Condition::Creating, last_words(folder)),
        (Ok(false), Some(_)) => {
            (Condition::Creating, Some("its supervisor ended: it waits to be started again".to_owned()))
        }
        (Err(error), _) => (Condition::Creating, Some(format!("its lock cannot be read: {error}"))),
    };
    let seen = SeenStack::new(name, condition, Reach::default()).remarked(remark);
    SeenStack { obeyed: order.order, ..filled(seen, folder, &spec, state) }
}

/// The same with where it serves, and with what its supervisor says of its instances.
fn filled(mut seen: SeenStack, folder: &StackFolder, spec: &Spec, state: Option<State>) -> SeenStack {
    seen.reach = spec.endpoints.iter().copied().collect();
    seen.made = folder.made();
    if let Some(state) = state {
        seen.exits = state.instances.iter().map(|entry| entry.exits).sum();
        let addresses = spec.endpoints.iter().copied().map(Some).chain(iter::repeat(None));
        seen.instances = state.instances.iter().zip(addresses).map(instance).collect();
        seen.last_exit = state.last_exit;
    }
    seen
}

/// A stack that is being stopped.
pub(super) fn stopping(name: StackName, folder: &StackFolder, order: RunOrder, left: &Left) -> SeenStack {
    resting(SeenStack::new(name, Condition::Stopping, Reach::default()).remarked(left.words()), folder, order)
}

/// A stack of which nothing runs.
pub(super) fn stopped(name: StackName, folder: &StackFolder, order: RunOrder) -> SeenStack {
    resting(SeenStack::new(name, Condition::Stopped, Reach::default()), folder, order)
}

fn resting(seen: SeenStack, folder: &StackFolder, order: RunOrder) -> SeenStack {
    let seen = match folder.spec() {
        Ok(spec) => filled(seen, folder, &spec, folder.state()),
        Err(error) => {
            let why = format!("what it is cannot be read, so it cannot be started again: {error}");
            seen.remarked(Some(why))
        }
    };
    let down = |instance: SeenInstance| SeenInstance { up: false, ..instance };
    let instances = seen.instances.into_iter().map(down).collect();
    SeenStack { obeyed: order.order, instances, ..seen }
}

fn instance((entry, address): (&InstanceState, Option<SocketAddr>)) -> SeenInstance {
    SeenInstance {
        started_for: entry.started_for,
        ending_for: entry.ending_for,
        up: entry.phase == InstancePhase::Running && !entry.is_ordered(),
        ends: entry.in_a_row,
        last_exit: entry.last_exit.clone(),
        address,
    }
}

fn judge(state: &State) -> (Condition, Option<String>) {
    let instances = || state.instances.iter().enumerate();
    let failed = instances().find(|(_, entry)| entry.phase == InstancePhase::Failed);
    if let Some((index, entry)) = failed {
        return (Condition::Failed, Some(format!("instance {index} failed: {}", why(entry))));
    }
    let running = instances().all(|(_, entry)| entry.phase == InstancePhase::Running);
    let condition = if running { Condition::Ready } else { Condition::Creating };
    // What is down says more than what was.
    let down = |entry: &InstanceState| match entry.phase {
        InstancePhase::Pausing => true,
        InstancePhase::Starting => entry.in_a_row > 0,
        _ => false,
    };
    let down = instances().find(|(_, entry)| down(entry)).map(|(index, entry)| {
        let pause = units::show_duration(Duration::from_millis(entry.pause));
        let next = if entry.pause == 0 {
            "is started again at once".to_owned()
        } else {
            format!("is tried again every {pause}")
        };
        match entry.in_a_row {
            1 => format!("instance {index} ended and {next}: {}", why(entry)),
            times => format!("instance {index} ended {times} times in a row and {next}: {}", why(entry)),
        }
    });
    let restarted = || {
        let (index, entry) = instances().filter(|(_, entry)| entry.restarts > 0).max_by_key(|(_, e)| e.restarts)?;
        let times = if entry.restarts == 1 { "once".to_owned() } else { format!("{} times", entry.restarts) };
        Some(format!("instance {index} was restarted {times}, at last: {}", entry.last_exit.as_deref()?))
    };
    (condition, down.or_else(restarted))
}

fn why(entry: &InstanceState) -> &str {
    entry.last_exit.as_deref().unwrap_or("no reason was given")
}

/// A stack that is on its way out.
pub(super) fn leaving(name: StackName, folder: &StackFolder, left: &Left) -> SeenStack {
    // What it was is not needed to end it.
    let reach = folder.spec().map_or_else(|_| Reach::default(), |spec| spec.endpoints.into_iter().collect());
    SeenStack { made: folder.made(), ..SeenStack::new(name, Condition::Deleting, reach).remarked(left.words()) }
}

/// Returns the reason why a supervisor ended before it could say anything else.
fn last_words(folder: &StackFolder) -> Option<String> {
    let log = fs::read_to_string(folder.0.join("logs/supervisor.log")).ok()?;
    Some(format!("its supervisor ended: {}", log.lines().next_back()?))
}
