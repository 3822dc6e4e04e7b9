//! What is said of a stack, from what its supervisor has written. Must not change anything.

use std::{fs, iter, net::SocketAddr, time::Duration};

use super::{
    super::{Condition, SeenInstance, SeenStack},
    folder::{InstancePhase, InstanceState, StackFolder, State},
    left::Left,
};
use crate::{machine::StackName, reach::Reach, units};

/// A stack that is meant to be.
pub(super) fn look(name: StackName, folder: &StackFolder) -> SeenStack {
    let spec = match folder.spec() {
        Ok(spec) => spec,
        Err(error) => {
            let remark = Some(format!("what it is cannot be read: {error}"));
            return SeenStack::new(name, Condition::Failed, Reach::default()).remarked(remark);
        }
    };
    let state = folder.state();
    let (condition, remark) = match (folder.is_supervised(), &state) {
        (Ok(true), Some(state)) => judge(state),
        (Ok(true), None) => (Condition::Creating, None),
        (Ok(false), None) => (Condition::Creating, last_words(folder)),
        (Ok(false), Some(_)) => {
            (Condition::Creating, Some("its supervisor ended: it waits to be started again".to_owned()))
        }
        (Err(error), _) => (Condition::Creating, Some(format!("its lock cannot be read: {error}"))),
    };
    let reach = spec.endpoints.iter().copied().collect();
    let mut seen = SeenStack::new(name, condition, reach).remarked(remark);
    seen.made = folder.made();
    if let Some(state) = state {
        seen.exits = state.instances.iter().map(|entry| entry.exits).sum();
        let addresses = spec.endpoints.iter().copied().map(Some).chain(iter::repeat(None));
        seen.instances = state.instances.iter().zip(addresses).map(instance).collect();
        seen.last_exit = state.last_exit;
    }
    seen
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
    let mut parts = left.ports.clone();
    if left.processes > 0 {
        parts.insert(0, format!("{} of its processes still run", left.processes));
    }
    let remark = (!parts.is_empty()).then(|| parts.join("; "));
    SeenStack { made: folder.made(), ..SeenStack::new(name, Condition::Deleting, reach).remarked(remark) }
}

/// Returns the reason why a supervisor ended before it could say anything else.
fn last_words(folder: &StackFolder) -> Option<String> {
    let log = fs::read_to_string(folder.0.join("logs/supervisor.log")).ok()?;
    Some(format!("its supervisor ended: {}", log.lines().next_back()?))
}
