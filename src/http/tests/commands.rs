//! What a refusal says to do next is a command that the program takes.

use std::collections::BTreeMap;

use clap::Parser;
use http::StatusCode;

use super::kit::*;
use crate::{
    cli::Cli,
    machine::{DeploymentState, EnvironmentId, Number, Refusal},
    telling,
};

const BUILD: &str = r#"{"version":"v1","artifact":"builds/v1"}"#;
const QA: &str = "/v1/environments/shop/qa";

/// The commands in a text.
fn commands(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("pointsman ")).collect()
}

fn assert_taken(text: &str) -> usize {
    let found = commands(text);
    for command in &found {
        let words = command.split_whitespace();
        assert!(Cli::try_parse_from(words).is_ok(), "{command} is not taken: {text}");
    }
    found.len()
}

#[test]
fn every_refusal_names_a_command_that_there_is() {
    let id: EnvironmentId = "shop/prod".parse().unwrap();
    let number = Number(7);
    let wrong = |hint| Refusal::WrongState { number, state: DeploymentState::Baking, hint };
    let all = [
        Refusal::Duplicate(number),
        Refusal::OtherContent(number),
        Refusal::Stale { build_number: 1, newest: 2 },
        Refusal::NotUnderWay { number, ended: None },
        wrong("it is live; roll it back instead"),
        wrong("abort it: that gives all users back to what is live, which can be rolled back then"),
        wrong("it is going back already"),
        Refusal::NotLive { number, live: None },
        Refusal::NothingToGoBackTo,
        Refusal::Vetoed(7, "loses orders".into()),
        Refusal::NotTheirs { by: "ann".into(), may: "bob".into() },
        Refusal::SelfApproval("ann".into()),
        Refusal::NotTheFirst(number),
        Refusal::WasAdopted(7),
        Refusal::NotAStranger { number, what: "is live" },
        Refusal::Occupied { number, other: Number(8), is: "is queued" },
        Refusal::Already("nothing is held"),
    ];
    for refusal in all {
        let text = telling::refusal(&id, &refusal);
        assert_eq!(assert_taken(&text), 1, "{text}");
    }
}

#[tokio::test]
async fn nine_of_ten_problems_of_a_day_name_the_next_command() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    shop.go_live("shop/qa", 1).await;
    let mut said = BTreeMap::new();
    for (method, path, body) in [
        ("GET", "/v1/environments/shop/typo", ""),
        ("GET", "/v1/environments/sho/qa/deployments", ""),
        ("GET", "/v1/history?environment=shop/typo", ""),
        ("GET", "/v1/deployments/shop/qa/99", ""),
        ("POST", "/v1/deployments/shop/qa/99/abort", "{}"),
        ("POST", "/v1/deployments/shop/qa/1/approve", "{}"),
        ("POST", "/v1/environments/shop/qa/resume", "{}"),
        ("POST", "/v1/environments/shop/qa/rollback", r#"{"number":1}"#),
        ("POST", "/v1/environments/shop/qa/rollback", r#"{"number":9}"#),
        ("POST", "/v1/environments/shop/qa/pin", r#"{"version":"nope"}"#),
        ("POST", "/v1/environments/shop/qa/pin", r#"{"lift":true}"#),
        ("POST", "/v1/environments/shop/qa/veto", r#"{"release":9,"reason":"bad"}"#),
        ("POST", "/v1/environments/shop/prod/deploy", r#"{"version":"v9","artifact":"none"}"#),
        ("POST", "/v1/environments/shop/qa/promote", "{}"),
    ] {
        let answer = shop.ask(TOKEN, method, path, body).await;
        assert!(answer.status >= 400, "{method} {path}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap_or_default().to_owned();
        said.insert(format!("{method} {path} {body}"), (assert_taken(&detail), detail));
    }
    let without: Vec<_> = said.iter().filter(|(_, (count, _))| *count == 0).collect();
    assert!(without.len() * 10 <= said.len(), "{without:#?}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_the_nearest_and_with_what_there_is() {
    let shop = Shop::new();
    shop.hook(BUILD).await;
    let unknown = "there is no environment shop/pord; did you mean shop/prod?; there are: shop/qa, shop/prod";
    shop.get("/v1/environments/shop/pord").await.refused(StatusCode::NOT_FOUND, unknown);
    shop.get("/v1/history?environment=shop/pord").await.refused(StatusCode::NOT_FOUND, unknown);
    let pin = format!("{QA}/pin");
    shop.post(&pin, r#"{"version":"v3"}"#).await.refused(StatusCode::NOT_FOUND, "there are: v1 (release 1)");
    let told = shop.post(&pin, r#"{"version":"v1"}"#).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let said = told.body["said"].as_str().unwrap_or_default();
    assert!(said.starts_with("shop/qa is pinned to v1 (release 1)"), "{said}");
    let one = shop.get(QA).await.body;
    assert_eq!((one["pin"].as_u64(), one["pin_version"].as_str()), (Some(1), Some("v1")), "{one}");
}
