//! Who may open a gate.

use super::*;

/// A deployment that `asker` wants, at its gate before provisioning.
fn asked_by(asker: &str, by: &[&str], not_the_asker: bool) -> Story {
    let mut story = Story::new();
    let by = by.iter().map(|name| text(name)).collect();
    let gate = Gate { timeout: Millis(60_000), otherwise: Otherwise::Approve, by, not_the_asker };
    let command = build(1, &Plan { before_provisioning: Some(gate), ..Plan::default() });
    let event = story.env.command(&command.into(), asker).unwrap();
    story.env.apply(&Entry { at: story.now, by: text(asker), event }).unwrap();
    story.seen.as_of = story.env.seq();
    story.tick().unwrap();
    assert_eq!(&*story.env.active().unwrap().asked_by, asker);
    story
}

fn approve(story: &Story, by: &str) -> Result<Event, String> {
    let command = Ask::Approve(n(1), GateName::BeforeProvisioning);
    story.env.command(&command.into(), by).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_gate_is_opened_by_those_who_are_named() {
    let story = asked_by("webhook:jenkins", &["alice", "bob"], false);
    let refusal = "carol may not approve this; it is for alice, bob to say";
    assert_eq!(approve(&story, "carol"), Err(refusal.to_owned()));
    assert!(approve(&story, "Alice").is_err() && approve(&story, "").is_err());
    assert!(approve(&story, "local:alice").is_err(), "a name that nobody vouches for");
    assert_eq!(approve(&story, "bob"), Ok(Event::Approved { number: n(1), reason: None }));
}

#[test]
fn whoever_asked_does_not_approve() {
    let story = asked_by("alice", &[], true);
    let refusal = "alice asked for this deployment; someone else has to approve it";
    assert_eq!(approve(&story, "alice"), Err(refusal.to_owned()));
    assert!(approve(&story, "local:alice").is_err(), "the same person at another door");
    assert!(approve(&asked_by("local:alice", &[], true), "alice").is_err());
    assert!(approve(&story, "bob").is_ok());
}

/// An account keeps its mark when it is renamed, and no other has it.
#[test]
fn an_account_of_a_provider_is_itself_by_its_mark_only() {
    let story = asked_by("oidc:alice#0123456789ab", &[], true);
    assert!(approve(&story, "oidc:alice#0123456789ab").is_err());
    assert!(approve(&story, "oidc:renamed#0123456789ab").is_err(), "another name is not another person");
    assert!(approve(&story, "alice").is_err() && approve(&story, "local:alice").is_err(), "perhaps another door");
    assert!(approve(&asked_by("alice", &[], true), "oidc:alice#0123456789ab").is_err());
    assert!(approve(&story, "oidc:alice#ba9876543210").is_ok(), "another account of the same name");
    let named = asked_by("bob", &["alice", "oidc:carol#0123456789ab"], true);
    for stranger in ["oidc:alice#0123456789ac", "oidc:carol#0123456789ac", "carol", "local:carol", "oidc:carol"] {
        assert!(approve(&named, stranger).is_err(), "{stranger} goes by the name of somebody who may");
    }
    assert!(approve(&named, "oidc:renamed#0123456789ab").is_ok(), "named by the account");
}

#[test]
fn whoever_asked_does_not_approve_even_when_named() {
    let story = asked_by("alice", &["alice", "bob"], true);
    assert!(approve(&story, "alice").is_err() && approve(&story, "carol").is_err());
    assert!(approve(&story, "bob").is_ok());
}

#[test]
fn what_a_rule_or_a_webhook_asked_for_any_person_may_approve_but_they_may_not() {
    for asker in ["rule", "webhook:jenkins"] {
        let story = asked_by(asker, &[], true);
        assert!(approve(&story, "alice").is_ok());
        assert!(approve(&story, asker).is_err(), "{asker}");
    }
}

#[test]
fn a_gate_opens_by_itself_whoever_is_named() {
    let mut story = asked_by("alice", &["bob"], true);
    story.at(60);
    assert_eq!(story.tick(), Some(Event::Approved { number: n(1), reason: None }));
}

#[test]
fn a_deployment_recorded_before_askers_were_has_none() {
    let mut json = serde_json::to_value(asked_by("alice", &[], false).env.active().unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("asked_by");
    let old: Deployment = serde_json::from_value(json).unwrap();
    assert_eq!(&*old.asked_by, "");
}
