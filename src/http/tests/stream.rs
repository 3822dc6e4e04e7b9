//! The event stream: nothing is missing, nothing comes twice.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::StatusCode;
use tower::ServiceExt;

use super::kit::{Shop, person};

struct Heard(axum::body::BodyDataStream, String);

impl Heard {
    async fn on(shop: &Shop, path: &str, last: Option<u64>) -> Self {
        let mut request = person("GET", path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = shop.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        Self(response.into_body().into_data_stream(), String::new())
    }

    /// The next event: its kind and its id.
    async fn next(&mut self) -> (String, u64) {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim();
                let heard = (field("event:").to_owned(), field("id:").parse().unwrap());
                self.1 = rest.to_owned();
                return heard;
            }
            let bytes = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("silence");
            self.1.push_str(std::str::from_utf8(&bytes.expect("it ended").unwrap()).unwrap());
        }
    }
}

async fn holds(shop: &Shop, environment: &str, count: usize) {
    for _ in 0..count {
        assert_eq!(shop.post(&format!("/v1/environments/{environment}/hold"), "{}").await.status, 200);
    }
}

#[tokio::test]
async fn whoever_was_away_hears_what_is_missing_and_then_what_comes() {
    let shop = Shop::new();
    holds(&shop, "shop/qa", 450).await;
    let mut heard = Heard::on(&shop, "/v1/events?since=3", Some(7)).await;
    assert_eq!(heard.next().await, (String::new(), 7), "the header counts");
    holds(&shop, "shop/qa", 3).await;
    for seq in 8..=453 {
        assert_eq!(heard.next().await, ("record".to_owned(), seq));
    }
    holds(&shop, "shop/qa", 2).await;
    assert_eq!(heard.next().await.1, 454);
    assert_eq!(heard.next().await.1, 455);
}

#[tokio::test]
async fn one_environment_alone_can_be_followed() {
    let shop = Shop::new();
    holds(&shop, "shop/qa", 2).await;
    holds(&shop, "shop/prod", 1).await;
    let mut heard = Heard::on(&shop, "/v1/events?environment=shop/prod&since=0", None).await;
    assert_eq!(heard.next().await.1, 0);
    assert_eq!(heard.next().await.1, 3);
    holds(&shop, "shop/qa", 1).await;
    holds(&shop, "shop/prod", 1).await;
    assert_eq!(heard.next().await.1, 5);
    shop.get("/v1/events?environment=shop/nowhere").await.refused(StatusCode::NOT_FOUND, "no such environment");
    let bad = person("GET", "/v1/events").header("last-event-id", "x").body(Body::empty()).unwrap();
    shop.send(bad).await.refused(StatusCode::BAD_REQUEST, "Last-Event-ID");
}

#[tokio::test]
async fn whoever_comes_from_another_state_file_is_told_so() {
    let shop = Shop::new();
    holds(&shop, "shop/qa", 2).await;
    let mut heard = Heard::on(&shop, "/v1/events?since=99", None).await;
    assert_eq!(heard.next().await, ("missed".to_owned(), 2));
    holds(&shop, "shop/qa", 1).await;
    assert_eq!(heard.next().await, ("record".to_owned(), 3));
}

#[tokio::test]
async fn without_a_mark_it_begins_now() {
    let shop = Shop::new();
    holds(&shop, "shop/qa", 2).await;
    let mut heard = Heard::on(&shop, "/v1/events", None).await;
    assert_eq!(heard.next().await, (String::new(), 2), "from here on everything is heard");
    holds(&shop, "shop/qa", 1).await;
    assert_eq!(heard.next().await.1, 3);
}
