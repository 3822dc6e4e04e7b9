//! The whole of it, Heat and nginx, with a controller that is killed after every record of a deployment.

use serde_json::json;

use super::heat_house::PIPELINE;
use crate::support::{
    cloud::{Cloud, cloud},
    house::House,
    nginx::Nginx,
    project::TEMPLATE,
    wire::{Hammer, Wire},
};

const DEFINITION: &str = "template = \"app.yaml\"\nendpoints = { output = \"address\", port = 8088 }\n";

/// An application whose servers do what a build says in `mood`, with these terms; the front is a line of a pipeline file.
pub(super) fn house(cloud: &Cloud, front: impl Fn(&House) -> String, terms: &str) -> House {
    let house = House::with("");
    let clouds = cloud.clouds.to_str().expect("text");
    let pipeline = PIPELINE.replace(", auth_url = \"http://KEYSTONE/v3\"", "").replace("CLOUDS", clouds);
    let built_in = "front = { driver = \"builtin\", listen = \"ADDRESS:8080\" }";
    assert!(pipeline.contains(built_in));
    let pipeline = pipeline.replace(built_in, &format!("{}\n{terms}", front(&house)));
    house.write("pipelines/shop.toml", &pipeline);
    house.write("stacks/heat/app.yaml", TEMPLATE);
    house.write("stacks/heat/app.toml", DEFINITION);
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    house
}

pub(super) fn push(house: &House, version: &str, mood: &serde_json::Value) -> u64 {
    let mut mood = mood.clone();
    mood["version"] = version.into();
    house.push_commit(version, "c0ffee", &json!({ "mood": mood.to_string() }))
}

/// What Heat has of ours, as `name id`.
pub(super) fn left(house: &House, cloud: &Cloud) -> Vec<String> {
    let installation = std::fs::read_to_string(house.path("state/stacks/heat/installation")).expect("it is at work");
    cloud.tagged(&format!("pointsman:installation:{}", installation.trim()))
}

#[tokio::test]
async fn a_deployment_on_heat_behind_nginx_survives_a_kill_after_each_record() {
    let Some(cloud) = cloud() else { return };
    let Some(nginx) = Nginx::start() else { return };
    let _alone = cloud.in_use.write().await;
    let front = |_: &House| {
        let settings = nginx.settings().trim().replace('\n', ", ");
        format!("front = {{ driver = \"nginx\", {settings} }}")
    };
    let house = house(cloud, front, "");
    let live = || {
        let answer = Wire::open(nginx.plain()).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok()?;
        answer.headers.get("x-version").cloned()
    };
    house.start();
    push(&house, "v1", &json!({}));
    house.settle();
    let hammer = Hammer::on(nginx.plain());
    for kills in 0..40 {
        let version = format!("v{}", kills + 2);
        let (number, killed) = house.killed_after(kills + 1, || push(&house, &version, &json!({})));
        house.assert_outcome(number, "succeeded");
        assert_eq!(live().as_deref(), Some(version.as_str()), "{}", house.log());
        let accepted = |r: &&serde_json::Value| {
            r["event"]["kind"] == "accepted" && r["event"]["release"]["version"] == version.as_str()
        };
        assert_eq!(house.records().iter().filter(accepted).count(), 1, "one build, one deployment");
        let name = format!("shop-live-{number} ");
        house.until("only the live stack is left", || {
            let left = left(&house, cloud);
            (left.len() == 1 && left[0].starts_with(&name)).then_some(())
        });
        if killed.is_none() {
            assert!(kills >= 8, "there was more to kill");
            break;
        }
    }
    let seen = hammer.end();
    let wrong: Vec<_> = seen.failures.iter().filter(|f| f.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(seen.versions.values().sum::<u64>() > 100, "{seen:?}");
    house.assert_verified();
    house.kill();
    cloud.delete(&left(&house, cloud));
}

#[tokio::test]
async fn every_trouble_with_heat_ends_with_its_reason_and_leaves_what_is_live() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    let front = |house: &House| format!("front = {{ driver = \"builtin\", listen = \"{}:8080\" }}", house.address);
    let house = house(cloud, front, "deadlines = { provision = \"6s\", retire = \"2s\" }");
    house.start();
    push(&house, "v1", &json!({}));
    house.settle();
    house.assert_live("v1");
    let failed = |number: u64, what: &[&str]| {
        house.settle();
        let why = house.assert_outcome(number, "failed");
        println!("deployment {number}: {why}");
        assert!(what.iter().all(|what| why.contains(what)), "{why}");
        house.assert_live("v1");
        house.until("what failed is gone", || (left(&house, cloud).len() == 1).then_some(()));
    };

    // It stays in progress for ever: our own deadline ends it.
    failed(push(&house, "v2", &json!({ "boot_seconds": "1000" })), &["6 s"]);
    // Its engine is killed in the middle, and comes back having forgotten it.
    let third = push(&house, "v3", &json!({ "boot_seconds": "1000" }));
    house.until("Heat is at work on it", || (left(&house, cloud).len() == 2).then_some(()));
    cloud.tell("kill-heat");
    cloud.tell("start-heat");
    failed(third, &[]);
    // Somebody else has the name.
    let theirs = json!({ "stack_name": "shop-live-4", "template": TEMPLATE, "timeout_mins": 5 });
    let (_, made) = cloud.ask("POST", "/stacks", &theirs);
    failed(push(&house, "v4", &json!({})), &["the name is taken by a stack that is not ours"]);
    let id = made["stack"]["id"].as_str().expect("an id");
    assert!(cloud.stacks().contains_key(&("shop-live-4".to_owned(), id.to_owned())), "it is left alone");
    cloud.delete(&[format!("shop-live-4 {id}")]);

    // One that cannot be deleted is tried again; a person is told what blocks it.
    let detached = house.path("detached");
    let mood = json!({ "refuse_delete": format!("until {}", detached.display()) });
    let fifth = push(&house, "v5", &mood);
    house.settle();
    house.assert_live("v5");
    push(&house, "v6", &json!({}));
    let reason = house.until("a person is called", || {
        let needed = |r: &serde_json::Value| r["event"]["kind"] == "operator_needed" && r["event"]["number"] == fifth;
        let needed = house.records().into_iter().find(needed)?;
        Some(needed["event"]["reason"].as_str().expect("a reason").to_owned())
    });
    println!("{reason}");
    assert!(reason.contains("web (OS::Nova::Server)") && reason.contains("Volume is still attached."), "{reason}");
    house.assert_live("v6");
    std::fs::write(&detached, "").expect("written");
    house.settle();
    house.until("only the live stack is left", || (left(&house, cloud).len() == 1).then_some(()));
    house.assert_verified();
    house.kill();
    cloud.delete(&left(&house, cloud));
}
