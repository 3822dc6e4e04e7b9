//! What hooks write, as the API hands it out.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use futures_util::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};

use super::kit::{Shop, person};
use crate::{hooks::Runs, http::router, runner::HookLogs};

const LOGS: &str = "/v1/environments/shop/qa/logs";

/// A shop whose qa has the hooks `migrate` and `warm-up`; nothing of them ran.
fn shop() -> Shop {
    let mut shop = Shop::new();
    let hook = |name: &str| {
        format!("[[environments.hooks]]\nname = \"{name}\"\nat = \"after-checks\"\ncommand = [\"true\"]\n")
    };
    let prod = "[[environments]]\nname = \"prod\"";
    shop.rewrite(&[(prod, &format!("{}{}{prod}", hook("migrate"), hook("warm-up")))]);
    let id = "shop/qa".parse().unwrap();
    let runs = Runs::of(shop.folder(), &id, "/nowhere".into());
    let secrets = shop.app.secrets.clone();
    shop.router = axum::Router::new();
    Arc::get_mut(&mut shop.app).unwrap().hook_logs = HookLogs::of_one(id, runs, secrets);
    shop.router = router(shop.app.clone());
    shop
}

/// The folder of a run that has begun.
fn run(shop: &Shop, name: &str) -> PathBuf {
    let folder = shop.folder().join("hooks/shop/qa").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("begun"), "").unwrap();
    folder
}

/// Runs on until this is dropped.
fn running(folder: &Path) -> File {
    let lock = File::create(folder.join("lock")).unwrap();
    lock.try_lock().unwrap();
    lock
}

/// The lines of JSON that are answered.
async fn entries(shop: &Shop, query: &str) -> Vec<Value> {
    let request = person("GET", &format!("{LOGS}{query}")).body(Body::empty()).unwrap();
    let response = shop.answer(request).await;
    assert_eq!(response.status(), 200);
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn line(deployment: u32, text: &str) -> Value {
    json!({ "kind": "hook_line", "deployment": deployment, "hook": "migrate", "text": text })
}

#[tokio::test]
async fn the_last_run_of_a_hook_is_read_or_that_of_a_deployment_and_its_end_is_told() {
    let shop = shop();
    let first = run(&shop, "3-migrate");
    fs::write(first.join("output-0"), "one\ntwo\n").unwrap();
    fs::write(first.join("outcome.json"), r#"{"failed":"it ended with exit status 3: two","said":"two"}"#).unwrap();
    let second = run(&shop, "12-migrate");
    let lock = running(&second);
    fs::write(second.join("output-0"), "begins\n").unwrap();
    let which = |n: u32| json!({ "kind": "hook", "deployment": n, "hook": "migrate", "version": null });
    assert_eq!(entries(&shop, "?hook=migrate").await, [which(12), line(12, "begins")]);
    let failed = "it ended with exit status 3: two";
    let ended = |n: u32, failed| json!({ "kind": "hook_ended", "deployment": n, "hook": "migrate", "failed": failed });
    let all = entries(&shop, "?hook=migrate&deployment=3&lines=1").await;
    assert_eq!(all, [which(3), line(3, "two"), ended(3, json!(failed))]);
    drop(lock);
    let interrupted = json!("its run was interrupted, and how far it came is unknown");
    assert_eq!(entries(&shop, "?hook=migrate").await.last(), Some(&ended(12, interrupted)));
}

#[tokio::test]
async fn who_follows_hears_lines_as_they_come_and_goes_on_where_they_were() {
    let shop = shop();
    let folder = run(&shop, "7-migrate");
    let lock = running(&folder);
    fs::write(folder.join("output-0"), "one\n").unwrap();
    let follow = async |last: Option<&str>| {
        let mut request = person("GET", &format!("{LOGS}?hook=migrate&follow=true"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = shop.answer(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200);
        (response.into_body().into_data_stream(), String::new())
    };
    let until = async |heard: &mut (axum::body::BodyDataStream, String), part: &str| {
        while !heard.1.contains(part) {
            let bytes = tokio::time::timeout(Duration::from_secs(20), heard.0.next()).await.expect("silence");
            heard.1.push_str(std::str::from_utf8(&bytes.expect("it ended").unwrap()).unwrap());
        }
    };
    let mut heard = follow(None).await;
    until(&mut heard, "id: 7.4\n").await;
    fs::write(folder.join("output-4"), "two\n").unwrap();
    until(&mut heard, "id: 7.8\n").await;
    assert!(heard.1.contains(r#""text":"one""#) && heard.1.contains(r#""text":"two""#), "{}", heard.1);
    // What was between was removed.
    fs::write(folder.join("output-99"), "late\n").unwrap();
    fs::write(folder.join("outcome.json"), r#"{"failed":null,"said":"late"}"#).unwrap();
    drop(lock);
    let mut again = follow(Some("7.8")).await;
    for heard in [&mut heard, &mut again] {
        until(heard, r#""failed":null"#).await;
        assert!(heard.1.contains("event: hook_missed") && heard.1.contains(r#""text":"late""#), "{}", heard.1);
        assert!(heard.0.next().await.is_none(), "nothing more comes");
    }
    assert!(!again.1.contains(r#""text":"two""#) && !again.1.contains("event: hook\n"), "{}", again.1);
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_is() {
    let shop = shop();
    let refused = async |query: &str, status: StatusCode, why: &str| {
        shop.get(&format!("{LOGS}{query}")).await.refused(status, why);
    };
    let (nothing, missing) = (StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST);
    refused("?hook=migrate", nothing, "hook migrate did not run yet in shop/qa, or was cleared away; nothing is kept")
        .await;
    run(&shop, "7-migrate");
    run(&shop, "8-warm-up");
    let there = "there are: warm-up of deployment 8, migrate of deployment 7 \
                 (`pointsman logs shop/qa --hook warm-up --deployment 8`)";
    refused("?hook=seed", nothing, &format!("shop/qa has no hook \"seed\"; it has: migrate, warm-up; {there}")).await;
    let cleared = "nothing is kept of hook migrate of deployment 5 in shop/qa: it did not run, or was cleared away; ";
    refused("?hook=migrate&deployment=5", nothing, &format!("{cleared}{there}")).await;
    let prod = shop.get("/v1/environments/shop/prod/logs?hook=migrate").await;
    prod.refused(nothing, "shop/prod has no hook \"migrate\", and no other");
    refused("?hook=migrate&stack=7", missing, "name a stack, or a hook by `hook`, not both").await;
    refused("?deployment=7", missing, "`deployment` says for which deployment the `hook` ran").await;
    let request = person("GET", &format!("{LOGS}?hook=migrate&follow=true")).header("last-event-id", "7.0out-1-2");
    let told = shop.send(request.body(Body::empty()).unwrap()).await;
    told.refused(missing, "`Last-Event-ID` must be the id of an event of this stream");
}
