//! What a front does with an order. A new route is written first, then applied, then acknowledged, then flushed, and
//! seen only when it is on the disk.
//!
//! So the front may be killed at any time: what it acknowledged it serves when it comes back. Only a power cut within
//! the milliseconds of a flush brings it back with the route before, and then nothing that this route needs is gone:
//! the controller tears a stack down, and calls another live, only after it has *seen* the newer route, and a route
//! older than its last order it orders anew. Must not listen for orders.

use std::{io, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{io::BufReader, net::UnixStream, sync::oneshot, task::yield_now, time::timeout};

use super::{Follower, Front, VERSION};
use crate::{
    machine::Generation,
    web_front::{
        CutOver, Route, SeenFront, Target,
        builtin::{
            DRIVER,
            control::{Answer, Order, PROTOCOL, Seen, receive, send},
            store::{Memory, Store},
        },
    },
};

/// Longest wait for a front that follows us to do as it is told.
const OBEDIENCE: Duration = Duration::from_secs(2);

/// Waits for the disk; may be given up and begun again at any time.
pub(super) async fn flushed(store: &mut Option<Store>) -> io::Result<()> {
    // Whoever just got an answer gets it first.
    yield_now().await;
    match store {
        Some(store) => store.flushed().await,
        None => Ok(()),
    }
}

impl Front {
    /// Does it and answers; what says how things are waits for the disk.
    pub(super) async fn take(&mut self, order: Order, answer: oneshot::Sender<Answer>) {
        let proof = matches!(order, Order::Observe | Order::Maintenance { .. });
        let said = self.obey(order.clone()).await;
        if proof && self.is_unflushed() && matches!(said, Answer::Seen(_) | Answer::Done) {
            self.flush_due = true;
            self.waiting.push((order, answer));
        } else {
            // Who asked may have gone.
            let _ = answer.send(said);
        }
    }

    pub(super) fn is_unflushed(&self) -> bool {
        self.store.as_ref().is_some_and(|store| !store.is_flushed())
    }

    /// Answers those who waited. After a failed flush it is written again, and flushed when somebody asks again.
    pub(super) async fn answer_waiting(&mut self, flushed: io::Result<()>) {
        self.flush_due = false;
        let kept = flushed.map_err(|error| {
            tracing::error!(%error, "route not persisted");
            let again = self.store.as_mut().map_or(Ok(()), |store| store.write(&mut self.memory));
            format!("the route in force cannot be written to the disk: {}", again.err().unwrap_or(error))
        });
        for (order, answer) in std::mem::take(&mut self.waiting) {
            let said = match &kept {
                Ok(()) if matches!(order, Order::Observe) => self.obey(order).await,
                Ok(()) => Answer::Done,
                Err(why) => Answer::Unavailable { why: why.clone() },
            };
            let _ = answer.send(said);
        }
    }

    pub(super) async fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Observe | Order::Greet => Answer::Seen(self.seen().await),
            Order::CutOver { route } => self.cut_over(route).await,
            Order::Stage { candidate } => self.stage(candidate).await,
            Order::Maintenance { on } => {
                let next = Memory { maintenance: on, ..self.memory.clone() };
                self.change(next, Order::Maintenance { on }, Answer::Done).await
            }
            Order::Reload => match self.reload() {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Refused { why: error.to_string() },
            },
            Order::HandOff | Order::TakenOver | Order::Keep => {
                Answer::Refused { why: "this front has handed over, or was not asked to".to_owned() }
            }
        }
    }

    async fn cut_over(&mut self, route: Route) -> Answer {
        let applied = self.memory.route.as_ref();
        let generation = applied.map_or(Generation(0), |applied| applied.generation);
        if generation > route.generation {
            return Answer::CutOver { result: CutOver::Stale { applied: generation } };
        }
        let done = Answer::CutOver { result: CutOver::Applied };
        if let Some(applied) = applied.filter(|applied| applied.generation == route.generation) {
            if *applied == route {
                return done;
            }
            if !applied.is_same_order(&route) {
                return Answer::Refused { why: format!("generation {generation} was applied to another route") };
            }
        }
        if let Some(why) = route.flaw(DRIVER.takes) {
            return Answer::Refused { why };
        }
        let mut next = Memory { route: Some(route.clone()), ..self.memory.clone() };
        let split = route.split.as_ref().map(|split| &split.target);
        let arrived = |staged: &Target| route.target.iter().chain(split).any(|target| target.stack == staged.stack);
        next.staged = next.staged.filter(|staged| !arrived(staged));
        self.change(next, Order::CutOver { route }, done).await
    }

    async fn stage(&mut self, candidate: Target) -> Answer {
        if let Some(why) = candidate.flaw(DRIVER.takes) {
            return Answer::Refused { why };
        }
        let next = Memory { staged: Some(candidate.clone()), ..self.memory.clone() };
        self.change(next, Order::Stage { candidate }, Answer::Done).await
    }

    /// Remembers, applies, and has those who follow us do the same.
    async fn change(&mut self, mut next: Memory, order: Order, done: Answer) -> Answer {
        if next == self.memory {
            return done;
        }
        if let Some(store) = &mut self.store
            && let Err(error) = store.write(&mut next)
        {
            return Answer::Unavailable { why: format!("the route cannot be written to the disk: {error}") };
        }
        self.memory = next;
        self.flush_due = self.is_unflushed();
        let memory = &self.memory;
        self.plane.set(memory.route.as_ref(), memory.staged.as_ref(), memory.maintenance, self.faults.now());
        self.tell(&order).await;
        done
    }

    /// A follower that does not obey is ended: it would answer users from a stack that is no longer live.
    async fn tell(&mut self, order: &Order) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut obedient = Vec::new();
        for mut follower in self.followers.drain(..) {
            match timeout(OBEDIENCE, talk(&mut follower.link, order)).await {
                Ok(Ok(Some(answer))) => {
                    answers.push(answer);
                    obedient.push(follower);
                }
                // Gone by itself.
                Ok(_) => {}
                Err(_) => end(&follower),
            }
        }
        self.followers = obedient;
        answers
    }

    async fn seen(&mut self) -> Seen {
        let mut open = self.plane.open();
        let mut connections = self.plane.connections();
        let mut held = self.plane.held() as u64;
        self.faults.count(self.plane.refused());
        let trouble = self.faults.all(|now| self.plane.certificate_trouble(now));
        for answer in self.tell(&Order::Observe).await {
            let Answer::Seen(seen) = answer else { continue };
            connections += seen.connections;
            held += seen.front.as_ref().map_or(0, |front| front.held);
            for (name, count) in seen.front.map(|front| front.open).unwrap_or_default() {
                match open.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += count,
                    None => open.push((name, count)),
                }
            }
        }
        let never = Route::whole(Generation(0), None);
        let staged = self.memory.staged.as_ref().map(|staged| staged.stack.clone());
        // Open requests alone are worth telling: a follower counts even when it has no route.
        let known = self.memory.route.is_some() || staged.is_some() || !open.is_empty() || held > 0;
        let route = self.memory.route.clone().unwrap_or(never);
        Seen {
            front: known.then(|| SeenFront {
                staged,
                staged_at: self.memory.staged.clone(),
                open,
                counted: self.plane.counted(),
                held,
                ..SeenFront::new(route)
            }),
            maintenance: self.memory.maintenance,
            version: VERSION.to_owned(),
            settings: self.digest.clone(),
            pid: std::process::id(),
            connections,
            protocol: PROTOCOL,
            trouble,
        }
    }
}

async fn talk(follower: &mut BufReader<UnixStream>, order: &Order) -> io::Result<Option<Answer>> {
    send(follower, order).await?;
    receive(follower).await
}

/// Its connection is open, so the number is still its own.
fn end(follower: &Follower) {
    tracing::error!(pid = follower.pid, "a front that handed over does not obey; ending it");
    if let Some(pid) = i32::try_from(follower.pid).ok().and_then(Pid::from_raw) {
        // Failing means that it is gone.
        let _ = kill_process(pid, Signal::KILL);
    }
}
