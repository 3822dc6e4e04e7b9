//! The stream of an open page: what it tells to whom, that it keeps the view that was asked for, and how it ends.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::header;

use super::{
    kit::{Shop, bearer},
    page::live_in_qa,
};
use crate::{access::Role, http::transport::Encrypted, machine::Event};

struct Page<'s>(&'s Shop, axum::body::BodyDataStream, String);

impl<'s> Page<'s> {
    async fn open(shop: &'s Shop, token: &str, path: &str) -> Self {
        let request = bearer(token, "GET", path).header(header::ACCEPT, "text/html, text/event-stream");
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Some(Encrypted));
        let response = shop.answer(request).await;
        assert_eq!(
            (response.status(), &response.headers()["cache-control"]),
            (http::StatusCode::OK, &"no-store".parse().unwrap())
        );
        Self(shop, response.into_body().into_data_stream(), String::new())
    }

    /// The next event, its kind and what it has; none when the stream has ended. Time passes as it waits.
    async fn next(&mut self) -> Option<(String, String)> {
        for _ in 0..100 {
            if let Some((event, rest)) = self.2.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
                };
                let heard = (field("event:"), field("data:"));
                self.2 = rest.to_owned();
                return Some(heard);
            }
            let more = tokio::time::timeout(Duration::from_millis(200), self.1.next()).await;
            match more {
                Ok(Some(bytes)) => self.2.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap()),
                Ok(None) => return None,
                Err(_) => self.0.app.clock.let_pass(Duration::from_secs(1)),
            }
        }
        panic!("silence: {}", self.2)
    }

    /// The next change of the page; all that comes between are signs of life.
    async fn change(&mut self) -> String {
        loop {
            match self.next().await.expect("it ended") {
                (kind, change) if kind.is_empty() => return change,
                (kind, _) => assert_eq!(kind, "clock"),
            }
        }
    }
}

#[tokio::test]
async fn an_open_page_tells_what_its_reader_may_see_and_is_not_woken_by_the_rest() {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    let quinn = shop.token("quinn", Role::Admin, &["shop/qa"]);
    let mut page = Page::open(&shop, &quinn, "/live").await;
    let all = page.change().await;
    assert!(all.contains("shop/qa") && !all.contains("shop/prod"), "{all}");
    let hold = |why: &str| Event::Held { reason: why.into() };
    shop.steps("shop/prod", [hold("an audit of prod")]).await;
    for _ in 0..3 {
        let (kind, told) = page.next().await.expect("it goes on");
        assert!(kind == "clock" || !told.contains("prod"), "{told}");
    }
    shop.steps("shop/qa", [hold("an audit of qa")]).await;
    let change = page.change().await;
    assert!(change.contains("held by") && !change.contains("prod"), "{change}");
}

#[tokio::test]
async fn an_open_page_keeps_the_view_that_was_asked_for() {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    let vera = shop.token("vera", Role::Viewer, &[]);
    let address = "/?q=shop&show=held&sort=name";
    let first = super::page::look(&shop, &vera, address).await.text;
    let stream = first.split("hx-sse:connect=\"").nth(1).unwrap().split('"').next().unwrap();
    let stream = stream.replace("&amp;", "&").replace("&#38;", "&");
    assert_eq!(stream, "/live?q=shop&show=held&sort=name");
    let mut page = Page::open(&shop, &vera, &stream).await;
    let all = page.change().await;
    assert!(all.contains("No pipeline is like that"), "{all}");
    shop.steps("shop/prod", [Event::Held { reason: "audit".into() }]).await;
    let change = page.change().await;
    assert!(
        change.contains("id=\"row-shop\"") && change.contains("/?q=shop&amp;show=needs&amp;sort=name")
            || change.contains("/?q=shop&#38;show=needs&#38;sort=name"),
        "{change}"
    );
}

#[tokio::test]
async fn an_open_page_ends_with_the_right_to_look_and_says_so() {
    let shop = Shop::new();
    for path in ["/live", "/environments/shop/qa/live"] {
        let vera = shop.token("vera", Role::Viewer, &["shop/qa"]);
        let mut page = Page::open(&shop, &vera, path).await;
        page.change().await;
        assert_eq!(shop.post("/v1/tokens/revoke", r#"{"name":"vera"}"#).await.status, 200);
        let mut last = page.next().await;
        while last.as_ref().is_some_and(|(kind, _)| kind != "bye") {
            last = page.next().await;
        }
        assert_eq!(last, Some(("bye".to_owned(), String::new())), "{path}");
        assert_eq!(page.next().await, None, "{path}");
    }
}
