//! One instance of a stack, as its supervisor keeps it: started or found running, watched, started again, ended.
//!
//! Once the whole stack was up for a while, it is started again for ever: what is live is kept alive. Before, it is given up
//! when it ends too often, so that a deployment ends; wanted still, it is begun again. Must not know its siblings.

use std::{collections::VecDeque, time::Duration};

use rustix::process::Signal;
use tokio::{sync::watch, time::timeout};

use super::{
    definition::{Restart, StopSignal},
    folder::{InstancePhase, InstanceState},
    launch,
    life::Life,
    output::Output,
    supervisor::Shared,
};
use crate::{
    clock::{Stopwatch, after},
    units,
};

/// It counts as running when it has not ended for this long: by then it is what it was to be, or never will.
const SETTLE: Duration = Duration::from_millis(150);
/// What ran for so long before its first end is started again at once.
const RAN: Duration = Duration::from_secs(1);
/// The longest pause between two starts, in first pauses ...
const LONGEST_PAUSE: u32 = 30;
/// ... and never longer than this, unless the first is.
const MOST: Duration = Duration::from_secs(30);

/// How a run came to its end.
struct Ended {
    why: String,
    /// Starting it again the same way cannot help, as far as anybody can tell.
    hopeless: bool,
    /// How long it ran; `None` when it did not start.
    ran: Option<Duration>,
    /// It was ended to be started again.
    by_order: bool,
}

/// Keeps the instance running until it is stopped. `found`: its process, where an earlier supervisor started it.
pub(super) async fn keep(shared: &Shared, instance: usize, mut found: Option<Life>, mut stop: watch::Receiver<bool>) {
    let policy = shared.definition.restart;
    let mut ends = VecDeque::new();
    while !*stop.borrow() {
        let ended = run_once(shared, instance, found.take(), &mut stop).await;
        if *stop.borrow() {
            break;
        }
        if ended.by_order {
            shared.update(instance, |entry| entry.pid = None);
            shared.end_family_of(instance).await;
            continue;
        }
        let pause = note_end(shared, instance, &ended);
        shared.end_family_of(instance).await;
        ends.push_back(Stopwatch::start());
        ends.retain(|end| end.elapsed() < policy.within);
        if shared.is_kept() || !ended.hopeless && ends.len() <= policy.most {
            // Either the pause is over, or it is to stop or to go on at once; the loop looks which.
            let _ = timeout(pause, told(shared, instance, &mut stop)).await;
        } else {
            give_up(shared, instance, ended, &mut stop).await;
            ends.clear();
        }
        shared.update(instance, |entry| entry.restarts += 1);
    }
    tracing::info!(instance, "it has ended, as it was to");
    shared.update(instance, |entry| (entry.phase, entry.pid) = (InstancePhase::Stopped, None));
}

/// Records an end that nobody asked for, and returns the pause before the next start.
fn note_end(shared: &Shared, instance: usize, ended: &Ended) -> Duration {
    let policy = shared.definition.restart;
    let mended = ended.ran.is_some_and(|ran| ran >= policy.within);
    let ran_well = ended.ran.is_some_and(|ran| ran >= RAN);
    let mut length = policy.backoff;
    let mut pausing = |entry: &mut InstanceState| {
        entry.phase = InstancePhase::Pausing;
        entry.in_a_row = if mended { 1 } else { entry.in_a_row.saturating_add(1) };
        length = pause(policy, entry.in_a_row, ran_well);
        entry.pause = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    };
    match ended.ran {
        Some(_) => shared.ended_by_itself(instance, &ended.why, pausing),
        // What could not be started has not ended.
        None => {
            tracing::warn!(instance, "it cannot be started: {}", ended.why);
            shared.update(instance, |entry| {
                (entry.pid, entry.last_exit) = (None, Some(ended.why.clone()));
                pausing(entry);
            });
        }
    }
    let pause = units::show_duration(length);
    tracing::info!(instance, "it is started again after {pause}");
    length
}

/// How long to wait before the next start. `at_once`: it had run well before its first end in a row.
fn pause(policy: Restart, in_a_row: u32, at_once: bool) -> Duration {
    match in_a_row {
        0 | 1 if at_once => Duration::ZERO,
        _ => {
            let doubled = 1 << in_a_row.saturating_sub(1).min(16);
            policy.backoff.saturating_mul(LONGEST_PAUSE.min(doubled)).min(MOST.max(policy.backoff))
        }
    }
}

/// Returns when it must stop, or be started again without waiting any longer.
async fn told(shared: &Shared, instance: usize, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        // An error would mean that the supervisor is gone, and us with it.
        _ = stop.wait_for(|stop| *stop) => {}
        () = shared.again.notified() => {}
        () = shared.ordered(instance) => {}
    }
}

async fn give_up(shared: &Shared, instance: usize, ended: Ended, stop: &mut watch::Receiver<bool>) {
    let policy = shared.definition.restart;
    let why = if ended.hopeless {
        ended.why
    } else {
        let within = units::show_duration(policy.within);
        format!("it ended more than {} times within {within}, at last: {}", policy.most, ended.why)
    };
    tracing::error!(instance, "given up: {why}");
    shared.update(instance, |entry| (entry.phase, entry.last_exit) = (InstancePhase::Failed, Some(why)));
    told(shared, instance, stop).await;
}

/// Runs an instance once, from its start to its end.
async fn run_once(shared: &Shared, instance: usize, found: Option<Life>, stop: &mut watch::Receiver<bool>) -> Ended {
    let (life, mut output) = match found {
        Some(life) => {
            let output = Output::found(shared, instance, life.who().0);
            shared.enter(instance, InstancePhase::Running);
            (life, output)
        }
        None => {
            shared.starts(instance);
            match launch::start(shared, instance) {
                Ok(started) => started,
                Err(why) => return Ended { why, hopeless: false, ran: None, by_order: false },
            }
        }
    };
    tracing::info!(instance, pid = life.who().0, "it runs");
    let begun = Stopwatch::start();
    shared.update(instance, |entry| entry.pid = Some(life.who()));
    let mut by_order = false;
    let watched = {
        let watching = watch_over(shared, instance, &life, (&mut *stop, &mut by_order));
        tokio::select! {
            watched = watching => watched,
            // The streams may be closed long before the end.
            () = async { output.copy().await; std::future::pending().await } => Ok(()),
        }
    };
    let ran = begun.elapsed();
    // Told to stop, the others of its group have their grace, too; what ended by itself takes them with it.
    let how = match watched {
        Ok(()) => life.bury(!*stop.borrow() && !by_order),
        Err(error) => format!("it cannot be watched: {error}"),
    };
    let said = output.last_words();
    let hopeless = said.starts_with(launch::CANNOT_START);
    let why = match said.as_str() {
        _ if hopeless => said,
        "" => how,
        _ => format!("{how}: {said}"),
    };
    Ended { why, hopeless, ran: (!hopeless).then_some(ran), by_order }
}

/// Waits for the end, and brings it about when it is time.
async fn watch_over(
    shared: &Shared,
    instance: usize,
    life: &Life,
    (stop, by_order): (&mut watch::Receiver<bool>, &mut bool),
) -> std::io::Result<()> {
    let settled = async {
        after(SETTLE).await;
        shared.enter(instance, InstancePhase::Running);
        // Only an error would end this, and means the same: stop.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let ordered = shared.ordered(instance);
    tokio::select! {
        ended = life.ended() => return ended,
        () = settled => {}
        () = ordered => *by_order = true,
    }
    end_gently(shared, life).await
}

/// Ends what an earlier supervisor started.
pub(super) async fn end(shared: &Shared, life: Life) {
    if let Err(error) = end_gently(shared, &life).await {
        tracing::warn!(pid = life.who().0, "its end cannot be watched: {error}");
    }
}

/// Asks it to end as its definition says, then insists.
async fn end_gently(shared: &Shared, life: &Life) -> std::io::Result<()> {
    life.signal(signal_of(shared.definition.stop.signal));
    if let Ok(ended) = timeout(shared.definition.stop.grace, life.ended()).await {
        return ended;
    }
    life.signal(Signal::KILL);
    life.ended().await
}

fn signal_of(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_the_first_is_none_after_a_good_run() {
        let policy = Restart::default();
        assert_eq!(pause(policy, 1, true), Duration::ZERO);
        let pauses: Vec<u128> = (1..9).map(|row| pause(policy, row, false).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6000, 6000, 6000]);
        assert_eq!(pause(policy, u32::MAX, true), Duration::from_secs(6));
        let slow = Restart { backoff: Duration::from_secs(10), ..policy };
        assert_eq!(pause(slow, 4, false), MOST);
        let slower = Restart { backoff: Duration::from_secs(60), ..policy };
        assert_eq!(pause(slower, 4, false), Duration::from_secs(60));
    }
}
