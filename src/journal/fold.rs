//! Folds records into states, at start and by `verify`. Reading and checking the chain run in one thread,
//! parsing and folding in another.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
};

use super::{
    level,
    problem::{Fault, Problem},
    read::{self, Block, End},
    record::{self, Record, Sum},
    storage::{Storage, segment_name},
};
use crate::machine::{Environment, EnvironmentId};

pub(super) type States = HashMap<EnvironmentId, Arc<Environment>>;

/// The state of all environments after a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folded {
    /// The count of that record; 0: before the first.
    pub seq: u64,
    /// Its sum.
    pub sum: Sum,
    /// The highest format level up to it.
    pub level: u32,
    /// States of the environments that have events.
    pub states: States,
}

impl Default for Folded {
    fn default() -> Self {
        Self { seq: 0, sum: Sum::default(), level: level::FIRST, states: States::new() }
    }
}

impl Folded {
    /// Folds the segment of that number. On an error the state is of no use.
    pub(super) fn segment(&mut self, storage: &dyn Storage, number: u32, newest: bool) -> Result<End, Problem> {
        let name = segment_name(number);
        let before = self.sum;
        let end = std::thread::scope(|scope| {
            let (blocks, checked) = mpsc::sync_channel::<Block>(4);
            let name = &name;
            let chain = scope.spawn(move || {
                let mut reader = storage.reader(name).map_err(|error| missing(name, error))?;
                read::segment(name, &mut *reader, before, newest, &mut |block| blocks.send(block).is_ok())
            });
            let folded = checked.into_iter().try_for_each(|block| self.block(name, &block));
            // What the fold met comes before what the other thread, which is ahead of it, met.
            let end = chain.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            folded.and(end)
        })?;
        self.sum = end.sum;
        Ok(end)
    }

    fn block(&mut self, file: &str, block: &Block) -> Result<(), Problem> {
        for (number, offset, line) in block.lines() {
            let fold = record::parse(line).map_err(Fault::from).and_then(|record| self.record(record));
            fold.map_err(|fault| Problem::new(file, number, offset, fault))?;
        }
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), Fault> {
        let (expected, found) = (self.seq + 1, record.seq);
        if found != expected {
            return Err(Fault::OutOfOrder { expected, found });
        }
        let level = self.level.max(record.v);
        let (environment, entry) = record.into_entry();
        let state = match self.states.get_mut(&environment) {
            Some(state) => state,
            None => self.states.entry(environment.clone()).or_default(),
        };
        Arc::make_mut(state).apply(&entry).map_err(|illegal| Fault::DoesNotFit { environment, illegal })?;
        (self.seq, self.level) = (found, level);
        Ok(())
    }

    /// The invariants of every environment. `file`: what was read last, for the message.
    pub(super) fn check(&self, file: &str) -> Result<(), Problem> {
        self.states.iter().try_for_each(|(environment, state)| {
            let fault = |violation| Fault::Inconsistent { environment: environment.clone(), violation };
            state.check().map_err(|violation| Problem::whole(file, fault(violation)))
        })
    }
}

fn missing(name: &str, error: std::io::Error) -> Problem {
    let fault = if error.kind() == std::io::ErrorKind::NotFound { Fault::Missing } else { Fault::Io(error) };
    Problem::whole(name, fault)
}
