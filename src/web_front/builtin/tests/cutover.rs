//! The promises of a cutover.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::kit::{Client, Front, Server, get, route, stack, target, until};
use crate::{
    machine::Generation,
    reach::Reach,
    stacks::StepError,
    web_front::{CutOver, FrontDriver, Route, SeenFront, Target, builtin::process},
};

/// Hammers until told to stop; every answer must be at least as new as the last acknowledgement before it was sent.
async fn hammer(
    front: &Front,
    acknowledged: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<u64>> {
    let client = |_| {
        let (address, acknowledged, stop) = (front.address, acknowledged.clone(), stop.clone());
        let probe = front.probe();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let reply = client.get("/", &probe).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                let at = reply.head.split("number=").nth(1).unwrap().lines().next().unwrap().parse::<u64>().unwrap();
                assert!(at >= least, "stack {at} answered after {least} was acknowledged");
                count += 1;
            }
            count
        })
    };
    (0..16).map(client).collect()
}

#[tokio::test]
async fn under_load_nobody_fails_and_nobody_sees_the_old_one_after_the_acknowledgement() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let clients = hammer(&front, &acknowledged, &stop).await;
    for number in 2..=100 {
        let address = if number % 2 == 0 { green.address } else { blue.address };
        front.live(number.into(), number, &[address]).await;
        acknowledged.store(number.into(), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    until("nothing is open", async || front.driver.observe().await.unwrap().unwrap().open.is_empty()).await;
    front.stop().await;
}

#[tokio::test]
async fn only_a_higher_generation_changes_the_route() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("").await;
    assert_eq!(front.driver.observe().await.unwrap(), None);
    let order =
        async |generation, number, address| front.driver.cut_over(&route(generation, target(number, &[address]))).await;
    assert_eq!(order(5, 2, green.address).await.unwrap(), CutOver::Applied);
    assert_eq!(order(5, 2, green.address).await.unwrap(), CutOver::Applied);
    assert_eq!(order(4, 1, blue.address).await.unwrap(), CutOver::Stale { applied: Generation(5) });
    assert!(matches!(order(5, 1, blue.address).await, Err(StepError::Refused(_))));
    let idle = Target { stack: stack(3), reach: Reach::default() };
    assert!(matches!(front.driver.cut_over(&route(6, idle)).await, Err(StepError::Refused(_))));
    assert_eq!(front.driver.observe().await.unwrap().unwrap().route, route(5, target(2, &[green.address])));
    assert_eq!(front.driver.ask_public().await.unwrap(), Some(stack(2)));
    assert_eq!(get(front.address, "/", "").await.body, "green");
}

#[tokio::test]
async fn a_front_that_starts_again_serves_what_it_served() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("").await;
    front.live(7, 1, &[blue.address]).await;
    front.driver.stage(&target(2, &[green.address])).await.unwrap();
    let (folder, address) = (front.folder.clone(), front.address);
    let before = front.driver.observe().await.unwrap();
    front.stop().await;
    let again = Front::start_in(folder, address, "", false).await;
    let shown = |seen: Option<SeenFront>| seen.map(|seen| (seen.route, seen.staged, seen.open));
    let after = again.driver.observe().await.unwrap();
    let counts_since_the_cutover = |seen: &Option<SeenFront>| seen.as_ref()?.counted.as_ref().map(|c| c.cutover);
    assert_eq!([&before, &after].map(counts_since_the_cutover), [Some(true), Some(false)], "what it lost is told");
    assert_eq!(shown(after), shown(before));
    assert_eq!(get(address, "/", "").await.body, "blue");
    let late = again.driver.cut_over(&route(6, target(2, &[green.address]))).await.unwrap();
    assert_eq!(late, CutOver::Stale { applied: Generation(7) });
}

#[tokio::test]
async fn a_second_front_for_the_same_folder_does_not_start() {
    let front = Front::start("").await;
    let second = process::run(front.folder.path(), process::Start::default(), std::future::pending()).await;
    assert!(second.unwrap_err().to_string().contains("running"), "says that one is running");
    assert!(front.driver.seen().await.is_ok(), "the first one goes on");
}

#[tokio::test]
async fn a_request_in_flight_counts_as_open_until_it_is_done() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET /gate HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    until("it is open", async || blue.hits.load(Ordering::SeqCst) == 1).await;
    front.live(2, 2, &[green.address]).await;
    assert_eq!(front.driver.observe().await.unwrap().unwrap().open, [(stack(1), 1)]);
    blue.gate.notify_one();
    assert_eq!(client.reply().await.body, "blue");
    until("it is done", async || front.driver.observe().await.unwrap().unwrap().open.is_empty()).await;
    assert_eq!(client.get("/", "").await.body, "green", "the idle connection was not closed by the cutover");
}

#[tokio::test]
async fn endpoints_get_requests_in_turn() {
    let servers = [Server::start("a").await, Server::start("b").await, Server::start("c").await];
    let front = Front::start("threads = 1").await;
    front.live(1, 1, &servers.each_ref().map(|server| server.address)).await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..60 {
        assert_eq!(client.get("/", "").await.status, 200);
    }
    assert_eq!(servers.each_ref().map(|s| s.hits.load(Ordering::SeqCst)), [20, 20, 20]);
}

#[tokio::test]
async fn the_way_back_to_no_route_is_a_route() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let none = Route::whole(Generation(2), None);
    assert_eq!(front.driver.cut_over(&none).await.unwrap(), CutOver::Applied);
    assert_eq!(get(front.address, "/", "").await.status, 503);
    assert_eq!(front.driver.observe().await.unwrap().unwrap().route, none);
}
