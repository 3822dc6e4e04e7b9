//! Stories of the core, told event by event: what is asked, what is seen, what follows.

mod adoption;
mod alive;
mod approvers;
mod away;
mod deadlines;
mod deploying;
mod fronts;
mod halting;
mod hooks;
mod operators;
mod promotion;
mod records;
mod restarting;
mod rollback;
mod sources;
mod steps;
mod strangers;
mod terms;

use std::sync::Arc;

use super::*;

/// An environment and the clock it is told.
pub(super) struct Story {
    pub(super) env: Environment,
    pub(super) now: Millis,
    pub(super) seen: Observation,
}

pub(super) fn n(number: u32) -> Number {
    Number(number)
}

pub(super) fn text(text: &str) -> Arc<str> {
    text.into()
}

pub(super) fn view(number: u32, condition: Condition, health: Health) -> StackView {
    StackView { number: n(number), condition, health, remark: None, obeyed: 0 }
}

pub(super) fn well(number: u32) -> StackView {
    view(number, Condition::Ready, Health::Passing)
}

pub(super) fn build(name: u8, plan: &Plan) -> Ask {
    let release = ReleaseDraft::New(Release::draft("v"));
    Ask::Deploy {
        key: Key([name; 16]),
        build_number: None,
        release,
        plan: Arc::new(plan.clone()),
        trigger: Trigger::Build,
    }
}

impl Story {
    pub(super) fn new() -> Self {
        let seen =
            Observation { stacks: Some(vec![]), front: Some(FrontView::default()), quiet: true, ..Default::default() };
        Self { env: Environment::default(), now: Millis(0), seen }
    }

    pub(super) fn apply(&mut self, event: Event) -> Result<(), Illegal> {
        let before = self.env.clone();
        let result = self.env.apply(&Entry { at: self.now, by: text("test"), event });
        match result {
            Ok(()) => {
                self.env.check().unwrap();
                assert_eq!(self.env.seq(), Seq(before.seq().0 + 1));
            }
            Err(_) => assert_eq!(self.env, before, "a refused event changed something"),
        }
        self.seen.as_of = self.env.seq();
        // An order is given at once.
        let order = self.env.front_order().map(|(_, generation)| OrderView { generation, said: None, refused: false });
        self.seen.order = order.or(self.seen.order.take());
        result
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.apply(event).unwrap();
    }

    pub(super) fn ask(&mut self, command: impl Into<Command>) -> Result<Event, Refusal> {
        let event = self.env.command(&command.into(), "test")?;
        self.happens(event.clone());
        Ok(event)
    }

    pub(super) fn refuses(&self, command: impl Into<Command>, words: &str) {
        let refusal = self.env.command(&command.into(), "test").unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
    }

    /// The next event that the look calls for, folded.
    pub(super) fn tick(&mut self) -> Option<Event> {
        let event = self.env.tick(&self.seen, self.now)?;
        self.happens(event.clone());
        Some(event)
    }

    /// Records that what is live is down, before anything is made of it.
    pub(super) fn falls(&mut self) -> &mut Self {
        let event = self.tick();
        assert!(matches!(event, Some(Event::LiveDown { .. })), "{event:?}");
        self
    }

    pub(super) fn effects(&self) -> Vec<Effect> {
        self.env.effects(&self.seen, self.now)
    }

    pub(super) fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = Millis(seconds * 1000);
        self
    }

    /// The stacks there are.
    pub(super) fn stacks(&mut self, stacks: &[StackView]) -> &mut Self {
        self.seen.stacks = Some(stacks.to_vec());
        self
    }

    pub(super) fn front(&mut self) -> &mut FrontView {
        self.seen.front.get_or_insert_default()
    }

    /// The front does what it was told last.
    pub(super) fn obey(&mut self) {
        let order = self.effects().into_iter().find_map(|e| match e {
            Effect::CutOver { to, generation } => Some((to, generation)),
            _ => None,
        });
        let (to, generation) = order.expect("an order is due");
        (self.front().traffic, self.front().generation) = (to, generation);
        self.seen.public = to.base();
    }

    /// Deploys a build up to the cutover's order.
    pub(super) fn up_to_cutover(&mut self, name: u8, plan: &Plan) -> Number {
        let Event::Accepted { number, .. } = self.ask(build(name, plan)).unwrap() else { unreachable!() };
        assert_eq!(self.tick(), Some(Event::Started { number }));
        assert_eq!(self.effects(), [Effect::Ensure(number)]);
        let mut stacks = self.seen.stacks.clone().unwrap();
        stacks.push(well(number.0));
        self.stacks(&stacks);
        assert_eq!(self.tick(), Some(Event::Provisioned { number }));
        assert_eq!(self.effects(), [Effect::Stage(number)]);
        self.front().staged = Some(number);
        assert_eq!(self.tick(), Some(Event::Checked { number, answers: Vec::new() }));
        assert!(matches!(self.tick(), Some(Event::CutOverOrdered { .. })));
        number
    }

    pub(super) fn up_to_baking(&mut self, name: u8, plan: &Plan) -> Number {
        let number = self.up_to_cutover(name, plan);
        self.obey();
        assert_eq!(self.tick(), Some(Event::WentLive { number, host: None }));
        number
    }

    /// Deploys a build and lets its watch pass.
    pub(super) fn live(&mut self, name: u8, plan: &Plan) -> Number {
        let number = self.up_to_baking(name, plan);
        self.now = self.now.plus(plan.bake);
        assert_eq!(self.tick(), Some(Event::Succeeded { number }));
        number
    }

    pub(super) fn state(&self, number: Number) -> DeploymentState {
        self.env.deployment_state(number).unwrap().0
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.env.active().unwrap().phase
    }

    pub(super) fn retiring(&self) -> Vec<u32> {
        self.env.retiring().iter().map(|r| r.number.0).collect()
    }
}
