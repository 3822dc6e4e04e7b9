//! Stacks of a real Heat that were there before us, as a script makes them, and are taken over: only their tags change, or
//! not even these.

use std::{collections::BTreeMap, sync::Arc};

use pointsman::{
    machine::{Adopts, Release},
    stacks::{StackDriver, StackSpec, StackStatus, StepError},
};
use serde_json::{Value, json};

use crate::support::{cloud::cloud, project::Project, wire::Wire};

/// With what scripts have in theirs: a secret made by chance, and a server that says itself that it is done.
const THEIRS: &str = "heat_template_version: 2014-10-16\nparameters:\n  version: {type: string, default: old}\nresources:\n  \
                      secret: {type: OS::Heat::RandomString}\n  \
                      web:\n    type: OS::Nova::Server\n    properties:\n      image: app\n      metadata: {version: {get_param: version}}\n      \
                      user_data_format: RAW\n      user_data: {str_replace: {template: 'a SECRET', params: {SECRET: {get_attr: [secret, value]}}}}\noutputs:\n  \
                      instance_ip: {value: {get_attr: [web, first_address]}}\n  website_url: {value: 'http://shop.example/'}\n";

fn adopting(project: &Project, number: u32, stack: &str, output: &str) -> StackSpec {
    let spec = project.spec(number);
    let adopts = Adopts { stack: stack.into(), output: Some(output.into()) };
    let release = Release { adopts: Some(adopts), ..(*spec.release).clone() };
    StackSpec { release: Arc::new(release), ..spec }
}

/// Makes one as a script does, and waits for it; gives `name id`.
async fn made_by_a_script(project: &Project, name: &str, more: &Value) -> String {
    let mut body =
        json!({ "stack_name": name, "template": THEIRS, "parameters": { "version": name }, "timeout_mins": 5 });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    // A host that is busy keeps Keystone from answering now and then.
    let ask = async || {
        let (status, answer) = project.cloud.ask("POST", "/stacks", &body);
        assert!(matches!(status, 201 | 503), "{answer}");
        (status == 201).then_some(answer)
    };
    let answer = project.until("their stack is begun", ask).await;
    let stack = format!("{name} {}", answer["stack"]["id"].as_str().expect("an id"));
    project
        .until("their stack is there", async || {
            let status = project.resource(&stack, "")["stack"]["stack_status"].clone();
            (status == "CREATE_COMPLETE").then_some(())
        })
        .await;
    stack
}

/// Every resource by its name, with what it is outside of Heat and when it was last changed.
fn resources(project: &Project, stack: &str) -> BTreeMap<String, (Value, Value)> {
    let all = project.resource(stack, "/resources");
    let one = |r: &Value| {
        let name = r["resource_name"].as_str().expect("a name").to_owned();
        (name, (r["physical_resource_id"].clone(), r["updated_time"].clone()))
    };
    all["resources"].as_array().expect("a list").iter().map(one).collect()
}

fn tags(project: &Project, stack: &str) -> Vec<String> {
    let tags = project.resource(stack, "")["stack"]["tags"].clone();
    serde_json::from_value(tags).unwrap_or_default()
}

async fn refused(project: &Project, spec: &StackSpec) -> String {
    let answer = project.driver.ensure(spec).await;
    let Err(StepError::Refused(why)) = answer else { panic!("{answer:?}") };
    let seen = project.see().await;
    let shown = seen.iter().find(|stack| stack.name == spec.name).expect("it is shown");
    assert!(shown.status == StackStatus::Failed && shown.remark.as_ref() == Some(&why), "{shown:?}");
    why
}

#[tokio::test]
async fn a_stack_of_a_script_becomes_ours_and_nothing_of_it_is_touched() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let theirs = made_by_a_script(&project, "reporting41", &json!({ "tags": "team-a,cost-7" })).await;
    let other = made_by_a_script(&project, "reporting4", &json!({})).await;
    let (before, of_other) = (resources(&project, &theirs), project.resource(&other, ""));
    let whole = project.resource(&theirs, "");
    assert_eq!(project.see().await, []);

    let (seen, took) = project.stand_up(&adopting(&project, 3, "reporting41", "instance_ip")).await;
    println!("adopted in {took:?} with {} calls", project.asked().len());
    assert!(seen.remark.is_none() && seen.endpoints[0].port() == 8088, "{seen:?}");
    // Heat's preview takes the server for changed, because it knows of the secret.
    assert_eq!(project.resource(&theirs, ""), whole, "it is as it was, in everything");
    assert_eq!(resources(&project, &theirs), before, "no resource was touched");
    assert_eq!(project.resource(&other, ""), of_other, "nor was another stack");
    let mut wire = Wire::open(seen.endpoints[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "reporting41");

    // Once more is no more; under another number it goes on under that.
    project.driver.ensure(&adopting(&project, 3, "reporting41", "instance_ip")).await.expect("it is ours");
    let id = theirs.rsplit(' ').next().expect("an id");
    let (again, _) = project.stand_up(&adopting(&project, 5, id, "instance_ip")).await;
    assert_eq!(again.endpoints, seen.endpoints);
    assert_eq!(project.see().await.len(), 1, "it has one number only");
    assert_eq!(resources(&project, &theirs), before);

    // Another driver of the same installation knows it too, and what is torn down is it and nothing else.
    let driver = project.reopened();
    assert_eq!(driver.observe().await.expect("it can be seen"), [again]);
    project.retire(3).await.expect("there is nothing of that number");
    project.tear_down(5).await;
    let there = cloud.stacks();
    assert!(!there.contains_key(&key(&theirs)) && there.contains_key(&key(&other)), "{there:?}");
    let files = std::fs::read_dir(project.folder.path().join("state/adopted")).expect("a folder");
    assert_eq!(files.count(), 0, "nothing is left of it here either");
    cloud.delete(&[other]);
}

fn key(stack: &str) -> (String, String) {
    stack.split_once(' ').map(|(name, id)| (name.into(), id.into())).expect("both")
}

#[tokio::test]
async fn where_heat_says_that_only_tags_would_change_it_gets_ours() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let plain = json!({ "tags": "team-a,cost-7", "template": crate::support::project::TEMPLATE,
                        "parameters": { "mood": { "version": "v41" } } });
    let theirs = made_by_a_script(&project, "plain41", &plain).await;
    let before = resources(&project, &theirs);
    let (seen, _) = project.stand_up(&adopting(&project, 3, "plain41", "address")).await;
    let ours = project
        .until("Heat has marked it", async || {
            let status = project.resource(&theirs, "")["stack"]["stack_status"].clone();
            assert_ne!(status, "UPDATE_FAILED");
            (status == "UPDATE_COMPLETE").then(|| tags(&project, &theirs))
        })
        .await;
    assert!(ours.contains(&"team-a".to_owned()) && ours.contains(&"cost-7".to_owned()), "{ours:?}");
    assert_eq!(resources(&project, &theirs), before, "no resource was touched");
    assert_eq!(project.left(), [theirs.clone()]);
    assert!(seen.remark.is_none(), "{seen:?}");
    let mut wire = Wire::open(seen.endpoints[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "v41");
    let (again, _) = project.stand_up(&adopting(&project, 5, "plain41", "address")).await;
    assert_eq!((again.endpoints, project.see().await.len()), (seen.endpoints, 1), "it has one number only");

    // Its copy, with all tags, is nobody's.
    let copied = json!({ "tags": tags(&project, &theirs).join(",") });
    let copy = made_by_a_script(&project, "plain42", &copied).await;
    project.tear_down(5).await;
    let there = cloud.stacks();
    assert!(!there.contains_key(&key(&theirs)) && there.contains_key(&key(&copy)), "{there:?}");
    cloud.delete(&[copy]);
}

#[tokio::test]
async fn what_can_not_be_taken_over_is_left_alone_and_says_why() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let theirs = made_by_a_script(&project, "portal7", &json!({})).await;
    let why = refused(&project, &adopting(&project, 1, "portal8", "instance_ip")).await;
    assert!(why.contains("there is no stack of this name or id") && why.contains("portal7"), "{why}");
    let why = refused(&project, &adopting(&project, 2, "portal7", "adress")).await;
    assert!(why.contains("no output `adress`") && why.contains("it has: instance_ip, website_url"), "{why}");
    let why = refused(&project, &adopting(&project, 3, "portal7", "website_url")).await;
    assert!(why.contains("which is no address"), "{why}");

    // One of ours, and one of another installation.
    project.stand_up(&project.spec(4)).await;
    let why = refused(&project, &adopting(&project, 5, &project.name(4).to_string(), "address")).await;
    assert!(why.contains("it is Pointsman's already, as deployment 4 of"), "{why}");
    let neighbour = Project::of(cloud);
    let why = refused(&neighbour, &adopting(&neighbour, 1, &project.name(4).to_string(), "address")).await;
    assert!(why.contains("belongs to another installation of Pointsman, to its environment"), "{why}");
    project.tear_down(4).await;

    // One that is being changed, and one that did not come up.
    let slow = json!({ "stack_name": "portal9", "template": crate::support::project::TEMPLATE, "timeout_mins": 5,
                       "parameters": { "mood": { "boot_seconds": "1000" } } });
    let (_, made) = cloud.ask("POST", "/stacks", &slow);
    let slow = format!("portal9 {}", made["stack"]["id"].as_str().expect("an id"));
    let why = refused(&project, &adopting(&project, 6, "portal9", "address")).await;
    assert!(why.contains("it is being changed (CREATE_IN_PROGRESS)"), "{why}");
    let failing = json!({ "stack_name": "portal10", "template": crate::support::project::TEMPLATE, "timeout_mins": 5,
                          "parameters": { "mood": { "fail": "No valid host" } } });
    let (_, made) = cloud.ask("POST", "/stacks", &failing);
    let failed = format!("portal10 {}", made["stack"]["id"].as_str().expect("an id"));
    project
        .until("it has failed", async || {
            (project.resource(&failed, "")["stack"]["stack_status"] == "CREATE_FAILED").then_some(())
        })
        .await;
    let why = refused(&project, &adopting(&project, 7, "portal10", "address")).await;
    assert!(why.contains("Heat says CREATE_FAILED") && why.contains("No valid host"), "{why}");
    for stack in [&theirs, &slow, &failed] {
        assert_eq!(tags(&project, stack), [""; 0]);
    }
    cloud.delete(&[theirs, slow, failed]);
}

#[tokio::test]
async fn a_lost_answer_to_the_marking_makes_it_ours_all_the_same() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let plain = json!({ "template": crate::support::project::TEMPLATE, "parameters": {} });
    let theirs = made_by_a_script(&project, "ledger1", &plain).await;
    let (id, before) = (theirs.rsplit(' ').next().expect("an id"), resources(&project, &theirs));
    project.proxy.next("PATCH", id, crate::support::faults::Fault::LoseAnswer);
    let spec = adopting(&project, 1, "ledger1", "address");
    let lost = project.driver.ensure(&spec).await;
    assert!(matches!(lost, Err(StepError::Unavailable(_))), "{lost:?}");
    project.stand_up(&spec).await;
    let marked = project.asked().iter().filter(|a| a.starts_with("PATCH") && !a.ends_with("/preview")).count();
    assert_eq!((marked, resources(&project, &theirs)), (1, before));
    project.tear_down(1).await;
}
