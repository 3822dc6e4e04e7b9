//! What a release changes in a task definition, and what is refused.

use std::sync::Arc;

use super::*;
use crate::machine::{Number, StackName};

const TEXT: &str = r#"{
    "family": "shop",
    "networkMode": "awsvpc",
    "containerDefinitions": [
        { "name": "log", "image": "router:3" },
        { "name": "web", "image": "shop:0", "environment": [{ "name": "LEVEL", "value": "info" }],
          "secrets": [{ "name": "KEY", "valueFrom": "arn:aws:ssm:eu-west-1:1:parameter/key" }],
          "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/shop", "awslogs-stream-prefix": "web" } } }
    ],
    "tags": [{ "key": "team", "value": "shop" }],
    "aKeyOfTomorrow": { "kept": true }
}"#;

fn spec() -> StackSpec {
    let release = Release {
        number: 3,
        version: "v3".into(),
        artifact: "registry/shop@sha256:ab".into(),
        commit: None,
        definition: "".into(),
        source: None,
        parameters: [("LEVEL".into(), "debug".into())].into(),
        given: Default::default(),
        secrets: Default::default(),
        link: None,
        adopts: None,
    };
    StackSpec {
        name: StackName { environment: "shop/prod".parse().expect("a name"), number: Number(7) },
        release: Arc::new(release),
        definition: TEXT.into(),
        secrets: Default::default(),
        stranger: false,
    }
}

#[test]
fn a_release_fills_the_definition_and_all_else_stays_as_it_stands() {
    let definition = Definition::parse(TEXT).expect("it is good");
    let tags = vec![("pointsman:deployment".to_owned(), "7".to_owned())];
    let request = definition.request(("pt-shop-prod-7", "web"), &spec(), tags).expect("it is filled");
    assert_eq!(request["family"], "pt-shop-prod-7");
    assert_eq!(request["aKeyOfTomorrow"]["kept"], true);
    assert_eq!(request["tags"].as_array().map(Vec::len), Some(2));
    let [log, web] = &request["containerDefinitions"].as_array().expect("a list")[..] else { panic!("{request}") };
    assert_eq!((log["image"].as_str(), log.get("environment")), (Some("router:3"), None));
    assert_eq!(web["image"], "registry/shop@sha256:ab");
    let set: Vec<_> = web["environment"].as_array().into_iter().flatten().map(|v| (&v["name"], &v["value"])).collect();
    let wanted = [("LEVEL", "debug"), ("POINTSMAN_STACK", "shop-prod-7"), ("POINTSMAN_VERSION", "v3")];
    assert_eq!(format!("{set:?}"), format!("{:?}", wanted.map(|(a, b)| (Value::from(a), Value::from(b)))));
    assert_eq!(web["secrets"][0]["name"], "KEY");
}

#[test]
fn builds_may_set_the_variables_and_secrets_are_nobodys_to_hand_over() {
    let definition = Definition::parse(TEXT).expect("it is good");
    let needs = definition.needs();
    assert_eq!((needs.parameters, needs.secrets), (["LEVEL".to_owned()].into(), BTreeSet::new()));
}

#[test]
fn a_definition_that_cannot_work_is_refused_with_what_helps() {
    for (text, part) in [
        ("{", "not JSON"),
        ("[]", "is an object"),
        ("{}", "`containerDefinitions` is missing"),
        (r#"{"containerDefinitions": [{"image": "a"}]}"#, "needs a `name`"),
        (r#"{"taskDefinition": {}}"#, "keep what is in `taskDefinition`"),
        (r#"{"containerDefinitions": [{"name": "a"}], "revision": 3}"#, "`revision` is what ECS tells"),
        (r#"{"containerDefinitions": [{"name": "a"}], "cpu": 256}"#, "`cpu` must be a text"),
    ] {
        let said = Definition::parse(text).expect_err(text).join("\n");
        assert!(said.contains(part), "{text}: {said}");
    }
    let definition = Definition::parse(TEXT).expect("it is good");
    let said = definition.request(("f", "app"), &spec(), Vec::new()).expect_err("no such container");
    assert_eq!(said, "`service.container` is \"app\", and the task definition has log, web");
}
