//! Leave to tear a stack down, come by honestly.

use std::sync::Arc;

use pointsman::machine::{
    Ask, Condition, Effect, Entry, Environment, FrontView, Health, Key, Millis, Number, Observation, Plan, Release,
    ReleaseDraft, RetirePermit, StackView, StartPermit, StopPermit, Trigger,
};

/// A permit as only the machine gives it: deployments up to this one, each aborted.
pub fn permit(number: u32) -> RetirePermit {
    let mut environment = Environment::default();
    for n in 1..=number {
        let apply = |environment: &mut Environment, event| {
            environment.apply(&Entry { at: Millis(0), by: "test".into(), event }).expect("legal");
        };
        let release = Release { number: n, ..Release::draft("v") };
        let deploy = Ask::Deploy {
            key: Key([u8::try_from(n).expect("few"); 16]),
            build_number: None,
            release: ReleaseDraft::New(release),
            plan: Arc::new(Plan::default()),
            trigger: Trigger::Build,
        };
        let event = environment.command(&deploy.into(), "someone").expect("accepted");
        apply(&mut environment, event);
        let seen = |environment: &Environment, stacks| Observation {
            as_of: environment.seq(),
            stacks: Some(stacks),
            front: Some(FrontView::default()),
            quiet: true,
            ..Observation::default()
        };
        while let Some(event) = environment.tick(&seen(&environment, vec![]), Millis(0)) {
            apply(&mut environment, event);
        }
        let event =
            environment.command(&Ask::Abort(Number(n), "test".into()).into(), "someone").expect("it is under way");
        apply(&mut environment, event);
        if n == number {
            let view = StackView {
                number: Number(n),
                condition: Condition::Ready,
                health: Health::Unknown,
                remark: None,
                obeyed: 0,
            };
            let effects = environment.effects(&seen(&environment, vec![view]), Millis(0));
            let permit =
                effects.into_iter().find_map(|e| if let Effect::Retire(permit) = e { Some(permit) } else { None });
            return permit.expect("the machine lets it go");
        }
        while let Some(event) = environment.tick(&seen(&environment, vec![]), Millis(0)) {
            apply(&mut environment, event);
        }
    }
    panic!("there is no deployment 0")
}

/// A permit to stop that stack by that order.
#[allow(dead_code, reason = "for the contract of stacks")]
pub fn stop_permit(number: u32, order: u64) -> StopPermit {
    StopPermit::granted_by_a_test(Number(number), order)
}

/// A permit to start that stack again by that order.
#[allow(dead_code, reason = "for the contract of stacks")]
pub fn start_permit(number: u32, order: u64) -> StartPermit {
    StartPermit::granted_by_a_test(Number(number), order)
}
