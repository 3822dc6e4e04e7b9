//! Stack drivers that stop a stack and start it again: nothing of it runs meanwhile, all else is kept, and no late order
//! counts.

use std::fs;

use pointsman::stacks::{Condition, DRIVERS, SeenStack, StackDriver, StackSpec, StepError};

use super::{
    GIVEN_UP_AFTER, given_up, stack,
    stacks::{Fixture, fixture, see, spec, stand_up, tear_down},
    until,
};
use crate::support::permit::{start_permit, stop_permit};

async fn for_each_driver<F: Future<Output = ()>>(story: impl Fn(Box<dyn Fixture>) -> F) {
    for name in DRIVERS.iter().filter(|driver| driver.stops).map(|driver| driver.name) {
        println!("stack driver {name}");
        let Some(fixture) = fixture(name) else { continue };
        let _turn = fixture.turn().await;
        story(fixture).await;
    }
}

async fn look(driver: &dyn StackDriver, number: u32) -> SeenStack {
    see(driver).await.into_iter().find(|seen| seen.name == stack(number)).expect("it is there")
}

/// Orders as the runner does, until nothing of it runs.
async fn stop(driver: &dyn StackDriver, number: u32, order: u64) -> SeenStack {
    until("the stack is stopped", || async {
        let seen = look(driver, number).await;
        if seen.condition != Condition::Stopped || seen.obeyed < order {
            driver.stop(&stack(number), &stop_permit(number, order)).await.expect("it is taken up");
            return false;
        }
        true
    })
    .await;
    look(driver, number).await
}

/// Orders as the runner does, until all of it is there again.
async fn start(driver: &dyn StackDriver, spec: &StackSpec, order: u64) -> SeenStack {
    let number = spec.name.number.0;
    until("the stack is ready again", || async {
        let seen = look(driver, number).await;
        if seen.condition != Condition::Ready || seen.obeyed < order {
            driver.start(spec, &start_permit(number, order)).await.expect("it is taken up");
            return false;
        }
        true
    })
    .await;
    look(driver, number).await
}

/// Every request that might start something of a stack that is stopped, and does not.
async fn asked_in_vain(fixture: &dyn Fixture, driver: &dyn StackDriver, spec: &StackSpec, order: u64) {
    let number = spec.name.number.0;
    for late in 1..=order {
        let answer = driver.start(spec, &start_permit(number, late)).await;
        answer.expect("a late order does nothing");
    }
    for _ in 0..3 {
        let why = driver.ensure(spec).await.expect_err("it is kept as it is").to_string();
        assert!(why.contains(&format!("was stopped by order {order}")), "{why}");
    }
    let seen = look(driver, number).await;
    assert_eq!((seen.condition, seen.obeyed, fixture.serving()), (Condition::Stopped, order, vec![]));
}

#[tokio::test]
async fn a_stack_that_is_stopped_keeps_all_but_what_runs_and_comes_back() {
    for_each_driver(|f| async move {
        let (driver, spec) = (f.open(), spec(&*f, 1));
        let first = stand_up(&*driver, &spec).await;
        assert_eq!(first.obeyed, 0);
        let homes = f.homes();
        assert!(homes.is_empty() != f.keeps_homes() && !f.serving().is_empty());
        homes.iter().for_each(|home| fs::write(home.join("canary"), "kept").expect("written"));

        let stopped = stop(&*driver, 1, 1).await;
        assert_eq!((stopped.obeyed, f.serving()), (1, vec![]), "nothing of it runs");
        assert_eq!((stopped.exits, stopped.last_exit), (first.exits, None), "an end by order is no end by itself");
        driver.stop(&stack(1), &stop_permit(1, 1)).await.expect("doing it again does no harm");
        asked_in_vain(&*f, &*driver, &spec, 1).await;
        // Another controller sees the same, and does the same.
        asked_in_vain(&*f, &*f.open(), &spec, 1).await;

        let back = start(&*f.open(), &spec, 2).await;
        assert_eq!((back.obeyed, back.exits, &back.last_exit), (2, first.exits, &None));
        assert_eq!(back.reach, first.reach);
        let serving = f.serving();
        assert!(!serving.is_empty());
        for late in [1, 2] {
            driver.stop(&stack(1), &stop_permit(1, late)).await.expect("a late order does nothing");
            driver.start(&spec, &start_permit(1, late)).await.expect("doing it again does no harm");
        }
        driver.ensure(&spec).await.expect("it is there");
        assert_eq!((look(&*driver, 1).await, f.serving()), (back, serving), "all of it runs on");
        for home in homes {
            assert_eq!(fs::read_to_string(home.join("canary")).expect("it is kept"), "kept");
        }
        stop(&*driver, 1, 3).await;
        start(&*driver, &spec, 4).await;
        tear_down(&*f, &*driver, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_stack_that_is_stopped_can_be_torn_down() {
    for_each_driver(|f| async move {
        let (driver, spec) = (f.open(), spec(&*f, 1));
        stand_up(&*driver, &spec).await;
        stop(&*driver, 1, 1).await;
        assert_eq!(f.serving(), [""; 0]);
        tear_down(&*f, &*driver, 1).await;
        assert_eq!(f.left(), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_can_be_given_again_and_a_newer_one_overtakes_it() {
    for_each_driver(|f| async move {
        let spec = spec(&*f, 1);
        stand_up(&*f.open(), &spec).await;
        let mut order = 0;
        for after in GIVEN_UP_AFTER {
            given_up(f.open().stop(&stack(1), &stop_permit(1, order + 1)), after).await;
            // Users want it back before it has ended.
            given_up(f.open().start(&spec, &start_permit(1, order + 2)), after).await;
            start(&*f.open(), &spec, order + 2).await;
            given_up(f.open().stop(&stack(1), &stop_permit(1, order + 3)), after).await;
            stop(&*f.open(), 1, order + 3).await;
            assert_eq!(f.serving(), [""; 0]);
            start(&*f.open(), &spec, order + 4).await;
            order += 4;
        }
        tear_down(&*f, &*f.open(), 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_amid_a_stop_or_a_start_holds_up_neither() {
    for_each_driver(|f| async move {
        let spec = spec(&*f, 1);
        let first = stand_up(&*f.open(), &spec).await;
        for order in [1, 3] {
            f.open().stop(&stack(1), &stop_permit(1, order)).await.expect("it is taken up");
            f.crash();
            let stopped = stop(&*f.open(), 1, order).await;
            assert_eq!((stopped.obeyed, stopped.exits, f.serving()), (order, first.exits, vec![]));
            f.open().start(&spec, &start_permit(1, order + 1)).await.expect("it is taken up");
            f.crash();
            let back = start(&*f.open(), &spec, order + 1).await;
            assert_eq!((back.exits, back.reach), (first.exits, first.reach.clone()));
        }
        tear_down(&*f, &*f.open(), 1).await;
    })
    .await;
}

#[tokio::test]
async fn an_order_about_a_stack_that_is_not_there_keeps_a_late_request_from_creating_it() {
    for_each_driver(|f| async move {
        let (driver, spec) = (f.open(), spec(&*f, 1));
        driver.stop(&stack(1), &stop_permit(1, 3)).await.expect("it is taken up");
        for driver in [&driver, &f.open()] {
            let why = driver.ensure(&spec).await.expect_err("it is not created").to_string();
            assert!(why.contains("was stopped by order 3"), "{why}");
        }
        assert_eq!((see(&*driver).await, f.left()), (vec![], vec![]));
        // A newer order to start it cannot start what is not there, and lets it be created.
        let why = driver.start(&spec, &start_permit(1, 4)).await.expect_err("there is nothing").to_string();
        assert!(why.contains("is not there"), "{why}");
        driver.stop(&stack(1), &stop_permit(1, 3)).await.expect("a late order does nothing");
        assert_eq!(stand_up(&*driver, &spec).await.obeyed, 4);
        tear_down(&*f, &*driver, 1).await;

        driver.stop(&stack(1), &stop_permit(1, 5)).await.expect("it is taken up");
        tear_down(&*f, &*driver, 1).await;
        assert_eq!(stand_up(&*driver, &spec).await.obeyed, 0, "it was torn down since");
        tear_down(&*f, &*driver, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_permit_to_stop_or_to_start_is_for_one_stack_only() {
    for_each_driver(|f| async move {
        let (driver, spec) = (f.open(), spec(&*f, 1));
        let stopped = driver.stop(&stack(1), &stop_permit(2, 1)).await;
        assert!(matches!(stopped, Err(StepError::Refused(_))), "{stopped:?}");
        let started = driver.start(&spec, &start_permit(2, 1)).await;
        assert!(matches!(started, Err(StepError::Refused(_))), "{started:?}");
    })
    .await;
}
