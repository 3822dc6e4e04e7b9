//! `plan` asks Heat whether it would make the stack: with the real parameters and secrets, and without making anything.

use std::process::Output;

use crate::support::{cloud::cloud, house::House};

const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../secrets/key" }]
[secrets]
db = { file = "../secrets/db" }
[[environments]]
name = "live"
deploy = "on-build"
front = { driver = "builtin", listen = "ADDRESS:8080" }
[environments.stack]
driver = "heat"
definition = "../stacks/heat/app.toml"
cloud = { name = "test", file = "CLOUDS" }
parameters = { flavor = "m1.small" }
secrets = ["db"]
"#;
const TEMPLATE: &str = "heat_template_version: 2021-04-16\nparameters:\n  flavor: {type: string}\n  \
                        password: {type: string, constraints: [{length: {min: 8}}]}\n  size: {type: number, default: 1}\n\
                        resources:\n  web:\n    type: OS::Nova::Server\n    properties: {image: app, flavor: {get_param: flavor}}\n  \
                        word: {type: OS::Heat::RandomString}\noutputs:\n  address: {value: {get_attr: [web, first_address]}}\n";
const DEFINITION: &str =
    "template = \"app.yaml\"\nendpoints = { output = \"address\" }\nsecrets = { db = { parameter = \"password\" } }\n";

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_plan_says_what_heat_would_make_and_what_it_would_refuse() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let house = House::with("");
    let pipeline = PIPELINE.replace("ADDRESS", &house.address.to_string());
    let asking = |clouds: &str| house.write("pipelines/shop.toml", &pipeline.replace("CLOUDS", clouds));
    asking(cloud.clouds.to_str().expect("text"));
    house.write("stacks/heat/app.toml", DEFINITION);
    house.write("stacks/heat/app.yaml", TEMPLATE);
    house.write("secrets/db", "canary-long-enough");

    let planned = house.run(&["plan", "shop/live"]);
    let said = text(&planned);
    assert!(planned.status.success(), "{said}");
    for what in [
        "it would be accepted",
        "Heat would make web (OS::Nova::Server), word (OS::Heat::RandomString)",
        "the project has room for it",
    ] {
        assert!(said.contains(what), "{said}");
    }
    assert!(!house.path("state/stacks").exists(), "who only asks leaves no trace");
    let left = |name: &str| cloud.stacks().into_keys().any(|(stack, _)| stack.starts_with(name));
    assert!(!left("shop-live-0"));

    // A secret that the template does not take is not repeated, though Heat does.
    house.write("secrets/db", "canary");
    let planned = house.run(&["plan", "shop/live"]);
    let said = text(&planned);
    assert_eq!(planned.status.code(), Some(1), "{said}");
    assert!(
        said.contains("it would be refused") && said.contains("Heat refuses") && !said.contains("canary"),
        "{said}"
    );
    house.write("secrets/db", "canary-long-enough");

    let wrong = house.run(&["plan", "shop/live", "--parameter", "size=many", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&wrong.stdout).expect("JSON");
    assert!(wrong.status.code() == Some(1) && said["preview"]["answer"] == "refused", "{said}");
    assert!(said["preview"]["why"].as_str().expect("why").contains("size"), "{said}");

    let offline = house.run(&["plan", "shop/live", "--offline"]);
    assert!(offline.status.success() && text(&offline).contains("nobody was asked (--offline)"), "{offline:?}");
    let clouds = std::fs::read_to_string(&cloud.clouds).expect("it is there");
    house.write("pipelines/clouds.yaml", &clouds.replace(&cloud.keystone().to_string(), "127.0.0.1:9"));
    asking("clouds.yaml");
    let unreachable = house.run(&["plan", "shop/live"]);
    let said = text(&unreachable);
    assert!(unreachable.status.success() && said.contains("nobody could be asked: "), "{said}");
}
