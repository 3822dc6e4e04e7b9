//! Runs of hooks, and the stack that is there to be adopted: what lives beside the controllers and outlasts them.

use std::sync::{Arc, OnceLock};

use super::{
    canon::{Core, id, text},
    config::Config,
    promises::Promise,
    world::{Cloud, Id, Thing, Told, World},
};
use crate::machine::{Condition, Event, Health, Hook, HookPoint, HookState, HookView, Millis, Number, Plan};

/// How many hooks a plan may have.
pub(super) const HOOKS: u8 = 8;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    NotBegun,
    Running,
    Passed,
    Failed,
}

/// The runs of all deployments' hooks, two bits for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Runs(u128);

impl Runs {
    fn place(id: Id, hook: u8) -> u8 {
        2 * (id * HOOKS + hook.min(HOOKS - 1))
    }

    pub(super) fn get(self, id: Id, hook: u8) -> Run {
        match self.0 >> Self::place(id, hook) & 3 {
            0 => Run::NotBegun,
            1 => Run::Running,
            2 => Run::Passed,
            _ => Run::Failed,
        }
    }

    pub(super) fn set(&mut self, id: Id, hook: u8, run: Run) {
        let place = Self::place(id, hook);
        self.0 = self.0 & !(3 << place) | (run as u128) << place;
    }

    /// Returns the runs that were begun.
    pub(super) fn begun(self) -> impl Iterator<Item = (Id, u8, Run)> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = u8::try_from(left.trailing_zeros() / 2).ok().filter(|_| left != 0)?;
            left &= !(3 << (2 * place));
            let (id, hook) = (place / HOOKS, place % HOOKS);
            Some((id, hook, self.get(id, hook)))
        })
    }

    pub(super) fn views(self) -> Vec<HookView> {
        let view = |(id, hook, run): (Id, u8, Run)| HookView {
            number: Number(id.into()),
            hook: name(hook),
            state: match run {
                Run::NotBegun | Run::Running => HookState::Running,
                Run::Passed => HookState::Passed { said: text() },
                Run::Failed => HookState::Failed { reason: text(), said: text() },
            },
        };
        self.begun().map(view).collect()
    }
}

fn name(hook: u8) -> Arc<str> {
    static NAMES: OnceLock<[Arc<str>; HOOKS as usize]> = OnceLock::new();
    NAMES.get_or_init(|| ["1", "2", "3", "4", "5", "6", "7", "8"].map(Into::into))[usize::from(hook)].clone()
}

/// Whether a deployment under these terms has hooks on its way.
fn has_hooks(plan: &Plan) -> bool {
    plan.hooks.iter().any(|hook| !hook.at.is_after_the_end())
}

/// Returns the number of the hook with that name.
pub(super) fn hook(name: &str) -> u8 {
    let nth: u8 = name.parse().expect("hooks of the model are called by their number, from 1 on");
    nth - 1
}

impl Config<'_> {
    /// The hooks of every deployment.
    pub(super) fn plan_hooks(&self) -> Vec<Hook> {
        let hook = |(n, at): (u8, &HookPoint)| Hook { name: name(n), at: *at, within: Millis(10), one_way: false };
        (0..).zip(self.hooks).map(hook).collect()
    }

    /// Whether the run of a hook comes to an end by itself.
    pub(super) fn ends(&self, hook: u8) -> bool {
        self.silent.is_none_or(|silent| self.hooks[usize::from(hook)] < silent)
    }

    /// Whether all hooks of a deployment for which this holds have passed.
    pub(super) fn hooks_passed(&self, cloud: &Cloud, told: &Told, id: Id, which: impl Fn(HookPoint) -> bool) -> bool {
        let needed = (0..).zip(self.hooks).filter(|(_, at)| which(**at));
        !told.hooked.has(id) || needed.into_iter().all(|(hook, _)| cloud.runs.get(id, hook) == Run::Passed)
    }

    /// A run is begun once, whoever asks again (rule R37).
    pub(super) fn begin_run(&self, cloud: &mut Cloud, id: Id, hook: u8) {
        if cloud.runs.get(id, hook) == Run::NotBegun || !self.on(37) {
            cloud.runs.set(id, hook, Run::Running);
        }
    }

    pub(super) fn judge_run(&self, w: &mut World, id: Id, hook: u8) {
        if w.cloud.runs.get(id, hook) != Run::NotBegun && !self.on(37) {
            w.told.broken = Some(Promise::RunTwice);
        }
    }

    /// What an event means for hooks and adoptions.
    pub(super) fn judge_hooks(&self, w: &mut World, base: &Core, event: &Event) {
        let told = &mut w.told;
        match event {
            Event::Accepted { number, release, plan, stranger, .. } => {
                let served = w.cloud.front.way.reaches(id(*number));
                if *stranger && !served && !told.adopting.has(id(*number)) {
                    // Whatever was known of it before: it has to pass the checks of this deployment.
                    told.passed.remove(id(*number));
                }
                if release.adopts.is_some() || *stranger {
                    told.adopting.add(id(*number));
                }
                if has_hooks(plan) {
                    told.hooked.add(id(*number));
                }
            }
            Event::ColdRollbackQueued { by, release, plan, .. } => {
                if release.adopts.is_some() {
                    told.broken = Some(Promise::AdoptedStoodUp);
                }
                if has_hooks(plan) {
                    told.hooked.add(id(*by));
                }
            }
            Event::CutOverOrdered { number, .. } => {
                told.ordinary |= (self.adopts > 0 || self.stranger) && !told.adopting.has(id(*number));
            }
            Event::Succeeded { number } => {
                if told.adopting.has(id(*number)) {
                    told.good.add(id(*number));
                }
                if !self.hooks_passed(&w.cloud, told, id(*number), |at| !at.is_after_the_end()) {
                    told.broken = Some(Promise::GoodBeforeHooks);
                }
            }
            Event::HookOrdered { .. } if base.env.drift().is_some() => told.broken = Some(Promise::RunAstray),
            _ => {}
        }
    }

    /// The stack that is there is marked as that deployment's. A mark of a later one stays.
    pub(super) fn adopt(&self, cloud: &mut Cloud, id: Id) {
        let well = Thing::new(id, Condition::Ready, Health::Passing);
        let thing = match cloud.adoptee {
            Some(0) => Some(well),
            Some(before) if before < id => {
                cloud.stacks[self.slot(before)].take().map(|thing| Thing { owner: id, ..thing })
            }
            _ => return,
        };
        cloud.adoptee = Some(id);
        cloud.stacks[self.slot(id)] = thing;
    }
}
