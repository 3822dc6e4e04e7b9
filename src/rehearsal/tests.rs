//! Told stories, and what becomes of them.

use std::sync::Arc;

use super::*;
use crate::{
    checks::Checks,
    machine::{DeploymentState, Event, Gate, Hook, HookPoint, Millis, Number, Otherwise, Recover, RecoverTo, Retain},
};

const MINUTE: Millis = Millis(60_000);

fn minutes(count: u64) -> Millis {
    Millis(count * MINUTE.0)
}

/// An environment with one check each five seconds, a watch of a minute and a standby for half an hour.
fn terms(change: impl FnOnce(&mut Plan)) -> Terms {
    let mut plan = Plan::default();
    change(&mut plan);
    let checks: Checks = serde_json::from_str(r#"[{ "http": { "path": "/healthz" }, "every": "5s" }]"#).unwrap();
    Terms {
        id: "shop/prod".parse().unwrap(),
        plan: Arc::new(plan),
        checks: Arc::new(checks),
        fencing: Fencing::CompareAndSet,
        source: None,
        trigger: Trigger::Build,
    }
}

fn play(terms: &Terms, story: &Story) -> Rehearsed {
    rehearse(terms, story).expect("the machine takes its beginning")
}

/// The kinds of the records, with the seconds at which they were written.
fn kinds(played: &Rehearsed) -> Vec<(String, u64)> {
    let records = played.moments.iter().filter_map(|(at, moment)| match moment {
        Moment::Record(entry) => Some((serde_json::to_value(&entry.event).unwrap(), at.since(BEGIN).0 / 1000)),
        _ => None,
    });
    records.map(|(event, at)| (event["kind"].as_str().unwrap().to_owned(), at)).collect()
}

fn at(played: &Rehearsed, kind: &str) -> Option<u64> {
    kinds(played).into_iter().find(|(known, _)| known == kind).map(|(_, at)| at)
}

fn ends(played: &Rehearsed) -> Vec<(DeploymentState, String)> {
    let ends = played.moments.iter().filter_map(|(_, moment)| match moment {
        Moment::Ended(state, why) => Some((*state, why.clone().unwrap_or_default())),
        _ => None,
    });
    ends.collect()
}

#[test]
fn where_nothing_goes_wrong_it_is_live_when_its_terms_say() {
    let played = play(&terms(|_| {}), &Story::default());
    let records = kinds(&played);
    let kinds: Vec<(&str, u64)> = records.iter().map(|(kind, at)| (&**kind, *at)).collect();
    let expected = [
        ("accepted", 0),
        ("started", 0),
        ("provisioned", 10),
        ("checked", 20),
        ("cut_over_ordered", 20),
        ("went_live", 21),
        ("succeeded", 81),
        ("standby_released", 81 + 1800),
        ("retired", 81 + 1800 + 35),
    ];
    assert_eq!(kinds[..7], expected[..7]);
    assert_eq!(kinds[7..].iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["standby_released", "retired"]);
    assert_eq!((played.number, played.state), (Number(2), DeploymentState::Succeeded));
    assert_eq!(played.users, "Users see v2 (deployment 2); it is up and passes its checks.");
}

#[test]
fn a_first_deployment_goes_live_where_nothing_was() {
    let played = play(&terms(|_| {}), &Story { first: true, ..Story::default() });
    assert_eq!((played.number, played.state), (Number(1), DeploymentState::Succeeded));
}

#[test]
fn a_stack_that_is_slow_has_the_time_that_its_terms_say() {
    let terms = terms(|plan| plan.provision_within = minutes(5));
    let slow = |start| play(&terms, &Story { start, ..Story::default() });
    assert_eq!(slow(minutes(4)).state, DeploymentState::Succeeded);
    let late = slow(minutes(6));
    assert_eq!(ends(&late), [(DeploymentState::Failed, "its stack did not come up in time (300 s)".to_owned())]);
    assert_eq!(at(&late, "ended"), Some(300));
}

#[test]
fn a_check_that_fails_while_it_bakes_takes_users_back() {
    let terms = terms(|plan| plan.bake = minutes(5));
    let failing = Some(Failing { at: minutes(3), length: None });
    let played = play(&terms, &Story { failing, ..Story::default() });
    assert_eq!(played.state, DeploymentState::RolledBack);
    assert!(ends(&played)[0].1.contains("its check fails, as the story tells"), "{:?}", ends(&played));
    // Three questions in a row, five seconds apart.
    let undone = at(&played, "undo_ordered").expect("an order");
    assert!((180..=195).contains(&undone), "{undone}");
    assert_eq!(played.users, "Users see v1 (deployment 1); it is up and passes its checks.");
}

#[test]
fn a_check_that_fails_for_a_moment_changes_nothing() {
    let failing = Some(Failing { at: Millis(40_000), length: Some(Millis(6_000)) });
    let played = play(&terms(|_| {}), &Story { failing, ..Story::default() });
    assert_eq!(played.state, DeploymentState::Succeeded);
}

#[test]
fn a_front_that_is_silent_for_longer_than_it_may_take_keeps_users_where_they_are() {
    let silent = |length| {
        let silence = Some(Silence { at: None, length });
        play(&terms(|plan| plan.cut_over_within = MINUTE), &Story { silence, ..Story::default() })
    };
    let short = silent(Millis(30_000));
    assert_eq!((short.state, at(&short, "went_live")), (DeploymentState::Succeeded, Some(51)));
    let long = silent(minutes(10));
    assert_eq!(ends(&long), [(DeploymentState::Failed, "the front did not answer in time".to_owned())]);
    assert_eq!(at(&long, "undo_ordered"), Some(80));
    assert!(at(&long, "operator_needed").is_some(), "{:?}", kinds(&long));
    assert!(long.users.starts_with("Users see v1"), "{}", long.users);
}

#[test]
fn a_gate_waits_for_people_and_takes_its_default_without_them() {
    let gate = |otherwise| Gate { timeout: minutes(60), otherwise, by: vec!["ann".into()], not_the_asker: false };
    let asleep = |otherwise| {
        let terms = terms(|plan| plan.before_cutover = Some(gate(otherwise)));
        play(&terms, &Story { answers: Answers::Never, ..Story::default() })
    };
    let aborted = asleep(Otherwise::Abort);
    assert_eq!(ends(&aborted), [(DeploymentState::Aborted, "nobody approved it in time".to_owned())]);
    assert_eq!(at(&aborted, "ended"), Some(3620));
    let waits: Vec<&str> = aborted
        .moments
        .iter()
        .filter_map(|(_, m)| match m {
            Moment::Waits(text) => Some(&**text),
            _ => None,
        })
        .collect();
    assert!(waits.iter().any(|text| text.contains("waits until T+1 h for ann to approve it")), "{waits:?}");
    assert_eq!(asleep(Otherwise::Approve).state, DeploymentState::Succeeded);
    let terms = terms(|plan| plan.before_cutover = Some(gate(Otherwise::Abort)));
    let awake = play(&terms, &Story { answers: Answers::After(minutes(2)), ..Story::default() });
    assert_eq!((awake.state, at(&awake, "approved")), (DeploymentState::Succeeded, Some(140)));
    let by = awake.moments.iter().find_map(|(_, moment)| match moment {
        Moment::Record(entry) if matches!(entry.event, Event::Approved { .. }) => Some(entry.by.clone()),
        _ => None,
    });
    assert_eq!(by.as_deref(), Some("ann"));
}

#[test]
fn what_dies_when_it_is_live_is_started_again_or_users_go_to_the_standby() {
    let recover = |to| {
        let recover = Recover { to, after: Millis(30_000) };
        let terms = terms(|plan| (plan.recover, plan.retain) = (recover, Retain::UntilNext));
        let story = Story { dies: Some(minutes(5)), start: minutes(2), ..Story::default() };
        play(&terms, &story)
    };
    let restarted = recover(RecoverTo::Restart);
    assert_eq!((at(&restarted, "live_down"), at(&restarted, "recovered")), (Some(300), None));
    assert!(at(&restarted, "live_up").is_some());
    let recovered = recover(RecoverTo::Standby);
    assert_eq!(at(&recovered, "recovered"), Some(330));
    assert!(recovered.users.starts_with("Users see v1 (deployment 1)"), "{}", recovered.users);
}

#[test]
fn people_abort_and_roll_back_when_the_story_says() {
    let abort = play(&terms(|_| {}), &Story { abort: Some(Millis(15_000)), ..Story::default() });
    assert_eq!((abort.state, at(&abort, "ended")), (DeploymentState::Aborted, Some(15)));
    let back = play(&terms(|_| {}), &Story { rollback: Some(minutes(2)), ..Story::default() });
    let states: Vec<_> = ends(&back).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, [DeploymentState::Succeeded, DeploymentState::RolledBack]);
}

#[test]
fn a_refused_command_is_told_and_the_story_goes_on() {
    let story = Story { abort: Some(minutes(10)), ..Story::default() };
    let played = play(&terms(|_| {}), &story);
    assert_eq!(played.state, DeploymentState::Succeeded);
    let refused = |(_, moment): &(Millis, Moment)| matches!(moment, Moment::Turn(text) if text.contains("is refused"));
    assert!(played.moments.iter().any(refused), "{:?}", played.moments);
}

#[test]
fn hooks_and_definitions_of_a_repository_take_their_time() {
    let hook = |name: &str, at| Hook { name: name.into(), at, within: MINUTE, one_way: false };
    let terms = terms(|plan| {
        plan.hooks = vec![hook("migrate", HookPoint::AfterChecks), hook("tell", HookPoint::OnRetire)];
        plan.retain = Retain::None;
    });
    let played = play(&Terms { source: Some("deploy/stack.toml".into()), ..terms }, &Story::default());
    let kinds = kinds(&played);
    let order: Vec<&str> = kinds.iter().map(|(kind, _)| &**kind).collect();
    assert_eq!(order[..4], ["accepted", "started", "definition_frozen", "provisioned"]);
    let hooks = order.iter().filter(|kind| kind.starts_with("hook_")).count();
    assert_eq!(hooks, 4, "{order:?}");
    assert_eq!(played.state, DeploymentState::Succeeded);
}
