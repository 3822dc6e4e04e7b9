//! Evidence of a deployment, as whoever may look gets it.

use axum::body::Body;
use http::StatusCode;

use super::{
    kit::{KEY, Shop, TOKEN, bearer},
    page::{live_in_qa, look},
};
use crate::{access::Role, evidence};

const OF_QA: &str = "/v1/deployments/shop/qa/1/evidence";
const SECRET: &str = "correct horse battery staple";

async fn bundle(shop: &Shop, token: &str) -> Vec<u8> {
    let answer = shop.answer(bearer(token, "GET", OF_QA).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let name = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(name, "attachment; filename=\"evidence-shop-qa-1.jsonl\"");
    axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_viewer_saves_evidence_that_holds_against_the_key_of_the_installation() {
    let shop = Shop::new();
    let vera = shop.token("vera", Role::Viewer, &["shop/qa"]);
    live_in_qa(&shop, "v1").await;
    shop.post("/v1/environments/shop/prod/hold", r#"{"reason":"an audit of prod"}"#).await;
    let bundle = bundle(&shop, &vera).await;
    let key = shop.app.signer.public();
    let proven = evidence::verify(&bundle, Some(key)).expect("good");
    assert_eq!((&*proven.deployment, &*proven.by, proven.whole), ("shop/qa/1", "vera", true));
    assert_eq!(proven.approved_by.into_iter().collect::<Vec<_>>(), ["pointsman"]);
    assert!(!String::from_utf8(bundle).unwrap().contains("an audit of prod"));
    let page = look(&shop, &vera, "/deployments/shop/qa/1").await.text;
    assert!(page.contains(&key.to_string()) && page.contains(&format!("href=\"{OF_QA}\"")), "{page}");
}

#[tokio::test]
async fn who_may_not_look_there_gets_none_and_what_was_never_deployed_has_none() {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    let other = shop.token("quinn", Role::Admin, &["shop/prod"]);
    assert_eq!(shop.ask(&other, "GET", OF_QA, "").await.status, 403);
    let unknown = shop.get("/v1/deployments/shop/qa/9/evidence").await;
    unknown.refused(StatusCode::NOT_FOUND, "deployment 9 of shop/qa is unknown");
}

#[tokio::test]
async fn one_person_has_two_bundles_made_at_once_and_others_have_theirs_meanwhile() {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    let (vera, otto) = (shop.token("vera", Role::Viewer, &[]), shop.token("otto", Role::Viewer, &[]));
    let turns = [(); 2].map(|()| shop.app.limits.evidence.take("vera".into()).expect("a turn"));
    let told = shop.answer(bearer(&vera, "GET", OF_QA).body(Body::empty()).unwrap()).await;
    assert_eq!((told.status(), &told.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"5".parse().unwrap()));
    bundle(&shop, &otto).await;
    drop(turns);
    for _ in 0..3 {
        bundle(&shop, &vera).await;
    }
    assert_eq!(shop.app.limits.evidence.count(), 0, "each turn is given back");
}

#[tokio::test]
async fn evidence_holds_no_secret() {
    let mut shop = Shop::new();
    std::fs::write(shop.folder().join("db.secret"), SECRET).unwrap();
    let text = "command = [\"/bin/false\"]\nparameters = { greeting = \"\" }\nsecrets = { DB = { secret = \"db_password\" } }\n";
    std::fs::write(shop.folder().join("none.toml"), text).unwrap();
    let with = "definition = \"none.toml\", secrets = [\"db_password\"] }\nfront";
    shop.rewrite(&[
        ("[webhook]", "[secrets]\ndb_password = { file = \"db.secret\" }\n[webhook]"),
        ("definition = \"none.toml\" }\nfront", with),
    ]);
    let vera = shop.token("vera", Role::Viewer, &[]);
    live_in_qa(&shop, "v1").await;
    let text = String::from_utf8(bundle(&shop, &vera).await).unwrap();
    assert!(text.contains("\"secrets\":{\"db_password\":"), "its fingerprint is there: {text}");
    let seed = std::fs::read_to_string(shop.folder().join(evidence::FILE)).unwrap();
    for secret in [SECRET, TOKEN, std::str::from_utf8(KEY).unwrap(), seed.trim(), &vera] {
        assert!(!text.contains(secret), "{text}");
    }
}
