//! Too many requests: those that prove nothing, by their origin, and genuine builds, by their pipeline. Time is let pass.

use std::{net::IpAddr, time::Duration};

use http::{Request, StatusCode};

use super::{
    super::authentication::Peer,
    kit::{KEY, Shop, Told, signed},
};
use crate::{access::Role, clock::Clock, machine::Number};

const ALL: &str = "/v1/environments";
const BUILD: &str = r#"{"version":"v1","artifact":"builds/v1"}"#;

fn from(address: &str, mut request: Request<axum::body::Body>) -> Request<axum::body::Body> {
    request.extensions_mut().insert(Peer(address.parse::<IpAddr>().unwrap()));
    request
}

impl Told {
    /// Returns the seconds of `Retry-After`.
    fn seconds(&self) -> u64 {
        self.headers["retry-after"].to_str().unwrap().parse().unwrap()
    }
}

async fn guess(shop: &Shop, address: &str) -> Told {
    shop.send(from(address, super::kit::bearer("guess", "GET", ALL).body("".into()).unwrap())).await
}

async fn forge(shop: &Shop, address: &str) -> Told {
    shop.send(from(address, signed(BUILD, shop.app.clock.host(), b"another key"))).await
}

#[tokio::test]
async fn guessing_is_slowed_by_origin_and_who_knows_is_not() {
    let shop = Shop::at(Clock::still());
    let token = shop.token("gwen", Role::Viewer, &[]);
    for _ in 0..20 {
        assert_eq!(guess(&shop, "192.0.2.1").await.status, 401);
    }
    let told = guess(&shop, "192.0.2.1").await;
    told.refused(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address without a good token");
    assert!(told.seconds() > 30, "{:?}", told.headers);
    assert_eq!(guess(&shop, "::ffff:192.0.2.1").await.status, 429, "the same address written otherwise");
    assert_eq!(guess(&shop, "192.0.2.2").await.status, 401, "another address");
    for _ in 0..100 {
        let good = super::kit::bearer(&token, "GET", ALL).body("".into()).unwrap();
        assert_eq!(shop.send(from("192.0.2.1", good)).await.status, 200);
    }
    shop.app.clock.let_pass(Duration::from_secs(60));
    assert_eq!(guess(&shop, "192.0.2.1").await.status, 401);
    assert_eq!(guess(&shop, "192.0.2.1").await.status, 429);
    shop.app.clock.let_pass(Duration::from_secs(1200));
    for _ in 0..20 {
        assert_eq!(guess(&shop, "192.0.2.1").await.status, 401);
    }
}

#[tokio::test]
async fn forged_webhooks_stop_being_looked_at_and_they_recover_by_themselves() {
    let shop = Shop::at(Clock::still());
    for _ in 0..20 {
        assert_eq!(forge(&shop, "192.0.2.1").await.status, 401);
    }
    let genuine = || from("192.0.2.1", signed(BUILD, shop.app.clock.host(), KEY));
    // Not even a genuine one: to know it, its signature would have to be computed.
    let told = shop.send(genuine()).await;
    told.refused(StatusCode::TOO_MANY_REQUESTS, "webhooks from this address that prove nothing");
    assert!(told.seconds() > 30, "{:?}", told.headers);
    assert_eq!(guess(&shop, "192.0.2.1").await.status, 401, "the API counts for itself");
    shop.app.clock.let_pass(Duration::from_secs(60));
    assert_eq!(shop.send(genuine()).await.status, 202);
    for _ in 0..100 {
        assert_eq!(shop.send(genuine()).await.status, 202, "what is genuine is not counted");
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(1));
}

#[tokio::test]
async fn behind_a_proxy_the_origin_is_whom_it_asks_for() {
    let shop = Shop::new();
    let ask = |peer: &'static str, forwarded: &'static str| {
        let request = super::kit::bearer("guess", "GET", ALL).header("x-forwarded-for", forwarded);
        shop.send(from(peer, request.body("".into()).unwrap()))
    };
    for n in 0..20 {
        // What the client itself says stands before what the proxy says.
        let forwarded = if n % 2 == 0 { "192.0.2.1" } else { "198.51.100.9, 192.0.2.1" };
        assert_eq!(ask("10.0.0.1", forwarded).await.status, 401);
    }
    assert_eq!(ask("10.0.0.1", "192.0.2.1").await.status, 429);
    assert_eq!(ask("10.0.0.1", "192.0.2.2").await.status, 401);
    for _ in 0..20 {
        assert_eq!(ask("192.0.2.7", "192.0.2.3").await.status, 401);
    }
    assert_eq!(ask("192.0.2.7", "192.0.2.4").await.status, 429, "this one is no proxy of ours");
}

#[tokio::test]
async fn more_builds_than_a_pipeline_may_announce_are_refused_and_not_recorded() {
    let mut shop = Shop::new();
    shop.limit_webhooks("10/m burst 3");
    let push = |n: u32| shop.send(signed(&BUILD.replace("v1", &format!("v{n}")), shop.app.clock.host(), KEY));
    for n in 1..=3 {
        assert_eq!(push(n).await.status, 202);
    }
    let told = push(4).await;
    told.refused(StatusCode::TOO_MANY_REQUESTS, "too many webhooks of this pipeline");
    assert!((1..=6).contains(&told.seconds()), "{:?}", told.headers);
    assert_eq!(shop.state("shop/qa").last_number(), Number(3));
    shop.app.clock.let_pass(Duration::from_secs(6));
    assert_eq!(push(4).await.status, 202);
    assert_eq!(shop.state("shop/qa").last_number(), Number(4));
}
