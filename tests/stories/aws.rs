//! The whole controller with services of ECS behind a load balancer of an emulated AWS: a build goes live and comes back, whatever
//! is lost, killed or changed by others on the way.

use std::{collections::BTreeSet, fs, path::Path};

use pointsman::machine::{Millis, Number, StackName};
use serde_json::{Value, json};

use crate::support::{
    aws_account::{Account, SECRET},
    house::House,
    wire::{Hammer, Wire},
};

const PIPELINE: &str = r#"
[webhook]
secrets = [{ file = "../secrets/key" }]
[[environments]]
name = "live"
deploy = "on-build"
watch = "100ms"
bake = "200ms"
drain = "1s"
TERMS
[environments.stack]
driver = "ecs"
definition = "../stacks/ecs/app.json"
STACK
[environments.front]
driver = "alb"
FRONT
[[environments.checks]]
http = { path = "/health", status = 200 }
via = "front"
every = "100ms"
passes = 2
"#;

/// An application whose build parameter `extra` is how it misbehaves.
const DEFINITION: &str = r#"{
    "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
    "containerDefinitions": [{ "name": "web", "image": "none", "portMappings": [{ "containerPort": 8080 }],
                               "environment": [{ "name": "extra", "value": "" }] }]
}"#;

/// An account, and a house whose environment is there.
struct Street {
    account: Account,
    house: House,
}

impl Street {
    /// None where the stories of AWS are left out.
    fn with(terms: &str) -> Option<Self> {
        let account = Account::start(&json!({ "speed": 10, "propagation_ms": [0, 150] }))?;
        let run = r#"[ "$extra" = crash ] && exit 3; BAD=$extra exec python3 app.py {ip} {port}"#;
        account.aws.lab("POST", "images", &json!({ "none": ["sh", "-c", run] }));
        let house = House::with("");
        let pipeline = PIPELINE
            .replace("TERMS", terms)
            .replace("STACK", &account.stack_settings())
            .replace("FRONT", &account.front_settings(&account.own.listener));
        // What belongs to the environment stands before its tables.
        house.write("pipelines/shop.toml", &pipeline);
        fs::create_dir_all(house.path("stacks/ecs")).expect("a folder");
        house.write("stacks/ecs/app.json", DEFINITION);
        Some(Self { account, house })
    }

    /// Waits until nothing is under way. What was live before may still be waited out.
    fn settle(&self) {
        self.house.until("nothing is under way", || {
            let now = self.house.environment()?;
            let idle = now["candidate"].is_null() && now["queue"].as_array().is_some_and(Vec::is_empty);
            idle.then_some(())
        });
    }

    /// The stack that users get at a node.
    fn stack_at(&self, node: usize) -> Option<String> {
        let at = self.account.own.nodes[node];
        let answer = Wire::open(at).and_then(|mut wire| wire.ask("GET", "/", "", "")).ok()?;
        answer.headers.get("x-stack").cloned()
    }

    #[track_caller]
    fn assert_users_get(&self, number: u64) {
        let wanted = format!("shop-live-{number}");
        for node in [0, 1] {
            assert_eq!(self.stack_at(node).as_deref(), Some(wanted.as_str()), "node {node}\n{}", self.house.log());
        }
    }

    /// Waits until AWS has nothing of ours but these stacks.
    fn until_only(&self, stacks: &[u64]) {
        let installation = fs::read_to_string(self.house.path("state/stacks/ecs/installation")).expect("it is at work");
        // First the last order is waited out, then all that was live before is torn down.
        self.house.until_within(Millis(120_000), "all is torn down", || {
            self.house.environment()?["retiring"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
        let of = |arn: &String| stacks.iter().any(|number| arn.contains(&format!("pt-shop-live-{number}")));
        self.house.until(&format!("only {stacks:?} are left at AWS"), || {
            let left = self.account.of_installation(installation.trim());
            // A rule is named by a number.
            let rules = left.iter().filter(|arn| arn.contains(":listener-rule/")).count();
            let others: BTreeSet<&String> = left.iter().filter(|arn| !arn.contains(":listener-rule/")).collect();
            (rules == stacks.len() && others.iter().all(|arn| of(arn)) && others.len() == 3 * stacks.len())
                .then_some(())
        });
    }

    /// How often these calls came since the log was emptied.
    fn calls(&self, name: &str) -> u64 {
        let calls = self.account.aws.lab("GET", "calls", &Value::Null);
        let counts = calls["by"].as_object().expect("counts");
        counts.iter().filter(|(call, _)| call.ends_with(name)).filter_map(|(_, count)| count.as_u64()).sum()
    }

    fn fault(&self, fault: &Value) {
        self.account.aws.lab("POST", "faults", fault);
    }
}

#[test]
fn a_build_goes_live_on_ecs_and_comes_back_by_one_change_of_the_listener() {
    let Some(street) = Street::with("retain = \"1h\"") else { return };
    let house = &street.house;
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    street.house.start();
    let first = house.push("v1", "");
    street.settle();
    house.assert_outcome(first, "succeeded");
    street.assert_users_get(first);

    let users = Hammer::on(street.account.own.any);
    let second = house.push("v2", "");
    street.settle();
    house.assert_outcome(second, "succeeded");
    street.assert_users_get(second);
    street.until_only(&[first, second]);

    street.account.aws.lab("DELETE", "calls", &Value::Null);
    let body = json!({ "number": second, "reason": "orders fail" }).to_string();
    house.wish("/v1/environments/shop/live/rollback", &body, |record| record["event"]["kind"] == "rollback_requested");
    street.settle();
    street.assert_users_get(first);
    assert_eq!((street.calls("ModifyListener"), street.calls("CreateService")), (1, 0));
    let seen = users.end();
    assert!(seen.failures.is_empty(), "{:?}", seen.failures);
    house.assert_verified();
}

#[test]
fn what_ecs_cannot_run_fails_with_the_reason_of_its_task_and_leaves_nothing_behind() {
    let Some(street) = Street::with("retain = \"none\"") else { return };
    let house = &street.house;
    street.house.start();
    let first = house.push("v1", "");
    street.settle();
    house.assert_outcome(first, "succeeded");
    for (extra, part) in [("crash", "web ended with exit status 3"), ("health", "ECS gave it up")] {
        let failed = house.push("v2", extra);
        street.settle();
        let why = house.assert_outcome(failed, "failed");
        assert!(why.contains(part), "{extra}: {why}");
        street.assert_users_get(first);
    }
    street.until_only(&[first]);
    assert!(!house.log().contains(SECRET));
}

#[test]
fn a_lost_answer_of_any_change_is_made_good() {
    let Some(street) = Street::with("retain = \"none\"") else { return };
    let house = &street.house;
    street.house.start();
    // More often than a call is tried by itself.
    let changes = [
        "RegisterTaskDefinition",
        "CreateTargetGroup",
        "ModifyTargetGroupAttributes",
        "CreateRule",
        "CreateService",
        "ModifyListener",
        "DeleteService",
        "DeleteRule",
        "DeregisterTaskDefinition",
        "DeleteTargetGroup",
    ];
    let mut last = house.push("v0", "");
    street.settle();
    house.assert_outcome(last, "succeeded");
    for change in changes {
        street.fault(&json!({ "action": format!("^{change}$"), "kind": "drop", "when": "after", "times": 4 }));
        last = house.push(change, "");
        street.settle();
        house.assert_outcome(last, "succeeded");
        street.assert_users_get(last);
    }
    street.until_only(&[last]);
    let removed = street.account.aws.lab("DELETE", "faults", &Value::Null);
    println!("faults: {removed}");
}

#[test]
fn a_controller_that_is_killed_after_any_record_takes_up_what_it_finds() {
    let Some(street) = Street::with("retain = \"none\"") else { return };
    let house = &street.house;
    street.house.start();
    let mut last = house.push("v0", "");
    street.settle();
    for records in [1, 3, 5, 6] {
        let over = house.lines() + records;
        last = house.push(&format!("v{records}"), "");
        house.until("it is there", || (house.lines() >= over).then_some(()));
        house.kill();
        street.house.start();
        street.settle();
        house.assert_outcome(last, "succeeded");
        street.assert_users_get(last);
    }
    street.until_only(&[last]);
    house.assert_verified();
}

#[test]
fn what_somebody_else_sets_is_told_and_the_next_order_sets_it_right() {
    let Some(street) = Street::with("retain = \"none\"") else { return };
    let house = &street.house;
    street.house.start();
    let first = house.push("v1", "");
    street.settle();
    let own = format!(
        "ListenerArn={}&DefaultActions.member.1.Type=fixed-response\
         &DefaultActions.member.1.FixedResponseConfig.StatusCode=418",
        street.account.own.listener
    );
    street.account.elb("ModifyListener", &own, "ListenerArn");
    let told = house.until("it is told", || {
        let now = house.environment()?;
        (now["front"]["shows"] != first).then_some(now)
    });
    println!("{told:#}");
    let second = house.push("v2", "");
    street.settle();
    house.assert_outcome(second, "succeeded");
    street.assert_users_get(second);
}

#[test]
fn the_first_deployment_takes_no_users_away_from_somebody_elses_target_group() {
    let Some(street) = Street::with("retain = \"none\"") else { return };
    let account = &street.account;
    let stack = StackName { environment: "theirs/prod".parse().expect("a name"), number: Number(1) };
    let group = account.target_group(&account.own.listener, "theirs", &stack, account.own.any);
    let listener = &account.own.listener;
    account.elb(
        "ModifyListener",
        &format!(
            "ListenerArn={listener}&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={group}"
        ),
        "ListenerArn",
    );
    street.house.start();
    let failed = street.house.push("v1", "");
    street.settle();
    let why = street.house.assert_outcome(failed, "failed");
    assert!(why.contains("target group theirs") && why.contains("replaces = \"theirs\""), "{why}");
    let (_, now) = account.aws.query(
        "elasticloadbalancing",
        "DescribeListeners",
        &format!("Version=2015-12-01&ListenerArns.member.1={listener}"),
    );
    assert!(now.contains(&group), "{now}");
}

#[test]
fn what_the_page_about_aws_says_is_accepted() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws.md")).expect("it is there");
    let (_, rest) = page.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("it ends");
    let house = House::with("");
    house.write("pipelines/shop.toml", &format!("[webhook]\nsecrets = [{{ file = \"../secrets/key\" }}]\n{example}"));
    house.write("stacks/ecs/shop.json", DEFINITION);
    let checked = house.run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
}
