//! The whole controller with stacks of a real Heat: a build goes live, one that Heat cannot stand up does not, and the
//! state file says why.

use std::{fs, path::Path};

use pointsman::clock::Stopwatch;

use crate::support::{cloud::cloud, faults::Proxy, house::House, project::TEMPLATE};

pub(super) const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../secrets/key" }]
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "heat", cloud = { name = "test", file = "CLOUDS", auth_url = "http://KEYSTONE/v3" }, definition = "../stacks/heat/app.toml" }
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

/// An application whose build parameter `extra` is why it cannot be stood up, if there is one.
fn house(clouds: &str, keystone: &str) -> House {
    let house = House::with("");
    let pipeline =
        PIPELINE.replace("ADDRESS", &house.address.to_string()).replace("CLOUDS", clouds).replace("KEYSTONE", keystone);
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
    let proxy = Proxy::before(cloud);
    let house = house(cloud.clouds.to_str().expect("text"), &proxy.keystone.to_string());
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    house.start();
    let installation = || fs::read_to_string(house.path("state/stacks/heat/installation")).expect("it is at work");
    let left = || cloud.tagged(&format!("pointsman:installation:{}", installation().trim()));

    let began = Stopwatch::start();
    let first = house.push("v1", "");
    house.until("it has the traffic", || (house.live_version()? == "v1").then_some(()));
    println!("from the webhook to the traffic: {:?}", began.elapsed());
    house.settle();
    house.assert_outcome(first, "succeeded");
    house.assert_live("v1");
    let failed = house.push("v2", "Quota exceeded for cores");
    house.settle();
    let why = house.assert_outcome(failed, "failed");
    assert!(why.contains("web (OS::Nova::Server)") && why.contains("Quota exceeded for cores"), "{why}");
    house.assert_live("v1");
    // The controller dies while Heat is at work, and another one takes up what it finds.
    let third = house.push("v3", "");
    house.until("it is under way", || (house.environment()?["candidate"]["number"] == third).then_some(()));
    house.kill();
    house.start();
    house.settle();
    house.assert_outcome(third, "succeeded");
    house.assert_live("v3");

    proxy.asked();
    let fourth = house.push("v4", "");
    house.settle();
    house.assert_outcome(fourth, "succeeded");
    let asked = proxy.asked();
    println!("a deployment with the former stack's end: {} calls\n{}", asked.len(), asked.join("\n"));
    assert!(asked.len() <= 25, "{asked:#?}");
    house.assert_verified();
    house.until("only the live stack is left", || (left().len() == 1).then_some(()));
    house.kill();
    cloud.delete(&left());
}

/// The blocks of this language on the page, without their indentation.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let inner = page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next());
    let plain = |block: &str| block.lines().map(|l| l.strip_prefix("   ").unwrap_or(l)).collect::<Vec<_>>().join("\n");
    inner.map(plain).collect()
}

#[test]
fn what_the_page_about_openstack_says_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/openstack.md")).expect("it is there");
    let house = House::with("");
    fs::remove_file(house.path("pipelines/shop.toml")).expect("it was there");
    house.write("pipelines/reporting.toml", &blocks(&page, "toml")[0]);
    house.write("pipelines/secrets/clouds.yaml", &blocks(&page, "yaml")[0]);
    for name in ["reporting.toml", "reporting.yaml", "reporting/install.sh", "reporting/extra_ssh_keys.pub"] {
        let text = fs::read_to_string(root.join("stacks/heat").join(name)).expect("it is shipped");
        house.write(&format!("stacks/heat/{name}"), &text);
    }
    for secret in ["reporting.key", "local_settings-qa.py", "openstack-qa"] {
        house.write(&format!("pipelines/secrets/{secret}"), "a secret of the story");
    }
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    let planned = house.run(&["plan", "reporting/qa"]);
    assert!(planned.status.success(), "{planned:?}");
    let plan = String::from_utf8_lossy(&planned.stdout);
    assert!(plan.contains("cloud       {") && !plan.contains("a secret of the story"), "{plan}");

    // And what is wrong is said where it stands.
    let wrong = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(house.path(file)).expect("it is there");
        assert!(text.contains(from), "{text}");
        house.write(file, &text.replace(from, to));
        let checked = house.run(&["check"]);
        house.write(file, &text);
        assert!(!checked.status.success(), "{from} as {to}");
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr))
    };
    for (file, from, to, place, what) in [
        (
            "pipelines/reporting.toml",
            "name = \"qa\", file",
            "name = \"live\", file",
            "reporting.toml:16:9",
            "there are: qa",
        ),
        ("pipelines/reporting.toml", "flavor = ", "flavour = ", "reporting.toml:17:37", "did you mean `flavor`?"),
        (
            "stacks/heat/reporting.toml",
            "output = \"address\"",
            "output = \"adress\"",
            "reporting.toml:6:24",
            "did you mean `address`?",
        ),
        ("stacks/heat/reporting.toml", "template = ", "tempalte = ", "reporting.toml:4:1", "did you mean `template`?"),
        (
            "stacks/heat/reporting.yaml",
            "get_file: reporting/install.sh",
            "get_file: nowhere.sh",
            "reporting.toml:4:12",
            "nowhere.sh cannot be read",
        ),
        ("stacks/heat/reporting.yaml", "resources:", "resources: [", "reporting.toml:4:12", "reporting.yaml:"),
    ] {
        let said = wrong(file, from, to);
        assert!(said.contains(place) && said.contains(what), "{said}");
    }
}
