//! A clouds.yaml and templates as people write them, against a real Keystone and Heat: values that look like numbers stay what
//! they are, and what says where to go leads there.

use std::{collections::BTreeMap, fs};

use pointsman::stacks::StackDriver;
use serde_json::{Value, json};

use super::heat_house::PIPELINE;
use crate::support::{
    cloud::{Cloud, cloud},
    house::House,
    project::Project,
};

/// A project and its user, both with names that look like numbers.
fn odd_user(cloud: &Cloud, project: &str, name: &str, password: &str) {
    let made = |kind: &str, facts: Value| {
        let answer = cloud.administer("POST", &format!("/{kind}s"), &json!({ kind: facts }));
        answer[kind]["id"].as_str().expect("an id").to_owned()
    };
    let project = made("project", json!({ "name": project, "domain_id": "default" }));
    let user = made("user", json!({ "name": name, "password": password, "domain_id": "default" }));
    let roles = cloud.administer("GET", "/roles?name=member", &Value::Null);
    let role = roles["roles"][0]["id"].as_str().expect("an id");
    cloud.administer("PUT", &format!("/projects/{project}/users/{user}/roles/{role}"), &Value::Null);
}

/// A project of which a clouds.yaml with this entry says everything.
fn project_of(cloud: &'static Cloud, entry: impl Fn(&str) -> String) -> (Project, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clouds.yaml");
    let project = Project::asking_with(cloud, |keystone| {
        fs::write(&file, format!("clouds:\n  qa:\n{}", entry(keystone))).expect("written");
        format!("cloud = {{ name = \"qa\", file = {file:?} }}")
    });
    (project, folder)
}

#[tokio::test]
async fn a_user_a_password_and_a_project_that_look_like_numbers_are_let_in() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    odd_user(cloud, "0123456", "123456789012345678901234567890", "1e5");
    let (project, _folder) = project_of(cloud, |keystone| {
        let auth = "username: 123456789012345678901234567890\n      password: 1e5\n      project-name: 0123456\n      project_id: ~";
        format!("    auth:\n      auth_url: {keystone}\n      {auth}\n    region_name:\n    identity_api_version: 3\n")
    });
    project.stand_up(&project.spec(1)).await;
    project.tear_down(1).await;
}

#[tokio::test]
async fn an_endpoint_an_interface_and_a_region_that_are_written_are_where_heat_is_asked() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let auth = "{username: demo, password: demo-password, project_name: demo";
    let entry = |beside: &str| {
        let beside = beside.to_owned();
        move |keystone: &str| format!("    auth: {auth}, auth_url: '{keystone}'}}\n{beside}")
    };
    let heat = |project: &Project| project.asked().iter().filter(|asked| asked.contains("/stacks")).count();
    let (project, _folder) =
        project_of(cloud, entry("    interface: [admin, internalURL]\n    regions: [RegionOne]\n"));
    assert_eq!(project.see().await, []);
    assert!(heat(&project) > 0, "by the catalog it is asked through the proxy");
    // What the catalog says leads through the proxy; this does not.
    let address = format!("http://{}/v1/%(tenant_id)s", cloud.heat());
    let (project, _folder) = project_of(cloud, entry(&format!("    orchestration_endpoint_override: {address}\n")));
    project.stand_up(&project.spec(1)).await;
    project.tear_down(1).await;
    assert_eq!(heat(&project), 0);
    for (beside, words) in [
        ("    interface: admin\n", "(orchestration, admin); it has: RegionOne (internal), RegionOne (public)"),
        ("    region_name: Regionone\n", "in region Regionone; it has: RegionOne"),
        ("    orchestration_region_name: Two\n", "in region Two; it has: RegionOne"),
    ] {
        let (project, _folder) = project_of(cloud, entry(beside));
        project.refuses(words).await;
    }
}

#[tokio::test]
async fn an_application_credential_of_another_project_or_user_than_is_written_is_refused() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let (id, secret) = cloud.application_credential(&json!({ "name": "12e3", "unrestricted": true }));
    let entry = |more: &str| {
        let (more, secret) = (more.to_owned(), secret.clone());
        let credential = "application_credential_name: 12e3, username: demo, user_domain_id: default";
        move |keystone: &str| {
            format!(
                "    auth: {{auth_url: '{keystone}', {credential}, application_credential_secret: {secret}, {more}}}\n    \
                 auth_type: v3applicationcredential\n"
            )
        }
    };
    let (project, _folder) = project_of(cloud, entry("project_name: demo"));
    assert_eq!(project.see().await, []);
    let (project, _folder) = project_of(cloud, entry("project_name: other"));
    project.refuses("`project_name` is other, and the application credential is for demo").await;
    cloud.identity("DELETE", &format!("/application_credentials/{id}"), &Value::Null);
}

/// Every scalar that readers of YAML disagree on.
const SCALARS: &[&str] = &[
    "1e5",
    "1.5e3",
    "0644",
    "0o17",
    "0x1F",
    "1_000",
    "12:30:45",
    "123456789012345678901234567890",
    "1.10",
    "yes",
    "off",
    "y",
    "~",
    "2026-01-02",
    "2026-01-02 03:04:05",
    "'0644'",
    "\"a\\tb\"",
    "two words",
];

fn scalars() -> String {
    let outputs = SCALARS.iter().enumerate().map(|(n, scalar)| format!("  s{n}: {{value: {{is: [{scalar}]}}}}\n"));
    format!(
        "heat_template_version: 2018-08-31\nparameters:\n  mood: {{type: json, default: {{}}}}\n  mode: {{type: string, default: 0644}}\n\
         resources:\n  none: &none {{type: OS::Heat::None}}\n  web:\n    <<: *none\n    type: OS::Nova::Server\n    properties:\n      \
         <<: [{{image: app}}, {{image: other, flavor: m1.small}}]\n      metadata: {{get_param: mood}}\noutputs:\n  \
         address: {{value: {{get_attr: [web, first_address]}}}}\n  mode: {{value: {{get_param: mode}}}}\n{}",
        outputs.collect::<String>()
    )
}

#[tokio::test]
async fn heat_understands_a_template_and_an_environment_as_if_they_were_handed_over_by_hand() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let project = Project::of(cloud);
    let template = scalars();
    let environment = "parameters:\n  mode: 0755\n";
    let files = BTreeMap::from([("app.yaml", template.clone()), ("qa.yaml", environment.to_owned())]);
    let text =
        "template = \"app.yaml\"\nenvironments = [\"qa.yaml\"]\nendpoints = { output = \"address\", port = 8088 }\n";
    let read = |name: &str| files.get(name).cloned().ok_or_else(|| format!("no {name}"));
    let definition = project.driver.gather(text, &read).expect("it is whole");
    project.stand_up(&project.spec_of(1, &definition)).await;
    let ours = project.left().pop().expect("one stack");
    let by_hand = cloud.make(&json!({
        "stack_name": format!("{}-by-hand", project.name(1)), "template": template, "environment": environment, "timeout_mins": 5,
    }));
    let outputs = |stack: &str| {
        let told = project.resource(stack, "")["stack"].clone();
        let listed = told["outputs"].as_array().cloned().unwrap_or_default();
        let one = |output: &Value| Some((output["output_key"].as_str()?.to_owned(), output["output_value"].clone()));
        let all: BTreeMap<String, Value> = listed.iter().filter_map(one).filter(|(key, _)| key != "address").collect();
        (told["stack_status"] == "CREATE_COMPLETE").then_some(all)
    };
    let expected = project.until("that by hand is there", async || outputs(&by_hand)).await;
    let found = outputs(&ours).expect("it is there");
    cloud.delete(&[by_hand]);
    assert_eq!(found, expected);
    assert_eq!(found.len(), SCALARS.len() + 1, "{found:#?}");
    for (n, scalar) in SCALARS.iter().enumerate() {
        println!("{scalar}: Heat understands {}", found[&format!("s{n}")]);
    }
    println!("mode 0755 of the environment: {}", found["mode"]);
    project.tear_down(1).await;
}

#[test]
fn check_refuses_what_would_go_elsewhere_and_warns_of_what_is_not_verified() {
    let house = House::with("");
    let pipeline = PIPELINE
        .replace("ADDRESS", &house.address.to_string())
        .replace("CLOUDS", &house.path("clouds.yaml").display().to_string())
        .replace(", auth_url = \"http://KEYSTONE/v3\"", "");
    house.write("pipelines/shop.toml", &pipeline);
    house.write("stacks/heat/app.yaml", crate::support::project::TEMPLATE);
    house.write("stacks/heat/app.toml", "template = \"app.yaml\"\nendpoints = { output = \"address\", port = 8088 }\n");
    let check = |beside: &str| {
        let auth = "auth: {auth_url: 'https://k/v3', username: ci, password: canary, project_name: shop}";
        house.write("clouds.yaml", &format!("clouds:\n  test:\n    {auth}\n    {beside}\n"));
        let checked = house.run(&["check"]);
        let told = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(!told.contains("canary"), "{told}");
        (checked.status.success(), told)
    };
    let (good, told) = check("verify: no");
    assert!(good && told.contains("clouds.yaml is trusted with any certificate"), "{told}");
    let (good, told) = check("flavour_of_the_day: 3");
    assert!(
        good && told.contains("clouds.yaml:4:5: the key `flavour_of_the_day` is not known and left alone"),
        "{told}"
    );
    let (good, told) = check("endpoint_override: http://elsewhere");
    assert!(
        !good && told.contains("clouds.yaml:4:5: `endpoint_override` cannot be done: say of which service"),
        "{told}"
    );
    let (good, told) = check("trust: {id: x}");
    assert!(!good && told.contains("the key `trust` is not known, and may change where or as whom"), "{told}");
}
