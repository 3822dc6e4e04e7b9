//! What a page shows is what the API answers: both are asked, and held together.

use http::StatusCode;
use serde_json::Value;

use super::{
    kit::Shop,
    page::{live_in_qa, look},
};
use crate::{
    access::Role,
    machine::{Event, Number, Outcome},
};

/// A release that is live everywhere, one that failed, and prod held.
async fn told() -> Shop {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    let asked =
        shop.post("/v1/environments/shop/prod/promote", r#"{"reason":"the <sale> begins","repairs":true}"#).await;
    assert_eq!(asked.status, 202);
    shop.go_live("shop/prod", 1).await;
    let build = r#"{"version":"v2","artifact":"a"}"#;
    assert_eq!(shop.hook(build).await.status, 202);
    let number = Number(2);
    let (outcome, reason) = (Outcome::Failed, "exit status 3".into());
    shop.steps("shop/qa", [Event::Started { number }, Event::Ended { number, outcome, reason }]).await;
    assert_eq!(shop.hook(r#"{"version":"v3","artifact":"a"}"#).await.status, 202);
    let bob = shop.token("bob", Role::Deployer, &[]);
    shop.steps("shop/qa", [Event::Started { number: Number(3) }]).await;
    let aborted = shop.ask(&bob, "POST", "/v1/deployments/shop/qa/3/abort", r#"{"reason":"a wrong branch"}"#).await;
    assert_eq!(aborted.status, 200, "{}", aborted.body);
    shop.post("/v1/environments/shop/prod/hold", r#"{"reason":"an audit"}"#).await;
    shop
}

fn escaped(text: &str) -> String {
    text.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;")
}

#[track_caller]
fn has(page: &str, words: &str) {
    assert!(page.contains(words), "{words} is not in {page}");
}

/// That a list on a page says of a deployment what the API says.
#[track_caller]
fn shows_deployment(page: &str, told: &Value) {
    let (environment, number) = (told["environment"].as_str().unwrap(), &told["number"]);
    let link = format!("<a href=\"/deployments/{environment}/{number}\">");
    let entry = page.split("<li><time").skip(1).find(|entry| entry.contains(&link)).expect(&link);
    let text = |of: &str| told[of].as_str().map(escaped);
    has(entry, &format!("datetime=\"{}\"", told["at"].as_str().unwrap()));
    has(entry, &told["went"].as_str().unwrap().replace('_', " "));
    for words in ["version", "took_words", "reason", "why", "asked_by", "rolled_back_by", "stopped_by"] {
        text(words).iter().for_each(|words| has(entry, words));
    }
    assert_eq!(entry.contains("repairs an incident"), told["repairs"] == true, "{entry}");
    for approval in told["approvals"].as_array().unwrap() {
        has(entry, &format!("approved by <bdi>{}</bdi>", approval["by"].as_str().unwrap()));
    }
    for check in told["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == true) {
        let answer = check["answer"].as_str().map(|answer| format!("<bdi>{}</bdi>", escaped(answer)));
        has(
            entry,
            &format!("{} {}</span>", escaped(check["name"].as_str().unwrap()), answer.as_deref().unwrap_or("passed")),
        );
    }
}

#[tokio::test]
async fn of_the_history() {
    let shop = told().await;
    let viewer = shop.token("vera", Role::Viewer, &[]);
    for query in ["", "?outcome=failed", "?environment=shop/prod&most=1", "?who=ann", "?who=bob"] {
        let told = shop.ask(&viewer, "GET", &format!("/v1/timeline{query}"), "").await.body;
        let page = look(&shop, &viewer, &format!("/history{query}")).await.text;
        let entries = told["entries"].as_array().unwrap();
        assert_eq!(page.matches("<li><time class=\"when\"").count(), entries.len(), "{query}: {page}");
        for entry in entries {
            if entry["kind"] == "deployment" {
                shows_deployment(&page, entry);
            } else {
                has(&page, &format!("datetime=\"{}\"", entry["at"].as_str().unwrap()));
                for words in ["what", "about", "by"] {
                    has(&page, entry[words].as_str().unwrap());
                }
            }
        }
        assert_eq!(page.contains("rel=\"next\""), !told["older"].is_null(), "{query}");
    }
    let bobs = shop.ask(&viewer, "GET", "/v1/timeline?who=bob", "").await.body;
    assert_eq!(bobs["entries"][0]["stopped_by"], "bob", "what somebody stopped they did: {bobs}");
}

#[tokio::test]
async fn of_a_release() {
    let shop = told().await;
    let viewer = shop.token("vera", Role::Viewer, &[]);
    for release in [1, 2, 3] {
        let told = shop.ask(&viewer, "GET", &format!("/v1/releases/shop/{release}"), "").await.body;
        let page = look(&shop, &viewer, &format!("/releases/shop/{release}")).await.text;
        for place in told["environments"].as_array().unwrap() {
            let name = place["environment"].as_str().unwrap();
            let row = page.split("<tr>").find(|row| row.contains(&format!("href=\"/environments/{name}\""))).unwrap();
            let words = match place["part"].as_str().unwrap() {
                "live" => "live",
                "tried" => "tried, never live",
                "never" => "never there",
                other => panic!("{other}"),
            };
            has(row, words);
            place["since"].as_str().iter().for_each(|since| has(row, &format!("datetime=\"{since}\"")));
            if let Some(number) = place["deployment"].as_u64() {
                has(row, &format!("deployment {number}</a>"));
            }
        }
        let deployments = told["deployments"].as_array().unwrap();
        assert_eq!(page.matches("<li><time class=\"when\"").count(), deployments.len());
        deployments.iter().for_each(|deployment| shows_deployment(&page, deployment));
    }
}

#[tokio::test]
async fn of_the_figures_their_charts_and_the_table_behind_them() {
    let shop = told().await;
    let viewer = shop.token("vera", Role::Viewer, &[]);
    for query in ["?by=hour", "?by=day&environment=qa", "?by=week&pipeline=shop&days=7", "?pipeline=bank"] {
        let told = shop.ask(&viewer, "GET", &format!("/v1/figures{query}"), "").await.body;
        let page = look(&shop, &viewer, &format!("/figures{query}")).await.text;
        let figures = &told["figures"];
        let words = |of: &str| figures[of]["words"].as_str().unwrap_or("not known").to_owned();
        let percent = |of: &str| {
            figures[of]["percent"].as_f64().map_or("not known".to_owned(), |percent| format!("{percent}\u{a0}%"))
        };
        let per_day = figures["per_day"].as_f64().map_or("not known".to_owned(), |per_day| format!("{per_day} a day"));
        let five = [words("lead_time"), per_day, words("recovery_time"), percent("failed"), percent("rework")];
        let shown: Vec<&str> = page.split("<dd>").skip(1).filter_map(|part| part.split("<small>").next()).collect();
        assert_eq!(shown[..5], five, "{query}");
        match told["environments"].as_array().unwrap().as_slice() {
            [one] => has(&page, &format!("Of {}, ", one.as_str().unwrap())),
            none => assert!(none.is_empty() && page.contains("Of no environment, "), "{none:?}"),
        }
        let kinds = ["live", "failed", "rolled_back", "stopped", "under_way"];
        let counts = |span: &Value| -> Vec<u64> { kinds.iter().map(|kind| span[kind].as_u64().unwrap()).collect() };
        let spans: Vec<Vec<u64>> = told["counts"].as_array().unwrap().iter().map(counts).collect();
        let number = |cell: &str| cell.split('<').next().unwrap().parse::<u64>().ok();
        let rows: Vec<Vec<u64>> = page
            .split("<tr><th scope=\"row\">")
            .skip(1)
            .map(|row| row.split("<td class=\"num\">").skip(1).filter_map(number).collect())
            .collect();
        let with_all = |counts: &Vec<u64>| counts.iter().copied().chain([counts.iter().sum()]).collect::<Vec<u64>>();
        assert_eq!(rows, spans.iter().rev().map(with_all).collect::<Vec<_>>(), "{query}: the newest is the first row");
        let wide = page.split("<svg class=\"chart wide\"").nth(1).unwrap().split("</svg>").next().unwrap();
        let bars = spans.iter().flatten().filter(|count| **count > 0).count();
        assert_eq!(wide.matches("<rect").count(), bars, "{query}: {wide}");
        for all in spans.iter().map(|span| span.iter().sum::<u64>()).filter(|all| *all > 0) {
            has(wide, &format!("text-anchor=\"middle\">{all}</text>"));
        }
    }
}

#[tokio::test]
async fn of_people_and_tokens() {
    let shop = Shop::new();
    super::browser::user(&shop, "alice", &["admin"]);
    super::browser::user(&shop, "bob", &["viewer", "approver=shop/qa"]);
    let admin = shop.token("root", Role::Admin, &[]);
    shop.token("jenkins", Role::Deployer, &["shop/qa", "bank"]);
    let told = shop.ask(&admin, "GET", "/v1/people", "").await.body;
    let page = look(&shop, &admin, "/people").await.text;
    let people = told["people"].as_array().unwrap();
    assert_eq!(people.len(), 2, "{told}");
    for person in people {
        let name = person["name"].as_str().unwrap();
        let row = page.split("<tr role=\"row\">").find(|row| row.contains(&format!("<bdi>{name}</bdi>"))).unwrap();
        for grant in person["grants"].as_array().unwrap() {
            has(row, grant["role"].as_str().unwrap());
            grant["only"].as_array().into_iter().flatten().for_each(|place| has(row, place.as_str().unwrap()));
        }
    }
    let told = shop.ask(&admin, "GET", "/v1/tokens", "").await.body;
    let page = look(&shop, &admin, "/tokens").await.text;
    let tokens = told["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 2, "{told}");
    for token in tokens {
        let name = format!("<code>{}</code>", token["name"].as_str().unwrap());
        let row = page.split("<tr role=\"row\">").find(|row| row.contains(&name)).unwrap();
        has(row, token["role"].as_str().unwrap());
        match token["only"].as_array() {
            Some(only) => only.iter().for_each(|place| has(row, place.as_str().unwrap())),
            None => has(row, "everywhere"),
        }
        for at in ["made", "expires", "used"] {
            token[at].as_str().iter().for_each(|at| has(row, &format!("datetime=\"{at}\"")));
        }
    }
}

#[tokio::test]
async fn of_logs_that_there_are_none() {
    let shop = Shop::new();
    let dora = shop.token("dora", Role::Deployer, &[]);
    let told = shop.ask(&dora, "GET", "/v1/environments/shop/qa/logs", "").await;
    told.refused(StatusCode::NOT_FOUND, "nothing is live in shop/qa");
    let page = look(&shop, &dora, "/environments/shop/qa/logs").await.text;
    has(&page, told.detail().split('`').next().unwrap().trim());
}
