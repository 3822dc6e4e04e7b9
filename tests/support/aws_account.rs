//! An account of the emulated AWS as stories use it: its settings for drivers, more load balancers, and what is left in it.

use std::net::SocketAddr;

use pointsman::machine::StackName;
use serde_json::{Value, json};

use super::aws::{self, Aws};

/// Version of the API of Elastic Load Balancing.
const ELB: &str = "Version=2015-12-01";
/// A definition of a stack that works.
pub const DEFINITION: &str = r#"{
    "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
    "containerDefinitions": [{ "name": "web", "image": "web:1", "portMappings": [{ "containerPort": 8080 }] }]
}"#;
/// The secret of the credentials with which the drivers sign.
pub const SECRET: &str = "s3cret-of-the-story";
/// Where listeners listen.
const PORT: u16 = 8000;

/// An account.
pub struct Account {
    pub aws: Aws,
    pub own: aws::Account,
    folder: tempfile::TempDir,
}

/// Returns the texts of all elements of that name.
pub fn elements<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    xml.split(&format!("<{name}>")).skip(1).filter_map(|rest| Some(rest.split_once('<')?.0)).collect()
}

impl Account {
    /// A new account, apart from all others; none when its stories are left out.
    pub fn start(settings: &Value) -> Option<Self> {
        let aws = Aws::start(settings)?;
        let own = aws.account(PORT);
        let folder = tempfile::tempdir().expect("a folder");
        let keys = format!("[default]\naws_access_key_id = STORY\naws_secret_access_key = {SECRET}\n");
        std::fs::write(folder.path().join("credentials"), keys).expect("written");
        Some(Self { aws, own, folder })
    }

    /// Makes a call of Elastic Load Balancing, and returns an element of the answer.
    pub fn elb(&self, operation: &str, parameters: &str, name: &str) -> String {
        let (status, xml) = self.aws.query("elasticloadbalancing", operation, &format!("{ELB}&{parameters}"));
        assert_eq!(status, 200, "{operation}: {xml}");
        (*elements(&xml, name).first().expect(name)).to_owned()
    }

    /// Makes another load balancer with a listener of its own, and returns the listener's ARN.
    pub fn another_listener(&self, name: &str) -> String {
        let [one, other] = &self.own.subnets;
        let of = format!("Name={name}&Subnets.member.1={one}&Subnets.member.2={other}");
        let balancer = self.elb("CreateLoadBalancer", &of, "LoadBalancerArn");
        let of = format!(
            "LoadBalancerArn={balancer}&Protocol=HTTP&Port={PORT}&DefaultActions.member.1.Type=fixed-response\
             &DefaultActions.member.1.FixedResponseConfig.StatusCode=503"
        );
        self.elb("CreateListener", &of, "ListenerArn")
    }

    /// `stack` of an environment, as the driver's own settings.
    pub fn stack_settings(&self) -> String {
        let Self { own: aws::Account { listener, vpc, subnets: [subnet, _], security_group: group, .. }, .. } = self;
        format!(
            "{}service = {{ cluster = 'prod', subnets = ['{subnet}'], security_groups = ['{group}'], container = 'web', \
             port = 8080 }}\n\
             target_group = {{ vpc = '{vpc}', listener = '{listener}', path = '/health', drain = '1s', unhealthy_after = 10 }}\n",
            self.login()
        )
    }

    /// `front` of an environment, as the driver's own settings, at this listener.
    pub fn front_settings(&self, listener: &str) -> String {
        let [one, other] = self.nodes(listener);
        format!(
            "at = '{listener}'\nguard = '1s'\n{}\
             public = {{ url = 'http://{one}/health', stack_header = 'x-stack', nodes = ['{one}', '{other}'] }}\n",
            self.login()
        )
    }

    /// `aws` of both.
    fn login(&self) -> String {
        let (url, file) = (&self.aws.url, self.folder.path().join("credentials"));
        format!("aws = {{ region = 'eu-west-1', endpoint = '{url}', credentials = {file:?} }}\n")
    }

    /// Where the two nodes of the load balancer of a listener listen.
    pub fn nodes(&self, listener: &str) -> [SocketAddr; 2] {
        let (balancer, _) = listener.rsplit_once('/').expect("an ARN");
        let balancer = balancer.replace(":listener/", ":loadbalancer/");
        let nodes = self.aws.lab("GET", "state", &Value::Null)["balancers"][&balancer]["nodes"].clone();
        let node =
            |at: usize| SocketAddr::new(nodes[at].as_str().and_then(|ip| ip.parse().ok()).expect("an address"), PORT);
        [node(0), node(1)]
    }

    /// Makes a target group for an address of this host, and its test rule at a listener, as a stack would; returns its ARN.
    pub fn target_group(&self, listener: &str, name: &str, stack: &StackName, at: SocketAddr) -> String {
        let of = format!(
            "Name={name}&Protocol=HTTP&Port={}&VpcId={}&TargetType=ip&HealthCheckIntervalSeconds=5",
            at.port(),
            self.own.vpc
        );
        let arn = self.elb("CreateTargetGroup", &of, "TargetGroupArn");
        let target =
            format!("TargetGroupArn={arn}&Targets.member.1.Id={}&Targets.member.1.Port={}", at.ip(), at.port());
        let (status, said) = self.aws.query("elasticloadbalancing", "RegisterTargets", &format!("{ELB}&{target}"));
        assert_eq!(status, 200, "{said}");
        let tags = [
            ("installation", "test".to_owned()),
            ("pipeline", stack.environment.pipeline.to_string()),
            ("environment", stack.environment.environment.to_string()),
            ("deployment", stack.number.to_string()),
            ("home", "ecs/prod".to_owned()),
        ];
        let tags = tags.iter().enumerate().map(|(at, (key, value))| {
            let at = at + 1;
            format!("&Tags.member.{at}.Key=pointsman:{key}&Tags.member.{at}.Value={value}")
        });
        let priority = elements(&self.rules(listener), "Priority").len();
        let rule = format!(
            "ListenerArn={listener}&Priority={priority}&Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={arn}\
             &Conditions.member.1.Field=http-header&Conditions.member.1.HttpHeaderConfig.HttpHeaderName=x-pointsman-preview\
             &Conditions.member.1.HttpHeaderConfig.Values.member.1=pt-{name}{}",
            tags.collect::<String>()
        );
        self.elb("CreateRule", &rule, "RuleArn");
        arn
    }

    /// All rules of a listener, as XML.
    pub fn rules(&self, listener: &str) -> String {
        self.aws.query("elasticloadbalancing", "DescribeRules", &format!("{ELB}&ListenerArn={listener}")).1
    }

    /// What there is that carries this tag of an installation: services, target groups, rules and task definitions.
    pub fn of_installation(&self, installation: &str) -> Vec<String> {
        let mut left = Vec::new();
        let ecs = |operation: &str, body: Value| self.aws.call("ecs", operation, &body).1;
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let services = texts(&ecs("ListServices", json!({ "cluster": "prod", "maxResults": 100 }))["serviceArns"]);
        let definitions = texts(&ecs("ListTaskDefinitions", json!({ "status": "ACTIVE" }))["taskDefinitionArns"]);
        for arn in services.into_iter().chain(definitions) {
            let tags = ecs("ListTagsForResource", json!({ "resourceArn": arn }));
            if tags.to_string().contains(installation) {
                left.push(arn);
            }
        }
        let groups = self.aws.query("elasticloadbalancing", "DescribeTargetGroups", ELB).1;
        let rules = self.rules(&self.own.listener);
        let arns = elements(&groups, "TargetGroupArn").into_iter().chain(elements(&rules, "RuleArn"));
        for arn in arns.filter(|arn| !arn.contains("default")) {
            let asked = format!("{ELB}&ResourceArns.member.1={arn}");
            let (status, tags) = self.aws.query("elasticloadbalancing", "DescribeTags", &asked);
            if status == 200 && tags.contains(installation) {
                left.push(arn.to_owned());
            }
        }
        left
    }

    /// The tasks of services whose names begin so, as far as they run.
    pub fn running(&self, service: &str) -> Vec<String> {
        let state = self.aws.lab("GET", "state", &Value::Null);
        let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
        let of = |task: &Value| task["service"].as_str().is_some_and(|name| name.starts_with(service));
        let runs = |task: &Value| task["status"].as_str() == Some("RUNNING");
        tasks.into_iter().filter(|task| of(task) && runs(task)).map(|task| task["arn"].to_string()).collect()
    }
}
