//! The maintenance page of an nginx front: who gets it, who gets through, and that neither the switch nor another page takes a reload.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use pointsman::{
    machine::{Generation, Number, StackName},
    web_front::{CutOver, FrontDriver, Route, Target},
};
use reqwest::{Certificate, Client, Version};

use crate::support::{
    herd::{route, stack},
    nginx::Nginx,
    wire::{Answer, Wire},
};

fn off(generation: u64) -> Route {
    Route::whole(Generation(generation), None)
}

async fn order(driver: &dyn FrontDriver, route: &Route) {
    assert_eq!(driver.cut_over(route).await.expect("it answers"), CutOver::Applied);
    let seen = driver.observe().await.expect("it answers").expect("a route");
    assert!(seen.route == *route && !seen.altered, "{seen:?}");
}

fn ask(nginx: &Nginx, method: &str, headers: &str) -> Answer {
    Wire::open(nginx.plain()).and_then(|mut wire| wire.ask(method, "/", headers, "")).expect("an answer")
}

/// Settings that name this page, beside the configuration of nginx, and the way to nginx's host.
fn settings(nginx: &Nginx, name: &str, text: &str, more: &str) -> String {
    let file = nginx.path(name);
    fs::write(&file, text).expect("written");
    let ssh = nginx.sshd.as_ref().map(|_| nginx.ssh("user_key", "known_hosts")).unwrap_or_default();
    format!("{ssh}{more}maintenance = {{ page = {file:?}, retry_after = \"2m\" }}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_to_the_page_and_another_page_take_no_reload_here_and_over_ssh() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let driver = nginx.driver_with(&settings(&nginx, "down.html", "<h1>it's six o'clock</h1>\n", ""));
        let before = ask(&nginx, "GET", "");
        assert!(before.status == 503 && before.body.contains("Down for maintenance"), "as it was set up: {before:?}");
        let (one, two) = (stack(1), stack(2));
        driver.ensure_running().await.expect("nginx runs");
        driver.stage(&one).await.expect("staged");
        order(&*driver, &route(1, &one)).await;
        let (include, workers) = (fs::read(nginx.include()).expect("it is there"), nginx.workers());
        let mut kept = Wire::open(nginx.plain()).expect("connected");
        assert_eq!(kept.ask("GET", "/", "", "").expect("an answer").headers["x-version"], "1");
        order(&*driver, &off(2)).await;
        let down = kept.ask("GET", "/", "", "").expect("an answer on the same connection");
        assert_eq!((down.status, down.body.as_str()), (503, "<h1>it's six o'clock</h1>\n"));
        let header = |name: &str| down.headers.get(name).map(String::as_str);
        assert_eq!((header("retry-after"), header("cache-control")), (Some("120"), Some("no-store")));
        assert_eq!(header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(header("x-pointsman-front"), Some("maintenance"));
        let from_inside = kept.ask("GET", "/.pointsman/shop_prod/maintenance", "", "").expect("an answer");
        assert_eq!(from_inside.status, 404, "nobody asks for it by its name");
        // Another page is there with the next order.
        fs::write(nginx.path("down.html"), "at seven").expect("written");
        order(&*driver, &route(3, &one)).await;
        assert_eq!(kept.ask("GET", "/", "", "").expect("an answer").headers["x-version"], "1");
        order(&*driver, &off(4)).await;
        assert_eq!(kept.ask("GET", "/", "", "").expect("an answer").body, "at seven");
        // One that cannot be read any more leaves the last one.
        fs::remove_file(nginx.path("down.html")).expect("it was there");
        order(&*driver, &route(5, &one)).await;
        order(&*driver, &off(6)).await;
        assert_eq!(kept.ask("GET", "/", "", "").expect("an answer").body, "at seven");
        assert_eq!((fs::read(nginx.include()).expect("it is there"), nginx.workers()), (include, workers), "no reload");
        // The candidate is brought in while nobody has the users, and what was live stays known.
        driver.stage(&two).await.expect("staged");
        let include = fs::read(nginx.include()).expect("it is there");
        for (generation, target) in [(7, &two), (9, &one)] {
            order(&*driver, &route(generation, target)).await;
            assert_eq!(ask(&nginx, "GET", "").headers["x-version"], target.stack.number.to_string());
            order(&*driver, &off(generation + 1)).await;
        }
        assert_eq!(fs::read(nginx.include()).expect("it is there"), include, "no reload");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_request_gets_the_page() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver_with(&settings(&nginx, "down.txt", "at six", ""));
    driver.ensure_running().await.expect("nginx runs");
    order(&*driver, &off(1)).await;
    assert_eq!(ask(&nginx, "GET", "").headers["content-type"], "text/plain; charset=utf-8");
    let browser = ask(&nginx, "GET", "accept: text/html,application/json;q=0.9\r\n");
    assert_eq!((browser.status, browser.body.as_str()), (503, "at six"));
    let json = ask(&nginx, "GET", "accept: application/json\r\n");
    assert_eq!((json.status, json.headers["content-type"].as_str()), (503, "application/problem+json"));
    let told: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
    assert_eq!((&told["status"], &told["title"]), (&503.into(), &"Down for maintenance".into()));
    assert_eq!(json.headers["retry-after"], "120");
    let upgrade = ask(&nginx, "GET", "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n");
    assert_eq!((upgrade.status, upgrade.body.as_str()), (503, "at six"));
    let mut kept = Wire::open(nginx.plain()).expect("connected");
    let body = "x".repeat(3_000_000);
    for method in ["POST", "PUT", "DELETE"] {
        let answer = kept.ask(method, "/", "", &body).expect("an answer on the same connection");
        assert_eq!((answer.status, answer.body.as_str()), (503, "at six"), "{method}");
    }
    let mut head = TcpStream::connect(nginx.plain()).expect("connected");
    head.write_all(b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let mut said = String::new();
    head.read_to_string(&mut said).expect("an answer");
    assert!(
        said.starts_with("HTTP/1.1 503") && said.ends_with("\r\n\r\n") && said.contains("Retry-After: 120"),
        "{said}"
    );
    let root = fs::read(nginx.certificate()).expect("it is there");
    let root = Certificate::from_pem(&root).expect("a certificate");
    // An error means that another provider was chosen before, and is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().tls_certs_only([root]).resolve("shop.test", nginx.tls()).build().expect("a client");
    let url = format!("https://shop.test:{}/", nginx.tls().port());
    for body in [None, Some("x".repeat(100_000))] {
        let request = body.map_or_else(|| client.get(&url), |body| client.post(&url).body(body));
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 503));
        assert_eq!(answer.text().await.expect("a text"), "at six");
    }
    // With JSON of its own, the pipeline's page is for all.
    let driver = nginx.driver_with(&settings(&nginx, "down.json", "{\"back\":6}", ""));
    order(&*driver, &off(2)).await;
    for accept in ["", "accept: application/json\r\n"] {
        let answer = ask(&nginx, "GET", accept);
        assert_eq!((answer.status, answer.body.as_str()), (503, "{\"back\":6}"));
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_preview_gets_through_to_the_candidate() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver_with("preview = { host = \"preview.shop.test\" }\n");
    let (one, two) = (stack(1), stack(2));
    driver.ensure_running().await.expect("nginx runs");
    driver.stage(&one).await.expect("staged");
    order(&*driver, &route(1, &one)).await;
    order(&*driver, &off(2)).await;
    driver.stage(&two).await.expect("staged");
    let link = driver.shown_preview().expect("a preview").link().expect("a key").to_owned();
    let key = link.split_once("?key=").expect("a key").1;
    for said in [format!("x-pointsman-preview: {key}\r\n"), format!("cookie: a=1; pointsman_preview={key}\r\n")] {
        assert_eq!(ask(&nginx, "GET", &said).headers["x-version"], "2", "{said}");
    }
    let way = driver.way_to(&two.stack, Duration::from_secs(5)).expect("a way");
    let checked = way.client.get(format!("{}/", way.origin)).headers(way.headers).send().await.expect("an answer");
    assert!(checked.status() == 200 && way.mark.is_on(checked.status(), checked.headers()), "{checked:?}");
    assert_eq!(ask(&nginx, "GET", "").status, 503, "others get the page");
    let seen = driver.observe().await.expect("it answers").expect("a route");
    assert_eq!((seen.route, seen.staged), (off(2), Some(two.stack)));
    let inside = nginx.driver_with("preview = { from = [\"127.0.0.0/8\"], host = \"preview.shop.test\" }\n");
    inside.stage(&stack(3)).await.expect("staged");
    assert_eq!(ask(&nginx, "GET", "x-pointsman-preview: candidate\r\n").headers["x-version"], "3");
    let outside = nginx.driver_with("preview = { from = [\"192.0.2.0/24\"] }\n");
    outside.stage(&stack(4)).await.expect("staged");
    assert_eq!(ask(&nginx, "GET", "x-pointsman-preview: candidate\r\n").status, 503);
}

/// A stack that says when a request has come, and answers it when it is told to.
fn slow(number: u32) -> (Target, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let ((came, has_come), (let_go, go)) = (mpsc::channel(), mpsc::channel::<()>());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a request");
        let _ = client.read(&mut [0; 4096]);
        came.send(()).expect("the test waits");
        go.recv().expect("the test goes on");
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nslow").expect("it waits");
    });
    let stack = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) };
    (Target { stack, reach: address.into() }, has_come, let_go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_had_begun_is_answered_by_its_stack_which_counts_as_open() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver();
    let ((one, has_come, let_go), two) = (slow(1), stack(2));
    driver.ensure_running().await.expect("nginx runs");
    driver.stage(&one).await.expect("staged");
    order(&*driver, &route(1, &one)).await;
    driver.stage(&two).await.expect("staged");
    order(&*driver, &route(2, &two)).await;
    // Back at the older one, as after a rollback.
    order(&*driver, &route(3, &one)).await;
    let at = nginx.plain();
    let user = std::thread::spawn(move || Wire::patient(at).and_then(|mut wire| wire.ask("GET", "/", "", "")));
    has_come.recv_timeout(Duration::from_secs(30)).expect("the request comes");
    order(&*driver, &off(4)).await;
    assert_eq!(ask(&nginx, "GET", "").status, 503);
    let open = driver.observe().await.expect("it answers").expect("a route").open;
    assert!(open.contains(&(one.stack.clone(), 1)), "nginx does not say that nothing is open there: {open:?}");
    // Not even a reload ends it.
    driver.stage(&stack(3)).await.expect("staged");
    let_go.send(()).expect("the stack waits");
    let answer = user.join().expect("no panic").expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "slow"));
}
