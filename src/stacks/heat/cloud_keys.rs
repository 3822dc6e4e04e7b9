//! What each key of a clouds.yaml (and each `OS_*` variable) is to us: done, of no meaning here, or refused with what to do
//! instead. The reference is openstacksdk. docs/openstack.md has the same as a table; a test holds them together.

use super::credentials::SERVICES;
use crate::text::did_you_mean;

/// Use of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is done, under this name.
    Done(String),
    /// It changes neither where nor as whom we speak.
    Harmless,
    /// It would, and cannot be done; with what to do instead.
    Refused(&'static str),
    /// Unknown, and by its name it may change the address or the user.
    Suspicious,
    /// Unknown, and harmless by its name.
    Unknown,
}

/// Keys that are done, with their other spellings.
pub(super) const DONE: &[(&str, &[&str])] = &[
    ("auth_url", &[]),
    ("auth_type", &["auth_plugin"]),
    ("username", &["user_name"]),
    ("user_id", &[]),
    ("password", &[]),
    ("user_domain_name", &[]),
    ("user_domain_id", &[]),
    ("project_name", &["tenant_name"]),
    ("project_id", &["tenant_id"]),
    ("project_domain_name", &[]),
    ("project_domain_id", &[]),
    ("domain_name", &[]),
    ("domain_id", &[]),
    ("default_domain_name", &[]),
    ("default_domain_id", &["default_domain"]),
    ("application_credential_id", &[]),
    ("application_credential_name", &[]),
    ("application_credential_secret", &[]),
    ("region_name", &[]),
    ("regions", &[]),
    ("profile", &["cloud"]),
    ("interface", &["endpoint_type"]),
    ("identity_api_version", &[]),
    ("cacert", &[]),
    ("cert", &[]),
    ("key", &[]),
    ("verify", &[]),
    ("insecure", &[]),
];

/// What is done for one service, after `orchestration_` or `compute_`.
pub(super) const DONE_OF_SERVICES: &[(&str, &[&str])] = &[
    ("endpoint_override", &["endpoint"]),
    ("interface", &["endpoint_type"]),
    ("region_name", &[]),
    ("service_type", &[]),
    ("service_name", &[]),
    ("api_version", &[]),
];

const BY_PASSWORD: &str = "sign in by a password or an application credential";
const FEDERATED: &str =
    "sign in by an application credential of that user (`openstack application credential create --unrestricted`)";
const OF_WHICH: &str = "say of which service, for example `orchestration_endpoint_override`";
const IN_PROJECT: &str = "stacks are made in a project: leave it out, and name the project";

/// Keys that are refused, and what to do instead.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("token", "a token ends within hours: sign in by a password or an application credential"),
    ("auth_token", "a token ends within hours: sign in by a password or an application credential"),
    ("service_token", BY_PASSWORD),
    ("passcode", "a passcode is good once, and Pointsman signs in again and again: use an application credential"),
    ("auth_methods", "several factors need a person: use an application credential"),
    ("system_scope", IN_PROJECT),
    ("trust_id", IN_PROJECT),
    ("unscoped", IN_PROJECT),
    ("identity_provider", FEDERATED),
    ("identity_provider_url", FEDERATED),
    ("protocol", FEDERATED),
    ("service_provider_endpoint", FEDERATED),
    ("service_provider_entity_id", FEDERATED),
    ("client_id", FEDERATED),
    ("client_secret", FEDERATED),
    ("openid_scope", FEDERATED),
    ("discovery_endpoint", FEDERATED),
    ("access_token", FEDERATED),
    ("access_token_endpoint", FEDERATED),
    ("access_token_type", FEDERATED),
    ("redirect_uri", FEDERATED),
    ("code", FEDERATED),
    ("consumer_key", FEDERATED),
    ("consumer_secret", FEDERATED),
    ("access_key", FEDERATED),
    ("access_secret", FEDERATED),
    ("endpoint", OF_WHICH),
    ("endpoint_override", OF_WHICH),
    ("service_endpoint", OF_WHICH),
    ("url", OF_WHICH),
    ("service_type", "say of which service, for example `orchestration_service_type`"),
    ("service_name", "say of which service, for example `orchestration_service_name`"),
    ("vendor_hook", "it is code for openstacksdk, which is not run here: write out what it does"),
];

/// Keys that mean nothing here: how other clients wait, log, cache, and use servers, images and networks.
pub(super) const HARMLESS: &[&str] = &[
    "additional_user_agent",
    "api_timeout",
    "app_name",
    "app_version",
    "cache",
    "client",
    "collect_timing",
    "concurrency",
    "connect_retries",
    "connect_retry_delay",
    "debug",
    "default_microversion",
    "default_network",
    "description",
    "disable_vendor_agent",
    "external_network",
    "floating_ip_source",
    "force_ipv4",
    "http_timeout",
    "image_api_use_tasks",
    "image_format",
    "influxdb",
    "internal_network",
    "log_file",
    "log_level",
    "max_version",
    "message",
    "metrics",
    "min_version",
    "name",
    "nat_destination",
    "nat_source",
    "networks",
    "prefer_ipv6",
    "rate_limit",
    "requires_floating_ip",
    "secgroup_source",
    "split_loggers",
    "statsd",
    "status",
    "status_code_retries",
    "status_code_retry_delay",
    "timeout",
    "timing",
    "verbose_level",
];

/// How keys of single services end that change nothing of where they are.
const HARMLESS_OF_SERVICES: &[&str] = &[
    "concurrency",
    "connect_retries",
    "connect_retry_delay",
    "default_microversion",
    "max_version",
    "min_version",
    "rate_limit",
    "status_code_retries",
    "status_code_retry_delay",
    "timeout",
    "api_timeout",
];

/// Services that are never spoken to, as other clients call them. Keystone is spoken to at `auth_url` alone.
const OTHERS: &[&str] = &[
    "accelerator",
    "admin_logic",
    "alarm",
    "alarming",
    "application_catalog",
    "application_container",
    "application_deployment",
    "backup",
    "bare_metal",
    "baremetal",
    "baremetal_introspection",
    "block_storage",
    "block_store",
    "cloudformation",
    "cluster",
    "clustering",
    "container",
    "container_infra",
    "container_infrastructure",
    "container_infrastructure_management",
    "data_processing",
    "data_protection_orchestration",
    "database",
    "dns",
    "ec2_api",
    "event",
    "events",
    "function_engine",
    "ha",
    "identity",
    "image",
    "infra_optim",
    "instance_ha",
    "key_manager",
    "load_balancer",
    "message",
    "messaging",
    "meter",
    "metering",
    "metric",
    "monitoring",
    "monitoring_events",
    "monitoring_log_api",
    "monitoring_logging",
    "multi_region_network_automation",
    "network",
    "nfv_orchestration",
    "object_store",
    "operator_policy",
    "placement",
    "policy",
    "rating",
    "rca",
    "registration",
    "reservation",
    "resource_cluster",
    "resource_optimization",
    "root_cause_analysis",
    "s3",
    "search",
    "share",
    "shared_file_system",
    "sharev2",
    "telemetry",
    "tricircle",
    "volume",
    "volumev2",
    "volumev3",
    "workflow",
    "workflowv2",
];

/// What stands in the names of keys that change where or as whom one speaks.
const TELLING: &[&str] = &[
    "url",
    "uri",
    "endpoint",
    "interface",
    "region",
    "host",
    "port",
    "address",
    "proxy",
    "domain",
    "project",
    "tenant",
    "user",
    "auth",
    "login",
    "token",
    "pass",
    "secret",
    "cred",
    "cert",
    "key",
    "tls",
    "ssl",
    "verify",
    "insecure",
    "scope",
    "trust",
    "role",
    "identity",
    "service",
    "version",
    "profile",
    "cloud",
    "plugin",
];

/// Says what a key is. `in_auth`: it stands below `auth`, where every key is about who we are.
pub(super) fn meaning(key: &str, in_auth: bool) -> Meaning {
    let key = key.replace('-', "_");
    if let Some(name) = one_of(DONE, &key) {
        return Meaning::Done(name.to_owned());
    }
    if let Some((_, instead)) = REFUSED.iter().find(|(name, _)| *name == key) {
        return Meaning::Refused(instead);
    }
    for service in SERVICES {
        let Some(what) = key.strip_prefix(service).and_then(|rest| rest.strip_prefix('_')) else { continue };
        if let Some(name) = one_of(DONE_OF_SERVICES, what) {
            return Meaning::Done(format!("{service}_{name}"));
        }
        if HARMLESS_OF_SERVICES.contains(&what) {
            return Meaning::Harmless;
        }
        return Meaning::Suspicious;
    }
    let others = OTHERS.iter().any(|service| key.strip_prefix(service).is_some_and(|rest| rest.starts_with('_')));
    if HARMLESS.contains(&key.as_str()) || others || key.starts_with("has_") || key.ends_with("_disabled_reason") {
        return if in_auth { Meaning::Suspicious } else { Meaning::Harmless };
    }
    let own = key.starts_with("x_") || key.starts_with('_') || key.starts_with('.');
    if in_auth || (!own && (TELLING.iter().any(|word| key.contains(word)) || guess(&key).is_some())) {
        return Meaning::Suspicious;
    }
    Meaning::Unknown
}

/// The key that was meant by one that nobody knows, if it is like one that is done.
pub(super) fn guess(key: &str) -> Option<String> {
    let of_services =
        SERVICES.iter().flat_map(|service| DONE_OF_SERVICES.iter().map(move |(what, _)| format!("{service}_{what}")));
    let known: Vec<String> = DONE.iter().map(|(name, _)| (*name).to_owned()).chain(of_services).collect();
    did_you_mean(&key.replace('-', "_"), known.iter().map(String::as_str)).map(str::to_owned)
}

fn one_of(table: &[(&'static str, &[&str])], key: &str) -> Option<&'static str> {
    table.iter().find(|(name, others)| *name == key || others.contains(&key)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_done_harmless_or_refused_and_none_twice() {
        for (name, others) in DONE {
            for spelling in others.iter().chain([name]) {
                assert_eq!(meaning(&spelling.replace('_', "-"), true), Meaning::Done((*name).to_owned()), "{spelling}");
                assert!(!HARMLESS.contains(spelling) && !REFUSED.iter().any(|(key, _)| key == spelling), "{spelling}");
            }
        }
        for (key, instead) in REFUSED {
            assert_eq!(meaning(key, false), Meaning::Refused(instead), "{key}");
        }
        for key in HARMLESS {
            assert_eq!(meaning(key, false), Meaning::Harmless, "{key}");
            assert_eq!(meaning(key, true), Meaning::Suspicious, "{key}");
        }
        for (key, expected) in [
            ("orchestration_endpoint_type", Meaning::Done("orchestration_interface".into())),
            ("compute-endpoint", Meaning::Done("compute_endpoint_override".into())),
            ("compute_default_microversion", Meaning::Harmless),
            ("network_endpoint_override", Meaning::Harmless),
            ("volume_api_version", Meaning::Harmless),
            ("identity_endpoint_override", Meaning::Harmless),
            ("has_network", Meaning::Harmless),
            ("orchestration_endpoint_overide", Meaning::Suspicious),
            ("orchestraton_endpoint_override", Meaning::Suspicious),
            ("http_proxy", Meaning::Suspicious),
            ("projectname", Meaning::Suspicious),
            ("flavour_of_the_day", Meaning::Unknown),
            ("x-auth", Meaning::Unknown),
        ] {
            assert_eq!(meaning(key, false), expected, "{key}");
        }
    }

    /// The keys in backticks of the first column of the table under a heading.
    fn listed(heading: &str) -> Vec<String> {
        let page = include_str!("../../../docs/openstack.md");
        let part = page.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
        let part = part.split("\n#").next().unwrap();
        let rows = part.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
    }

    #[test]
    fn the_documentation_has_every_key_in_its_table() {
        let both = |table: &[(&'static str, &[&'static str])]| {
            table
                .iter()
                .flat_map(|(name, others)| std::iter::once(*name).chain(others.iter().copied()))
                .collect::<Vec<_>>()
        };
        let mut done = both(DONE);
        done.extend(
            both(DONE_OF_SERVICES)
                .into_iter()
                .filter(|key| !["interface", "endpoint_type", "region_name"].contains(key)),
        );
        let refused: Vec<_> = REFUSED.iter().map(|(key, _)| *key).collect();
        for (heading, keys) in [
            ("Keys that are done", done),
            ("Keys that are refused", refused),
            ("Keys that mean nothing here", HARMLESS.to_vec()),
        ] {
            let mut listed = listed(heading);
            let mut keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            listed.sort();
            listed.dedup();
            keys.sort();
            keys.dedup();
            assert_eq!(listed, keys, "under \"{heading}\"");
        }
    }
}
