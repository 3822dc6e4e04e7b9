//! What users see when the front answers itself, what testers see, and bad settings.

use super::kit::{Front, Server, free_address, get};
use crate::web_front::{FrontDriver, builtin};

#[tokio::test]
async fn with_nothing_live_there_is_a_page_for_people_and_one_for_programs() {
    let front = Front::start("retry_after = '7s'").await;
    let page = get(front.address, "/", "").await;
    assert_eq!(page.status, 503);
    assert!(page.head.contains("retry-after: 7\r\n") && page.head.contains("x-pointsman-front: no-route"));
    assert!(page.body.starts_with("<!doctype html>") && page.body.contains("<h1>Nothing is here yet</h1>"));
    let external =
        ["http:", "https:", "src=", "href=", "url(", "@import", "{t", "{s"].map(|sign| page.body.contains(sign));
    assert!(!external.contains(&true) && page.body.contains("prefers-color-scheme: dark"), "{}", page.body);
    let json = get(front.address, "/", "accept: application/json\r\n").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.body).unwrap()["status"], 503);
    let error = front.driver.ask_public().await.unwrap_err().to_string();
    assert!(error.contains("no-route"), "{error}");
}

#[tokio::test]
async fn maintenance_comes_and_goes_and_survives_a_restart() {
    let blue = Server::start("blue").await;
    let front = Front::start("").await;
    front.live(1, 1, &[blue.address]).await;
    front.driver.maintenance(true).await.unwrap();
    let (folder, address) = (front.folder.clone(), front.address);
    front.stop().await;
    let front = Front::start_in(folder, address, "", false).await;
    let page = get(address, "/", "").await;
    assert!(page.status == 503 && page.head.contains("x-pointsman-front: maintenance"), "{page:?}");
    assert!(page.head.contains("retry-after: 30\r\n"), "{page:?}");
    let json = get(address, "/", "accept: application/json\r\n").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.body).unwrap()["title"], "Down for maintenance");
    front.driver.maintenance(false).await.unwrap();
    assert_eq!(get(address, "/", "").await.body, "blue");
}

#[tokio::test]
async fn a_stack_that_is_gone_is_a_502_and_one_that_sleeps_a_504() {
    let blue = Server::start("blue").await;
    let front = Front::start("[timeouts]\nresponse = '50ms'").await;
    front.live(1, 1, &[free_address()]).await;
    let page = get(front.address, "/", "").await;
    assert!(page.status == 502 && page.head.contains("x-pointsman-front: unreachable"), "{page:?}");
    assert!(page.head.contains("retry-after: 5\r\n"), "{page:?}");
    let json = get(front.address, "/", "accept: application/json\r\n").await;
    assert!(json.head.contains("content-type: application/problem+json"), "{json:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.body).unwrap()["status"], 502);
    front.live(2, 2, &[blue.address]).await;
    let page = get(front.address, "/gate", "").await;
    assert!(page.status == 504 && page.head.contains("x-pointsman-front: timeout"), "{page:?}");
}

#[test]
fn mistakes_in_settings_are_told_all_at_once() {
    let table = "listen = ['here', '127.0.0.1:1']\nthreads = 0\ncolour = 'red'\nretry_after = '5 minutes'\n\
                 [tls]\ncertificate = 'a.pem'\n[timeouts]\nidle = 3\n[preview]\nheader = 'a b'\n[maintenance]\npage = 'a.png'";
    let mistakes = builtin::open(&table.parse().unwrap(), "/etc".as_ref(), "/nowhere".as_ref()).err().unwrap();
    let all = mistakes.join("\n");
    let told = [
        "`front.listen`",
        "`front.threads`",
        "unknown key `front.colour`; accepted here: listen",
        "`front.retry_after`",
    ];
    let nested =
        ["`front.tls.key` is missing", "`front.timeouts.idle`", "`front.preview.header`", "`front.maintenance.page`"];
    for place in told.iter().chain(&nested) {
        assert!(all.contains(place), "{place} is missing in:\n{all}");
    }
    assert_eq!(mistakes.len(), 8, "{all}");
}
