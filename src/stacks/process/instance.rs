//! One instance of a stack, as its supervisor keeps it: started, watched, started again within bounds, ended.
//!
//! Must not know its siblings.

use std::{collections::VecDeque, os::unix::process::ExitStatusExt, pin::pin, process::ExitStatus, time::Duration};

use futures_util::{FutureExt, future::FusedFuture};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{process::Child, sync::watch, time::timeout};

use super::{
    definition::StopSignal,
    folder::InstancePhase,
    identity, launch,
    output::{self, LastLine},
    supervisor::Shared,
};
use crate::{
    clock::{Stopwatch, after},
    units,
};

/// It counts as running when it has not ended for this long: by then it is what it was to be, or never will.
const SETTLE: Duration = Duration::from_millis(150);
/// How long the last words of a process are waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The longest pause between two starts, in first pauses.
const LONGEST_PAUSE: u32 = 30;

/// How a run came to its end.
struct Ended {
    why: String,
    /// Starting it again can not help.
    hopeless: bool,
}

/// Keeps the instance running until it is stopped or given up.
pub(super) async fn keep(shared: &Shared, instance: usize, mut stop: watch::Receiver<bool>) {
    let policy = shared.definition.restart;
    let mut ends = VecDeque::new();
    while !*stop.borrow() {
        let ended = run_once(shared, instance, &mut stop).await;
        if *stop.borrow() {
            break;
        }
        end_descendants(shared, instance);
        ends.push_back(Stopwatch::start());
        ends.retain(|end| end.elapsed() < policy.within);
        if ended.hopeless || ends.len() > policy.most {
            give_up(shared, instance, ended, &mut stop).await;
            break;
        }
        shared.update(instance, |entry| {
            (entry.phase, entry.pid, entry.last_exit) = (InstancePhase::Pausing, None, Some(ended.why));
        });
        let doubled = 1 << (ends.len() - 1).min(16);
        let pause = policy.backoff.saturating_mul(LONGEST_PAUSE.min(doubled));
        // Either the pause is over or it is to stop; the loop looks which.
        let _ = timeout(pause, stop.wait_for(|stop| *stop)).await;
        shared.update(instance, |entry| entry.restarts += 1);
    }
    shared.update(instance, |entry| (entry.phase, entry.pid) = (InstancePhase::Stopped, None));
}

async fn give_up(shared: &Shared, instance: usize, ended: Ended, stop: &mut watch::Receiver<bool>) {
    let policy = shared.definition.restart;
    let why = if ended.hopeless {
        ended.why
    } else {
        let within = units::show_duration(policy.within);
        format!("it ended more than {} times within {within}, at last: {}", policy.most, ended.why)
    };
    shared.update(instance, |entry| {
        (entry.phase, entry.pid, entry.last_exit) = (InstancePhase::Failed, None, Some(why));
    });
    // An error would mean that the supervisor is gone, and us with it.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// From a start to the end that follows.
async fn run_once(shared: &Shared, instance: usize, stop: &mut watch::Receiver<bool>) -> Ended {
    shared.enter(instance, InstancePhase::Starting);
    let mut child = match launch::start(shared, instance) {
        Ok(child) => child,
        Err(why) => return Ended { why, hopeless: false },
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    shared.update(instance, |entry| entry.pid = pid.and_then(|pid| Some((pid, identity::start_time(pid)?))));
    let last_line = LastLine::default();
    let mut copying = pin!(output::keep(shared, instance, &mut child, &last_line).fuse());
    let status = {
        let mut watching = pin!(watch_over(shared, instance, &mut child, pid, stop));
        loop {
            tokio::select! {
                status = &mut watching => break status,
                // The streams may be closed long before the end; fused, this does not come twice.
                () = &mut copying => {}
            }
        }
    };
    // Nothing is waited for when they were closed before.
    if !copying.is_terminated() {
        let _ = timeout(LAST_WORDS, copying).await;
    }
    let said = last_line.text();
    let hopeless = said.starts_with(launch::CANNOT_START);
    let why = match status {
        _ if hopeless => said,
        Ok(status) if said.is_empty() => show_exit(status),
        Ok(status) => format!("{}: {said}", show_exit(status)),
        Err(error) => format!("its end could not be read: {error}"),
    };
    Ended { why, hopeless }
}

/// Waits for the end, and brings it about when it is time.
async fn watch_over(
    shared: &Shared,
    instance: usize,
    child: &mut Child,
    pid: Option<i32>,
    stop: &mut watch::Receiver<bool>,
) -> std::io::Result<ExitStatus> {
    let settled = async {
        after(SETTLE).await;
        shared.enter(instance, InstancePhase::Running);
        // Only an error would end this, and means the same: stop.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    tokio::select! {
        status = child.wait() => return status,
        () = settled => {}
    }
    let group = pid.and_then(Pid::from_raw);
    // The child is not waited for yet, so its number is still its own, and its group's.
    let tell = |signal| group.map(|group| kill_process_group(group, signal));
    tell(signal_of(shared.definition.stop.signal));
    if let Ok(status) = timeout(shared.definition.stop.grace, child.wait()).await {
        return status;
    }
    tell(Signal::KILL);
    child.wait().await
}

/// What an instance that ended by itself has left behind would hold its port.
fn end_descendants(shared: &Shared, instance: usize) {
    let mark = &shared.spec.mark;
    for process in mark.processes().into_iter().filter(|process| process.instance == Some(instance)) {
        // Whoever is left is found by the next start or by the sweep.
        let _ = mark.signal(process, Signal::KILL);
    }
}

fn signal_of(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
    }
}

fn show_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "killed by signal 9 (KILL; out of memory?)".to_owned(),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
