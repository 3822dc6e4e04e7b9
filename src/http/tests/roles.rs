//! One table of which role may do what; and a token reaches no further than it is for.

use http::StatusCode;

use super::kit::Shop;
use crate::access::Role::{self, Admin, Approver, Deployer, Viewer};
use crate::http::transport::Encrypted;

/// Every action, and the smallest role that may do it.
const TABLE: [(&str, &str, Role); 84] = [
    ("GET", "/v1/environments/shop/qa/deployments", Viewer),
    ("GET", "/v1/environments/shop/qa/stacks", Viewer),
    ("POST", "/v1/environments/shop/qa/stacks/retire", Approver),
    ("POST", "/v1/environments/shop/qa/stacks/adopt", Admin),
    ("GET", "/v1/environments", Viewer),
    ("GET", "/v1/environments/shop/qa", Viewer),
    ("GET", "/v1/deployments/shop/qa/1", Viewer),
    ("GET", "/v1/environments/shop/prod/changes", Viewer),
    ("GET", "/v1/environments/shop/qa/deployable", Viewer),
    ("GET", "/v1/timeline", Viewer),
    ("GET", "/v1/releases/shop/1", Viewer),
    ("GET", "/v1/figures", Viewer),
    ("GET", "/v1/history", Viewer),
    ("GET", "/v1/history?environment=shop/qa", Viewer),
    ("GET", "/v1/events", Viewer),
    ("GET", "/v1/overview", Viewer),
    ("GET", "/v1/deployments/shop/qa/1/story", Viewer),
    ("GET", "/v1/deployments/shop/qa/1/evidence", Viewer),
    ("GET", "/", Viewer),
    ("GET", "/live", Viewer),
    ("GET", "/environments/shop/qa", Viewer),
    ("GET", "/environments/shop/qa/live", Viewer),
    ("GET", "/environments/shop/qa/logs", Deployer),
    ("GET", "/environments/shop/qa/logs/live", Deployer),
    ("GET", "/environments/shop/qa/deploy", Viewer),
    ("GET", "/environments/shop/prod/promote", Viewer),
    ("GET", "/deployments/shop/qa/1", Viewer),
    ("GET", "/history", Viewer),
    ("GET", "/releases/shop/1", Viewer),
    ("GET", "/figures", Viewer),
    // A form is answered by what the API says to the same.
    ("POST", "/deployments/shop/qa/1/abort", Viewer),
    ("POST", "/deployments/shop/qa/1/approve", Viewer),
    ("POST", "/deployments/shop/qa/1/pause", Viewer),
    ("POST", "/deployments/shop/qa/1/proceed", Viewer),
    ("POST", "/environments/shop/qa/deploy", Viewer),
    ("POST", "/environments/shop/prod/promote", Viewer),
    ("POST", "/environments/shop/qa/hold", Viewer),
    ("POST", "/environments/shop/qa/maintenance", Viewer),
    ("POST", "/environments/shop/qa/pin", Viewer),
    ("POST", "/environments/shop/qa/restart", Viewer),
    ("POST", "/environments/shop/qa/resume", Viewer),
    ("POST", "/environments/shop/qa/rollback", Viewer),
    ("POST", "/environments/shop/qa/veto", Viewer),
    ("GET", "/me", Viewer),
    ("POST", "/me/sessions/end", Viewer),
    ("POST", "/people/sign-out", Viewer),
    ("POST", "/people/add", Viewer),
    ("POST", "/people/grant", Viewer),
    ("POST", "/people/password", Viewer),
    ("POST", "/people/remove", Viewer),
    ("POST", "/tokens", Viewer),
    ("POST", "/tokens/revoke", Viewer),
    ("GET", "/v1/me", Viewer),
    ("POST", "/v1/me/sessions/end", Viewer),
    ("HEAD", "/v1/environments/shop/qa", Viewer),
    ("GET", "/v1/environments/shop/qa/logs", Deployer),
    ("GET", "/v1/environments/shop/qa/preview", Deployer),
    ("POST", "/v1/environments/shop/qa/deploy", Deployer),
    ("POST", "/v1/environments/shop/prod/promote", Deployer),
    ("POST", "/v1/environments/shop/qa/rollback", Deployer),
    ("POST", "/v1/environments/shop/qa/restart", Deployer),
    ("POST", "/v1/environments/shop/qa/hold", Deployer),
    ("POST", "/v1/environments/shop/qa/maintenance", Deployer),
    ("POST", "/v1/deployments/shop/qa/1/abort", Deployer),
    ("POST", "/v1/deployments/shop/qa/1/pause", Deployer),
    ("POST", "/v1/environments/shop/qa/resume", Approver),
    ("POST", "/v1/deployments/shop/qa/1/approve", Approver),
    ("POST", "/v1/deployments/shop/qa/1/proceed", Approver),
    ("POST", "/v1/environments/shop/qa/builds/reset", Approver),
    ("GET", "/people", Admin),
    ("GET", "/tokens", Admin),
    ("GET", "/v1/audit", Admin),
    ("GET", "/v1/people", Admin),
    ("POST", "/v1/people/sign-out", Admin),
    ("POST", "/v1/people/add", Admin),
    ("POST", "/v1/people/grant", Admin),
    ("POST", "/v1/people/password", Admin),
    ("POST", "/v1/people/remove", Admin),
    ("GET", "/v1/tokens", Admin),
    ("POST", "/v1/tokens", Admin),
    ("POST", "/v1/tokens/revoke", Admin),
    ("POST", "/v1/environments/shop/qa/adopt", Admin),
    ("POST", "/v1/environments/shop/qa/pin", Admin),
    ("POST", "/v1/environments/shop/qa/veto", Admin),
];

/// Addresses that lead nowhere, whoever asks: only what the table names leads to an action.
const NOWHERE: [&str; 6] = [
    "/v1/environments/shop/qa/p%69n",
    "/v1/environments/shop/qa/PIN",
    "/v1/environments/shop/qa/explode",
    "/v1/environments/shop/qa/veto%2F",
    "/v1/environments/shop/qa/veto/",
    "/v1/deployments/shop/qa/1/explode",
];

fn is_mine(status: u16) -> bool {
    status != 401 && status != 403
}

#[tokio::test]
async fn each_role_may_what_the_table_says_and_nothing_else() {
    let shop = Shop::new();
    for (name, role) in Role::ALL {
        let token = shop.token(name, role, &[]);
        for (method, path, needs) in TABLE {
            // A body that is refused for itself: only the way there is tried.
            let request = super::kit::bearer(&token, method, path)
                .extension(Some(Encrypted))
                .body("{\"colour\":1}".into())
                .unwrap();
            let status = shop.status(request).await;
            assert_eq!(is_mine(status), role >= needs, "{name}: {method} {path} was answered {status}");
        }
    }
    for path in NOWHERE {
        shop.post(path, "{}").await.refused(StatusCode::NOT_FOUND, "there is nothing at this address");
    }
    // Written otherwise, it is the same and takes the same.
    let deployer = shop.token("dora", Deployer, &[]);
    assert_eq!(shop.ask(&deployer, "POST", "/v1/environments/s%68op/qa/veto", "").await.status, 403);
    for (method, path, _) in TABLE {
        let request = super::kit::bearer("", method, path).extension(Some(Encrypted)).body("".into()).unwrap();
        let status = shop.status(request).await;
        assert!(matches!(status, 401 | 429), "nobody: {method} {path} was answered {status}");
    }
    assert_eq!(shop.state("shop/qa").seq().0, 0);
}

/// The table above holds every route, so that nobody adds one without saying whose it is.
#[test]
fn every_route_that_takes_a_role_is_in_the_table() {
    let shop = Shop::new();
    let (_, roles) = super::super::routes(&shop.app);
    let concrete = |route: &str| {
        let environment = if route.ends_with("/promote") || route.ends_with("/changes") { "prod" } else { "qa" };
        route.replace("{pipeline}", "shop").replace("{environment}", environment).replace("{number}", "1")
    };
    let mut said: Vec<_> =
        roles.all().map(|(method, route, role)| (method.to_string(), concrete(route), role)).collect();
    let asked = TABLE.iter().filter(|(method, path, _)| *method != "HEAD" && !path.contains('?'));
    let mut listed: Vec<_> =
        asked.map(|(method, path, role)| ((*method).to_owned(), (*path).to_owned(), *role)).collect();
    said.sort();
    listed.sort();
    assert_eq!(said, listed);
}

#[test]
fn a_route_without_a_role_is_refused_to_everybody() {
    let shop = Shop::new();
    let (routes, roles) = super::super::routes(&shop.app);
    let (_, document) = routes.split_for_parts();
    for (path, item) in &document.paths.paths {
        for (method, operation) in [(http::Method::GET, &item.get), (http::Method::POST, &item.post)] {
            let asks = operation.as_ref().is_some_and(|o| {
                o.security.iter().flatten().any(|s| serde_json::to_string(s).unwrap().contains("\"token\""))
            });
            assert_eq!(roles.of(&method, path).is_ok(), asks, "{method} {path}");
        }
    }
    assert_eq!(roles.of(&http::Method::GET, "/v1/new").unwrap_err().status(), 500);
    let refused = roles.of(&http::Method::DELETE, "/v1/history").unwrap_err();
    assert_eq!((refused.status().as_u16(), &refused.headers()["allow"]), (405, &"GET,HEAD".parse().unwrap()));
}

#[tokio::test]
async fn a_role_that_is_too_small_is_told_what_it_takes() {
    let shop = Shop::new();
    let told = shop.ask(&shop.token("vera", Viewer, &[]), "POST", "/v1/environments/shop/qa/hold", "").await;
    told.refused(StatusCode::FORBIDDEN, "`vera` is viewer, and this takes the role deployer");
}

#[tokio::test]
async fn the_record_says_whose_token_it_was() {
    let shop = Shop::new();
    let token = shop.token("dora@example", Deployer, &[]);
    let request = super::kit::bearer(&token, "POST", "/v1/environments/shop/qa/hold").header("x-pointsman-user", "eve");
    assert_eq!(shop.send(request.body("".into()).unwrap()).await.status, 200);
    assert_eq!(&*shop.state("shop/qa").hold().unwrap().by, "dora@example");
    for (user, by) in [("ann", "local:ann"), (" ann ", "local:ann"), ("a.b@c/d", "local:a.b@c/d")] {
        let request = super::kit::bearer(super::kit::TOKEN, "POST", "/v1/environments/shop/prod/hold");
        assert_eq!(shop.send(request.header("x-pointsman-user", user).body("".into()).unwrap()).await.status, 200);
        assert_eq!(&*shop.state("shop/prod").hold().unwrap().by, by);
    }
    for bad in ["", "a b", "webhook:json", "ann\u{e9}", &"x".repeat(65)] {
        let request = super::kit::bearer(super::kit::TOKEN, "GET", "/v1/history").header("x-pointsman-user", bad);
        let told = shop.send(request.body("".into()).unwrap()).await;
        told.refused(StatusCode::BAD_REQUEST, "`X-Pointsman-User` must be 1 to 64 visible ASCII characters");
    }
}

#[tokio::test]
async fn a_token_reaches_no_further_than_it_is_for() {
    let shop = Shop::new();
    let token = shop.token("quinn", Admin, &["shop/qa"]);
    let ask = |method, path| shop.ask(&token, method, path, "");
    let all = ask("GET", "/v1/environments").await;
    assert_eq!(all.body["environments"].as_array().unwrap().len(), 1);
    assert_eq!(all.body["environments"][0]["environment"], "shop/qa");
    assert_eq!(ask("POST", "/v1/environments/shop/qa/hold").await.status, 200);
    for (method, path) in [
        ("GET", "/v1/environments/shop/prod"),
        ("GET", "/v1/environments/shop/pr%6Fd"),
        ("GET", "/v1/deployments/shop/prod/1"),
        ("GET", "/v1/history?environment=shop/prod"),
        ("GET", "/v1/events?environment=shop/prod"),
        ("POST", "/v1/environments/shop/prod/hold"),
        ("POST", "/v1/environments/shop/prod/veto"),
        ("POST", "/v1/deployments/shop/prod/1/abort"),
    ] {
        let told = ask(method, path).await;
        told.refused(StatusCode::FORBIDDEN, "the token of `quinn` is not for shop/prod, only for shop/qa");
    }
    // Whether there is such an environment is none of its business either.
    for path in ["/v1/environments/other/qa", "/v1/history?environment=other/qa", "/v1/events?environment=other/qa"] {
        ask("GET", path).await.refused(StatusCode::FORBIDDEN, "not for other/qa");
    }

    shop.post("/v1/environments/shop/prod/hold", "").await;
    let history = ask("GET", "/v1/history?last=1").await.body;
    assert_eq!(history["records"].as_array().unwrap().len(), 1);
    assert_eq!(history["records"][0]["environment"], "shop/qa");
    let whole = shop.token("paula", Viewer, &["other", "shop"]);
    let all = shop.ask(&whole, "GET", "/v1/environments", "").await;
    assert_eq!(all.body["environments"].as_array().unwrap().len(), 2);
}
