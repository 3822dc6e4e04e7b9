//! Worlds of an environment's own terms: its gates, steps, hooks, retention, recovery and front, each time with other bad luck.
//! Lengths of time are abstract: a time limit is over or it is not.

use std::sync::Arc;

use super::{
    config::{Budget, Config, Obedience, People},
    explorer::Explorer,
    plain::{NOTHING_WRONG, PLAIN},
    runs::HOOKS,
    source::Repository,
};
use crate::machine::{Gate, HookPoint, Millis, Plan, Retain, Strategy};

/// What of an environment the model goes by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The terms of its deployments.
    pub plan: Arc<Plan>,
    /// Its front compares generations.
    pub fenced: bool,
    /// Its stack definitions are read from a repository.
    pub from_git: bool,
    /// There are checks, so that a stack that is up is not at once known to be well.
    pub checked: bool,
    /// Stacks that somebody else made can be taken over.
    pub adopts: bool,
}

/// What of the terms is the same in all worlds.
#[derive(Debug)]
pub struct Cases {
    steps: Vec<u8>,
    hooks: Vec<HookPoint>,
    terms: Terms,
}

/// One world: the terms, and what may go wrong.
#[derive(Debug)]
pub struct Case<'t> {
    config: Config<'t>,
}

/// Returns what worlds of these terms are made of.
pub fn cases(terms: &Terms) -> Cases {
    let steps = terms.plan.steps.iter().map(|step| step.share.percent()).collect();
    let mut hooks: Vec<HookPoint> = terms.plan.hooks.iter().map(|hook| hook.at).collect();
    hooks.sort_unstable();
    if hooks.len() > usize::from(HOOKS) {
        // Those of one point run one after the other, as one does.
        hooks.dedup();
    }
    Cases { steps, hooks, terms: terms.clone() }
}

impl<'t> Case<'t> {
    /// What may go wrong in it, in words.
    pub fn name(&self) -> &'static str {
        self.config.name
    }

    /// Returns an explorer at its beginning.
    pub fn explorer(&self) -> Explorer<'t> {
        Explorer::new(self.config)
    }
}

const B: Budget = NOTHING_WRONG;

impl Cases {
    /// Returns the worlds, the most hostile one last.
    pub fn all(&self) -> Vec<Case<'_>> {
        let plain = self.plain();
        let case = |name, budget| Config { name, budget, ..plain };
        let mut all = vec![
            Config { builds: 2, ..case("two builds, and nothing goes wrong", B) },
            case(
                "the controller crashes, a request is lost, another one is repeated",
                Budget { crash: 1, lose: 1, repeat: 1, ..B },
            ),
            case("a stack dies, and a check changes its mind", Budget { die: 1, flap: 1, ..B }),
            case("people abort and roll back, and a check changes its mind", Budget { wishes: 1, flap: 1, ..B }),
            Config {
                front: Obedience::Deaf,
                ..case("the front never obeys, and people abort and roll back", Budget { wishes: 1, ..B })
            },
            case("somebody else repoints the front", Budget { drift: 1, ..B }),
            case(
                "a provider or a front does not answer, and a stack cannot be made",
                Budget { blind: 1, create_fails: 1, ..B },
            ),
            case("nobody could look for a while, and the controller crashes", Budget { away: 1, crash: 1, ..B }),
            Config {
                live_at_start: false,
                ..case("nothing is live before, and a check changes its mind", Budget { flap: 1, create_fails: 1, ..B })
            },
        ];
        if !self.hooks.is_empty() {
            all.push(case("a hook fails, and people abort and roll back", Budget { run_fails: 1, wishes: 1, ..B }));
        }
        if self.terms.from_git {
            all.push(case(
                "the repository has no such definition, or becomes another one",
                Budget { refuse: 1, rewrite: 1, ..B },
            ));
        }
        if plain.stop_first {
            let budget = Budget { stop_fails: 1, die: 1, revive: 1, ..B };
            all.push(case("a stop comes to nothing, and a dead stack is brought up again", budget));
        }
        if self.terms.adopts && !plain.stop_first {
            let budget = Budget { flap: 1, wishes: 1, ..B };
            all.push(Config {
                live_at_start: false,
                adopts: 1,
                ..case("the stack that is there is taken over", budget)
            });
        }
        let budget = Budget {
            crash: 1,
            lose: 1,
            repeat: 1,
            flap: 1,
            die: 1,
            wishes: 2,
            run_fails: u8::from(!self.hooks.is_empty()),
            ..B
        };
        all.push(Config { builds: 2, ..case("most of this at once", budget) });
        all.into_iter().map(|config| Case { config }).collect()
    }

    /// The terms, where nothing goes wrong.
    fn plain(&self) -> Config<'_> {
        let Terms { plan, fenced, from_git, checked, .. } = &self.terms;
        let otherwise = |gate: &Option<Gate>| gate.as_ref().map(|gate| gate.otherwise);
        let gates = plan.before_provisioning.iter().chain(&plan.before_cutover);
        let pause = plan.steps.iter().find_map(|step| step.pause.as_ref()).map(|gate| gate.otherwise);
        Config {
            fenced: *fenced,
            long_requests: !fenced,
            slow_checks: *checked,
            gate_start: otherwise(&plan.before_provisioning),
            gate_cutover: otherwise(&plan.before_cutover),
            guarded: gates.into_iter().any(|gate| !gate.by.is_empty() || gate.not_the_asker),
            source: if *from_git { Repository::Answers } else { Repository::None },
            retain: match plan.retain {
                Retain::For(_) => Retain::For(Millis(2_000)),
                kept @ (Retain::None | Retain::UntilNext) => kept,
            },
            steps: &self.steps,
            pause,
            stop_first: plan.strategy == Strategy::StopFirst,
            hooks: &self.hooks,
            recover: plan.recover.to,
            always_on: plan.always_on,
            people: if self.steps.is_empty() { People::AbortAndRollback } else { People::Steps },
            ..PLAIN
        }
    }
}
