//! How many follow at the same time, and that whatever is counted is given back however it ends.

use std::{pin::pin, sync::Arc, task::Poll};

use axum::{Router, body::Body, middleware::from_fn, routing::get};
use http::{Request, Response, StatusCode};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    super::guard::{Activity, arrived, guard},
    kit::{Shop, TOKEN, bearer},
};
use crate::access::Role;

const EVENTS: &str = "/v1/events";

fn connection() -> Arc<Activity> {
    Arc::new(Activity::new(&Arc::default()))
}

#[tokio::test]
async fn a_request_that_panics_or_is_given_up_keeps_no_connection_busy() {
    let activity = connection();
    let fails = || async { "seven".parse::<u8>().expect("a defect").to_string() };
    let routes = Router::new()
        .route("/fails", get(fails))
        .route("/waits", get(std::future::pending::<()>))
        .layer(from_fn(arrived))
        .layer(from_fn(guard))
        .layer(CatchPanicLayer::new());
    let ask = |path: &str| {
        routes.clone().oneshot(Request::get(path).extension(activity.clone()).body(Body::empty()).unwrap())
    };
    assert_eq!(ask("/fails").await.unwrap().status(), 500);
    assert!(activity.turn().is_some());
    {
        let mut waits = pin!(ask("/waits"));
        assert!(matches!(futures_util::poll!(&mut waits), Poll::Pending));
        assert!(activity.turn().is_none(), "it is being answered");
    }
    assert!(activity.turn().is_some());
}

async fn follow(shop: &Shop, token: &str, over: Option<&Arc<Activity>>) -> Response<Body> {
    let request = bearer(token, "GET", EVENTS);
    let request = match over {
        Some(activity) => request.extension(activity.clone()),
        None => request,
    };
    shop.answer(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn half_of_a_connection_may_follow_and_what_ends_makes_room() {
    let shop = Shop::new();
    let activity = connection();
    let mut streams = Vec::new();
    for nth in 0..50 {
        let stream = follow(&shop, TOKEN, Some(&activity)).await;
        assert_eq!(stream.status(), StatusCode::OK, "stream {nth}");
        streams.push(stream);
    }
    let refused = follow(&shop, TOKEN, Some(&activity)).await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"10".parse().unwrap())
    );
    assert_eq!(follow(&shop, TOKEN, Some(&connection())).await.status(), StatusCode::OK, "another connection");
    assert_eq!(activity.turn().map(|(follows, _)| follows), Some(true));
    streams.pop();
    streams.push(follow(&shop, TOKEN, Some(&activity)).await);
    assert_eq!(streams.last().unwrap().status(), StatusCode::OK);
    drop(streams);
    assert_eq!(activity.turn().map(|(follows, _)| follows), Some(false), "all are given back");
}

#[tokio::test]
async fn one_person_does_not_take_the_streams_of_all() {
    let shop = Shop::new();
    let (eve, ann) = (shop.token("eve", Role::Viewer, &[]), shop.token("ann", Role::Viewer, &[]));
    let mut streams = Vec::new();
    for _ in 0..512 {
        streams.push(follow(&shop, &eve, None).await);
    }
    assert!(streams.iter().all(|stream| stream.status() == StatusCode::OK));
    let request = bearer(&eve, "GET", EVENTS).body(Body::empty()).unwrap();
    shop.send(request).await.refused(StatusCode::TOO_MANY_REQUESTS, "too many streams of `eve`");
    assert_eq!(follow(&shop, &ann, None).await.status(), StatusCode::OK);
    assert_eq!(follow(&shop, TOKEN, None).await.status(), StatusCode::OK);
    drop(streams);
    assert_eq!(shop.app.limits.streams.count(), 0);
}
