//! Webhooks as their senders send them.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, StatusCode};
use sha2::Sha256;

use super::kit::{KEY, Shop};
use crate::machine::Number;

const NOTIFICATION: &str = include_str!("../../../tests/senders/jenkins-notification.json");
const RUN: &str = include_str!("../../../tests/senders/github-workflow-run.json");
const GITEA: &str = include_str!("../../../tests/senders/gitea-workflow-run.json");
const FORGEJO: &str = include_str!("../../../tests/senders/forgejo-action-run.json");
const BITBUCKET: &str = include_str!("../../../tests/senders/bitbucket-build-status.json");
const PUSH: &str = include_str!("../../../tests/senders/bitbucket-data-center-push.json");
const PIPELINE: &str = include_str!("../../../tests/senders/gitlab-pipeline.json");

fn post(body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::post("/v1/hooks/shop").header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_owned())).unwrap()
}

fn basic(password: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode([b"jenkins:", password].concat()))
}

fn hub(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Returns a body with these replaced.
fn with(body: &str, from: &str, to: &str) -> String {
    assert!(body.contains(from), "{from}");
    body.replace(from, to)
}

#[tokio::test]
async fn a_jenkins_job_tells_every_phase_and_the_last_one_counts_once() {
    let shop = Shop::new();
    let password = basic(KEY);
    let auth: &[(&str, &str)] = &[("authorization", &password)];
    for (phase, status) in
        [("QUEUED", None), ("STARTED", None), ("COMPLETED", Some("SUCCESS")), ("FINALIZED", Some("FAILURE"))]
    {
        let status = status.map(|s| format!("\"status\": \"{s}\",")).unwrap_or_default();
        let body = with(&with(NOTIFICATION, "\"status\": \"SUCCESS\",", &status), "FINALIZED", phase);
        let told = shop.send(post(&body, auth)).await;
        assert_eq!(told.status, 200);
        assert!(told.body["ignored"].as_str().unwrap().contains("SUCCESS counts"), "{}", told.body);
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(0));
    for duration in ["93512", "93512", "93513"] {
        let told = shop.send(post(&with(NOTIFICATION, "93512", duration), auth)).await;
        assert_eq!((told.status, told.body["deployment"].as_str()), (202, Some("shop/qa/1")));
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(1));
    let older = shop.send(post(&with(NOTIFICATION, "\"number\": 18", "\"number\": 17"), auth)).await;
    assert_eq!((older.status, older.body["superseded_by"].as_str()), (200, Some("shop/qa/1")));
    let told = shop.send(post(&with(NOTIFICATION, "\"number\": 18,", ""), auth)).await;
    told.refused(StatusCode::UNPROCESSABLE_ENTITY, "`build.number` is missing");
    shop.send(post(&NOTIFICATION[..200], auth)).await.refused(StatusCode::BAD_REQUEST, "EOF");
}

#[tokio::test]
async fn github_and_gitlab_are_known_by_their_headers() {
    let shop = Shop::new();
    let signature = hub(RUN);
    let github = [("x-github-event", "workflow_run"), ("x-github-delivery", "1"), ("x-hub-signature-256", &*signature)];
    // The pipeline of these tests has no template for an artifact, and neither of them names one.
    shop.send(post(RUN, &github)).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "set `webhook.artifact`");
    let told = shop.send(post(RUN, &[("x-github-event", "ping"), github[2]])).await;
    assert_eq!((told.status, told.body["ignored"].as_str()), (200, Some("pong")));
    let key = std::str::from_utf8(KEY).unwrap();
    let gitlab = [("x-gitlab-event", "Pipeline Hook"), ("x-gitlab-token", key)];
    shop.send(post(PIPELINE, &gitlab)).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "set `webhook.artifact`");
    let failed = with(PIPELINE, "\"status\": \"success\",\n    \"detailed", "\"status\": \"failed\",\n    \"detailed");
    assert_eq!(shop.send(post(&failed, &gitlab)).await.status, 200);
    for (headers, why) in [
        (vec![github[0]], "it carries neither a signature"),
        (vec![github[0], ("x-hub-signature-256", "sha256=00")], "the header `X-Hub-Signature-256`"),
        (vec![gitlab[0], ("x-gitlab-token", "guess")], "no key of the pipeline fits `X-Gitlab-Token`"),
        (vec![github[0], ("x-hub-signature", "sha1=00"), ("x-gitlab-token", key)], "the header `X-Hub-Signature-256`"),
    ] {
        shop.send(post(RUN, &headers)).await.refused(StatusCode::UNAUTHORIZED, why);
    }
    assert_eq!(shop.state("shop/qa").last_number(), Number(0));
}

#[tokio::test]
async fn a_delivery_that_is_no_build_is_answered_200_when_it_is_proven_and_401_when_it_is_not() {
    let shop = Shop::new();
    let key = std::str::from_utf8(KEY).unwrap();
    for event in ["Job Hook", "Push Hook", "System Hook"] {
        for body in ["", "{}", "no json", r#"{"build_status":"success"}"#] {
            let told = shop.send(post(body, &[("x-gitlab-event", event), ("x-gitlab-token", key)])).await;
            assert_eq!(told.status, 200, "{event} {body}: {}", told.body);
            assert!(told.body["ignored"].as_str().unwrap().contains(event), "{}", told.body);
        }
        let guess = [("x-gitlab-event", event), ("x-gitlab-token", "guess")];
        shop.send(post("{}", &guess)).await.refused(StatusCode::UNAUTHORIZED, "no key of the pipeline fits");
    }
    let push = hub(PUSH);
    let signed = [("x-event-key", "repo:refs_changed"), ("x-hub-signature", &*push)];
    let told = shop.send(post(PUSH, &signed)).await;
    assert!(told.status == 200 && told.body["ignored"].as_str().unwrap().contains("of Bitbucket"), "{}", told.body);
    shop.send(post("{}", &signed)).await.refused(StatusCode::UNAUTHORIZED, "`X-Hub-Signature`");
    // "Test connection" of Data Center is not signed, and a push without a signature is no trial.
    let told = shop.send(post(r#"{"test":true}"#, &[("x-event-key", "diagnostics:ping")])).await;
    assert!(told.status == 200 && told.body["ignored"].as_str().unwrap().starts_with("pong"), "{}", told.body);
    shop.send(post(PUSH, &signed[..1])).await.refused(StatusCode::UNAUTHORIZED, "it carries neither a signature");
    shop.send(post("{}", &[("x-github-event", "ping")])).await.refused(StatusCode::UNAUTHORIZED, "neither a signature");
    assert_eq!(shop.state("shop/qa").last_number(), Number(0));
}

#[tokio::test]
async fn gitea_forgejo_and_bitbucket_announce_builds_with_their_own_signatures() {
    for (body, event, value, signature) in [
        (GITEA, "x-gitea-event", "workflow_run", "x-gitea-signature"),
        (FORGEJO, "x-forgejo-event", "action_run_success", "x-forgejo-signature"),
        (BITBUCKET, "x-event-key", "repo:commit_status_updated", "x-hub-signature"),
    ] {
        let shop = Shop::new();
        let prefixed = hub(body);
        let proof = if signature == "x-hub-signature" { &prefixed } else { prefixed.strip_prefix("sha256=").unwrap() };
        // The pipeline of these tests has no template for an artifact, so this is as far as a build of theirs comes.
        let told = shop.send(post(body, &[(event, value), (signature, proof)])).await;
        told.refused(StatusCode::UNPROCESSABLE_ENTITY, "set `webhook.artifact`");
        let changed = body.replacen("example", "exampl3", 1);
        let told = shop.send(post(&changed, &[(event, value), (signature, proof)])).await;
        told.refused(StatusCode::UNAUTHORIZED, "no key of the pipeline fits");
    }
}

#[tokio::test]
async fn a_pipeline_of_350_jobs_and_an_ignored_delivery_of_any_size_are_taken() {
    let shop = Shop::new();
    let key = std::str::from_utf8(KEY).unwrap();
    let gitlab = [("x-gitlab-event", "Pipeline Hook"), ("x-gitlab-token", key)];
    let mut tree: serde_json::Value = serde_json::from_str(PIPELINE).unwrap();
    let mut job = tree["builds"][0].clone();
    job["runner"] = serde_json::json!({ "description": "x".repeat(750) });
    tree["builds"] = vec![job; 350].into();
    tree["object_attributes"]["status"] = "running".into();
    let large = tree.to_string();
    assert!(large.len() > 300_000, "{}", large.len());
    let told = shop.send(post(&large, &gitlab)).await;
    assert!(told.status == 200 && told.body["ignored"].as_str().unwrap().contains("running"), "{}", told.body);
    let done = with(&large, "\"status\":\"running\"", "\"status\":\"success\"");
    shop.send(post(&done, &gitlab)).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "set `webhook.artifact`");
    let push = format!("{{\"commits\":[{}0]}}", "0,".repeat(5_000_000));
    let told = shop.send(post(&push, &[("x-github-event", "push"), ("x-hub-signature-256", &*hub(&push))])).await;
    assert_eq!(told.status, 200, "{}", told.body);
}

#[tokio::test]
async fn what_was_sent_in_secret_is_never_told_back() {
    let shop = Shop::new();
    const CANARY: &str = "canary-5f2c";
    let right = basic(KEY);
    for (body, headers) in [
        (NOTIFICATION.to_owned(), vec![("authorization", "Bearer canary-5f2c".to_owned())]),
        (NOTIFICATION.to_owned(), vec![("authorization", basic(CANARY.as_bytes()))]),
        (NOTIFICATION.to_owned(), vec![("authorization", CANARY.to_owned())]),
        (NOTIFICATION.to_owned(), vec![("x-gitlab-token", CANARY.to_owned())]),
        (with(NOTIFICATION, "18,", "\"canary-5f2c\","), vec![("authorization", right.clone())]),
        (with(NOTIFICATION, "\"hello\"", "[\"canary-5f2c\"]"), vec![("authorization", right.clone())]),
        (with(NOTIFICATION, "\"hello\"", "\"canary-5f2c\\u001b\""), vec![("authorization", right.clone())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let told = shop.send(post(&body, &headers)).await;
        assert!(told.status >= 400 && !told.body.to_string().contains(CANARY), "{}", told.body);
        let key = std::str::from_utf8(KEY).unwrap();
        assert!(!told.body.to_string().contains(key) && !told.headers.iter().any(|(_, v)| v == CANARY));
    }
}
