//! The peers of the stories keep their own promises.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::aws::{self, Aws};

#[test]
fn an_emulated_aws_serves_and_ends_with_its_story() {
    let (Some(first), Some(second)) = (Aws::start(&json!({ "speed": 10 })), Aws::start(&json!({}))) else { return };
    assert!(first.network != second.network && first.dns != second.dns, "{} {}", first.network, second.network);
    assert_eq!(first.lab("GET", "settings", &Value::Null)["speed"], 10);
    let (status, answer) = first.call("ecs", "CreateCluster", &json!({ "clusterName": "prod" }));
    assert_eq!((status, &answer["cluster"]["status"]), (200, &json!("ACTIVE")), "{answer}");
    let clusters =
        |aws: &Aws| aws.call("ecs", "DescribeClusters", &json!({ "clusters": ["prod"] })).1["clusters"].clone();
    assert_eq!(clusters(&first)[0]["clusterName"], "prod");
    assert_eq!(clusters(&second), json!([]));
    let (status, answer) = first.query("elasticloadbalancing", "DescribeAccountLimits", "Version=2015-12-01");
    assert!(status == 200 && answer.contains("rules-per-application-load-balancer"), "{answer}");
    first.lab("POST", "faults", &json!({ "action": "ecs:DescribeClusters", "kind": "throttle" }));
    let (status, answer) = first.call("ecs", "DescribeClusters", &json!({}));
    assert_eq!((status, &answer["__type"]), (400, &json!("ThrottlingException")), "{answer}");
    assert_eq!(first.lab("GET", "calls", &Value::Null)["by"]["ecs:DescribeClusters"], 2);
    let address = first.address();
    drop(first);
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}

#[test]
fn the_emulated_aws_checks_itself() {
    let Some(mut command) = aws::script("selfcheck.py") else { return };
    let output = command.arg("-v").output().expect("python starts");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
}
