//! The only writer of state, without threads: it decides on provisional state, writes a batch of records with one flush,
//! and only then lets go of the answers. When there is no room it takes the whole batch back.
//!
//! Must not be used any more after [`Dead`]: whether the records are on the disk is then not known, and to try a flush
//! again proves nothing, because the kernel may have thrown the pages away.

use std::{collections::HashMap, io, sync::Arc, thread::JoinHandle};

use super::{
    NotRecorded, Options,
    aside::Before,
    fold::{Folded, States},
    level,
    open::{self, Start},
    record::{Record, Sum},
    snapshot,
    storage::{Appender, Storage, is_full, segment_name, snapshot_name},
};
use crate::machine::{Ask, Command, Entry, Environment, EnvironmentId, Event, Illegal, Millis, Name, Refusal, Seq};

/// Request to record a change.
pub(super) struct Request {
    pub environment: EnvironmentId,
    pub by: Arc<str>,
    pub at: Millis,
    pub change: Change,
}

/// Change that a request brings.
pub(super) enum Change {
    /// Decided here; only while each of these environments is in the state after that many events.
    Decide(Command, Vec<(EnvironmentId, Seq)>),
    /// Decided elsewhere, on the state after that many events.
    Append(Seq, Event),
}

impl Request {
    /// What puts things right or goes on with what was begun: it may use the ballast.
    fn is_essential(&self) -> bool {
        match &self.change {
            Change::Append(..) => true,
            Change::Decide(command, _) => matches!(command.what, Ask::Abort(..) | Ask::Rollback(..)),
        }
    }
    fn is_intake(&self) -> bool {
        matches!(&self.change, Change::Decide(command, _) if matches!(command.what, Ask::Deploy { .. }))
    }
}

/// A batch that is safe.
#[derive(Default)]
pub(super) struct Committed {
    /// One for each request, in their order.
    pub answers: Vec<Result<Arc<Record>, NotRecorded>>,
    /// The new states.
    pub states: HashMap<EnvironmentId, Arc<Environment>>,
}

/// The writer cannot go on; the process must end and read the file again.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {file} failed: {source}")]
pub(super) struct Dead {
    doing: &'static str,
    file: String,
    source: io::Error,
}

/// Who may still be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    Plenty,
    /// Below the low-water mark: nothing new is taken in.
    Low,
    /// The disk was full and the ballast is given back: essential records only.
    Full,
}

pub(super) struct Ledger {
    storage: Arc<dyn Storage>,
    options: Options,
    file: Box<dyn Appender>,
    segment: u32,
    length: u64,
    /// The last record of the segment before.
    before_segment: u64,
    /// How many records the segment holds.
    lines: u64,
    rotate_at: u64,
    /// All that was decided, flushed or not.
    folded: Folded,
    /// The environments that there are, or were about to be, of each pipeline: releases are numbered across them.
    places: HashMap<Name, Vec<EnvironmentId>>,
    full: bool,
    buffer: Vec<u8>,
    snapshot: Option<JoinHandle<()>>,
}

struct Undo {
    seq: u64,
    sum: Sum,
    level: u32,
    states: HashMap<EnvironmentId, Option<Arc<Environment>>>,
}

impl Ledger {
    pub(super) fn new(storage: Arc<dyn Storage>, options: Options, start: Start, torn: bool) -> io::Result<Self> {
        let file = open::repair(&*storage, &start, torn)?;
        let loaded = storage.load_ballast(options.ballast_bytes);
        let full = match loaded {
            Err(error) if is_full(&error) => true,
            loaded => loaded.map(|()| false)?,
        };
        let Start { folded, segment, length, lines, .. } = start;
        let rotate_at = options.snapshot_every.max(1);
        let (buffer, snapshot) = (Vec::new(), None);
        let mut places = HashMap::new();
        folded.states.keys().for_each(|environment| note_place(&mut places, environment));
        let before_segment = folded.seq - lines;
        if let Some(aside) = &options.aside {
            aside.keep_what_is_missing(&*storage, folded.level, options.low_water_bytes);
        }
        Ok(Self {
            storage,
            options,
            file,
            segment,
            length,
            before_segment,
            lines,
            rotate_at,
            folded,
            places,
            full,
            buffer,
            snapshot,
        })
    }

    /// The states as they are after the last commit.
    pub(super) fn folded(&self) -> &Folded {
        &self.folded
    }

    /// Decides all requests, one after the other, and makes what they come to safe. Nothing is answered before: also a
    /// refusal may rest on a record that is not safe yet.
    pub(super) fn commit(&mut self, requests: &[Request]) -> Result<Committed, Dead> {
        let room = self.room();
        let (committed, undo) = self.stage(requests, room);
        if self.buffer.is_empty() {
            return Ok(committed);
        }
        self.keep_a_way_back(&undo, requests);
        if self.write()? {
            self.rotate_if_due();
            return Ok(committed);
        }
        self.take_back(undo)?;
        self.full = true;
        if let Err(error) = self.storage.drop_ballast() {
            tracing::warn!(%error, "the ballast could not be given back");
        }
        let (committed, undo) = self.stage(requests, Room::Full);
        if self.buffer.is_empty() || self.write()? {
            return Ok(committed);
        }
        self.take_back(undo)?;
        let answers = requests.iter().map(|_| Err(NotRecorded::NoSpace)).collect();
        Ok(Committed { answers, ..Committed::default() })
    }

    fn room(&mut self) -> Room {
        let Ok(Some(free)) = self.storage.free() else { return if self.full { Room::Full } else { Room::Plenty } };
        let Options { low_water_bytes, ballast_bytes, .. } = self.options;
        // Twice: with only the ballast's own room it would be filled, given back and filled again.
        if self.full && free >= low_water_bytes.saturating_add(ballast_bytes.saturating_mul(2)) {
            self.full = self.storage.load_ballast(ballast_bytes).is_err();
        }
        match self.full {
            true => Room::Full,
            false if free < low_water_bytes => Room::Low,
            false => Room::Plenty,
        }
    }

    fn stage(&mut self, requests: &[Request], room: Room) -> (Committed, Undo) {
        self.buffer.clear();
        let mut undo =
            Undo { seq: self.folded.seq, sum: self.folded.sum, level: self.folded.level, states: HashMap::new() };
        let admitted = |request: &Request| match room {
            Room::Plenty => true,
            Room::Low => !request.is_intake(),
            Room::Full => request.is_essential(),
        };
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(if admitted(request) { self.decide(request, &mut undo) } else { Err(NotRecorded::NoSpace) });
        }
        let now =
            |environment: &EnvironmentId| Some((environment.clone(), self.folded.states.get(environment)?.clone()));
        let states = undo.states.keys().filter_map(now).collect();
        (Committed { answers, states }, undo)
    }

    fn decide(&mut self, request: &Request, undo: &mut Undo) -> Result<Arc<Record>, NotRecorded> {
        let Request { environment, by, at, change } = request;
        let floor = if request.is_intake() { self.last_release(environment) } else { 0 };
        let states = &mut self.folded.states;
        let event = {
            let fresh = Arc::default();
            let state = states.get(environment).unwrap_or(&fresh);
            match change {
                Change::Decide(command, looked_at) => match state.command_above(floor, command, by) {
                    // Asked again, it is not the command that has moved the state on.
                    Err(again @ Refusal::Duplicate(_)) => return Err(NotRecorded::Refused(again)),
                    _ if looked_at.iter().any(|(id, seq)| seq_of(states, id) != *seq) => {
                        return Err(NotRecorded::Moved);
                    }
                    answer => answer.map_err(NotRecorded::Refused)?,
                },
                Change::Append(expected, _) if state.seq() != *expected => return Err(NotRecorded::Moved),
                Change::Append(_, event) => event.clone(),
            }
        };
        let entry = Entry { at: *at, by: by.clone(), event };
        // Taken out, so that from its second record in a batch on the state is nobody else's and is not copied again.
        let before = states.remove(environment);
        if !undo.states.contains_key(environment) {
            undo.states.insert(environment.clone(), before.clone());
        }
        if before.is_none() {
            note_place(&mut self.places, environment);
        }
        let mut state = before.unwrap_or_default();
        let length = self.buffer.len();
        let level = level::of(&entry.event, &state);
        let record = Arc::make_mut(&mut state).apply(&entry).map_err(NotRecorded::Illegal).and_then(|()| {
            let (seq, before) = (self.folded.seq + 1, self.folded.sum);
            let written = Record::write(&mut self.buffer, seq, environment, &entry, (level, before));
            // Only a map with keys that are no texts can fail here, and no event has one.
            written.map_err(|_| {
                NotRecorded::Illegal(Illegal { event: "any", number: Default::default(), why: "it has no JSON" })
            })
        });
        match record {
            Ok(record) => {
                states.insert(environment.clone(), state);
                (self.folded.seq, self.folded.sum) = (record.seq, record.sum);
                self.folded.level = self.folded.level.max(record.v);
                Ok(Arc::new(record))
            }
            Err(not_recorded) => {
                self.buffer.truncate(length);
                if state.seq() > Seq(0) {
                    states.insert(environment.clone(), state);
                }
                Err(not_recorded)
            }
        }
    }

    /// The highest number of a release in any environment of that pipeline.
    fn last_release(&self, environment: &EnvironmentId) -> u32 {
        let places = self.places.get(&environment.pipeline).into_iter().flatten();
        places.filter_map(|place| self.folded.states.get(place)).map(|state| state.last_release()).max().unwrap_or(0)
    }

    /// Copies the state before the first record of a newer level. What has to be recorded is recorded also when that fails.
    fn keep_a_way_back(&mut self, undo: &Undo, requests: &[Request]) {
        if self.options.aside.is_some() && self.folded.level > undo.level {
            // It removes older snapshots, which are to be copied.
            self.wait_for_snapshot();
        }
        if let Some(aside) = self.options.aside.as_ref().filter(|_| self.folded.level > undo.level) {
            let (level, was, records) = (self.folded.level, undo.level, undo.seq);
            let at = requests.iter().map(|request| request.at).min().unwrap_or(Millis(0));
            let (segment, length) = (self.segment, self.length);
            let before = Before { level, was, records, at, segment, length, copied: false, why: None };
            aside.keep(&*self.storage, before, self.options.low_water_bytes);
        }
    }

    /// Whether the buffer is safe on the disk; if not, there was no room.
    fn write(&mut self) -> Result<bool, Dead> {
        match self.file.write(&self.buffer) {
            Err(error) if is_full(&error) => return Ok(false),
            written => written.map_err(|source| self.dead("writing", source))?,
        }
        self.file.flush().map_err(|source| self.dead("flushing", source))?;
        self.length += self.buffer.len() as u64;
        self.lines = self.folded.seq - self.before_segment;
        Ok(true)
    }

    /// Cuts off what a full disk let through, for good: a record that was answered with "no" must not come back.
    fn take_back(&mut self, undo: Undo) -> Result<(), Dead> {
        self.file.truncate(self.length).map_err(|source| self.dead("cutting", source))?;
        self.file.flush().map_err(|source| self.dead("flushing", source))?;
        (self.folded.seq, self.folded.sum, self.folded.level) = (undo.seq, undo.sum, undo.level);
        for (environment, state) in undo.states {
            match state {
                Some(state) => self.folded.states.insert(environment, state),
                None => self.folded.states.remove(&environment),
            };
        }
        Ok(())
    }

    fn dead(&self, doing: &'static str, source: io::Error) -> Dead {
        Dead { doing, file: segment_name(self.segment), source }
    }

    /// A failure here loses nothing: the segment grows on, and the snapshot is only a shortcut.
    fn rotate_if_due(&mut self) {
        if self.lines < self.rotate_at {
            return;
        }
        let number = self.segment + 1;
        match self.storage.appender(&segment_name(number)) {
            Ok(file) => {
                (self.file, self.segment, self.length, self.lines) = (file, number, 0, 0);
                self.before_segment = self.folded.seq;
                self.rotate_at = self.options.snapshot_every.max(1);
                self.take_snapshot(number);
            }
            Err(error) => {
                self.rotate_at = self.lines + self.options.snapshot_every.max(1);
                tracing::warn!(%error, file = segment_name(number), "the next segment could not be begun; tried again later");
            }
        }
    }

    fn take_snapshot(&mut self, number: u32) {
        if self.options.snapshot_in_place {
            return snapshot_and_tidy(&*self.storage, number, &self.folded);
        }
        if self.snapshot.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (storage, folded) = (self.storage.clone(), self.folded.clone());
        let thread = std::thread::Builder::new().name("snapshot".into());
        self.snapshot = thread.spawn(move || snapshot_and_tidy(&*storage, number, &folded)).ok();
    }

    /// Waits until the snapshot that is being written, if there is one, is written or given up.
    fn wait_for_snapshot(&mut self) {
        if let Some(thread) = self.snapshot.take() {
            let _ = thread.join(); // It logs what went wrong.
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // So that the lock is free, and nothing writes any more, when the journal is closed.
        self.wait_for_snapshot();
    }
}

fn note_place(places: &mut HashMap<Name, Vec<EnvironmentId>>, environment: &EnvironmentId) {
    let known = places.entry(environment.pipeline.clone()).or_default();
    if !known.contains(environment) {
        known.push(environment.clone());
    }
}

fn seq_of(states: &States, environment: &EnvironmentId) -> Seq {
    states.get(environment).map_or(Seq(0), |state| state.seq())
}

/// Keeps this snapshot and the one before it.
fn snapshot_and_tidy(storage: &dyn Storage, number: u32, folded: &Folded) {
    if let Err(error) = snapshot::write(storage, number, folded) {
        tracing::warn!(%error, file = snapshot_name(number), "no snapshot was taken; a start takes longer");
        return;
    }
    let names = match storage.names() {
        Ok(names) => names,
        Err(error) => {
            tracing::warn!(%error, "the state folder cannot be listed; old snapshots stay until the next one");
            return;
        }
    };
    let (_, snapshots) = super::storage::numbers(&names);
    for old in snapshots.iter().rev().filter(|&&n| n <= number).skip(2) {
        let _ = storage.remove(&snapshot_name(*old)); // It is tried again with the next.
    }
}
