//! The candidate is reached by whoever has the key, by header, link and host, and by nobody else; no stack sees the key.

use std::time::Duration;

use super::kit::{Client, Front, Reply, Server, get, stack, target};
use crate::web_front::FrontDriver;

const HEADER: &str = "x-pointsman-preview";

/// A front with blue live and green staged.
async fn staged(settings: &str) -> Front {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start(settings).await;
    front.live(1, 1, &[blue.address]).await;
    front.driver.stage(&target(2, &[green.address])).await.unwrap();
    front
}

fn cookie(reply: &Reply) -> String {
    let line = reply.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    line.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn only_with_the_key_is_the_candidate_reached_and_it_is_made_where_none_is_given() {
    let front = staged("").await;
    let (key, at) = (front.key(), front.address);
    assert_eq!(get(at, "/", &format!("{HEADER}: {key}\r\n")).await.body, "green");
    assert_eq!(get(at, "/", &format!("{HEADER}: {key}; shop-qa-2\r\n")).await.body, "green");
    assert_eq!(get(at, "/", &format!("{HEADER}: {key}; shop-qa-1\r\n")).await.body, "blue");
    let missing = get(at, "/", &format!("{HEADER}: {key}; shop-qa-9\r\n")).await;
    assert!(missing.status == 503 && missing.head.contains("no-candidate"), "never the live one instead");
    let guessed = "0".repeat(64);
    for said in ["candidate", "shop-qa-2", &guessed, &key[1..], "", &format!("{key}0")] {
        assert_eq!(get(at, "/", &format!("{HEADER}: {said}\r\n")).await.body, "blue", "{said:?}");
        assert_eq!(get(at, "/", &format!("cookie: pointsman_preview={said}\r\n")).await.body, "blue", "{said:?}");
        let link = get(at, &format!("/.pointsman/preview?key={said}"), "").await;
        assert!(link.body == "blue" && !link.head.contains("set-cookie"), "{link:?}");
    }
    let twice = format!("{HEADER}: {key}\r\n{HEADER}: {key}\r\n");
    assert_eq!(get(at, "/", &twice).await.body, "blue");
    front.live(2, 2, &[Server::start("green").await.address]).await;
    assert_eq!(front.driver.observe().await.unwrap().unwrap().staged, None, "it has arrived");
    assert_eq!(get(at, "/", &format!("{HEADER}: {key}\r\n")).await.status, 503);
}

#[tokio::test]
async fn a_link_lets_a_browser_in_until_it_is_told_off_or_there_is_no_candidate() {
    let front = staged("").await;
    let (key, at) = (front.key(), front.address);
    let entered = get(at, &format!("/.pointsman/preview?key={key}"), "").await;
    assert!(entered.status == 303 && entered.head.contains("location: /\r\n"), "{entered:?}");
    for part in ["; path=/; httponly; samesite=lax\r\n", "referrer-policy: no-referrer", "cache-control: no-store"] {
        assert!(entered.head.to_lowercase().contains(part), "{part}: {entered:?}");
    }
    let cookie = cookie(&entered);
    let theirs = format!("cookie: a=1; {cookie}; b=2\r\n");
    assert_eq!(get(at, "/", &theirs).await.body, "green");
    assert_eq!(get(at, "/", "").await.body, "blue", "others see what is live");
    let off = get(at, "/.pointsman/preview?off", &theirs).await;
    assert!(off.status == 303 && off.head.contains("pointsman_preview=; Path=/; Max-Age=0"), "{off:?}");
    assert_eq!(get(at, "/.pointsman/preview?off", "").await.body, "blue", "an answer of the application");
    front.live(2, 2, &[Server::start("arrived").await.address]).await;
    assert_eq!(get(at, "/", &theirs).await.body, "arrived", "as everybody");
}

#[tokio::test]
async fn no_stack_ever_sees_a_key() {
    let front = staged("[preview]\nheader = 'x-look'\nhost = 'preview.shop.test'").await;
    let (key, at) = (front.key(), front.address);
    let wrong = key.chars().rev().collect::<String>();
    for key in [&key, &wrong] {
        let said = format!(
            "x-look: {key}\r\n{HEADER}: {key}\r\ncookie: a=1;pointsman_preview={key}\r\ncookie: pointsman_preview={key}; b=2\r\n"
        );
        let seen = get(at, "/headers", &said).await.body;
        assert!(!seen.contains(key.as_str()) && !seen.contains("pointsman") && !seen.contains("x-look"), "{seen}");
        assert!(seen.contains("cookie: a=1\n") && seen.contains("cookie: b=2\n"), "{seen}");
        let only = get(at, "/headers", &format!("cookie: pointsman_preview={key}\r\n")).await.body;
        assert!(!only.contains("cookie"), "{only}");
    }
    // A key that was right yesterday, and a body that the link does not have.
    let seen = get(at, &format!("/.pointsman/preview?key={wrong}"), "").await;
    assert!(seen.status == 200 && !seen.body.contains(&wrong), "{seen:?}");
}

#[tokio::test]
async fn at_its_host_the_candidate_is_shown_to_whoever_was_let_in() {
    let front = staged("[preview]\nhost = 'preview.shop.test'").await;
    let ask = async |more: &str| {
        let mut client = Client::connect(front.address).await;
        client.send(&format!("GET / HTTP/1.1\r\nhost: Preview.shop.test:80\r\n{more}\r\n")).await;
        client.reply().await.body
    };
    assert_eq!(ask("").await, "blue");
    assert_eq!(ask(&format!("cookie: pointsman_preview={}\r\n", front.key())).await, "green");
    let shown = front.driver.shown_preview().unwrap();
    let port = front.address.port();
    assert_eq!(shown.address, format!("http://preview.shop.test:{port}/.pointsman/preview"));
}

#[tokio::test]
async fn an_address_range_lets_in_alone_or_bounds_who_has_the_key() {
    let inside = staged("[preview]\nhost = 'preview.shop.test'\nfrom = ['127.0.0.0/8']").await;
    assert_eq!(get(inside.address, "/", &format!("{HEADER}: candidate\r\n")).await.body, "green");
    let mut client = Client::connect(inside.address).await;
    client.send("GET / HTTP/1.1\r\nhost: preview.shop.test\r\n\r\n").await;
    assert_eq!(client.reply().await.body, "green");
    let outside = staged("[preview]\nfrom = ['192.0.2.0/24']").await;
    assert_eq!(get(outside.address, "/", &format!("{HEADER}: candidate\r\n")).await.body, "blue");
    // What another proxy says of the client counts, and the client's own word does not.
    let behind = staged("behind_proxy = true\n[preview]\nfrom = ['192.0.2.0/24']").await;
    let said = |from: &str| format!("x-forwarded-for: {from}\r\n{HEADER}: candidate\r\n");
    assert_eq!(get(behind.address, "/", &said("10.0.0.1, 192.0.2.7")).await.body, "green");
    assert_eq!(get(behind.address, "/", &said("192.0.2.7, 10.0.0.1")).await.body, "blue");
    assert_eq!(get(behind.address, "/", &format!("{HEADER}: candidate\r\n")).await.body, "blue");
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_is_brought_in_and_bounded_by_the_range_too() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("key");
    std::fs::write(&file, "correct-horse-battery\n").unwrap();
    let settings = |more: &str| format!("[preview]\nsecret = {{ file = {file:?} }}\n{more}");
    let front = staged(&settings("")).await;
    let said = format!("{HEADER}: correct-horse-battery\r\n");
    assert_eq!(get(front.address, "/", &said).await.body, "green");
    assert_eq!(get(front.address, "/", &format!("{HEADER}: candidate\r\n")).await.body, "blue");
    std::fs::write(&file, "another-horse-battery\n").unwrap();
    front.driver.reload().await.unwrap();
    assert_eq!(get(front.address, "/", &said).await.body, "blue");
    let outside = staged(&settings("from = ['192.0.2.0/24']")).await;
    assert_eq!(get(outside.address, "/", &format!("{HEADER}: another-horse-battery\r\n")).await.body, "blue");
    // Without the key nobody is let in, and users are served.
    std::fs::remove_file(&file).unwrap();
    let without = staged(&settings("")).await;
    assert_eq!(get(without.address, "/", &said).await.body, "blue");
    let why = without.driver.shown_preview().unwrap().link().unwrap_err().to_owned();
    assert!(why.contains("cannot be read"), "{why}");
}

#[tokio::test]
async fn the_controller_asks_any_stack_that_the_front_knows_without_a_key() {
    let front = staged("[preview]\nfrom = ['192.0.2.0/24']").await;
    let ask = async |number: u32| {
        let way = front.driver.way_to(&stack(number), Duration::from_secs(5)).unwrap();
        let answer = way.client.get(format!("{}/", way.origin)).headers(way.headers).send().await.unwrap();
        let right = way.mark.is_on(answer.status(), answer.headers());
        (right, answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask(1).await, (true, 200, "blue".to_owned()));
    assert_eq!(ask(2).await, (true, 200, "green".to_owned()));
    let (right, status, _) = ask(3).await;
    assert!(!right && status == 503, "a stack that it does not know has no mark");
    front.driver.stage(&target(4, &[super::kit::free_address()])).await.unwrap();
    let (right, status, _) = ask(4).await;
    assert!(right && status == 502, "the front speaks for a stack that does not answer");
    front.driver.maintenance(true).await.unwrap();
    assert_eq!(ask(1).await, (true, 200, "blue".to_owned()), "it is the stack that is asked");
    let own = format!("x-pointsman-stack: {}\r\n", "environment=shop/qa; number=2");
    assert_eq!(get(front.address, "/", &own).await.status, 503, "nobody else asks so");
}
