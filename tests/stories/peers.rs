//! The peers of the stories keep their own promises.

use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::support::{
    aws::{self, Aws},
    until,
    wire::Wire,
};

#[tokio::test]
async fn an_emulated_aws_serves_and_ends_with_its_story() {
    let (Some(first), Some(second)) = (Aws::start(&json!({ "speed": 10 })), Aws::start(&json!({}))) else { return };
    assert!(first.network != second.network && first.dns != second.dns, "{} {}", first.network, second.network);
    assert_eq!(first.lab("GET", "settings", &Value::Null)["speed"], 10);
    let account = first.account(8000);
    let answers = |at: SocketAddr| Wire::open(at).and_then(|mut wire| wire.ask("GET", "/", "", ""));
    until("the balancer answers", async || answers(account.any).ok().filter(|answer| answer.status == 503)).await;
    let own = format!("{}.1.", first.network);
    assert!(account.nodes.len() == 2 && account.nodes.iter().all(|node| node.to_string().starts_with(&own)));
    let names = [&account.vpc, &account.subnets[0], &account.subnets[1], &account.security_group];
    assert!(names.iter().all(|name| !name.is_empty()) && account.listener.contains("listener/app/front"));
    assert!(account.balancer.contains("loadbalancer/app/front"), "{}", account.balancer);
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
