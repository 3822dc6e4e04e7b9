//! The runner: one loop for each environment, that looks at the world, lets the machine say what happened and what is
//! due, records the one and does the other. The only caller of drivers and the only spawner of tasks.
//!
//! It must not decide anything that the machine could, and must not keep anything that the journal should.

mod board;
mod environment;
mod facing;
mod hook_logs;
mod hooking;
mod instances;
mod lives;
mod looking;
mod open;
mod pacing;
mod promoting;
mod requests;
mod restarting;
mod shared;
mod source;
mod spawn;
mod sweep;
mod watching;
mod world;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub(crate) use board::TELLING;
pub use board::{Board, Concern, Counted, Ends, Sight, StackSight, Trouble};
pub(crate) use environment::step_name;
pub use hook_logs::HookLogs;
pub use hooking::Hooks;
pub use instances::Instances;
pub(crate) use looking::Looking;
pub use open::{Place, open};
pub use promoting::{Adapt, Promotion};
pub use shared::SharedStacks;
pub use source::{Source, mirror};
pub(crate) use watching::known_as;
pub use world::World;
pub(crate) use world::{Verdict, Verdicts, public_question, refresh, stack_view};

pub use crate::hooks::{LinesFrom, Run as HookRun, State as RunState, Written};
pub use crate::stacks::{Begin, LogPage, Logs, LogsFrom, Position};

use self::{environment::Loop, looking::Pulse, spawn::Tasks, sweep::Sweep};
use crate::{clock::Clock, journal::Journal};

/// How often the providers are asked for stacks of environments that nobody describes any more.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Starts a task of another part; `true` when it is done.
pub type Beside = Box<dyn FnMut(watch::Receiver<bool>) -> BoxFuture<'static, bool> + Send>;

/// Runs all environments until `stop` says so, then lets calls under way come back, for a bounded time.
///
/// `beside`: what else must live as long as they do, by name; it is begun again when it returns `false` or panics.
pub async fn run(
    worlds: Vec<World>,
    beside: Vec<(String, Beside)>,
    journal: Journal,
    clock: Clock,
    stop: watch::Receiver<bool>,
) {
    let mut tasks = Tasks::new(clock.clone());
    let sweep = Arc::new(Sweep::new(&worlds, clock.clone()));
    for (name, mut begin) in beside {
        let stopped = stop.clone();
        tasks.keep_alive(name, move || begin(stopped.clone()));
    }
    let stopped = stop.clone();
    tasks.keep_alive("sweep".into(), move || sweep.clone().run(SWEEP_EVERY, stopped.clone()));
    let pulse = Pulse::start();
    let (beating, time, stopped) = (pulse.clone(), clock, stop.clone());
    tasks.keep_alive("pulse".into(), move || beating.clone().run(time.clone(), stopped.clone()));
    for world in worlds {
        let (name, world) = (world.id.to_string(), Arc::new(world));
        let (journal, stop) = (journal.clone(), stop.clone());
        if world.promotion.is_some() {
            let (world, journal, stop) = (world.clone(), journal.clone(), stop.clone());
            let promoting = move || promoting::run(world.clone(), journal.clone(), stop.clone());
            tasks.keep_alive(format!("promotion to {name}"), promoting);
        }
        let pulse = pulse.clone();
        let looking = move || Loop::new(world.clone(), journal.clone(), pulse.clone(), stop.clone()).run();
        tasks.keep_alive(name, looking);
    }
    tasks.all().await;
}
