//! The day a team moves over: what its script has live is taken over, a deployment goes live beside it, and there is a way
//! back.

use std::process::Output;

use serde_json::{Value, json};

use super::heat_kill::{house, push};
use crate::support::{
    cloud::{Cloud, cloud},
    house::House,
};

/// A template as a script makes it: the server knows a random secret.
const THEIRS: &str = "heat_template_version: 2014-10-16\nparameters:\n  image: {type: string}\n  version: {type: string}\nresources:\n  \
                      secret: {type: OS::Heat::RandomString}\n  \
                      web:\n    type: OS::Nova::Server\n    properties:\n      image: {get_param: image}\n      \
                      metadata: {version: {get_param: version}}\n      user_data_format: RAW\n      \
                      user_data: {str_replace: {template: 'a SECRET', params: {SECRET: {get_attr: [secret, value]}}}}\noutputs:\n  \
                      instance_ip: {value: {get_attr: [web, first_address]}}\n";

/// Makes a stack without Pointsman, waits for it, and gives it as `name/id`.
fn by_script(house: &House, cloud: &Cloud, name: &str, image: &str) -> String {
    let body = json!({ "stack_name": name, "template": THEIRS, "timeout_mins": 5,
                       "parameters": { "image": image, "version": name } });
    let answer = house.until("their stack is begun", || {
        let (status, answer) = cloud.ask("POST", "/stacks", &body);
        (status == 201).then_some(answer)
    });
    let stack = format!("{name}/{}", answer["stack"]["id"].as_str().expect("an id"));
    house.until("their stack is there", || {
        (whole(cloud, &stack)["stack"]["stack_status"] == "CREATE_COMPLETE").then_some(())
    });
    stack
}

fn whole(cloud: &Cloud, stack: &str) -> Value {
    cloud.ask("GET", &format!("/stacks/{stack}"), &Value::Null).1
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn what_a_script_has_live_is_taken_over_and_is_the_way_back() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    let front = |house: &House| format!("front = {{ driver = \"builtin\", listen = \"{}:8080\" }}", house.address);
    let house = house(cloud, front, "deadlines = { check = \"2s\" }");
    let pipeline = std::fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.write("pipelines/shop.toml", &pipeline.replace("retain = \"none\"", "retain = \"1h\""));
    let (sick, theirs) = (by_script(&house, cloud, "shop40", "app-sick"), by_script(&house, cloud, "shop41", "app"));
    let (sick_before, before) = (whole(cloud, &sick), whole(cloud, &theirs));
    house.start();

    // One that is not well is not taken, and loses nothing.
    let adopt = |stack: &str| house.run(&["adopt", "shop/live", stack, "--output", "instance_ip", "--watch"]);
    let failed = adopt("shop40");
    assert_eq!(failed.status.code(), Some(1), "{}\n{}", said(&failed), house.log());
    assert_eq!(whole(cloud, &sick), sick_before, "it is as it was");
    let nowhere = adopt("shop4");
    assert_eq!(nowhere.status.code(), Some(1), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("there is no stack of this name or id"), "{}", said(&nowhere));

    let adopted = adopt("shop41");
    assert_eq!(adopted.status.code(), Some(0), "{}\n{}", said(&adopted), house.log());
    house.assert_live("shop41");
    assert!(said(&adopted).contains("adopting stack shop41"), "{}", said(&adopted));
    for (command, words) in [("history", "adopting stack shop41"), ("status", "adopted stack shop41")] {
        let told = said(&house.run(&[command, "shop/live"]));
        assert!(told.contains(words), "{told}");
    }
    let again = adopt("shop41");
    assert!(!again.status.success() && said(&again).contains("adopted only where nothing is live"), "{}", said(&again));

    let number = push(&house, "v42", &json!({}));
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v42");
    let hammer = house.hammer();
    let made = || house.records().iter().filter(|r| r["event"]["kind"] == "provisioned").count();
    let stood_up = made();
    let back = house.run(&["rollback", "shop/live", "--reason", "orders fail", "--watch"]);
    assert!(back.status.success(), "{}", said(&back));
    house.settle();
    house.assert_live("shop41");
    assert_eq!(made(), stood_up, "nothing was stood up for it");
    assert_eq!(hammer.end().failures, [""; 0]);
    assert_eq!(whole(cloud, &theirs), before, "nothing of it was ever touched");
    assert_eq!(whole(cloud, &sick), sick_before);

    // From now on it is ours like any other: displaced by what came after, it is torn down.
    let terms = std::fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    house.stop();
    house.write("pipelines/shop.toml", &terms.replace("retain = \"1h\"", "retain = \"none\""));
    house.start();
    house.run(&["resume", "shop/live"]);
    let number = push(&house, "v43", &json!({}));
    house.settle();
    house.assert_outcome(number, "succeeded");
    house.assert_live("v43");
    house.until("the script's stack is gone", || {
        let status = whole(cloud, &theirs)["stack"]["stack_status"].clone();
        (status.is_null() || status == "DELETE_COMPLETE").then_some(())
    });
    assert_eq!(whole(cloud, &sick), sick_before, "what was let go stays");
    house.assert_verified();
    house.kill();
    cloud.delete(&super::heat_kill::left(&house, cloud));
    cloud.delete(&[sick.replace('/', " ")]);
}

#[tokio::test]
async fn an_adoption_survives_a_kill_after_each_record() {
    let Some(cloud) = cloud() else { return };
    let _alone = cloud.in_use.write().await;
    let front = |house: &House| format!("front = {{ driver = \"builtin\", listen = \"{}:8080\" }}", house.address);
    let mut theirs = None;
    for kills in 0..20 {
        let house = house(cloud, front, "");
        // It is as it was each time, so the next installation can take it over.
        let stack = theirs.get_or_insert_with(|| by_script(&house, cloud, "shop44", "app"));
        let before = whole(cloud, stack);
        house.start();
        let ((), killed) = house.killed_after(kills + 1, || {
            let body = r#"{ "stack": "shop44", "output": "instance_ip" }"#;
            let heard = |r: &Value| r["event"]["kind"] == "accepted";
            house.wish("/v1/environments/shop/live/adopt", body, heard);
        });
        house.assert_outcome(1, "succeeded");
        house.assert_live("shop44");
        assert_eq!(whole(cloud, stack), before, "nothing of it is touched");
        house.assert_verified();
        house.kill();
        if killed.is_none() {
            assert!(kills >= 6, "there was more to kill");
            break;
        }
    }
    cloud.delete(&theirs.into_iter().map(|stack| stack.replace('/', " ")).collect::<Vec<_>>());
}
