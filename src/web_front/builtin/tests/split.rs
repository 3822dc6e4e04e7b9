//! A share of the users on a second stack.

use std::collections::HashMap;

use super::kit::{Client, Front, Reply, Server, free_address, get, route, shared, stack, target, until};
use crate::{
    stacks::StepError,
    web_front::{CutOver, FrontDriver, Route, Side, Target},
};

/// A front, and the two stacks that it shares its users between.
struct Two {
    front: Front,
    blue: Server,
    green: Server,
}

impl Two {
    /// Begins with all users on blue.
    async fn start(settings: &str) -> Self {
        let (blue, green) = (Server::start("blue").await, Server::start("green").await);
        let front = Front::start(settings).await;
        front.live(1, 1, &[blue.address]).await;
        Self { front, blue, green }
    }

    fn blue(&self) -> Target {
        target(1, &[self.blue.address])
    }

    fn green(&self) -> Target {
        target(2, &[self.green.address])
    }

    /// The order that gives green this share of blue's users.
    fn share(&self, generation: u64, percent: i64) -> Route {
        shared(generation, self.blue(), self.green(), percent)
    }

    async fn order(&self, route: &Route) {
        assert_eq!(self.front.driver.cut_over(route).await.unwrap(), CutOver::Applied);
        assert_eq!(self.front.driver.observe().await.unwrap().unwrap().route, *route);
    }
}

fn cookie(reply: &Reply) -> Option<&str> {
    reply.head.lines().find_map(|line| line.strip_prefix("set-cookie: "))
}

/// A browser: keeps its cookie.
#[derive(Default)]
struct User(Option<String>);

impl User {
    /// Returns the stack that answers.
    async fn ask(&mut self, client: &mut Client) -> String {
        let headers = self.0.as_ref().map(|cookie| format!("cookie: {cookie}\r\n")).unwrap_or_default();
        let reply = client.get("/", &headers).await;
        assert_eq!(reply.status, 200);
        if let Some(cookie) = cookie(&reply) {
            assert_eq!(self.0, None, "told once");
            self.0 = cookie.split(';').next().map(str::to_owned);
        }
        reply.body
    }
}

#[tokio::test]
async fn of_a_hundred_requests_as_many_reach_the_second_stack_as_its_share_says() {
    let two = Two::start("sticky = 'none'").await;
    let mut client = Client::connect(two.front.address).await;
    for (generation, percent) in (2..).zip([5, 50, 99]) {
        two.order(&two.share(generation, percent)).await;
        let before = two.green.hits();
        for _ in 0..200 {
            let reply = client.get("/", "").await;
            assert_eq!((reply.status, cookie(&reply)), (200, None));
        }
        assert_eq!(two.green.hits() - before, 2 * percent as u64);
    }
    two.order(&route(5, two.blue())).await;
    let before = two.green.hits();
    for _ in 0..100 {
        assert_eq!(client.get("/", "").await.body, "blue");
    }
    assert_eq!(two.green.hits(), before, "undone by one order");
}

#[tokio::test]
async fn a_user_is_moved_once_and_never_back_while_the_share_grows() {
    let two = Two::start("").await;
    let mut client = Client::connect(two.front.address).await;
    two.order(&two.share(2, 5)).await;
    let mut users: Vec<User> = (0..100).map(|_| User::default()).collect();
    let mut seen: Vec<String> = vec!["blue".to_owned(); users.len()];
    let steps = [(two.share(3, 5), 5), (two.share(4, 50), 50), (two.share(5, 99), 99), (route(6, two.green()), 100)];
    for (order, expected) in steps {
        two.order(&order).await;
        for _ in 0..3 {
            for (user, before) in users.iter_mut().zip(&mut seen) {
                let now = user.ask(&mut client).await;
                assert!(*before == "blue" || now == "green", "moved back");
                *before = now;
            }
        }
        assert_eq!(seen.iter().filter(|stack| *stack == "green").count(), expected, "{order:?}");
    }
}

#[tokio::test]
async fn the_cookie_tells_a_number_to_browsers_alone_and_only_while_there_is_a_split() {
    let two = Two::start("").await;
    let mut client = Client::connect(two.front.address).await;
    assert_eq!(cookie(&client.get("/", "").await), None, "before");
    two.order(&two.share(2, 5)).await;
    let reply = client.get("/", "").await;
    let (pair, rest) = cookie(&reply).expect("it is told").split_once(';').unwrap();
    let bucket: u8 = pair.strip_prefix("pointsman_bucket=").unwrap().parse().unwrap();
    assert!(bucket < 100);
    assert_eq!(rest, " Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", "and Secure with TLS only");
    assert!(reply.head.contains("cache-control: no-cache=\"set-cookie\""), "no cache tells it to others");
    for (route, what) in [(two.share(3, 50), "under a split"), (route(4, two.green()), "after it")] {
        two.order(&route).await;
        let reply = client.get("/headers", &format!("cookie: a=1; {pair}; b=2\r\n")).await;
        assert!(reply.body.contains("cookie: a=1; b=2\n") && !reply.body.contains("bucket"), "{what}: {}", reply.body);
        assert_eq!(cookie(&reply), None, "{what}: it is known");
    }
    assert_eq!(cookie(&client.get("/", "").await), None, "after it");
    let behind = Two::start("behind_proxy = true").await;
    behind.order(&behind.share(2, 5)).await;
    let reply = get(behind.front.address, "/", "x-forwarded-proto: https\r\n").await;
    assert!(cookie(&reply).unwrap().ends_with("SameSite=Lax; Secure"), "{}", reply.head);
}

#[tokio::test]
async fn an_address_stays_with_its_stack_without_a_cookie() {
    let two = Two::start("sticky = 'address'\nbehind_proxy = true").await;
    let mut client = Client::connect(two.front.address).await;
    let mut seen: HashMap<u32, String> = HashMap::new();
    for (generation, percent) in (2..).zip([5, 5, 50]) {
        two.order(&two.share(generation, percent)).await;
        for user in 0..400 {
            let forwarded = format!("x-forwarded-for: 6.6.6.6, 10.1.{}.{}\r\n", user / 250, user % 250);
            let reply = client.get("/", &forwarded).await;
            assert_eq!(cookie(&reply), None);
            let before = seen.insert(user, reply.body.clone());
            assert!(before.is_none_or(|before| before == "blue" || reply.body == "green"), "moved back");
        }
        let share = seen.values().filter(|stack| *stack == "green").count() as f64 / 4.0;
        assert!((share - percent as f64).abs() < 5.0, "{share} % for {percent} %");
    }
}

#[tokio::test]
async fn a_split_outlives_the_front_and_its_successor() {
    let two = Two::start("").await;
    let split = two.share(2, 50);
    two.order(&split).await;
    let (on_green, on_blue) = ("cookie: pointsman_bucket=49\r\n", "cookie: pointsman_bucket=50\r\n");
    let (folder, address) = (two.front.folder.clone(), two.front.address);
    let same = async |front: &Front| {
        assert_eq!(front.driver.observe().await.unwrap().unwrap().route, split);
        assert_eq!(get(address, "/", on_green).await.body, "green");
        assert_eq!(get(address, "/", on_blue).await.body, "blue");
    };
    two.front.stop().await;
    let again = Front::start_in(folder.clone(), address, "", false).await;
    same(&again).await;
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.get("/", on_green).await.body, "green");
    let successor = Front::start_in(folder, address, "threads = 1", true).await;
    same(&successor).await;
    let undo = route(3, target(1, &[two.blue.address]));
    successor.driver.cut_over(&undo).await.unwrap();
    assert_eq!(kept.get("/", on_green).await.body, "blue", "the one that left follows");
    drop(kept);
    again.ended().await.unwrap();
    let late = successor.driver.cut_over(&split).await.unwrap();
    assert!(matches!(late, CutOver::Stale { .. }), "{late:?}");
    successor.stop().await;
}

#[tokio::test]
async fn what_is_open_and_what_was_answered_is_told_of_both_stacks() {
    let two = Two::start("preview = { from = ['127.0.0.0/8'] }").await;
    two.front.driver.stage(&two.green()).await.unwrap();
    two.order(&two.share(2, 50)).await;
    let green = "cookie: pointsman_bucket=0\r\n";
    let mut events = Client::connect(two.front.address).await;
    events.send(&format!("GET /events HTTP/1.1\r\nhost: a\r\n{green}\r\n")).await;
    events.expect("text/event-stream").await;
    assert_eq!(get(two.front.address, "/", "cookie: pointsman_bucket=99\r\n").await.body, "blue");
    assert_eq!(
        get(two.front.address, "/", "x-pointsman-preview: candidate\r\n").await.body,
        "green",
        "what testers are to see"
    );
    let seen = two.front.driver.observe().await.unwrap().unwrap();
    assert_eq!((seen.staged, seen.open), (None, vec![(stack(2), 1)]));
    let side = |number, requests| Side { stack: stack(number), requests, failed: 0 };
    assert_eq!(seen.counted.unwrap().sides, [side(1, 1), side(2, 1)]);
    two.order(&route(3, two.blue())).await;
    two.green.beat.notify_one();
    events.expect("data: tick").await;
    let seen = two.front.driver.observe().await.unwrap().unwrap();
    assert_eq!(seen.open, [(stack(2), 1)], "a stream stays where it began");
    drop(events);
    until("it is over", async || two.front.driver.observe().await.unwrap().unwrap().open.is_empty()).await;
}

#[tokio::test]
async fn what_can_not_be_shared_is_refused_and_changes_nothing() {
    let two = Two::start("").await;
    let alone = Route { target: None, ..two.share(2, 5) };
    let twice = shared(2, two.blue(), target(1, &[free_address()]), 5);
    let empty = shared(2, two.blue(), target(2, &[]), 5);
    for (order, why) in [(alone, "needs a stack that gets the rest"), (twice, "both a share"), (empty, "no endpoint")] {
        match two.front.driver.cut_over(&order).await {
            Err(StepError::Refused(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?} of {order:?}"),
        }
    }
    two.order(&two.share(2, 5)).await;
    let other = two.front.driver.cut_over(&two.share(2, 6)).await;
    assert!(matches!(other, Err(StepError::Refused(_))), "another share under the same number: {other:?}");
    let answers = two.front.driver.ask_public().await.unwrap().unwrap();
    assert!([stack(1), stack(2)].contains(&answers), "asked as one user of many: {answers}");
}
