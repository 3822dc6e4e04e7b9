//! A share of the users on a second stack, by an nginx front.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use pointsman::web_front::{CutOver, FrontDriver, Route, Target};

use crate::support::{
    herd::{route, shared, stack},
    nginx::Nginx,
    wire::{Answer, Wire},
};

async fn order(driver: &dyn FrontDriver, route: &Route) {
    assert_eq!(driver.cut_over(route).await.unwrap(), CutOver::Applied);
    assert_eq!(driver.observe().await.unwrap().unwrap().route, *route);
}

/// Two stacks that nginx knows, the first of them live.
async fn two(driver: &dyn FrontDriver) -> (Target, Target) {
    let (one, two) = (stack(1), stack(2));
    driver.ensure_running().await.unwrap();
    order(driver, &route(1, &one)).await;
    driver.stage(&two).await.unwrap();
    (one, two)
}

/// A browser: keeps its cookie, and notes which stack answered.
#[derive(Default)]
struct User {
    cookie: Option<String>,
    last: u32,
}

impl User {
    /// Returns whether the user was moved from the second stack to the first.
    fn ask(&mut self, wire: &mut Wire) -> bool {
        let headers = self.cookie.as_ref().map(|cookie| format!("cookie: a=1; {cookie}; b=2\r\n")).unwrap_or_default();
        let answer = wire.ask("GET", "/", &headers, "").unwrap();
        assert_eq!(answer.status, 200);
        let saw = if self.cookie.is_some() { "a=1; b=2" } else { "" };
        assert_eq!(answer.headers["x-saw-cookie"], saw, "what the application sees");
        if let Some(cookie) = answer.headers.get("set-cookie") {
            assert_eq!(self.cookie, None, "told once");
            assert!(cookie.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(answer.headers["cache-control"], "no-cache=\"set-cookie\"");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let now = version(&answer);
        std::mem::replace(&mut self.last, now) > now
    }
}

fn version(answer: &Answer) -> u32 {
    answer.headers["x-version"].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_moved_once_while_the_share_grows_and_nothing_is_reloaded() {
    let Some(nginx) = Nginx::sticky("cookie") else { return };
    let driver = nginx.driver();
    let (one, two) = two(&*driver).await;
    let before = Wire::open(nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
    assert_eq!(before.headers.get("set-cookie"), None, "all are on one stack");
    let workers = nginx.workers();
    order(&*driver, &shared(2, &one, &two, 5)).await;
    let over = AtomicBool::new(false);
    let users = std::thread::scope(|scope| {
        let group = |_| {
            scope.spawn(|| {
                let mut wire = Wire::open(nginx.plain()).unwrap();
                let mut users: Vec<User> = (0..50).map(|_| User::default()).collect();
                while !over.load(SeqCst) {
                    for user in &mut users {
                        assert!(!user.ask(&mut wire), "moved back");
                    }
                }
                users
            })
        };
        let groups: Vec<_> = (0..4).map(group).collect();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for (generation, percent) in (3..).zip([6, 20, 50, 80, 99]) {
                    order(&*driver, &shared(generation, &one, &two, percent)).await;
                }
                order(&*driver, &route(8, &two)).await;
            });
        });
        over.store(true, SeqCst);
        groups.into_iter().flat_map(|group| group.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(users.iter().all(|user| user.cookie.is_some()));
    assert_eq!(nginx.workers(), workers, "no reload");
    order(&*driver, &shared(9, &two, &one, 50)).await;
    let mut wire = Wire::open(nginx.plain()).unwrap();
    let expected = |user: &User| {
        let bucket: u8 = user.cookie.as_ref().unwrap().rsplit('=').next().unwrap().parse().unwrap();
        if bucket < 50 { 1 } else { 2 }
    };
    for mut user in users {
        user.ask(&mut wire);
        assert_eq!(user.last, expected(&user), "{:?}", user.cookie);
    }
    let why = driver.stage(&stack(3)).await.unwrap_err().to_string();
    assert!(why.contains("two slots") && why.contains("shop-prod-3"), "{why}");
    order(&*driver, &route(10, &two)).await;
    let after = Wire::open(nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
    assert_eq!((version(&after), after.headers.get("set-cookie")), (2, None), "undone by one order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_stays_with_its_stack_while_the_share_grows() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let driver = nginx.driver();
        let (one, two) = two(&*driver).await;
        let users: Vec<_> = (0..400).map(|user: u32| Ipv4Addr::from(0x7F4D_0000 + user * 7)).collect();
        let mut seen = vec![1; users.len()];
        for (generation, percent) in (2..).zip([5, 5, 50]) {
            order(&*driver, &shared(generation, &one, &two, percent)).await;
            for (&user, before) in users.iter().zip(&mut seen) {
                let answer = Wire::from(user, nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
                assert_eq!((answer.status, answer.headers.get("set-cookie")), (200, None));
                assert!(version(&answer) >= *before, "moved back");
                *before = version(&answer);
            }
            let share = seen.iter().filter(|stack| **stack == 2).count() as f64 / 4.0;
            assert!((share - percent as f64).abs() < 7.5, "{share} % for {percent} %");
        }
        order(&*driver, &route(5, &one)).await;
        for user in users.into_iter().step_by(10) {
            let answer = Wire::from(user, nginx.plain()).unwrap().ask("GET", "/", "", "").unwrap();
            assert_eq!(version(&answer), 1, "undone by one order");
        }
    }
}

#[tokio::test]
async fn a_split_outlives_nginx_and_what_others_do_to_it_is_seen() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver();
    let (one, two) = two(&*driver).await;
    let split = shared(2, &one, &two, 30);
    order(&*driver, &split).await;
    nginx.kill();
    nginx.run();
    assert_eq!(driver.observe().await.unwrap().unwrap().route, split);
    let buckets = nginx.path("state/shop-prod/shares/30");
    std::fs::rename(&buckets, nginx.path("elsewhere")).unwrap();
    let seen = driver.observe().await.unwrap().unwrap().route;
    assert_eq!(seen, Route { split: None, ..split.clone() }, "nginx has nobody in the share");
    std::fs::rename(nginx.path("elsewhere"), &buckets).unwrap();
    assert_eq!(driver.observe().await.unwrap().unwrap().route, split);
}
