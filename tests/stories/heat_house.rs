//! The whole controller with stacks of a real Heat: a build goes live, one that Heat can not stand up does not, and the
//! state file says why.

use std::fs;

use crate::support::{cloud::cloud, house::House, project::TEMPLATE};

const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../secrets/key" }]
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "heat", cloud = { name = "test", file = "CLOUDS" }, definition = "../stacks/heat/app.toml" }
front = { driver = "builtin", listen = "ADDRESS:8080" }
watch = "100ms"
bake = "200ms"
drain = "1s"
retain = "none"
[[environments.checks]]
http = { path = "/healthz", status = 200 }
every = "50ms"
passes = 2
"#;

/// An application whose build parameter `extra` is why it can not be stood up, if there is one.
fn house(clouds: &str) -> House {
    let house = House::with("");
    let pipeline = PIPELINE.replace("ADDRESS", &house.address.to_string()).replace("CLOUDS", clouds);
    house.write("pipelines/shop.toml", &pipeline);
    let template = TEMPLATE
        .replace("mood: {type: json, default: {}}", "extra: {type: string, default: ''}\n  version: {type: string}")
        .replace("{get_param: mood}", "{fail: {get_param: extra}, version: {get_param: version}}");
    house.write("stacks/heat/app.yaml", &template);
    let definition = "template = \"app.yaml\"\nendpoints = { output = \"address\", port = 8088 }\n[parameters]\nversion = \"{version}\"\n";
    house.write("stacks/heat/app.toml", definition);
    house
}

#[tokio::test]
async fn a_build_goes_live_on_heat_and_a_failed_one_says_which_resource() {
    let Some(cloud) = cloud() else { return };
    // The name of the pipeline is every house's.
    let _alone = cloud.in_use.write().await;
    let house = house(cloud.clouds.to_str().expect("text"));
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    house.start();
    let installation = || fs::read_to_string(house.path("state/stacks/heat/installation")).expect("it is at work");
    let left = || cloud.tagged(&format!("pointsman:installation:{}", installation().trim()));

    let first = house.push("v1", "");
    house.settle();
    house.assert_outcome(first, "succeeded");
    house.assert_live("v1");
    let failed = house.push("v2", "Quota exceeded for cores");
    house.settle();
    let why = house.assert_outcome(failed, "failed");
    assert!(why.contains("web (OS::Nova::Server)") && why.contains("Quota exceeded for cores"), "{why}");
    house.assert_live("v1");
    house.kill();
    house.start();
    let third = house.push("v3", "");
    house.settle();
    house.assert_outcome(third, "succeeded");
    house.assert_live("v3");
    house.assert_verified();
    house.until("only the live stack is left", || (left().len() == 1).then_some(()));
    house.kill();
    cloud.delete(&left());
}
