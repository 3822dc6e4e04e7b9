//! An emulated AWS, `tests/peers/aws`: each story that asks gets one of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use serde_json::{Value, json};

use super::{peers, wire::Wire};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/aws/bin/python");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/aws");

/// One account with nothing in it. It ends with all that it runs when this is dropped, however the test run ends.
pub struct Aws {
    /// The endpoint of all services.
    pub url: String,
    /// The first two octets of its balancers, tasks and instances.
    pub network: String,
    /// Its DNS server, which knows balancers by name under the setting `balancer_names`.
    pub dns: SocketAddr,
    input: Option<ChildStdin>,
    process: Child,
}

/// What an account has before the first deployment.
pub struct Account {
    pub vpc: String,
    pub subnets: [String; 2],
    pub security_group: String,
    /// The ARN of an application load balancer.
    pub balancer: String,
    /// The ARN of its HTTP listener, which answers 503.
    pub listener: String,
    /// Where each request meets another node of the balancer.
    pub any: SocketAddr,
    pub nodes: Vec<SocketAddr>,
}

/// Returns a program of the peer that runs this script of its folder; none when its stories are left out.
pub fn script(name: &str) -> Option<Command> {
    if !Path::new(PYTHON).is_file() {
        peers::left_out("the emulated AWS is not in target/peers/aws; tests/run brings it");
        return None;
    }
    let mut command = Command::new(PYTHON);
    command.arg(Path::new(FOLDER).join(name));
    Some(command)
}

impl Aws {
    /// Starts one with these settings, as for `POST /lab/settings`; none when its stories are left out.
    pub fn start(settings: &Value) -> Option<Self> {
        let mut command = script("awslab.py")?;
        command.args(["127.0.0.1", "0"]).arg(Path::new(FOLDER).join("images.json"));
        command.arg("--settings").arg(settings.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says something");
        let ready: Value = serde_json::from_str(&line).expect("the emulated AWS has ended");
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
        let text = |key: &str| ready[key].as_str().expect("a text").to_owned();
        let dns = text("dns").parse().expect("an address");
        Some(Self { url: text("url"), network: text("network"), dns, input: process.stdin.take(), process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").and_then(|a| a.parse().ok()).expect("an address")
    }

    /// Tells or asks the peer itself: `lab("POST", "faults", …)`; see its README.
    pub fn lab(&self, method: &str, command: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, &format!("/lab/{command}"), "", &body.to_string());
        assert_eq!(status, 200, "{method} {command}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Makes a call of a service that speaks JSON, as an administrator whom no policy binds: `("ecs", "ListClusters", …)`.
    pub fn call(&self, service: &str, operation: &str, body: &Value) -> (u16, Value) {
        let headers =
            format!("{}x-amz-target: Any.{operation}\r\ncontent-type: application/x-amz-json-1.1\r\n", signed(service));
        let (status, answer) = self.ask("POST", "/", &headers, &body.to_string());
        (status, serde_json::from_str(&answer).expect("JSON"))
    }

    /// Makes a call of a service with a query, and gives its XML. The parameters have the API's version, as AWS wants it:
    /// `("elasticloadbalancing", "DescribeRules", "Version=2015-12-01&RuleArns.member.1=…")`.
    pub fn query(&self, service: &str, operation: &str, parameters: &str) -> (u16, String) {
        let headers = format!("{}content-type: application/x-www-form-urlencoded\r\n", signed(service));
        self.ask("POST", "/", &headers, &format!("Action={operation}&{parameters}"))
    }

    /// Makes a network in two zones, a load balancer with a listener at this port, and the ECS cluster `prod`.
    pub fn account(&self, port: u16) -> Account {
        let (status, answer) = self.call("ecs", "CreateCluster", &json!({ "clusterName": "prod" }));
        assert_eq!(status, 200, "{answer}");
        let vpc = self.made("ec2", "CreateVpc", "CidrBlock=10.9.0.0/16", "vpcId");
        let subnets = ["a", "b"].map(|zone| {
            let third = if zone == "a" { 0 } else { 1 };
            let own = format!("VpcId={vpc}&CidrBlock=10.9.{third}.0/24&AvailabilityZone=eu-west-1{zone}");
            self.made("ec2", "CreateSubnet", &own, "subnetId")
        });
        let own = format!("VpcId={vpc}&GroupName=web&GroupDescription=web");
        let security_group = self.made("ec2", "CreateSecurityGroup", &own, "groupId");
        let own = format!(
            "Name=front&Subnets.member.1={}&Subnets.member.2={}&SecurityGroups.member.1={security_group}",
            subnets[0], subnets[1]
        );
        let balancer = self.made("elasticloadbalancing", "CreateLoadBalancer", &own, "LoadBalancerArn");
        let action = "DefaultActions.member.1.Type=fixed-response\
                      &DefaultActions.member.1.FixedResponseConfig.StatusCode=503";
        let own = format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&{action}");
        let listener = self.made("elasticloadbalancing", "CreateListener", &own, "ListenerArn");
        let found = &self.lab("GET", "state", &Value::Null)["balancers"][&balancer];
        let socket = |address: &Value| -> SocketAddr {
            let address = address.as_str().and_then(|a| a.parse().ok()).expect("an address");
            SocketAddr::new(address, port)
        };
        let nodes = found["nodes"].as_array().expect("a list").iter().map(socket).collect();
        Account { vpc, subnets, security_group, balancer, listener, any: socket(&found["any"]), nodes }
    }

    /// Makes something, and returns its id from the first such element of the answer.
    fn made(&self, service: &str, operation: &str, parameters: &str, element: &str) -> String {
        let version = if service == "ec2" { "2016-11-15" } else { "2015-12-01" };
        let (status, answer) = self.query(service, operation, &format!("Version={version}&{parameters}"));
        assert_eq!(status, 200, "{answer}");
        let text = answer.split(&format!("<{element}>")).nth(1).and_then(|rest| rest.split('<').next());
        text.unwrap_or_else(|| panic!("{operation} answers without {element}: {answer}")).to_owned()
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let answer = Wire::patient(self.address()).and_then(|mut wire| wire.ask(method, path, headers, body));
        let answer = answer.expect("it answers");
        (answer.status, answer.body)
    }
}

/// The header that says for which service a call is signed. The peer does not verify signatures of this key.
fn signed(service: &str) -> String {
    let scope = format!("AKIALAB/20260101/eu-west-1/{service}/aws4_request");
    format!("authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n")
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.input.take();
        self.process.wait().expect("it is ours");
    }
}
