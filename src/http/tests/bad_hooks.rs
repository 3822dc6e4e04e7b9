//! Webhooks: the good one, and every bad one.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, StatusCode};
use sha2::Sha256;

use super::kit::{KEY, Shop, signature, signed};
use crate::machine::{Millis, Number};

const BUILD: &str = r#"{"version":"v1","artifact":"builds/v1","build":7}"#;

#[tokio::test]
async fn a_build_is_recorded_once_however_often_it_is_announced() {
    let shop = Shop::new();
    let first = shop.hook(BUILD).await;
    assert_eq!((first.status, &first.headers["location"]), (202, &"/v1/deployments/shop/qa/1".parse().unwrap()));
    assert_eq!(first.body["deployment"], "shop/qa/1");
    let again = shop.hook(BUILD).await;
    assert_eq!((again.status, again.body["number"].as_u64()), (202, Some(1)));
    assert_eq!(shop.state("shop/qa").last_number(), Number(1));
    let next = shop.hook(&BUILD.replace("v1", "v2").replace('7', "8")).await;
    assert_eq!((next.status, next.body["number"].as_u64()), (202, Some(2)));
    let older = shop.hook(&BUILD.replace("v1", "v0").replace('7', "6")).await;
    let why = "superseded: build 6 is older than build 8, which was accepted before as shop/qa/2; if it is wanted";
    assert_eq!((older.status, older.body["superseded_by"].as_str()), (200, Some("shop/qa/2")));
    assert!(older.body["ignored"].as_str().unwrap().starts_with(why), "{}", older.body);
    assert_eq!(shop.state("shop/qa").last_number(), Number(2));
}

#[tokio::test]
async fn an_older_build_is_refused_whichever_way_it_comes_and_deployed_when_it_is_meant() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    let deploy = "/v1/environments/shop/qa/deploy";
    let older = shop.post(deploy, &BUILD.replace("v1", "v0").replace('7', "6")).await;
    older.refused(
        StatusCode::CONFLICT,
        "build 6 is older than build 7, which was accepted before as shop/qa/1; leave out `build`",
    );
    assert_eq!(shop.post(deploy, r#"{"version":"v0","artifact":"builds/v0"}"#).await.body["number"], 2);
    assert_eq!(shop.post(deploy, &BUILD.replace("v1", "v2").replace('7', "8")).await.body["number"], 3);
    let late = shop.hook(BUILD).await;
    assert_eq!(late.body["number"], 1, "{}", late.body);
    let between = shop.hook(&BUILD.replace('7', "5")).await;
    assert_eq!((between.status, between.body["superseded_by"].as_str()), (200, Some("shop/qa/3")));
}

#[tokio::test]
async fn a_build_with_a_number_is_the_same_under_every_name_of_a_delivery() {
    let shop = Shop::new();
    let seconds = (shop.app.clock.now().0 / 1000).to_string();
    let announce = |id: &'static str, body: &str| {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(KEY).unwrap();
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        let proof = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let request = Request::post("/v1/hooks/shop").header("webhook-id", id).header("webhook-timestamp", &seconds);
        let request = request.header("webhook-signature", proof).body(Body::from(body.to_owned()));
        shop.send(request.unwrap())
    };
    let linked = BUILD.replace('}', r#","link":"https://ci.example/7"}"#);
    for (id, body) in [("a", BUILD), ("a", BUILD), ("b", BUILD), ("c", &linked)] {
        let told = announce(id, body).await;
        assert_eq!((told.status, told.body["number"].as_u64()), (202, Some(1)), "{}", told.body);
    }
    let other = announce("d", &BUILD.replace("builds/v1", "builds/v2")).await;
    other.refused(StatusCode::CONFLICT, "used before for another build");
    let unnumbered = r#"{"version":"v1","artifact":"builds/v1"}"#;
    for (id, number) in [("e", 2), ("e", 2), ("f", 3)] {
        assert_eq!(announce(id, unnumbered).await.body["number"], number);
    }
}

#[tokio::test]
async fn a_name_that_is_used_again_for_something_else_is_refused() {
    let shop = Shop::new();
    assert_eq!(shop.hook(BUILD).await.status, 202);
    let other = shop.hook(&BUILD.replace("builds/v1", "builds/other")).await;
    other.refused(StatusCode::CONFLICT, "used before for another build, deployment 1");
    assert_eq!(shop.hook(BUILD).await.body["number"], 1);
    let deploy = |body: &str| {
        let request = super::kit::person("POST", "/v1/environments/shop/qa/deploy").header("idempotency-key", "once");
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let build = r#"{"version":"v9","artifact":"a"}"#;
    assert_eq!(shop.send(deploy(build)).await.body["number"], 2);
    assert_eq!(shop.send(deploy(build)).await.body["number"], 2);
    shop.send(deploy(&build.replace("\"a\"", "\"b\""))).await.refused(StatusCode::CONFLICT, "for another request");
}

#[tokio::test]
async fn answers_to_builds_that_share_a_flush_name_each_its_own_deployment() {
    let shop = Shop::new();
    let hooks = (0..64).map(|n| {
        let shop = &shop;
        async move {
            let told = shop.hook(&format!(r#"{{"version":"v{n}","artifact":"a"}}"#)).await;
            u32::try_from(told.body["number"].as_u64().unwrap()).unwrap()
        }
    });
    let mut numbers = futures_util::future::join_all(hooks).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_proven_to_come_from_the_sender_is_refused() {
    let shop = Shop::new();
    let now = shop.app.clock.now();
    let seconds = (now.0 / 1000).to_string();
    let post = |headers: &[(&str, &str)], body: &str| {
        let mut request = Request::post("/v1/hooks/shop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let good = signature(BUILD, &seconds, KEY);
    for (request, why) in [
        (post(&[], BUILD), "neither a signature"),
        (signed(BUILD, now, b"another key"), "no key of the pipeline fits"),
        (signed(BUILD, Millis(now.0 - 400_000), KEY), "its timestamp is 400 s away"),
        (signed(BUILD, now.plus(Millis(400_000)), KEY), "s away from this host's clock"),
        (post(&[("x-pointsman-timestamp", &seconds), ("x-pointsman-signature", &good)], "{}"), "no key of the"),
        (post(&[("x-pointsman-signature", &good)], BUILD), "`x-pointsman-timestamp` is missing"),
        (post(&[("x-pointsman-timestamp", "soon"), ("x-pointsman-signature", &good)], BUILD), "cannot be read"),
        (post(&[("x-pointsman-timestamp", &seconds), ("x-pointsman-signature", "sha256=7")], BUILD), "cannot be read"),
        (post(&[("authorization", "Bearer guess")], BUILD), "no key of the pipeline fits"),
        (post(&[("webhook-signature", "v1,AAAA"), ("webhook-timestamp", &seconds)], BUILD), "`webhook-id` is missing"),
    ] {
        shop.send(request).await.refused(StatusCode::UNAUTHORIZED, why);
    }
    // Nobody learns which pipelines there are.
    for name in ["other", "NO-NAME", "shop"] {
        let nowhere = Request::post(format!("/v1/hooks/{name}")).header("authorization", "Bearer guess");
        let told = shop.send(nowhere.body(Body::from(BUILD)).unwrap()).await;
        told.refused(StatusCode::UNAUTHORIZED, "is there a pipeline of this name that takes webhooks");
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(0));
}

#[tokio::test]
async fn a_field_that_is_missing_or_wrong_is_named() {
    let shop = Shop::new();
    let (can_not_be_used, can_not_be_read) = (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST);
    for (good, bad, why) in [
        (r#""version":"v1","#, "", "`version` is missing"),
        (r#""artifact":"builds/v1","#, "", "`artifact` is missing"),
        (r#""v1""#, "1", "`version` is a number; it must be a text"),
        (r#""v1""#, r#""""#, "`version` is empty"),
        (r#""builds/v1""#, "null", "`artifact` is missing"),
        ("7", "\"7\"", "`build` is a text; it must be a whole number"),
        ("7", "-7", "negative"),
        ("7}", r#"7,"commit":{}}"#, "`commit` is an object"),
        ("7}", r#"7,"parameters":[1]}"#, "`parameters` is a list; it must be an object"),
        ("7}", r#"7,"link":"javascript:1"}"#, "`link` is not an http"),
        ("7}", r#"7,"colour":"green"}"#, "`colour` is not a field"),
        ("7}", "7", "EOF"),
    ] {
        assert!(BUILD.contains(good), "{good}");
        let status = if why == "EOF" { can_not_be_read } else { can_not_be_used };
        shop.hook(&BUILD.replacen(good, bad, 1)).await.refused(status, why);
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(0));
}
