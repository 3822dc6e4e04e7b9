//! Requests that the built-in front holds, with real processes: a page of two seconds costs nobody an error, and a front that is
//! killed meanwhile sends nothing twice.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pointsman::{
    clock::Stopwatch,
    machine::Generation,
    web_front::{CutOver, FrontDriver, Route, builtin::BuiltinFront},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use super::front::{Place, Stack, User, free, order, until};

async fn off(driver: &BuiltinFront, generation: u64) {
    let nobody = Route { hold: true, ..Route::whole(Generation(generation), None) };
    assert_eq!(driver.cut_over(&nobody).await.expect("it obeys"), CutOver::Applied);
}

async fn held(driver: &BuiltinFront) -> u64 {
    driver.observe().await.expect("it answers").expect("it has a route").held
}

#[tokio::test]
async fn users_wait_through_a_page_of_two_seconds_and_all_are_served_by_the_new_stack() {
    const USERS: u64 = 100;
    let (one, two) = (Stack::start(1).await, Stack::start(2).await);
    let (place, address) = (Place::new(), free());
    let driver = place.driver(&format!("listen = '{address}'\nhold = {{ within = '30s' }}"));
    driver.ensure_running().await.expect("it comes up");
    order(&driver, 1, &one).await;
    let mut waiting = JoinSet::new();
    for _ in 0..USERS {
        let mut user = User::at(address);
        assert_eq!(user.ask("/").await, Ok(1));
        waiting.spawn(async move {
            // Each goes on until it has come to the new stack, over the connection that it has.
            loop {
                match user.ask("/").await {
                    Ok(1) => {}
                    other => return other,
                }
            }
        });
    }
    off(&driver, 2).await;
    let begun = Stopwatch::start();
    until("all users wait", async || held(&driver).await == USERS).await;
    until("two seconds have passed", async || begun.elapsed() >= Duration::from_secs(2)).await;
    assert_eq!(held(&driver).await, USERS);
    order(&driver, 3, &two).await;
    let answers = waiting.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Ok(2)) && answers.len() == 100, "{answers:?}");
    assert_eq!(held(&driver).await, 0);
}

#[tokio::test]
async fn killed_while_it_holds_it_has_sent_nothing_and_holds_again_when_it_is_back() {
    let (place, address, stack) = (Place::new(), free(), Stack::start(1).await);
    let driver = place.driver(&format!("listen = '{address}'\nhold = {{ within = '30s' }}"));
    driver.ensure_running().await.expect("it comes up");
    off(&driver, 1).await;
    let ask = || {
        let mut users = JoinSet::new();
        for _ in 0..5 {
            users.spawn(async move { User::at(address).ask("/").await });
        }
        users
    };
    let lost = ask();
    until("they wait", async || held(&driver).await == 5).await;
    let pid = driver.seen().await.expect("it answers").pid;
    let front = Pid::from_raw(i32::try_from(pid).expect("a process")).expect("a process");
    kill_process(front, Signal::KILL).expect("it is ours");
    let lost = lost.join_all().await;
    assert!(lost.iter().all(Result::is_err), "{lost:?}");
    // The supervisor has started another one, with the route that was ordered.
    until("another front answers", async || driver.seen().await.is_ok_and(|seen| seen.pid != pid)).await;
    let again = ask();
    until("they wait again", async || held(&driver).await == 5).await;
    assert_eq!(stack.asked.load(SeqCst), 0, "nothing was sent");
    order(&driver, 2, &stack).await;
    assert!(again.join_all().await.iter().all(|answer| *answer == Ok(1)));
    assert_eq!(stack.asked.load(SeqCst), 5, "each once");
}
