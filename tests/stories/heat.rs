//! Stacks of a real Heat: what comes up, what is ours and what is not, and that nothing is left of it.

use std::{fs, path::Path};

use futures_util::future::join_all;
use pointsman::{
    clock::Stopwatch,
    stacks::{Condition, StackDriver, StepError},
};
use secrecy::SecretString;
use serde_json::Value;

use crate::support::{cloud::cloud, project::Project, wire::Wire};

fn shipped() -> (String, impl Fn(&str) -> Result<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/heat");
    let text = fs::read_to_string(folder.join("reporting.toml")).expect("it is shipped");
    (text, move |name: &str| fs::read_to_string(folder.join(name)).map_err(|why| why.to_string()))
}

#[tokio::test]
async fn the_shipped_application_comes_up_with_its_secrets_and_says_so_itself() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    let (text, beside) = shipped();
    let definition = project.driver.gather(&text, &beside).expect("it is whole");
    assert_eq!(project.driver.check_definition(&definition), Ok(()));
    let needs = project.driver.needs(&definition).expect("it tells");
    assert!(needs.parameters.contains("flavor") && needs.secrets.contains("local_settings"));

    let parameters = [("image", "app"), ("port", "8088"), ("controller", "127.0.0.1/32")];
    project.parameters.extend(parameters.map(|(name, value)| (name.into(), value.into())));
    // It is served at another port here than everywhere else.
    let definition = definition.replace("port = 80 }", "port = 8088 }");
    let missing = project.driver.ensure(&project.spec_of(1, &definition)).await;
    assert!(missing.is_err_and(|why| why.to_string().contains("needs the secret local_settings")));
    project.secrets.insert("local_settings".into(), SecretString::from("DATABASE = 'canary'"));
    let (seen, took) = project.stand_up(&project.spec_of(1, &definition)).await;
    println!("the shipped application: there after {took:?}");

    let mut wire = Wire::open(seen.reach.addresses()[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "v1");
    let stack = project.left().pop().expect("one stack");
    let server = project.resource(&stack, "/resources/server")["resource"]["physical_resource_id"].clone();
    let servers = cloud.clouds.ancestors().nth(2).expect("its folder").join("servers");
    let server = servers.join(server.as_str().expect("a server"));
    let settings = fs::read_to_string(server.join("reporting/local_settings.py")).expect("user_data has run");
    assert!(settings.contains("DATABASE = 'canary'") && settings.contains("SECRET_KEY = \""), "{settings}");
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
    assert!(Wire::open(seen.reach.addresses()[0]).is_err(), "its server is gone");
}

#[tokio::test]
async fn a_deployment_takes_few_calls() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    // How long stacks take is learned by the first of each kind.
    for (number, boots) in [(1, 0), (2, 0), (3, 5), (4, 5)] {
        project.mood(&format!("{{\"boot_seconds\": \"{boots}\"}}"));
        project.asked();
        let (_, took) = project.stand_up(&project.spec(number)).await;
        for _ in 0..50 {
            project.see().await;
        }
        project.tear_down(number).await;
        let asked = project.asked();
        println!("deployment {number} boots {boots} s: there after {took:?}, {} calls", asked.len());
        assert!(asked.len() <= 25, "{asked:#?}");
    }
}

#[tokio::test]
async fn twenty_that_wait_at_once_cost_no_more_lists_than_one() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let mut project = Project::of(cloud);
    project.mood(r#"{"boot_seconds": "3"}"#);
    let lists = |asked: &[String]| asked.iter().filter(|a| a.starts_with("GET /stacks?")).count();
    project.order(&project.spec(1)).await;
    project.asked();
    project.stand_up(&project.spec(1)).await;
    let alone = lists(&project.asked());

    let specs: Vec<_> = (101..=120).map(|number| project.spec_in(number)).collect();
    let made = join_all(specs.iter().map(|spec| project.driver.ensure(spec))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert!(lists(&project.asked()) <= 1, "one look is enough for all");
    let began = Stopwatch::start();
    project
        .until("all are there", async || {
            let seen = project.see().await;
            (seen.iter().filter(|s| s.condition == Condition::Ready).count() == 21).then_some(())
        })
        .await;
    let twenty = lists(&project.asked());
    println!("waiting for twenty: {twenty} lists in {:?}; for one: {alone}", began.elapsed());
    assert!(twenty <= alone);
}

#[tokio::test]
async fn nothing_that_is_not_ours_is_listed_or_touched() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let (seen, _) = project.stand_up(&project.spec(1)).await;
    let ours = project.left();
    let tags = project.resource(&ours[0], "")["stack"]["tags"].as_array().expect("tags").clone();
    let tags = tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let name = |number: u32| project.name(number).to_string();
    // Similar names, similar tags, another installation's, and one that somebody copied with all its tags.
    project.theirs(&name(2), "");
    project.theirs(&name(11), "pointsman,pointsman:pipeline:shop");
    project.theirs(&name(12), &tags.replace("installation:", "installation:0"));
    project.theirs(&format!("{}-copy", name(1)), &tags);
    let before = cloud.stacks();
    assert_eq!(project.see().await, std::slice::from_ref(&seen));
    for number in [2, 11, 12, 1] {
        project.retire(number).await.expect("there is nothing else to do");
    }
    project.tear_down(1).await;
    let after = cloud.stacks();
    let theirs = |(stack, _): &(&(String, String), &String)| {
        stack.0.starts_with(&name(1)) && stack.0 != name(1) || stack.0 == name(2)
    };
    let kept: Vec<_> = before.iter().filter(theirs).collect();
    assert_eq!(kept.len(), 4, "{before:?}");
    for (stack, _) in kept {
        assert!(!after[stack].starts_with("DELETE"), "{stack:?} was touched");
        cloud.delete(&[format!("{} {}", stack.0, stack.1)]);
    }
    assert!(!after.keys().any(|(n, _)| *n == name(1)));
}

#[tokio::test]
async fn a_name_that_somebody_else_has_ends_the_deployment_and_costs_them_nothing() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.theirs(&project.name(1).to_string(), "");
    let seen = project.ends(&project.spec(1)).await;
    let why = seen.remark.expect("why");
    assert!(why.contains("the name is taken by a stack that is not ours"), "{why}");
    project.tear_down(1).await;
    let theirs: Vec<_> =
        cloud.stacks().into_iter().filter(|((name, _), _)| *name == project.name(1).to_string()).collect();
    assert!(theirs.len() == 1 && !theirs[0].1.starts_with("DELETE"), "{theirs:?}");
    cloud.delete(&theirs.into_iter().map(|((name, id), _)| format!("{name} {id}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stack_that_a_race_made_twice_is_had_once() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    project.stand_up(&project.spec(1)).await;
    let ours = project.left();
    let tags = project.resource(&ours[0], "")["stack"]["tags"].as_array().expect("tags").clone();
    let tags =
        tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",").replace("deployment:1", "deployment:2");
    // Late requests of ours, all at once: a name is no lock.
    let body = serde_json::json!({ "stack_name": project.name(2).to_string(), "template": crate::support::project::TEMPLATE,
                                   "tags": tags, "timeout_mins": 5 });
    let made = || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| cloud.ask("POST", "/stacks", &body).0)).collect();
            all.into_iter().map(|post| post.join().expect("it asks")).filter(|s| *s == 201).count()
        })
    };
    let twice = made();
    println!("8 requests for one name made {twice} stacks");
    let one = project
        .until("there is one", async || {
            let seen = project.seen(2).await?;
            let left = project.left().iter().filter(|s| s.starts_with(&project.name(2).to_string())).count();
            (seen.condition == Condition::Ready && left == 1).then_some(seen)
        })
        .await;
    assert_eq!(one.reach.addresses().len(), 1);
    project.tear_down(2).await;
    project.tear_down(1).await;
    assert_eq!(project.left(), [""; 0]);
}

#[tokio::test]
async fn what_would_not_fit_is_said_before_it_is_made() {
    let Some(cloud) = cloud() else { return };
    // The limits are everybody's.
    let _alone = cloud.in_use.write().await;
    let project = Project::of(cloud);
    let former = fs::read_to_string(&cloud.limits).expect("limits");
    let full = |limits: &str| fs::write(&cloud.limits, limits).expect("written");
    full(r#"{"maxTotalInstances": 10, "totalInstancesUsed": 10}"#);
    let servers = project.driver.ensure(&project.spec(1)).await;
    full(r#"{"maxTotalRAMSize": 9000, "totalRAMUsed": 8000, "maxTotalInstances": -1}"#);
    let memory = project.driver.ensure(&project.spec(1)).await;
    full(&former);
    for (refused, what) in [
        (servers, "needs 1 servers, and the project has 10 of 10"),
        (memory, "needs 2048 MB of memory, and the project has 8000 of 9000"),
    ] {
        let Err(StepError::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(what), "{why}");
    }
    assert!(!project.asked().iter().any(|asked| asked.starts_with("POST /stacks")));
    assert_eq!(project.see().await[0].condition, Condition::Failed);
    project.order(&project.spec(1)).await;
    project.stand_up(&project.spec(1)).await;
}

#[tokio::test]
async fn nested_templates_environments_and_their_files_go_along() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let files = [
        (
            "shop.yaml",
            "heat_template_version: 2021-04-16\nresources:\n  shop: {type: 'Our::Server', properties: {version: v7}}\noutputs:\n  url: {value: {get_attr: [shop, url]}}\n",
        ),
        ("types.yaml", "resource_registry:\n  'Our::Server': lib/server.yaml\n"),
        (
            "lib/server.yaml",
            "heat_template_version: 2021-04-16\nparameters:\n  version: {type: string}\nresources:\n  web:\n    type: OS::Nova::Server\n    properties:\n      image: app\n      metadata: {version: {get_param: version}}\n      user_data_format: RAW\n      user_data: {get_file: boot.sh}\noutputs:\n  url: {value: {str_replace: {template: 'http://ADDRESS:8088/', params: {ADDRESS: {get_attr: [web, first_address]}}}}}\n",
        ),
        ("lib/boot.sh", "#!/bin/sh\necho it's '''quoted''' here\n"),
    ];
    let read = |name: &str| {
        files.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned()).ok_or(format!("no {name}"))
    };
    let text = "template = \"shop.yaml\"\nenvironments = [\"types.yaml\"]\nendpoints = { output = \"url\" }\ntags = [\"team-shop\"]\n";
    let whole = project.driver.gather(text, &read).expect("it is whole");
    assert_eq!(project.driver.check_definition(&whole), Ok(()));
    let (seen, _) = project.stand_up(&project.spec_of(1, &whole)).await;
    let mut wire = Wire::open(seen.reach.addresses()[0]).expect("it listens");
    assert_eq!(wire.ask("GET", "/", "", "").expect("it answers").headers["x-version"], "v7");
    assert!(cloud.tagged("team-shop").iter().any(|stack| project.left().contains(stack)));
    project.tear_down(1).await;
}
