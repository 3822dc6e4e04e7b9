//! Stacks of a real Heat that were there before us, as a script makes them, and are taken over: only their tags change, or
//! not even these.

use std::{collections::BTreeMap, sync::Arc};

use pointsman::{
    machine::{Adopts, Release},
    stacks::{Condition, StackDriver, StackSpec, StepError},
};
use serde_json::{Value, json};

use crate::support::{cloud::cloud, faults::Fault, project::Project, wire::Wire};

/// A template with what scripts have in theirs: a random secret, and a server that says itself that it is done.
const THEIRS: &str = "heat_template_version: 2014-10-16\nparameters:\n  version: {type: string, default: old}\nresources:\n  \
                      secret: {type: OS::Heat::RandomString}\n  \
                      web:\n    type: OS::Nova::Server\n    properties:\n      image: app\n      metadata: {version: {get_param: version}}\n      \
                      user_data_format: RAW\n      user_data: {str_replace: {template: 'a SECRET', params: {SECRET: {get_attr: [secret, value]}}}}\noutputs:\n  \
                      instance_ip: {value: {get_attr: [web, first_address]}}\n  website_url: {value: 'http://shop.example/'}\n";

fn adopting(project: &Project, number: u32, stack: &str, output: &str) -> StackSpec {
    let spec = project.spec(number);
    let adopts = Adopts { stack: stack.into(), output: Some(output.into()) };
    let release = Release { adopts: Some(adopts.into()), ..(*spec.release).clone() };
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
    assert!(shown.condition == Condition::Failed && shown.remark.as_ref() == Some(&why), "{shown:?}");
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
    assert!(seen.remark.is_none() && seen.reach.addresses()[0].port() == 8088, "{seen:?}");
    // Heat's preview takes the server for changed, because it knows of the secret.
    assert_eq!(project.resource(&theirs, ""), whole, "it is as it was, in everything");
    assert_eq!(resources(&project, &theirs), before, "no resource was touched");
    assert_eq!(project.resource(&other, ""), of_other, "nor was another stack");
    let mut wire = Wire::open(seen.reach.addresses()[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "reporting41");

    // Once more is no more; under another number it goes on under that.
    project.order(&adopting(&project, 3, "reporting41", "instance_ip")).await;
    let id = theirs.rsplit(' ').next().expect("an id");
    let (again, _) = project.stand_up(&adopting(&project, 5, id, "instance_ip")).await;
    assert_eq!(again.reach, seen.reach);
    assert_eq!(project.see().await.len(), 1, "it has one number only");
    assert_eq!(resources(&project, &theirs), before);

    // Another driver of the same installation knows it too, and what is torn down is it and nothing else.
    let driver = project.reopened();
    assert_eq!(project.see_by(&driver).await, [again]);
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
    assert_eq!(project.left(), std::slice::from_ref(&theirs));
    assert!(seen.remark.is_none(), "{seen:?}");
    let mut wire = Wire::open(seen.reach.addresses()[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "v41");
    let (again, _) = project.stand_up(&adopting(&project, 5, "plain41", "address")).await;
    assert_eq!((again.reach, project.see().await.len()), (seen.reach, 1), "it has one number only");

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
    assert!(why.contains("which is not an address"), "{why}");

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
    project.proxy.next("PATCH", id, Fault::LoseAnswer);
    let spec = adopting(&project, 1, "ledger1", "address");
    let lost = project.driver.ensure(&spec).await;
    assert!(matches!(lost, Err(StepError::Unavailable(_))), "{lost:?}");
    project.stand_up(&spec).await;
    let marked = project.asked().iter().filter(|a| a.starts_with("PATCH") && !a.ends_with("/preview")).count();
    assert_eq!((marked, resources(&project, &theirs)), (1, before));
    project.tear_down(1).await;
}

#[tokio::test]
async fn another_stack_of_the_same_name_is_never_taken_for_the_one_that_was_adopted() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let first = made_by_a_script(&project, "orders1", &json!({})).await;
    let spec = adopting(&project, 3, "orders1", "instance_ip");
    project.stand_up(&spec).await;

    // Its file is lost, and it is known again by its id.
    let id = first.rsplit(' ').next().expect("an id");
    let file = project.folder.path().join(format!("state/adopted/{id}.json"));
    let written = std::fs::read_to_string(&file).expect("it is there");
    std::fs::remove_file(&file).expect("removed");
    project.order_by(&project.reopened(), &spec).await;
    assert_eq!(std::fs::read_to_string(&file).expect("it is there again"), written);

    // It is gone, and somebody makes another one of that name.
    cloud.delete(std::slice::from_ref(&first));
    // Until then it has its name, deleted or not.
    let gone = async || {
        let (_, listed) = cloud.ask("GET", "/stacks", &Value::Null);
        let stacks = listed["stacks"].as_array()?;
        stacks.iter().all(|stack| stack["id"] != id).then_some(())
    };
    project.until("it is gone", gone).await;
    let second = made_by_a_script(&project, "orders1", &json!({})).await;
    let answer = project.reopened().ensure(&spec).await;
    let Err(StepError::Refused(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains(id) && why.contains("no other is taken in its place"), "{why}");
    assert!(!file.exists() && project.see_by(&project.reopened()).await.is_empty(), "it is nobody's");
    let driver = project.reopened();
    project.order_by(&driver, &adopting(&project, 4, "orders1", "instance_ip")).await;
    assert_eq!(project.see_by(&driver).await[0].name, project.name(4), "as a deployment of its own");
    cloud.delete(&[second]);
}

#[tokio::test]
async fn what_says_nothing_about_the_stack_is_not_taken_for_a_change_of_it() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let theirs = made_by_a_script(&project, "orders2", &json!({})).await;
    let spec = adopting(&project, 1, "orders2", "instance_ip");
    for status in [429, 408, 409, 403] {
        project.proxy.next("PATCH", "/preview", Fault::Status(status));
        let answer = project.driver.ensure(&spec).await;
        let refused = matches!(answer, Err(StepError::Refused(_)));
        assert!(answer.is_err() && refused == (status == 403), "{status}: {answer:?}");
        assert!(!project.folder.path().join("state/adopted").exists(), "{status}");
    }
    project.order(&spec).await;
    project.stand_up(&spec).await;

    // For another environment it is not to be had, and it is said what keeps it.
    let name = project.spec_in(2).name;
    let other = StackSpec { name, ..adopting(&project, 2, "orders2", "instance_ip") };
    let answer = project.driver.ensure(&other).await;
    let Err(StepError::Refused(why)) = answer else { panic!("{answer:?}") };
    let id = theirs.rsplit(' ').next().expect("an id");
    assert!(why.contains("as deployment 1 of") && why.contains(&format!("adopted/{id}.json")), "{why}");
    std::fs::remove_file(project.folder.path().join(format!("state/adopted/{id}.json"))).expect("as it says");
    project.order(&other).await;
    cloud.delete(&[theirs]);
}

#[tokio::test]
async fn where_it_is_not_known_because_another_project_is_asked_it_stays_ours() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let theirs = made_by_a_script(&project, "orders3", &json!({})).await;
    project.stand_up(&adopting(&project, 1, "orders3", "instance_ip")).await;
    let id = theirs.rsplit(' ').next().expect("an id");
    let file = |id: &str| project.folder.path().join(format!("state/adopted/{id}.json"));
    let mut written: Value =
        serde_json::from_slice(&std::fs::read(file(id)).expect("it is there")).expect("it is JSON");
    assert!(written["place"].as_str().is_some_and(|place| place.ends_with("/stacks")), "{written}");

    // Two that Heat does not know: one of here, one of elsewhere.
    let (here, elsewhere) = ("00000000-1111-4222-8333-444444444444", "00000000-1111-4222-8333-555555555555");
    written["id"] = here.into();
    std::fs::write(file(here), written.to_string()).expect("written");
    (written["id"], written["place"]) = (elsewhere.into(), "http://heat.example/v1/other/stacks".into());
    std::fs::write(file(elsewhere), written.to_string()).expect("written");
    assert_eq!(project.see_by(&project.reopened()).await.len(), 1);
    assert!(!file(here).exists() && file(elsewhere).exists() && file(id).exists());
    cloud.delete(&[theirs]);
}
