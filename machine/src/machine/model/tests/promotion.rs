//! Two environments and the rule between them: builds come, people promote, roll back, hold and lift vetoes at any
//! moment, and the rule looks at what may long be over, decides, and is ended before it asks. Stacks and fronts do what
//! they are told here; what they may do otherwise is explored elsewhere.

use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{
    canon::{self, Core, text},
    config::{CLOCKS, Config},
    world::Ids,
    worlds::PLAIN,
};
use crate::machine::{
    Ask, Condition, Deployment, Event, FrontView, Health, Key, Millis, Number, Observation, Outcome, Phase, Release,
    ReleaseDraft, Retain, StackView, Trigger,
    promotion::{Due, PromotionRule, due, key},
};

/// What is explored, and which rules are off.
#[derive(Clone, Copy, Debug)]
struct Pair {
    builds: u8,
    wishes: u8,
    off: &'static [u32],
    /// The rule asks as if it were a person.
    in_disguise: bool,
    /// What it asks is held against the newest state of `to` only, and not of `from`.
    one_guard: bool,
}

const SOUND: Pair = Pair { builds: 2, wishes: 2, off: &[], in_disguise: false, one_guard: false };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    from: Arc<Core>,
    to: Arc<Core>,
    /// What the rule saw of `from`, perhaps long ago.
    read: Option<Arc<Core>>,
    /// What it is about to ask, decided on `read` and the newest state of `to`.
    hand: Option<Arc<Release>>,
    builds: u8,
    wishes: u8,
    sick: u8,
    told: Told,
}

/// What is remembered in order to judge: releases, but for `asked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Told {
    good: Ids,
    promoted: Ids,
    rolled_back: Ids,
    /// Deployments that the rule asked for.
    asked: Ids,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    From,
    To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Build,
    /// The next thing happens there; with the candidate, or what is watched, sick.
    Step(Place, bool),
    Promote,
    Rollback(Place),
    Hold,
    Resume,
    Unveto(u32),
    Read,
    Decide,
    Ask,
    Crash,
}

const NOT_GOOD: &str = "a rule never promotes what was not found good";
const TWICE: &str = "a rule never promotes the same release twice";
const UNDOES: &str = "a rule never undoes a person's rollback";
const HELD: &str = "a rule's deployment never begins while the environment is held";
const OLDER: &str = "a rule never goes to an older release";
const GONE: &str = "a rule never promotes what is no longer live and wanted in the environment before";
const FIRST: &str = "a rule never takes the place of what a person asked for";

fn release(release: &Release) -> u8 {
    u8::try_from(release.number).unwrap()
}

/// A world in which all is as it was ordered.
fn obedient(core: &Core, sick: bool) -> Observation {
    let env = &core.env;
    let active = env.active().map(|d| d.number);
    let kept = env.live().into_iter().chain(env.standby().map(|s| &s.stack)).map(|s| s.number);
    let mut numbers: Vec<Number> = kept.chain(active).collect();
    numbers.dedup();
    let health = |n| if sick && active == Some(n) { Health::Failing } else { Health::Passing };
    let view = |n| StackView { number: n, condition: Condition::Ready, health: health(n), remark: None, obeyed: 0 };
    let (traffic, generation) = env.front_order().unwrap_or((env.wanted(), env.generation()));
    Observation {
        as_of: env.seq(),
        stacks: Some(numbers.into_iter().map(view).collect()),
        front: Some(FrontView { traffic, generation, staged: active, ..FrontView::default() }),
        public: traffic.base(),
        quiet: true,
        ..Observation::default()
    }
}

impl Pair {
    fn config(&self) -> Config<'static> {
        Config { off: self.off, retain: Retain::UntilNext, ..PLAIN }
    }

    fn deploy(&self, key: Key, release: ReleaseDraft, trigger: Trigger) -> Ask {
        Ask::Deploy { key, build_number: None, release, plan: self.config().plan(), trigger }
    }

    fn wish(&self, s: &State, action: Action) -> (Place, Ask) {
        let live = |core: &Core| core.env.live().map_or(Number(0), |stack| stack.number);
        match action {
            Action::Build => {
                let draft = ReleaseDraft::New(canon::draft(&self.config()));
                (Place::From, self.deploy(Key([200 + s.builds; 16]), draft, Trigger::Build))
            }
            Action::Promote => {
                let release = s.from.env.live().unwrap().release.clone();
                let key = Key([100 + s.wishes; 16]);
                (Place::To, self.deploy(key, ReleaseDraft::Existing(release), Trigger::Person))
            }
            Action::Rollback(Place::From) => (Place::From, Ask::Rollback(live(&s.from), text())),
            Action::Rollback(Place::To) => (Place::To, Ask::Rollback(live(&s.to), text())),
            Action::Resume => (Place::To, Ask::Resume),
            Action::Unveto(release) => (Place::To, Ask::Unveto(release)),
            _ => (Place::To, Ask::Hold(text())),
        }
    }

    /// Writes an event, and judges it.
    fn commit(&self, s: &mut State, place: Place, event: &Event) {
        let core = if place == Place::From { &mut s.from } else { &mut s.to };
        let before = core.clone();
        *core = core.with(event).expect("what was decided on this state fits it");
        let told = &mut s.told;
        match (place, event) {
            (Place::From, Event::Succeeded { .. }) => told.good.add(release(&core.env.live().unwrap().release)),
            (Place::To, Event::RollbackRequested { .. } | Event::ColdRollbackQueued { .. }) => {
                told.rolled_back.add(release(&before.env.live().unwrap().release));
            }
            (Place::To, Event::Started { number })
                if before.env.hold().is_some() && told.asked.has(canon::id(*number)) =>
            {
                told.broken = Some(HELD);
            }
            _ => {}
        }
        if place == Place::To {
            // It was decided on a state that is not the newest any more.
            s.hand = None;
        }
    }

    fn ask(&self, s: &mut State) -> Option<()> {
        let wanted = s.hand.take()?;
        if s.read.as_ref() != Some(&s.from) && !self.one_guard {
            return Some(());
        }
        let number = wanted.number;
        let trigger = if self.in_disguise { Trigger::Person } else { Trigger::Rule };
        let draft = ReleaseDraft::Existing(wanted.clone());
        let command = self.deploy(key(number), draft, trigger);
        let event = s.to.env.command(&command.into(), "rule").ok()?;
        let (id, live) = (release(&wanted), s.to.env.live().map_or(0, |stack| stack.release.number));
        let newer = s.told.promoted.iter().all(|known| known <= id) && number >= live;
        let before = &s.from.env;
        let live_before = before.live().is_some_and(|stack| stack.release.number == number && stack.proven);
        let going_back = |d: &Deployment| matches!(d.phase, Phase::RollbackRequested { .. } | Phase::Reverting { .. });
        let wanted_before = live_before && !before.active().is_some_and(going_back);
        let persons = s.to.env.queue().iter().any(|d| d.trigger == Trigger::Person);
        s.told.broken = match () {
            () if !s.told.good.has(id) => Some(NOT_GOOD),
            () if s.told.promoted.has(id) => Some(TWICE),
            () if s.told.rolled_back.has(id) => Some(UNDOES),
            () if !newer => Some(OLDER),
            () if persons => Some(FIRST),
            () if !wanted_before => Some(GONE),
            () => s.told.broken,
        };
        s.told.promoted.add(id);
        if let Event::Accepted { number, .. } = &event {
            s.told.asked.add(canon::id(*number));
        }
        self.commit(s, Place::To, &event);
        Some(())
    }
}

impl Model for Pair {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (from, to) = (canon::start(&self.config()), canon::start(&self.config()));
        let told = Told { good: Ids::of(1), ..Told::default() };
        let (builds, wishes) = (self.builds, self.wishes);
        vec![State { from, to, read: None, hand: None, builds, wishes, sick: 1, told }]
    }

    fn actions(&self, s: &State, out: &mut Vec<Action>) {
        if s.told.broken.is_some() {
            return;
        }
        out.extend((s.builds > 0).then_some(Action::Build));
        for (place, core) in [(Place::From, &s.from), (Place::To, &s.to)] {
            out.push(Action::Step(place, false));
            if s.sick > 0 && core.env.active().is_some() {
                out.push(Action::Step(place, true));
            }
        }
        if s.wishes > 0 {
            out.extend([Action::Promote, Action::Rollback(Place::From), Action::Rollback(Place::To)]);
            out.push(if s.to.env.hold().is_some() { Action::Resume } else { Action::Hold });
            out.extend(s.to.env.vetoes().iter().map(|veto| Action::Unveto(veto.release)));
        }
        out.extend((s.read.as_ref() != Some(&s.from)).then_some(Action::Read));
        out.extend((s.read.is_some() && s.hand.is_none()).then_some(Action::Decide));
        out.extend(s.hand.is_some().then_some(Action::Ask));
        out.extend(s.read.is_some().then_some(Action::Crash));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut next = before.clone();
        let s = &mut next;
        match action {
            Action::Step(place, sick) => {
                let core = if place == Place::From { &s.from } else { &s.to };
                let event = core.env.tick(&obedient(core, sick), CLOCKS[1])?;
                s.sick -= u8::from(sick);
                self.commit(s, place, &event);
            }
            Action::Read => (s.read, s.hand) = (Some(s.from.clone()), None),
            Action::Decide => {
                let rule = PromotionRule { after: Millis(0) };
                match due(&s.read.as_ref()?.env, &s.to.env, rule, CLOCKS[1]) {
                    Due::Now(release) => s.hand = Some(release),
                    Due::At(_) | Due::Nothing(_) => return None,
                }
            }
            Action::Ask => self.ask(s)?,
            Action::Crash => (s.read, s.hand) = (None, None),
            _ => {
                let (place, command) = self.wish(s, action);
                let core = if place == Place::From { &s.from } else { &s.to };
                let event = core.env.command(&command.into(), "someone").ok()?;
                if action == Action::Build {
                    s.builds -= 1
                } else {
                    s.wishes -= 1
                }
                self.commit(s, place, &event);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! never {
            ($($what:ident)*) => { vec![$(Property::always($what, |_: &Pair, s: &State| s.told.broken != Some($what))),*] };
        }
        let mut all = never!(NOT_GOOD TWICE UNDOES HELD OLDER FIRST GONE);
        all.push(Property::always("both states are consistent", |_: &Pair, s: &State| {
            s.from.env.check().is_ok() && s.to.env.check().is_ok()
        }));
        // Else all of this would say nothing.
        all.push(Property::sometimes("a rule promotes", |_: &Pair, s: &State| {
            let good = |n: Number| s.told.asked.has(canon::id(n));
            s.to.env.ended().iter().any(|e| e.outcome == Outcome::Succeeded && good(e.number))
        }));
        all
    }
}

fn explore(pair: Pair, cap: usize) -> (usize, Option<(&'static str, Vec<Action>)>) {
    let checker = pair.checker().threads(2).target_state_count(cap);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries().into_iter().filter(|(name, _)| *name != "a rule promotes");
    let found = found.map(|(name, path)| (name, path.into_actions())).min_by_key(|(_, path)| path.len());
    (checker.unique_state_count(), found)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what one runs this for")]
fn a_rule_keeps_its_promises() {
    let (sound, cap) = match super::explore::whole() {
        true => (SOUND, usize::MAX),
        false => (SOUND, 60_000),
    };
    let (states, found) = explore(sound, cap);
    println!("two environments and a rule: {states} states");
    assert!(found.is_none(), "{found:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "what each rule is for is worth reading")]
fn every_rule_of_promotion_taken_out_breaks_a_promise() {
    let pair = |builds, wishes, off| Pair { builds, wishes, off, ..SOUND };
    let defects = [
        (NOT_GOOD, pair(1, 0, &[27])),
        (TWICE, pair(1, 0, &[28, 3])),
        (UNDOES, pair(1, 3, &[28])),
        (OLDER, pair(2, 1, &[28])),
        (FIRST, pair(2, 1, &[29])),
        (GONE, Pair { one_guard: true, ..pair(1, 1, &[]) }),
        (HELD, Pair { in_disguise: true, ..pair(1, 1, &[]) }),
    ];
    for (promise, pair) in defects {
        let (states, found) = explore(pair, 3_000_000);
        let (broken, path) = found.unwrap_or_else(|| panic!("{promise}: not noticed in {states} states"));
        println!("{:?} off: {broken}: after {} steps ({states} states)", pair.off, path.len());
        assert_eq!(broken, promise, "{path:?}");
    }
}
