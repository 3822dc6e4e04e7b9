//! The keys of a pipeline file, section by section: what the reader accepts, and what `docs/pipeline-file.md` must
//! explain. Must not know what they mean.

/// The file itself.
pub const FILE: &[&str] = &["description", "artifacts", "source", "webhook", "variables", "secrets", "environments"];
/// The keys of `[source]`.
pub const SOURCE: &[&str] = &["git", "user", "password", "web"];
/// The keys of `[webhook]`.
pub const WEBHOOK: &[&str] =
    &["secrets", "artifact", "version", "branches", "jobs", "parameters", "triggers", "largest"];
/// Where a secret is kept.
pub const SECRET: &[&str] = &["file", "env"];
/// A variable that is no text.
pub const VARIABLE: &[&str] = &["env"];
/// The keys of `[[environments]]`.
pub const ENVIRONMENT: &[&str] = &[
    "name",
    "deploy",
    "promotion",
    "stack",
    "front",
    "strategy",
    "steps",
    "bake",
    "retain",
    "drain",
    "recover",
    "watch",
    "deadlines",
    "approval",
    "checks",
    "checks_via",
    "restarts_allowed",
    "hooks",
    "on_trouble",
];
/// The keys of `promotion`.
pub const PROMOTION: &[&str] = &["rule", "after"];
/// `stack`: the keys that every driver has. Its own are in its entry of the registry.
pub const STACK: &[&str] = &["driver", "definition", "parameters", "secrets"];
/// A `definition` that is in the source repository.
pub const DEFINITION: &[&str] = &["git"];
/// One of `steps`.
pub const STEP: &[&str] = &["share", "bake", "pause"];
/// The keys of `deadlines`.
pub const DEADLINES: &[&str] = &["provision", "check", "cutover", "retire"];
/// `recover`, where it is a table.
pub const RECOVER: &[&str] = &["to", "after"];
/// The keys of `approval`.
pub const APPROVAL: &[&str] = &["before_provisioning", "before_cutover"];
/// One gate of `approval`.
pub const GATE: &[&str] = &["timeout", "otherwise", "by", "not_the_asker"];
/// The keys of `[[environments.hooks]]`.
pub const HOOK: &[&str] = &["name", "at", "command", "http", "environment", "secrets", "timeout", "one_way"];
/// `http` of a hook.
pub const HOOK_HTTP: &[&str] = &["url", "method", "headers", "body", "status"];

/// All of them but those of drivers, by the heading under which the documentation explains them.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("The file", FILE),
    ("source", SOURCE),
    ("webhook", WEBHOOK),
    ("Where a secret is kept", SECRET),
    ("variables", VARIABLE),
    ("environments", ENVIRONMENT),
    ("promotion", PROMOTION),
    ("definition in git", DEFINITION),
    ("steps", STEP),
    ("deadlines", DEADLINES),
    ("recover", RECOVER),
    ("approval", APPROVAL),
    ("gate", GATE),
    ("hooks", HOOK),
    ("hook over HTTP", HOOK_HTTP),
];

/// What `webhook.artifact` and `webhook.version` may have in braces. A version cannot be made of itself.
pub const PLACEHOLDERS: &[&str] = &["commit", "short_commit", "branch", "tag", "build", "version", "job"];
