//! People of a provider as others are told of them: each once, and their groups by name.

use serde_json::{Value, json};

use super::{
    browser::{Browser, user},
    oidc::Provider,
};

#[tokio::test]
async fn one_account_is_one_person_whatever_it_was_called_at_each_sign_in() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    let browsers = [(); 3].map(|()| Browser::of(&shop));
    for (browser, name) in browsers.iter().zip(["ann", "ann.smith", "ann"]) {
        provider.says(json!({ "sub": "4711", "preferred_username": name, "groups": ["ops"] }));
        provider.sign_in(browser).await;
    }
    provider.says(json!({ "sub": "4712", "preferred_username": "ann", "groups": ["dev"] }));
    provider.sign_in(&Browser::of(&shop)).await;
    let told: Value = serde_json::from_str(&browsers[0].get("/v1/people").await.text).unwrap();
    let mut people: Vec<_> =
        told["people"].as_array().unwrap().iter().map(|p| p["sessions"].as_array().unwrap().len()).collect();
    people.sort_unstable();
    assert_eq!(people, [1, 3], "{told}");
    let me: Value = serde_json::from_str(&browsers[0].get("/v1/me").await.text).unwrap();
    assert_eq!(me["sessions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn who_can_names_groups_and_tokens_too_and_says_what_it_could_not_read() {
    let provider = Provider::open().await;
    let shop = provider.shop();
    user(&shop, "bob", &["approver"]);
    shop.token("jenkins", crate::access::Role::Approver, &["shop/qa"]);
    provider.says(json!({ "sub": "4712", "groups": ["dev"] }));
    let browser = Browser::of(&shop);
    provider.sign_in(&browser).await;
    shop.post("/v1/environments/shop/qa/deploy", r#"{"version":"v1","artifact":"/a"}"#).await;
    shop.steps("shop/qa", [crate::machine::Event::Started { number: crate::machine::Number(1) }]).await;
    let page = browser.get("/environments/shop/qa").await.text;
    let who = "Who can: bob (approver), members of the group ops at Example SSO or the token jenkins (approver).";
    assert!(page.contains(&format!("it takes the role approver on shop/qa. {who}")), "{page}");
    assert_eq!(page.matches(who).count(), 2, "at the button, and where it says what it waits for: {page}");
    assert!(!page.contains("Who can: someone"), "{page}");

    std::fs::write(shop.folder().join("users.toml"), "torn [").unwrap();
    shop.app.clock.let_pass(std::time::Duration::from_secs(2));
    let page = browser.get("/environments/shop/qa").await.text;
    let torn = "The file of users cannot be read, so they are not named; the controller&#39;s log says why.";
    assert!(page.contains(torn) && page.contains("members of the group ops") && !page.contains("bob"), "{page}");
}
