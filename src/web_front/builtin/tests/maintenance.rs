//! Nobody has the users: what they get, who gets through, and what becomes of requests that had begun.

use std::fs;

use super::kit::{Client, Client2, Front, Server, get, stack, target, until};
use crate::web_front::{FrontDriver, FrontTrouble, builtin};

/// A page of the pipeline's, and the settings that name it.
fn page(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    (folder, format!("maintenance = {{ page = {file:?}, retry_after = '2m' }}\n"))
}

#[tokio::test]
async fn every_kind_of_request_gets_the_page_and_the_connection_goes_on() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let (_files, own) = page("down.html", "<h1>Back at six</h1>\n");
    let front = Front::start(&own).await;
    front.live(1, 1, &[blue.address]).await;
    let mut kept = Client::connect(front.address).await;
    assert_eq!(kept.get("/", "").await.body, "blue");
    front.off(2, false).await;
    let down = kept.get("/", "").await;
    assert_eq!((down.status, down.body.as_str()), (503, "<h1>Back at six</h1>\n"));
    for part in ["retry-after: 120\r\n", "content-type: text/html; charset=utf-8\r\n", "cache-control: no-store\r\n"] {
        assert!(down.head.contains(part) && !down.head.contains("connection: close"), "{part}: {down:?}");
    }
    let json = kept.get("/", "accept: application/json\r\n").await;
    assert!(json.status == 503 && json.head.contains("content-type: application/problem+json"), "{json:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.body).unwrap()["status"], 503);
    // The head alone: what follows on the connection is the next answer.
    kept.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(kept.head().await.starts_with("HTTP/1.1 503"));
    let upgrade = kept.get("/upgrade", "connection: upgrade\r\nupgrade: websocket\r\n").await;
    assert_eq!((upgrade.status, upgrade.body.as_str()), (503, "<h1>Back at six</h1>\n"));
    kept.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
    assert_eq!(kept.reply().await.status, 503);
    let mut large = Client::connect(front.address).await;
    large.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n").await;
    large.try_send(&vec![b'x'; 3_000_000]).await;
    let refused = large.reply().await;
    assert!(refused.status == 503 && refused.head.contains("connection: close"), "{refused:?}");
    let both = Client2::connect(front.address).await;
    assert_eq!(both.ask("GET", "/", b"").await, (503, "<h1>Back at six</h1>\n".to_owned()));
    assert_eq!(both.ask("POST", "/body", &[b'x'; 100_000]).await.0, 503);
    assert_eq!((blue.hits(), green.hits()), (1, 0), "no stack was asked");
    front.live(3, 2, &[green.address]).await;
    assert_eq!(both.ask("GET", "/", b"").await, (200, "green".to_owned()));
    assert_eq!(get(front.address, "/", "").await.body, "green");
}

#[tokio::test]
async fn without_a_file_the_page_is_ours_and_json_of_the_pipeline_is_for_all() {
    let front = Front::start("").await;
    front.off(1, false).await;
    let ours = get(front.address, "/", "").await;
    assert!(ours.status == 503 && ours.body.contains("<h1>Down for maintenance</h1>"), "{ours:?}");
    assert!(ours.head.contains("retry-after: 30\r\n") && ours.head.contains("x-pointsman-front: maintenance"));
    for (name, kind) in [("down.json", "application/json"), ("down.txt", "text/plain; charset=utf-8")] {
        let (_files, own) = page(name, "[6]");
        let front = Front::start(&own).await;
        front.off(1, false).await;
        let page = get(front.address, "/", "").await;
        assert!(page.body == "[6]" && page.head.contains(&format!("content-type: {kind}\r\n")), "{page:?}");
        let json = get(front.address, "/", "accept: application/json\r\n").await;
        assert_eq!(json.body == "[6]", name == "down.json", "{json:?}");
    }
}

#[tokio::test]
async fn whoever_has_the_preview_gets_through_to_the_candidate() {
    let (blue, green) = (Server::start("blue").await, Server::start("green").await);
    let front = Front::start("[preview]\nhost = 'preview.shop.test'").await;
    front.live(1, 1, &[blue.address]).await;
    front.off(2, true).await;
    front.driver.stage(&target(2, &[green.address])).await.unwrap();
    let (key, at) = (front.key(), front.address);
    assert_eq!(get(at, "/", &format!("x-pointsman-preview: {key}\r\n")).await.body, "green");
    let cookie = format!("cookie: pointsman_preview={key}\r\n");
    assert_eq!(get(at, "/", &cookie).await.body, "green");
    assert_eq!(get(at, &format!("/.pointsman/preview?key={key}"), "").await.status, 303);
    let mut client = Client::connect(at).await;
    client.send(&format!("GET / HTTP/1.1\r\nhost: preview.shop.test\r\n{cookie}\r\n")).await;
    assert_eq!(client.reply().await.body, "green");
    let way = front.driver.way_to(&stack(2), std::time::Duration::from_secs(5)).unwrap();
    let checked = way.client.get(format!("{}/", way.origin)).headers(way.headers).send().await.unwrap();
    assert!(checked.status() == 200 && way.mark.is_on(checked.status(), checked.headers()), "{checked:?}");
    assert_eq!(get(at, "/", "").await.status, 503, "others get the page");
    let seen = front.driver.observe().await.unwrap().unwrap();
    assert_eq!((seen.route.target, seen.staged), (None, Some(stack(2))));
    let inside = Front::start("[preview]\nfrom = ['127.0.0.0/8']").await;
    inside.off(1, false).await;
    inside.driver.stage(&target(2, &[green.address])).await.unwrap();
    assert_eq!(get(inside.address, "/", "x-pointsman-preview: candidate\r\n").await.body, "green");
}

#[tokio::test]
async fn a_request_that_had_begun_is_answered_by_its_stack_and_counted_until_then() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    let mut slow = Client::connect(front.address).await;
    slow.send("GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut socket = Client::connect(front.address).await;
    socket.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert!(socket.head().await.starts_with("HTTP/1.1 101"));
    until("both are open", async || blue.hits() == 2).await;
    front.off(2, false).await;
    assert_eq!(get(front.address, "/", "").await.status, 503);
    let open = async || front.driver.observe().await.unwrap().unwrap().open;
    assert_eq!(open().await, [(stack(1), 2)]);
    socket.send("still there").await;
    socket.expect("still there").await;
    drop(socket);
    until("the socket is gone", async || open().await == [(stack(1), 1)]).await;
    blue.gate.notify_one();
    assert_eq!(slow.reply().await.body, "blue");
    until("the stack is empty", async || open().await.is_empty()).await;
    assert_eq!(slow.get("/", "").await.status, 503, "its next request is like any other");
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_refused_before_and_keeps_no_front_from_serving() {
    let (files, own) = page("down.html", "at six");
    let table = format!("listen = '127.0.0.1:1'\n{own}").parse().unwrap();
    let open = || builtin::open(&table, "/".as_ref(), files.path()).err();
    assert_eq!(open(), None);
    fs::remove_file(files.path().join("down.html")).unwrap();
    let [why] = &open().unwrap()[..] else { panic!("one mistake") };
    assert!(
        why.starts_with("`front.maintenance.page`: the page /") && why.contains("down.html cannot be read"),
        "{why}"
    );
    let front = Front::start(&own).await;
    front.off(1, false).await;
    assert!(get(front.address, "/", "").await.body.contains("Down for maintenance"));
    let told = || async { front.driver.seen().await.unwrap().trouble };
    assert!(matches!(&told().await[..], [FrontTrouble::ReloadFailed { .. }]));
    fs::write(files.path().join("down.html"), "at seven").unwrap();
    until("the page is taken up", async || get(front.address, "/", "").await.body == "at seven").await;
    assert_eq!(told().await, []);
    let both = format!("{own}maintenance_page = 'x'\nlisten = '127.0.0.1:1'").parse().unwrap();
    let [why] = &builtin::open(&both, "/".as_ref(), files.path()).err().unwrap()[..] else { panic!("one mistake") };
    assert!(why.contains("the earlier name"), "{why}");
}
