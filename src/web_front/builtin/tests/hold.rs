//! Requests of users wait while nobody has them: for how long, how many, and what becomes of them.

use std::time::{Duration, Instant};

use super::kit::{Client, Client2, Front, Server, get, target, until};
use crate::web_front::{FrontDriver, builtin};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn held(front: &Front) -> u64 {
    front.driver.observe().await.unwrap().unwrap().held
}

/// Waits until so many requests are held.
async fn until_held(front: &Front, wanted: u64) {
    until(&format!("{wanted} are held"), async || held(front).await == wanted).await;
}

/// Sends a request that is to be held.
async fn ask(front: &Front, request: &str) -> Client {
    let mut client = Client::connect(front.address).await;
    client.send(request).await;
    client
}

#[tokio::test]
async fn whatever_waits_reaches_the_next_stack_once_and_whole() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    // Two of the connections stay in use: by the socket, and by the body whose end comes last.
    let front = Front::start("hold = {}\nlimits = { stack_connections = 4, queue = 0 }").await;
    front.live(1, 1, &[blue.address]).await;
    let mut kept = Client::connect(front.address).await;
    assert_eq!(kept.get("/", "").await.body, "blue");
    front.off(2, true).await;
    kept.send(GET).await;
    let mut plain = Vec::new();
    for _ in 0..10 {
        plain.push(ask(&front, GET).await);
    }
    // Of one body only the beginning is there, and of the other more than anybody keeps unasked.
    let mut upload = ask(&front, "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc").await;
    let mut large = ask(&front, "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n").await;
    let large = tokio::spawn(async move {
        large.send_bytes(&vec![b'x'; 5_000_000]).await;
        large.reply().await
    });
    let mut socket =
        ask(&front, "GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    let both = Client2::connect(front.address).await;
    let streams = [
        tokio::spawn(both.ask("GET", "/", b"")),
        tokio::spawn(both.ask("POST", "/body", &[b'x'; 1000])),
        tokio::spawn(both.ask("POST", "/body", &[b'x'; 400_000])),
    ];
    until_held(&front, 17).await;
    assert_eq!((blue.hits(), green.hits()), (1, 0), "no stack has seen them");
    front.live(3, 2, &[green.address]).await;
    // More than the stack may have connections, and more than may queue.
    for client in plain.iter_mut().chain([&mut kept]) {
        assert_eq!(client.reply().await.body, "green");
    }
    upload.send("def").await;
    assert_eq!(upload.reply().await.body, "green 6");
    assert_eq!(large.await.unwrap().body, "green 5000000");
    assert!(socket.head().await.starts_with("HTTP/1.1 101"));
    socket.send("hello").await;
    socket.expect("hello").await;
    let mut answers = Vec::new();
    for stream in streams {
        answers.push(stream.await.unwrap());
    }
    assert_eq!(answers, ["green", "green 1000", "green 400000"].map(|body| (200, body.to_owned())));
    assert_eq!((blue.hits(), green.hits(), held(&front).await), (1, 17, 0), "each once");
}

#[tokio::test]
async fn beyond_the_number_one_is_answered_at_once_and_a_client_that_leaves_makes_room() {
    let green = Server::start("green").await;
    let front = Front::start("hold = { within = '60s', requests = 3 }").await;
    front.off(1, true).await;
    let head = "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n";
    for leaving in [GET.to_owned(), head.to_owned(), format!("{head}abc"), format!("{GET}{GET}")] {
        let client = ask(&front, &leaving).await;
        until_held(&front, 1).await;
        drop(client);
        until_held(&front, 0).await;
    }
    let both = Client2::connect(front.address).await;
    let stream = tokio::spawn(both.ask("POST", "/body", &[b'x'; 400_000]));
    until_held(&front, 1).await;
    stream.abort();
    until_held(&front, 0).await;
    let mut clients = [ask(&front, GET).await, ask(&front, head).await, ask(&front, GET).await];
    until_held(&front, 3).await;
    let page = get(front.address, "/", "").await;
    assert!(page.status == 503 && page.head.contains("x-pointsman-front: maintenance"), "{page:?}");
    assert_eq!(held(&front).await, 3);
    front.live(2, 2, &[green.address]).await;
    clients[1].send("abcdef").await;
    for client in &mut clients {
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_may_from_its_arrival_on() {
    let green = Server::start("green").await;
    let front = Front::start("hold = { within = '2s' }").await;
    front.off(1, true).await;
    let begun = Instant::now();
    let mut client = ask(&front, GET).await;
    until_held(&front, 1).await;
    // Another order that changes nothing for it does not begin its time again.
    front.off(2, true).await;
    let page = client.reply().await;
    assert!(page.status == 503 && page.head.contains("retry-after: 30\r\n"), "{page:?}");
    assert!(begun.elapsed() >= Duration::from_millis(1700), "{:?}", begun.elapsed());
    assert_eq!(held(&front).await, 0);
    // The connection is as good as any.
    client.send(GET).await;
    until_held(&front, 1).await;
    front.live(3, 2, &[green.address]).await;
    assert_eq!(client.reply().await.body, "green");
}

#[tokio::test]
async fn only_requests_of_users_are_held_and_only_where_settings_and_route_say_so() {
    let green = Server::start("green").await;
    let front = Front::start("hold = { within = '60s' }").await;
    assert_eq!(get(front.address, "/", "").await.status, 503, "nothing was ever live");
    front.off(1, false).await;
    assert_eq!(get(front.address, "/", "").await.status, 503);
    front.off(2, true).await;
    front.driver.stage(&target(2, &[green.address])).await.unwrap();
    let preview = format!("x-pointsman-preview: {}\r\n", front.key());
    assert_eq!(get(front.address, "/", &preview).await.body, "green");
    let cookie = format!("cookie: pointsman_preview={}\r\n", front.key());
    assert_eq!(get(front.address, "/", &cookie).await.body, "green");
    let none = get(front.address, "/", &format!("{}; shop-qa-9\r\n", preview.trim_end())).await;
    assert_eq!(none.status, 503, "there is no such candidate, and it is not waited for");
    let asked = front.driver.ask_public().await.unwrap_err().to_string();
    assert!(asked.contains("503 maintenance"), "who asks which stack answers is told at once: {asked}");
    let mut client = ask(&front, GET).await;
    until_held(&front, 1).await;
    // The same order without the hold lets them go.
    front.off(2, false).await;
    assert_eq!(client.reply().await.status, 503);
    let without = Front::start("").await;
    without.off(1, true).await;
    assert_eq!(get(without.address, "/", "").await.status, 503);
    assert_eq!((front.driver.holds(), without.driver.holds()), (Some(Duration::from_secs(60)), None));
}

#[tokio::test]
async fn a_front_that_hands_over_goes_on_holding_and_one_that_ends_answers() {
    let green = Server::start("green").await;
    let old = Front::start("hold = { within = '60s' }").await;
    old.off(1, true).await;
    let mut at_the_old_one = ask(&old, "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc").await;
    until_held(&old, 1).await;
    let settings = "hold = { within = '60s' }\nthreads = 1";
    let new = Front::start_in(old.folder.clone(), old.address, settings, true).await;
    let mut at_the_new_one = ask(&new, GET).await;
    until_held(&new, 2).await;
    new.live(2, 2, &[green.address]).await;
    at_the_old_one.send("def").await;
    assert_eq!(at_the_old_one.reply().await.body, "green 6");
    assert_eq!(at_the_new_one.reply().await.body, "green");
    assert_eq!(green.hits(), 2);
    drop(at_the_old_one);
    old.ended().await.unwrap();
    new.off(3, true).await;
    let mut last = ask(&new, GET).await;
    until_held(&new, 1).await;
    let answer = tokio::spawn(async move { last.reply().await });
    new.stop().await;
    let answer = answer.await.unwrap();
    assert!(answer.status == 503 && answer.head.contains("connection: close"), "{answer:?}");
    assert_eq!(green.hits(), 2, "and no stack has seen it");
}

#[test]
fn limits_have_defaults_and_bounds() {
    let read = |more: &str| {
        let table = format!("listen = '127.0.0.1:1'\nhold = {{ {more} }}").parse().unwrap();
        builtin::open(&table, "/".as_ref(), "/nowhere".as_ref()).map(|front| (front.holds(), front.notes().concat()))
    };
    let (within, notes) = read("").unwrap();
    assert_eq!(within, Some(Duration::from_secs(10)));
    assert!(notes.contains("held for up to 10 s, 1000 at once"), "{notes}");
    let told = read("within = '0s', requests = 0, number = 1").unwrap_err().join("\n");
    for part in [
        "`front.hold.within` must be longer than zero",
        "`front.hold.requests` is the number 0; it must be a whole number from 1",
        "unknown key `front.hold.number`; accepted here: within, requests",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}
