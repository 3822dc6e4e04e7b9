//! Stack definitions in git: a real controller, a real repository.

use std::{sync::Arc, time::Duration};

use pointsman::{
    git::{Limits, Mirrors, Password, Remote},
    machine::{DeploymentState, Release, Retain},
    runner::Source,
};

use crate::support::{
    git::{GitServer, Manner, Origin},
    yard::Yard,
};

const STACK: &str = "deploy/stack.toml";
const MINUTE: Duration = Duration::from_secs(60);

fn release(version: &str, commit: &str) -> Release {
    Release { source: Some(STACK.into()), commit: Some(commit.into()), ..Release::draft(version) }
}

/// An environment whose definitions are in the repository at that address.
async fn reading(url: &str) -> Yard {
    let whole = Duration::from_secs(30);
    let limits = Limits { connect: Duration::from_secs(1), stall: whole, whole, first: whole, ..Limits::default() };
    let (user, password) = match url.starts_with("http") {
        true => {
            (Some("ci".to_owned()), Some(Password::kept_at("s3cret".to_owned(), || Ok("s3cret".to_owned().into()))))
        }
        false => (None, None),
    };
    let remote = Remote::new(url, user, password).unwrap();
    let mut t = Yard::with(|plan| plan.retain = Retain::UntilNext).await;
    t.stop_controller().await;
    let mirrors = Mirrors::with(t.folder(), limits, vec!["ssh".to_owned()]);
    t.source = Some(Arc::new(move || Source::new(mirrors.of(&remote), true)));
    t.start_controller();
    t
}

#[tokio::test]
async fn a_definition_is_read_at_the_releases_commit_and_kept() {
    let origin = Origin::new();
    let first = origin.commit("One", &[(STACK, "one")]);
    let mut t = reading(origin.path().to_str().unwrap()).await;
    let one = t.push_release(release("v1", &first)).await;
    t.settle().await;
    t.assert_live("v1");
    assert_eq!(t.definition(one), "one");
    let second = origin.commit("Two", &[(STACK, "two")]);
    let two = t.push_release(release("v2", &second)).await;
    t.settle().await;
    assert_eq!((t.definition(one), t.definition(two)), ("one".to_owned(), "two".to_owned()));
}

#[tokio::test]
async fn a_definition_is_read_with_what_it_names_at_the_same_commit() {
    let origin = Origin::new();
    let first = origin.commit("One", &[(STACK, "with lib/app.yaml"), ("deploy/lib/app.yaml", "one")]);
    origin.commit("Two", &[("deploy/lib/app.yaml", "two")]);
    let bad = origin.commit("Three", &[(STACK, "with nowhere.yaml")]);
    let mut t = reading(origin.path().to_str().unwrap()).await;
    let one = t.push_release(release("v1", &first)).await;
    t.settle().await;
    assert_eq!(t.definition(one), "one");
    let number = t.push_release(release("v2", &bad)).await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "1:6: deploy/nowhere.yaml is not in commit");
}

#[tokio::test]
async fn what_is_not_there_fails_at_once_and_says_so() {
    let origin = Origin::new();
    origin.git(&["rm", "-q", "-r", "deploy"]);
    let bare = origin.commit("Nothing", &[("README.md", "nothing")]);
    let refused = origin.commit("Bad", &[(STACK, "refused")]);
    let mut t = reading(origin.path().to_str().unwrap()).await;
    let number = t.push_release(release("v1", &bare)).await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "deploy/stack.toml is not in commit");
    let number = t.push_release(release("v2", &refused)).await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "1:1: this can never work");
    let number = t.push_release(release("v3", &"ab".repeat(20))).await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "was not pushed, or a force-push removed it");
    let number = t.push_release(Release { commit: None, ..release("v4", "") }).await;
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "its build named none");
    t.assert_stacks(&[]);
}

#[tokio::test]
async fn a_force_push_takes_nothing_from_a_frozen_release() {
    let origin = Origin::new();
    let commit = origin.commit("One", &[(STACK, "one")]);
    let mut t = reading(origin.path().to_str().unwrap()).await;
    let one = t.push_release(release("v1", &commit)).await;
    t.settle().await;
    origin.git(&["checkout", "-q", "--orphan", "other"]);
    let other = origin.commit("Another", &[(STACK, "another")]);
    origin.git(&["branch", "-q", "-f", "main", &other]);
    let promoted = t.now().live().unwrap().release.clone();
    let two = t.push_release(release("v2", &other)).await;
    t.settle().await;
    t.assert_live("v2");
    let again = t.promote(promoted).await;
    t.settle().await;
    t.assert_live("v1");
    assert_eq!((t.definition(one), t.definition(two)), (t.definition(again), "another".to_owned()));
}

#[tokio::test]
async fn a_rollback_does_not_wait_for_a_git_server_that_hangs() {
    let origin = Origin::new();
    let server = GitServer::below(origin.root());
    let url = server.url("shop");
    let mut t = reading(&url).await;
    for version in ["v1", "v2"] {
        let commit = origin.commit(version, &[(STACK, version)]);
        t.push_release(release(version, &commit)).await;
        t.settle().await;
        t.assert_live(version);
    }
    server.behave(Manner::Hang);
    let late = origin.commit("Three", &[(STACK, "v3")]);
    let number = t.push_release(release("v3", &late)).await;
    t.until_state(number, DeploymentState::Provisioning).await;
    let asked = server.asked();
    let began = pointsman::clock::Stopwatch::start();
    t.rollback().await.unwrap();
    t.settle().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    t.assert_live("v1");
    t.assert_ended(number, DeploymentState::Aborted, "being rolled back");
    assert!(server.asked() <= asked + 1, "nothing of the rollback asked the server");
}

#[tokio::test]
async fn a_server_that_never_answers_is_tried_until_the_deadline_which_says_why() {
    let origin = Origin::new();
    let commit = origin.commit("One", &[(STACK, "one")]);
    // Nobody listens there.
    let mut t = reading("http://127.0.0.1:1/shop.git").await;
    let number = t.push_release(release("v1", &commit)).await;
    t.until_trouble("reading the stack definition", "cannot be reached").await;
    t.pass(11 * MINUTE);
    t.settle().await;
    t.assert_ended(number, DeploymentState::Failed, "its stack definition could not be read in time (600 s): http");
    // What stood in the way of that one stands in nobody's way now.
    t.until_no_trouble().await;
}
