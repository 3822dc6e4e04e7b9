//! Rules as people have them, and what an order makes of them.

use aws_sdk_elasticloadbalancingv2::types::{
    AuthenticateOidcActionConfig, RedirectActionConfig, RedirectActionStatusCodeEnum,
};

use super::*;
use crate::{
    machine::{Generation, Number, Share, StackName},
    web_front::{Split, Target},
};

fn arn(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/0123")
}

fn forward(groups: &[(&str, i32)]) -> Action {
    let tuple =
        |(name, weight): &(&str, i32)| TargetGroupTuple::builder().target_group_arn(arn(name)).weight(*weight).build();
    let config = ForwardActionConfig::builder().set_target_groups(Some(groups.iter().map(tuple).collect())).build();
    Action::builder().r#type(ActionTypeEnum::Forward).forward_config(config).build()
}

fn sign_in() -> Action {
    let config = AuthenticateOidcActionConfig::builder()
        .issuer("https://id.example")
        .authorization_endpoint("https://id.example/a")
        .token_endpoint("https://id.example/t")
        .user_info_endpoint("https://id.example/u")
        .client_id("shop")
        .build();
    Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(config).build()
}

fn target(name: &str, number: u32) -> Target {
    let stack = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) };
    Target { stack, reach: Reach::Named { kind: "target group".into(), id: arn(name).into() } }
}

fn to(end: End) -> Wanted {
    Wanted { end, sticky: Some(Duration::from_secs(600)), media_type: "text/html" }
}

#[test]
fn the_same_end_in_two_forms_is_the_same() {
    let bare = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(arn("blue")).build();
    let blue = Ok(End::Groups(vec![(arn("blue"), 1)]));
    for actions in [vec![bare], vec![forward(&[("blue", 100)])], vec![forward(&[("blue", 7), ("green", 0)])]] {
        assert_eq!(End::of(&actions), blue, "{actions:?}");
    }
    let (one, other) = (forward(&[("green", 5), ("blue", 95)]), forward(&[("blue", 95), ("green", 5)]));
    assert_eq!(End::of(std::slice::from_ref(&one)), End::of(&[other]));
    assert_ne!(End::of(&[one]), End::of(&[forward(&[("blue", 90), ("green", 10)])]));
}

#[test]
fn a_share_is_a_weight_and_everybody_is_one_group() {
    let share = Share::try_from(5).expect("a share");
    let split = Route {
        split: Some(Split { target: target("green", 8), share }),
        ..Route::whole(Generation(3), Some(target("blue", 7)))
    };
    let wanted = End::wanted(&split, "").expect("groups");
    assert_eq!(wanted, End::Groups(vec![(arn("blue"), 95), (arn("green"), 5)]));
    let actions = with_end(&[forward(&[("blue", 1)])], &to(wanted)).expect("changed");
    let sticky = actions[0].forward_config().and_then(|config| config.target_group_stickiness_config()).expect("said");
    assert_eq!((sticky.enabled(), sticky.duration_seconds()), (Some(true), Some(600)));

    let whole = End::wanted(&Route::whole(Generation(4), Some(target("green", 8))), "").expect("a group");
    assert_eq!(whole, End::Groups(vec![(arn("green"), 1)]));
    let actions = with_end(&actions, &to(whole)).expect("changed");
    let config = actions[0].forward_config().expect("it forwards");
    assert_eq!(config.target_groups().len(), 1, "who stays with the other group stays until it leaves");
    let sticky = config.target_group_stickiness_config().expect("said");
    assert_eq!(sticky.enabled(), Some(false));
    assert_eq!(actions[0].target_group_arn(), None, "the group stands in one field");
}

#[test]
fn a_sign_in_stays_and_its_secret_is_not_needed() {
    let live =
        [sign_in(), Action::builder().order(2).r#type(ActionTypeEnum::Forward).target_group_arn(arn("blue")).build()];
    let wanted = to(End::Groups(vec![(arn("green"), 1)]));
    let changed = with_end(&live, &wanted).expect("changed");
    let [first, second] = &changed[..] else { panic!("{changed:?}") };
    let config = first.authenticate_oidc_config().expect("it signs in");
    assert_eq!(
        (config.client_id(), config.client_secret(), config.use_existing_client_secret()),
        (Some("shop"), None, Some(true))
    );
    assert_eq!((first.order(), second.order(), End::of(&changed)), (Some(1), Some(2), Ok(wanted.end)));
}

#[test]
fn what_is_not_ours_to_change_is_left_alone_and_said() {
    let redirect = RedirectActionConfig::builder().status_code(RedirectActionStatusCodeEnum::Http301).build();
    let redirect = Action::builder().r#type(ActionTypeEnum::Redirect).redirect_config(redirect).build();
    let wanted = to(End::Groups(vec![(arn("green"), 1)]));
    assert!(with_end(&[redirect], &wanted).expect_err("refused").contains("ends with redirect"));
    let newer = Action::builder().r#type(ActionTypeEnum::from("quantum-check")).order(1).build();
    let live =
        [newer, Action::builder().order(2).r#type(ActionTypeEnum::Forward).target_group_arn(arn("blue")).build()];
    assert!(with_end(&live, &wanted).expect_err("refused").contains("an action quantum-check"));
}

#[test]
fn nobody_gets_the_page() {
    let page = End::wanted(&Route::whole(Generation(5), None), "<p>soon</p>").expect("an answer");
    let changed = with_end(&[sign_in(), forward(&[("blue", 1)])], &to(page.clone())).expect("changed");
    assert_eq!(
        (changed.len(), End::of(&changed), page.words()),
        (2, Ok(page.clone()), "answers 503 itself".to_owned())
    );
}
