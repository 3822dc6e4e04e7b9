//! What goes wrong with Heat, and what becomes of it: each time against the real one.

use std::{fs, time::Duration};

use pointsman::{
    clock::Stopwatch,
    stacks::{Condition, StackDriver, StepError},
};
use serde_json::json;

use crate::support::{cloud::cloud, faults::Fault, project::Project};

#[tokio::test]
async fn a_busy_or_broken_api_is_asked_again() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    for status in [500, 503, 429] {
        let project = Project::of(cloud);
        project.proxy.next("GET", "/stacks", Fault::Status(status));
        let seen = project.driver.observe().await;
        let Err(StepError::Unavailable(why)) = seen else { panic!("{seen:?}") };
        assert!(why.contains(&format!("status {status}")), "{why}");
        project.proxy.next("POST", "/stacks", Fault::Status(status));
        project.proxy.next("GET", "/outputs/address", Fault::Status(status));
        project.stand_up(&project.spec(1)).await;
        project.proxy.next("GET", "/stacks", Fault::Status(status));
        project.tear_down(1).await;
        assert_eq!((project.left(), project.proxy.waiting()), (vec![], 0));
    }
    let project = Project::of(cloud);
    project.proxy.next("POST", "/auth/tokens", Fault::Status(503));
    let seen = project.driver.observe().await;
    assert!(matches!(seen, Err(StepError::Unavailable(_))), "{seen:?}");
    let seen = project.until("it is asked again", async || project.driver.observe().await.ok()).await;
    assert_eq!(seen, []);
}

#[tokio::test]
async fn a_cloud_that_wants_to_be_left_in_peace_is() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.see().await;
    project.asked();
    project.proxy.next("POST", "/stacks", Fault::Busy(2));
    let made = project.driver.ensure(&project.spec(1)).await;
    assert!(matches!(&made, Err(StepError::Unavailable(why)) if why.contains("status 429")), "{made:?}");
    let mut said = Vec::new();
    let began = Stopwatch::start();
    while began.elapsed() < Duration::from_millis(1500) {
        let again = project.driver.ensure(&project.spec(1)).await;
        let Err(StepError::Unavailable(why)) = again else { panic!("{again:?}") };
        said.push(why);
    }
    assert!(said.iter().any(|why| why.contains("rate limited; retrying in")), "{said:?}");
    let posts = project.asked().iter().filter(|asked| asked.starts_with("POST /stacks")).count();
    assert_eq!(posts, 1);
    project.stand_up(&project.spec(1)).await;
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_lost_request_or_answer_makes_neither_none_nor_two() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    for (number, fault) in [(1, Fault::LoseRequest), (2, Fault::LoseAnswer)] {
        project.proxy.next("POST", "/stacks", fault);
        let lost = project.driver.ensure(&project.spec(number)).await;
        assert!(matches!(lost, Err(StepError::Unavailable(_))), "{lost:?}");
        project.stand_up(&project.spec(number)).await;
        assert_eq!(project.left().len(), 1);
        let posts = project.asked().iter().filter(|a| a.starts_with("POST /stacks")).count();
        assert_eq!(posts, if matches!(fault, Fault::LoseAnswer) { 1 } else { 2 });
        let id = project.left()[0].rsplit(' ').next().expect("an id").to_owned();
        project.proxy.next("DELETE", &id, fault);
        project.tear_down(number).await;
        assert_eq!((project.left(), project.proxy.waiting()), (vec![], 0));
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_costs_one_call() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.see().await;
    project.proxy.expire_tokens();
    project.asked();
    project.order(&project.spec(1)).await;
    let tokens = project.asked().iter().filter(|asked| asked.ends_with("/tokens")).count();
    assert_eq!(tokens, 1);
    project.proxy.expire_tokens();
    project.stand_up(&project.spec(1)).await;
    project.proxy.expire_tokens();
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_token_that_ends_while_keystone_is_down_is_made_anew_afterwards() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.order(&project.spec(1)).await;
    project.proxy.expire_tokens();
    project.proxy.next("POST", "/auth/tokens", Fault::Status(503));
    let down = project.driver.observe().await;
    let Err(StepError::Unavailable(why)) = down else { panic!("{down:?}") };
    assert!(why.contains("Keystone"), "{why}");
    project.stand_up(&project.spec(1)).await;
    assert_eq!(project.left().len(), 1);
    project.tear_down(1).await;
}

#[tokio::test]
async fn an_api_that_never_answers_is_given_up_in_time() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.see().await;
    project.order(&project.spec(1)).await;
    project.proxy.next("GET", "/stacks", Fault::Hang);
    let began = Stopwatch::start();
    let hung = project.driver.observe().await;
    let Err(StepError::Unavailable(why)) = hung else { panic!("{hung:?}") };
    assert!(why.starts_with("cloud "), "{why}");
    assert!(began.elapsed() < project.driver.call_limit(), "{:?}", began.elapsed());
    project.stand_up(&project.spec(1)).await;
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_slow_answer_to_what_makes_a_stack_costs_few_lists() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.see().await;
    project.asked();
    project.proxy.next("POST", "/stacks", Fault::Hang);
    let (spec, began) = (project.spec(1), Stopwatch::start());
    let looking = project.until("some time has passed", async || {
        drop(project.driver.observe().await);
        (began.elapsed() > Duration::from_secs(3)).then_some(())
    });
    tokio::select! {
        made = project.driver.ensure(&spec) => panic!("{made:?}"),
        () = looking => {}
    }
    let asked = project.asked();
    assert!(asked.iter().any(|a| a.starts_with("POST") && a.ends_with("/stacks")), "{asked:#?}");
    let lists = asked.iter().filter(|a| a.starts_with("GET") && a.contains("/stacks?")).count();
    assert!(lists <= 4, "{lists}: {asked:#?}");
    project.stand_up(&spec).await;
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_keystone_that_can_not_be_reached_is_said_with_its_cause() {
    let Some(cloud) = cloud() else { return };
    let project = Project::asking_with(cloud, |_| {
        "cloud = { auth_url = \"http://127.0.0.1:9/v3\", username = \"demo\", project_name = \"demo\", secret = { file = \"password\" } }"
            .to_owned()
    });
    let why = project.driver.observe().await.expect_err("nobody listens there").to_string();
    let said =
        "Keystone at 127.0.0.1:9 cannot be reached: Connection refused (os error 111): is it up, is `auth_url` right?";
    assert!(why.starts_with("cloud ") && why.ends_with(said) && !why.contains("listing"), "{why}");
}

#[tokio::test]
async fn a_wrong_password_is_said() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    fs::write(project.folder.path().join("password"), "canary").expect("written");
    let why = project.refuses("Keystone refused the sign-in").await;
    assert!(!why.contains("canary"), "{why}");
    fs::write(project.folder.path().join("password"), "demo-password").expect("written");
    assert_eq!(project.see().await, [], "it is read again");
}

#[tokio::test]
async fn a_failed_stack_is_kept_until_its_reason_is_known_down_to_the_resource() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"fail": "No valid host was found. There are not enough hosts available."}"#);
    let seen = project.ends(&project.spec(1)).await;
    assert_eq!(seen.condition, Condition::Failed);
    let why = seen.remark.expect("why");
    assert!(why.starts_with("web (OS::Nova::Server): ") && why.contains("No valid host was found."), "{why}");
    assert_eq!(project.left().len(), 1, "it is there until it is torn down");
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn what_heat_refuses_ends_the_deployment_with_its_own_words() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let spec = project.spec(1);
    let spec = project.spec_of(1, &spec.definition.replace("OS::Nova::Server", "OS::Nova::Sever"));
    let seen = project.ends(&spec).await;
    let why = seen.remark.expect("why");
    assert!(seen.condition == Condition::Failed && why.contains("OS::Nova::Sever"), "{why}");
    project.tear_down(1).await;
}

#[tokio::test]
async fn a_stack_that_can_not_be_deleted_is_tried_again_and_names_what_blocks_it() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    let detached = project.folder.path().join("detached");
    project.mood(&json!({ "refuse_delete": format!("until {}", detached.display()) }).to_string());
    project.stand_up(&project.spec(1)).await;
    project.retire(1).await.expect("it is taken up");
    let why = project
        .until("it says what blocks it", async || {
            let seen = project.seen(1).await?;
            (seen.condition == Condition::Failed).then_some(seen.remark).flatten()
        })
        .await;
    assert!(why.contains("web (OS::Nova::Server): ") && why.contains("Volume is still attached."), "{why}");
    fs::write(detached, "").expect("written");
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn a_stack_that_heat_forgets_counts_as_failed_and_says_what_it_waited_for() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"boot_seconds": "1000"}"#);
    project.order(&project.spec(1)).await;
    assert_eq!(project.seen(1).await.map(|s| s.condition), Some(Condition::Creating));
    project.proxy.let_pass(Duration::from_secs(150));
    let waits = project
        .until("it says what it waits for", async || {
            project.look_again(1).await;
            project.seen(1).await.and_then(|seen| seen.remark)
        })
        .await;
    assert_eq!(waits, "it waits for web (OS::Nova::Server)");
    project.proxy.let_pass(Duration::from_secs(8 * 60));
    let seen = project
        .until("it is given up", async || {
            project.look_again(1).await;
            project.seen(1).await.filter(|seen| seen.condition != Condition::Creating)
        })
        .await;
    let why = seen.remark.expect("why");
    assert!(seen.condition == Condition::Failed, "{why}");
    assert!(why.contains("within 5 min, its own limit") && why.contains("web (OS::Nova::Server)"), "{why}");
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn an_engine_that_is_killed_on_the_way_leaves_nothing_for_ever() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"boot_seconds": "2"}"#);
    project.order(&project.spec(1)).await;
    cloud.tell("kill-heat");
    let down = project.driver.observe().await;
    assert!(matches!(down, Err(StepError::Unavailable(_))), "{down:?}");
    cloud.tell("start-heat");
    let seen = project.seen(1).await.expect("it is there");
    println!("after the engine came back: {seen:?}");
    // Its engine forgot it, or says so: our own time limit ends it either way.
    project.proxy.let_pass(Duration::from_secs(8 * 60));
    let seen = project
        .until("it is given up", async || {
            project.look_again(1).await;
            project.seen(1).await.filter(|seen| seen.condition != Condition::Creating)
        })
        .await;
    assert!(seen.condition == Condition::Failed && seen.remark.is_some(), "{seen:?}");
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
    project.proxy.let_pass(Duration::ZERO);
    project.stand_up(&project.spec(2)).await;
}

#[tokio::test]
async fn an_application_credential_that_may_not_hand_on_its_rights_is_told_so() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let (id, secret) = cloud.application_credential(&json!({ "name": "story" }));
    let project = Project::asking_with(cloud, |keystone| {
        format!(
            "cloud = {{ auth_url = \"{keystone}\", application_credential_id = \"{id}\", secret = {{ file = \"secret\" }} }}"
        )
    });
    fs::write(project.folder.path().join("secret"), secret).expect("written");
    assert_eq!(project.see().await, []);
    let made = project.driver.ensure(&project.spec(1)).await;
    match made {
        // Keystones differ: one that allows it makes the stack.
        Ok(()) => project.tear_down(1).await,
        Err(StepError::Refused(why)) => {
            assert!(why.contains("An application credential may not hand its rights on to Heat"), "{why}");
            assert_eq!(project.see().await[0].condition, Condition::Failed);
        }
        Err(other) => panic!("{other}"),
    }
}
