//! `service`, `target_group` and `aws` of an environment with stacks of ECS: what a task definition does not say. Must not
//! connect to anything.

use std::{path::Path, time::Duration};

use toml::{Table, Value};

use crate::{
    aws,
    toml_file::filled::{Reader, boolean, duration, made, number, other, text},
};

/// The keys of `service`.
pub(super) const SERVICE: &[&str] = &[
    "cluster",
    "count",
    "subnets",
    "security_groups",
    "public_ip",
    "launch_type",
    "capacity_provider",
    "platform_version",
    "container",
    "port",
    "grace",
];
/// The keys of `target_group`.
pub(super) const GROUP: &[&str] = &[
    "vpc",
    "listener",
    "priorities",
    "protocol",
    "path",
    "matcher",
    "interval",
    "timeout",
    "healthy_after",
    "unhealthy_after",
    "drain",
];

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) account: aws::Settings,
    pub(super) service: Service,
    pub(super) group: Group,
}

/// How the tasks of a stack run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) cluster: String,
    /// Tasks; more where the environment's other stacks have more.
    pub(super) count: i32,
    pub(super) subnets: Vec<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) public_ip: bool,
    pub(super) runs_on: RunsOn,
    pub(super) platform_version: Option<String>,
    /// The container that gets the release's image and the requests.
    pub(super) container: String,
    pub(super) port: u16,
    /// How long checks of the load balancer stop no task after its start.
    pub(super) grace: Duration,
}

/// What the tasks run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunsOn {
    Fargate,
    Ec2,
    /// A capacity provider by its name.
    Provider(String),
}

/// The target group of a stack, and where its test rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) vpc: String,
    /// ARN of the listener that gets the test rule.
    pub(super) listener: String,
    /// First and last priority that test rules may have.
    pub(super) priorities: (u32, u32),
    pub(super) https: bool,
    pub(super) path: String,
    /// Statuses of a check that passes, as AWS takes them.
    pub(super) matcher: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) healthy_after: i32,
    pub(super) unhealthy_after: i32,
    /// How long requests that have begun may go on at a target that leaves.
    pub(super) drain: Duration,
}

impl Settings {
    /// Reads the settings of an environment. Files are meant from `written_in`.
    ///
    /// # Errors
    /// Every mistake, each beginning with its key.
    pub(super) fn read(settings: &Table, written_in: &Path) -> Result<Self, Vec<String>> {
        let (account, mut mistakes) = match aws::Settings::read(settings, "aws", written_in) {
            Ok(account) => (Some(account), Vec::new()),
            Err(mistakes) => (None, mistakes),
        };
        let service =
            table(settings, "service", "cluster = \"prod\"", &mut mistakes).map(|t| service(t, &mut mistakes));
        let group = table(settings, "target_group", "vpc = \"vpc-1\"", &mut mistakes).map(|t| group(t, &mut mistakes));
        match (account, service.flatten(), group.flatten()) {
            (Some(account), Some(service), Some(group)) if mistakes.is_empty() => Ok(Self { account, service, group }),
            _ => Err(mistakes),
        }
    }
}

fn table<'t>(settings: &'t Table, key: &str, example: &str, mistakes: &mut Vec<String>) -> Option<&'t Table> {
    match settings.get(key) {
        Some(Value::Table(table)) => return Some(table),
        Some(value) => {
            mistakes.push(format!("`{key}`{}", other(value, &format!("a table, for example {{ {example} }}"))))
        }
        None => mistakes.push(format!("`{key}` is missing: a table, for example {{ {example} }}")),
    }
    None
}

fn service(table: &Table, mistakes: &mut Vec<String>) -> Option<Service> {
    let mut t = Reader::new(table, "service", mistakes);
    let (cluster, container) = (t.required("cluster", text), t.required("container", text));
    let port = t.required("port", |value| number(value, 1..=65535));
    let count = t.optional("count", |value| number(value, 1..=1000)).unwrap_or(1);
    let subnets = t.required("subnets", |value| ids(value, "subnet-"));
    let security_groups = t.required("security_groups", |value| ids(value, "sg-"));
    let public_ip = t.optional("public_ip", boolean).unwrap_or(false);
    let launch_type = t.optional("launch_type", |value| {
        made(value, "\"FARGATE\" or \"EC2\"", |text| match text {
            "FARGATE" => Some(RunsOn::Fargate),
            "EC2" => Some(RunsOn::Ec2),
            _ => None,
        })
    });
    let provider = t.optional("capacity_provider", text).map(RunsOn::Provider);
    if launch_type.is_some() && provider.is_some() {
        t.refuse("capacity_provider", "cannot stand beside `launch_type`: ECS takes one of them");
    }
    let platform_version = t.optional("platform_version", text);
    let grace = t.optional("grace", duration).unwrap_or(Duration::from_secs(60));
    t.refuse_the_rest();
    Some(Service {
        cluster: cluster?,
        count: i32::try_from(count).ok()?,
        subnets: subnets?,
        security_groups: security_groups?,
        public_ip,
        runs_on: provider.or(launch_type).unwrap_or(RunsOn::Fargate),
        platform_version,
        container: container?,
        port: u16::try_from(port?).ok()?,
        grace,
    })
}

/// Limits: Elastic Load Balancing API Reference, CreateTargetGroup and TargetGroupAttribute.
fn group(table: &Table, mistakes: &mut Vec<String>) -> Option<Group> {
    let mut t = Reader::new(table, "target_group", mistakes);
    let vpc = t.required("vpc", |value| made(value, "the id of a VPC, vpc-...", |text| starts(text, "vpc-")));
    let listener = t.required("listener", |value| made(value, "the ARN of a listener", listener));
    let priorities = t.optional("priorities", |value| made(value, "two numbers from 1 to 50000, \"1-99\"", range));
    let https = t.optional("protocol", |value| {
        made(value, "\"HTTP\" or \"HTTPS\"", |text| match text {
            "HTTP" => Some(false),
            "HTTPS" => Some(true),
            _ => None,
        })
    });
    let path = t.optional("path", |value| made(value, "a path that begins with /", |text| starts(text, "/")));
    let matcher = t.optional("matcher", text);
    let mut seconds = |key, least: u64, most: u64, usual: u64| {
        let read = t.optional(key, |value| {
            let length = if value.as_str() == Some("0s") { Duration::ZERO } else { duration(value)? };
            let fits = length.subsec_nanos() == 0 && (least..=most).contains(&length.as_secs());
            fits.then_some(length).ok_or_else(|| format!(" must be whole seconds, from {least}s to {most}s"))
        });
        read.unwrap_or(Duration::from_secs(usual))
    };
    let interval = seconds("interval", 5, 300, 5);
    let timeout = seconds("timeout", 2, 120, 4);
    let drain = seconds("drain", 0, 3600, 30);
    if timeout >= interval {
        t.refuse("timeout", "must be shorter than `interval`");
    }
    let mut times = |key| t.optional(key, |value| number(value, 2..=10)).unwrap_or(2);
    let (healthy_after, unhealthy_after) = (times("healthy_after"), times("unhealthy_after"));
    t.refuse_the_rest();
    Some(Group {
        vpc: vpc?,
        listener: listener?,
        priorities: priorities.unwrap_or((1, 99)),
        https: https.unwrap_or(false),
        path: path.unwrap_or_else(|| "/".to_owned()),
        matcher: matcher.unwrap_or_else(|| "200".to_owned()),
        interval,
        timeout,
        healthy_after: i32::try_from(healthy_after).ok()?,
        unhealthy_after: i32::try_from(unhealthy_after).ok()?,
        drain,
    })
}

fn starts(text: &str, with: &str) -> Option<String> {
    text.starts_with(with).then(|| text.to_owned())
}

fn ids(value: &Value, with: &str) -> Result<Vec<String>, String> {
    let wanted = format!("a list of ids, for example [\"{with}1\"]");
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(|| other(value, &wanted))?;
    list.iter().map(|one| made(one, &format!("an id that begins with {with}"), |text| starts(text, with))).collect()
}

fn listener(text: &str) -> Option<String> {
    (text.starts_with("arn:") && text.contains(":listener/app/")).then(|| text.to_owned())
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1 <= first && first < last && last <= 50_000).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
        service = { cluster = 'prod', subnets = ['subnet-1'], security_groups = ['sg-1'], container = 'web', port = 8080 }
        target_group = { vpc = 'vpc-1', listener = 'arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/shop/1/2' }
    ";

    #[test]
    fn what_is_left_out_has_the_values_of_the_documentation() {
        let read = Settings::read(&WHOLE.parse().expect("TOML"), Path::new("/p")).expect("it is whole");
        assert_eq!(
            (read.service.count, &read.service.runs_on, read.service.grace.as_secs()),
            (1, &RunsOn::Fargate, 60)
        );
        assert_eq!(
            (read.group.interval.as_secs(), read.group.timeout.as_secs(), read.group.drain.as_secs()),
            (5, 4, 30)
        );
        assert_eq!(
            (read.group.priorities, read.group.path.as_str(), read.group.matcher.as_str()),
            ((1, 99), "/", "200")
        );
    }

    #[test]
    fn every_mistake_is_told_at_once_by_its_key() {
        let wrong = "
            aws = { region = 'Ireland' }
            service = { cluster = 'prod', subnets = ['10.0.0.0/8'], launch_type = 'LAMBDA', capacity_provider = 'x', port = 0 }
            target_group = { vpc = 'mine', listener = 'web', priorities = '9-3', interval = '4s', drain = '1500ms', matchr = '2' }
        ";
        let said =
            Settings::read(&wrong.parse().expect("TOML"), Path::new("/p")).expect_err("it is refused").join("\n");
        for part in [
            "`aws.region` is \"Ireland\"",
            "`service.container` is missing",
            "`service.subnets` is \"10.0.0.0/8\"; it must be an id that begins with subnet-",
            "`service.security_groups` is missing",
            "`service.launch_type` is \"LAMBDA\"",
            "`service.port` is",
            "`target_group.vpc` is \"mine\"",
            "`target_group.listener` is \"web\"",
            "`target_group.priorities` is \"9-3\"",
            "`target_group.interval` must be whole seconds, from 5s to 300s",
            "`target_group.drain` must be whole seconds",
            "`target_group.matchr`; did you mean `matcher`?",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        let none = Settings::read(&Table::new(), Path::new("/p")).expect_err("it is refused");
        assert_eq!(none.len(), 2, "{none:?}");
    }
}
