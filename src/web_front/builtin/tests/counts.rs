//! What the front counts of users' requests: how many, and how many of them failed.

use super::kit::{Client, Front, free_address, get, says, stack, target};
use crate::web_front::{Counted, FrontDriver, Side};

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const GONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 99\r\n\r\nhalf";

async fn counted(front: &Front) -> Counted {
    front.driver.observe().await.unwrap().expect("it was given a route").counted.expect("it counts")
}

fn side(number: u32, requests: u64, failed: u64) -> Side {
    Side { stack: stack(number), requests, failed }
}

#[tokio::test]
async fn each_side_of_a_cutover_has_its_requests_and_those_that_users_saw_fail() {
    let front = Front::start("preview = { from = ['127.0.0.0/8'] }").await;
    front.live(1, 1, &[says(BAD).await]).await;
    assert_eq!(get(front.address, "/", "").await.status, 503);
    assert_eq!(counted(&front).await.sides, [side(1, 1, 1)]);

    front.live(2, 2, &[says(GOOD).await]).await;
    front.driver.stage(&target(3, &[says(BAD).await])).await.unwrap();
    assert_eq!(get(front.address, "/", "").await.status, 200);
    assert_eq!(
        get(front.address, "/", "x-pointsman-preview: candidate\r\n").await.status,
        503,
        "nobody but a tester sees it"
    );
    let now = counted(&front).await;
    assert_eq!((now.cutover, now.sides), (true, vec![side(2, 1, 0), side(1, 0, 0)]), "from the cutover on");

    front.live(3, 3, &[says(GONE).await]).await;
    assert_eq!(get(front.address, "/", "").await.status, 404, "what a user asked wrongly is not a failure");
    assert_eq!(counted(&front).await.sides, [side(3, 1, 0), side(2, 0, 0)]);

    front.live(4, 4, &[free_address()]).await;
    assert_eq!(get(front.address, "/", "").await.status, 502, "nobody is there");
    assert_eq!(counted(&front).await.sides, [side(4, 1, 1), side(3, 0, 0)]);

    front.live(5, 5, &[says(HALF).await]).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").await;
    assert!(client.is_cut().await);
    assert_eq!(
        counted(&front).await.sides,
        [side(5, 1, 1), side(4, 0, 0)],
        "an answer that breaks off is one that failed"
    );
    front.stop().await;
}

#[tokio::test]
async fn a_front_that_begins_again_says_that_it_counts_from_then_on() {
    let good = says(GOOD).await;
    let first = Front::start("").await;
    first.live(1, 1, &[good]).await;
    first.live(2, 2, &[good]).await;
    get(first.address, "/", "").await;
    let before = counted(&first).await;
    assert_eq!((before.cutover, before.sides), (true, vec![side(2, 1, 0), side(1, 0, 0)]));
    let (folder, address) = (first.folder.clone(), first.address);
    first.stop().await;
    let second = Front::start_in(folder, address, "", false).await;
    let now = counted(&second).await;
    assert_eq!((now.cutover, now.sides), (false, vec![side(2, 0, 0)]));
    assert!(now.since >= before.since);
    second.stop().await;
}
