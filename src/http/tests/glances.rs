//! The overview that many look at: made once, for those who want the same and may see the same.

use std::sync::Arc;

use super::kit::{Shop, TOKEN};
use crate::{
    access::{Caller, Role},
    http::overview::Wanted,
    machine::Event,
};

fn caller(shop: &Shop, token: &str) -> Caller {
    shop.app.access.caller(token.as_bytes(), None, shop.app.clock.host()).unwrap()
}

#[tokio::test]
async fn one_is_made_for_all_who_want_the_same_until_something_is_recorded_or_a_while_has_passed() {
    let shop = Shop::new();
    let (ann, bob) = (caller(&shop, TOKEN), caller(&shop, &shop.token("bob", Role::Viewer, &[])));
    let quinn = caller(&shop, &shop.token("quinn", Role::Deployer, &["shop/qa"]));
    let wanted = Wanted::default();
    let look = async |who: &Caller, wanted: &Wanted| shop.app.glances.of(&shop.app, who, wanted).await;
    let first = look(&ann, &wanted).await;
    assert!(Arc::ptr_eq(&first, &look(&bob, &wanted).await), "both see everything");
    assert_eq!((first.view.environments_in_all, look(&quinn, &wanted).await.view.environments_in_all), (2, 1));
    let other = Wanted { q: "nothing".into(), ..Wanted::default() };
    assert_eq!(look(&bob, &other).await.view.found, 0);
    assert!(Arc::ptr_eq(&first, &look(&bob, &wanted).await), "others want something else");

    shop.steps("shop/qa", [Event::Held { reason: "audit".into() }]).await;
    let second = look(&bob, &wanted).await;
    assert!(!Arc::ptr_eq(&first, &second), "what is recorded is in it at once");
    shop.app.clock.let_pass(std::time::Duration::from_secs(1));
    assert!(!Arc::ptr_eq(&second, &look(&bob, &wanted).await), "health is in no record");
}

#[tokio::test]
async fn the_parts_of_a_page_are_made_once() {
    let shop = Shop::new();
    let glance = shop.app.glances.of(&shop.app, &caller(&shop, TOKEN), &Wanted::default()).await;
    let made = glance.parts(|| Ok(vec![("lines".into(), "one".into())])).unwrap();
    let again = glance.parts(|| panic!("they were made")).unwrap();
    assert!(Arc::ptr_eq(&made, &again));
}
