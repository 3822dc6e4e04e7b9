//! `check` and `plan`: pipeline files. Must not reach anything but files of this host, but for what `preview.rs` asks, and
//! must not show the value of a secret.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{
    preview::{Imagined, front, front_notes, preview},
    screen::say,
};
use crate::{
    access::{Role, file::Token, kept},
    checks::{Check, Kind, Via},
    hooks::{Call, HookDefinition, not_runnable},
    intake::keys,
    machine::{self, EnvironmentId, Gate, HookPoint, Millis, Otherwise, Retain, Strategy},
    oidc,
    pipelines::{
        DefinitionSource, DeployOn, EnvironmentDefinition, Loaded, Pipeline, Pipelines, Registry, SecretSource, load,
    },
    program::variable_notes,
    secrets::{Secrets, source},
    settings::{self, Settings},
    telling::no_way_back,
    text::format_duration,
    toml_file::Mistake,
    units::show_duration,
};

/// Arguments of `check`.
#[derive(clap::Args)]
pub struct Args {
    /// A folder of pipelines or one file [default: what pointsman.toml says]
    path: Option<PathBuf>,
    /// The settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn read(args: &Args) -> anyhow::Result<(Settings, Loaded)> {
    let settings = Settings::load(args.config.as_deref()).map_err(super::mistakes)?;
    let loaded = load(&Registry::all(&settings.state), args.path.as_deref().unwrap_or(&settings.pipelines));
    Ok((settings, loaded))
}

/// The settings and all pipelines, where there is no mistake in them.
pub(super) fn good(args: &Args) -> anyhow::Result<(Settings, Pipelines)> {
    let (settings, loaded) = read(args)?;
    if loaded.mistakes.is_empty() { Ok((settings, loaded.pipelines)) } else { Err(super::mistakes(loaded.mistakes)) }
}

/// Returns what the files say of an environment.
pub(super) fn described<'p>(
    pipelines: &'p Pipelines,
    id: &EnvironmentId,
) -> anyhow::Result<(&'p Pipeline, &'p EnvironmentDefinition)> {
    let found = pipelines.get(&id.pipeline).zip(pipelines.environment(id));
    found.map(|(pipeline, environment)| (&**pipeline, &**environment)).ok_or_else(|| {
        let all: Vec<_> = pipelines.environments().map(|e| e.id.to_string()).collect();
        let all = all.join(", ");
        anyhow::anyhow!("there is no environment {id}; there are: {all} (`pointsman check` reads the files)")
    })
}

/// Every mistake of every file, or how many files are good.
pub fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let (settings, mut loaded) = read(args)?;
    let tokens = kept::read::<Token>(&settings.state)?;
    let found = loaded.pipelines.environments().flat_map(|environment| unable_approvers(environment, &tokens));
    let found: Vec<Mistake> = found.chain(loaded.pipelines.iter().flat_map(|p| unusable_secrets(p))).collect();
    loaded.mistakes.extend(found);
    loaded.mistakes.extend(unusable_provider(&settings, args, &loaded));
    let code = if loaded.mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        let told = loaded
            .mistakes
            .iter()
            .map(|m| json!({ "file": m.file, "line": m.line, "column": m.column, "message": m.text }));
        say(serde_json::Value::from_iter(told));
        return Ok(code);
    }
    if loaded.mistakes.is_empty() {
        let count = |n: usize, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let environments = loaded.pipelines.environments().count();
        say(format!("{}, {}: good", count(loaded.files, "file"), count(environments, "environment")));
        for environment in loaded.pipelines.environments() {
            show_hooks(environment);
            show_checks(environment);
            let cautions = front(environment).map(|front| front.cautions()).unwrap_or_default();
            for note in environment.stack.notes.iter().chain(&cautions) {
                say(format!("{}: mind that {note}", environment.id));
            }
        }
    }
    loaded.mistakes.iter().for_each(say);
    Ok(code)
}

/// Secrets that are there and are not what was meant. One that is not there may be so on the host of the controller.
fn unusable_secrets(pipeline: &Pipeline) -> Vec<Mistake> {
    let plain = pipeline.secrets.values().chain(pipeline.source.iter().filter_map(|source| source.password.as_ref()));
    let plain = plain.filter_map(|secret| source::read(secret).err()).map(keys::Error::from);
    let keys = pipeline.webhook.secrets.iter().filter_map(|key| keys::read_key(key).err());
    keys.chain(plain)
        .filter(keys::Error::is_of_the_content)
        .map(|why| Mistake::of_file(pipeline.file.display().to_string(), why.to_string()))
        .collect()
}

/// What can be said of the provider of `server.oidc` without asking it. What is not there may be so on the controller's host.
fn unusable_provider(settings: &Settings, args: &Args, loaded: &Loaded) -> Vec<Mistake> {
    let Some(oidc) = &settings.server.oidc else { return Vec::new() };
    let mut found = Vec::new();
    if let Err(why) = source::read(&oidc.secret)
        && why.is_of_the_content()
    {
        found.push(format!("`server.oidc.secret`: {why}"));
    }
    if let Some(ca) = oidc.ca.as_ref().filter(|ca| ca.exists()) {
        found.extend(oidc::check_ca(ca).err().map(|why| format!("`server.oidc.ca`: {why}")));
    }
    // With other files than those of the settings, or some that cannot be read, nobody can say what there is.
    if args.path.is_none() && loaded.mistakes.is_empty() {
        for (group, grants) in &oidc.mapping.groups {
            let named = grants.iter().filter_map(|grant| grant.only.as_ref()).flat_map(|only| only.iter());
            let unknown = named.filter(|scope| !loaded.pipelines.environments().any(|e| scope.holds(&e.id)));
            found.extend(unknown.map(|scope| {
                format!("`server.oidc.groups`: {group} has a grant for {scope}, and there is no such pipeline or environment")
            }));
        }
    }
    let file = args.config.as_deref().unwrap_or(Path::new(settings::FILE)).display().to_string();
    found.into_iter().map(|why| Mistake::of_file(&file, why)).collect()
}

/// Approvers who are named and whose token of this host does not let them approve.
fn unable_approvers(environment: &EnvironmentDefinition, tokens: &[Token]) -> Vec<Mistake> {
    let (plan, id) = (&environment.plan, &environment.id);
    let gates = [("before_provisioning", &plan.before_provisioning), ("before_cutover", &plan.before_cutover)];
    let mut found = Vec::new();
    for (gate, by) in gates.into_iter().filter_map(|(gate, terms)| Some((gate, &terms.as_ref()?.by))) {
        for token in tokens.iter().filter(|token| by.contains(&token.name)) {
            let (name, role) = (&token.name, token.role);
            let inside = token.only.as_ref().is_none_or(|only| only.iter().any(|scope| scope.holds(id)));
            let why = match (role >= Role::Approver, inside) {
                (true, true) => continue,
                (false, _) => format!("has the role {role}, which may not approve"),
                (true, false) => "is for other environments".to_owned(),
            };
            let what = format!("{name} is named in `approval.{gate}.by`, and their token {why}");
            let how = format!("`pointsman token revoke {name}`, then `pointsman token new {name} --role approver`");
            found.push(Mistake::of_file(id.to_string(), format!("{what}; make another: {how}")));
        }
    }
    found
}

/// The hooks in their order, and what they mean for a way back.
fn show_hooks(environment: &EnvironmentDefinition) {
    let hooks = environment.hooks.iter();
    let named: Vec<String> = hooks.clone().map(|hook| format!("{} ({})", hook.name, hook.at)).collect();
    if !named.is_empty() {
        say(format!("{}: hooks {}", environment.id, named.join(", ")));
    }
    for hook in hooks.clone() {
        if let Call::Command { words, .. } = &hook.call {
            let named = format!("hook {}", hook.name);
            variable_notes(&named, words).iter().for_each(|note| say(format!("  mind that {note}")));
        }
        if let Call::Command { words, folder, .. } = &hook.call
            && let Some(why) = words.first().and_then(|program| not_runnable(program, folder))
        {
            say(format!("  mind that hook {} fails on this host: {why}", hook.name));
        }
    }
    hooks.filter(|hook| hook.one_way).for_each(|hook| say(format!("  {}", no_way_back(&hook.name, ""))));
}

/// What a build could do with the commands of the checks that people may not expect.
fn show_checks(environment: &EnvironmentDefinition) {
    for check in &environment.checks.list {
        if let Kind::Command(command) = &check.kind {
            let words = command.words();
            let named = format!("the check `{}`", words.join(" "));
            let notes = variable_notes(&named, &words);
            notes.iter().for_each(|note| say(format!("{}: mind that {note}", environment.id)));
        }
    }
}

/// What a first deployment to an environment would do, step by step.
pub fn plan(args: &Args, id: &EnvironmentId, build: &Imagined) -> anyhow::Result<ExitCode> {
    let (settings, pipelines) = good(args)?;
    let (pipeline, environment) = described(&pipelines, id)?;
    let secrets = Secrets::existing(&settings.state, &pipelines);
    let (when, steps) = (when(pipeline, environment), steps(pipeline, environment, secrets.as_ref(), build.offline));
    let told = preview(&settings.state, &pipelines, (pipeline, environment), build)?;
    let code = if told.is_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if args.json {
        let steps = steps.iter().map(|step| json!({ "step": step.name, "what": step.what, "details": step.details }));
        let steps = steps.collect::<Vec<_>>();
        say(json!({ "environment": id, "when": when, "steps": steps, "preview": told.json() }));
        return Ok(code);
    }
    say(format!("{id}: when {when}"));
    for step in &steps {
        say(format!("  {:9} {}", step.name, step.what));
        step.details.iter().for_each(|detail| say(format!("            {detail}")));
    }
    told.lines().iter().for_each(say);
    Ok(code)
}

/// One thing that is done, in order.
struct Step {
    name: &'static str,
    what: String,
    details: Vec<String>,
}

fn when(pipeline: &Pipeline, environment: &EnvironmentDefinition) -> String {
    let before = pipeline.before(&environment.id).map_or_else(String::new, |e| format!(" from {}", e.id));
    match (environment.deploy, environment.promotion) {
        (DeployOn::Build, _) => "a build is announced".to_owned(),
        (DeployOn::Promotion, None) => format!("a person promotes a release{before}"),
        (DeployOn::Promotion, Some(rule)) if rule.after.0 == 0 => {
            format!("a release{before} was watched and found good, or a person promotes it")
        }
        (DeployOn::Promotion, Some(rule)) => {
            let after = format_duration(rule.after);
            format!("a release{before} was found good {after} ago, or a person promotes it")
        }
    }
}

fn steps(
    pipeline: &Pipeline,
    environment: &EnvironmentDefinition,
    secrets: Option<&Secrets>,
    offline: bool,
) -> Vec<Step> {
    let plan = &environment.plan;
    let driver = &environment.front.driver;
    let one = |name, what: String| Step { name, what, details: Vec::new() };
    let mut steps = Vec::new();
    let hooks = |point| environment.hooks.iter().filter(move |hook| hook.at == point).map(hook);
    steps.extend(plan.before_provisioning.as_ref().map(|g| one("approve", gate(g))));
    if let DefinitionSource::Git(path) = &environment.stack.definition {
        let from = pipeline.source.as_ref().map_or("the source repository", |source| source.git.as_str());
        steps.push(one("freeze", format!("{path} at the release's commit, read from {from}")));
    }
    if plan.strategy == Strategy::StopFirst {
        steps.extend(stop_first(environment));
    }
    steps.extend(hooks(HookPoint::BeforeProvisioning));
    steps.push(stand_up(pipeline, environment, secrets));
    steps.push(Step {
        name: "check",
        what: match environment.checks.list.len() {
            0 => "nothing: there are no checks, and a stack that is up counts as well".to_owned(),
            n => format!("{n} {}, {}", where_asked(environment), within(plan.check_within)),
        },
        details: environment.checks.list.iter().map(show_check).collect(),
    });
    let front = match environment.front.settings.get("listen") {
        Some(listen) => format!("the front \"{driver}\" at {}", listen.to_string().replace('"', "")),
        None => format!("the front \"{driver}\""),
    };
    let what = format!("{front} is told of {}-N, without users' traffic", environment.id);
    steps.push(Step { name: "stage", what, details: front_notes(environment, offline) });
    steps.extend(hooks(HookPoint::AfterChecks));
    steps.extend(plan.before_cutover.as_ref().map(|g| one("approve", gate(g))));
    steps.extend(hooks(HookPoint::BeforeCutover));
    steps.push(one("verify", format!("every check once more, {}", where_asked(environment))));
    steps.extend(plan.steps.iter().map(shift));
    steps.push(one("cut over", format!("{front} to {}-N, {}", environment.id, within(plan.cut_over_within))));
    steps.extend(hooks(HookPoint::AfterCutover));
    steps.push(one(
        "bake",
        format!("{}, then it counts; until then it goes back by itself", format_duration(plan.bake)),
    ));
    let stopped = if plan.strategy == Strategy::StopFirst { ", stopped," } else { "" };
    let (name, kept) = match plan.retain {
        Retain::None => ("retire", "the previous stack at once".to_owned()),
        Retain::UntilNext => ("keep", format!("the previous stack{stopped} until the next deployment is live")),
        Retain::For(length) => ("keep", format!("the previous stack{stopped} {}", format_duration(length))),
    };
    let (drain, retire) = (format_duration(plan.drain_within), within(plan.retire_within));
    let details = match plan.strategy {
        Strategy::StopFirst => vec![format!("then it is torn down, {retire}")],
        Strategy::SideBySide => vec![format!("its open requests may take {drain}; then it is torn down, {retire}")],
    };
    steps.push(Step { name, what: kept, details });
    steps.extend(hooks(HookPoint::OnRetire));
    steps.extend(hooks(HookPoint::OnRollback));
    steps
}

/// What is down while two stacks must not run, and for how long at most.
fn stop_first(environment: &EnvironmentDefinition) -> [Step; 2] {
    let plan = &environment.plan;
    let stops = plan.drain_within.plus(plan.retire_within);
    let deadlines = [stops, plan.provision_within, plan.check_within, plan.cut_over_within, plan.cut_over_within];
    let meanwhile = [HookPoint::BeforeProvisioning, HookPoint::AfterChecks, HookPoint::BeforeCutover];
    let hooks = environment.hooks.iter().filter(|hook| meanwhile.contains(&hook.at)).map(|hook| hook.timeout);
    let all = hooks.chain(deadlines).fold(Millis(0), Millis::plus);
    let asked = plan
        .before_cutover
        .as_ref()
        .map(|gate| format!(", and the approval before the cutover may take {} more", format_duration(gate.timeout)));
    let page = format!("users get the maintenance page of the front, {}", within(plan.cut_over_within));
    let held = environment.front.settings.contains_key("hold");
    let held = held.then(|| "the front holds their requests before, for as long as its `hold` says".to_owned());
    let stop = format!("what is live, {}; all of it is kept", within(stops));
    let down = vec![
        format!(
            "users are without the application from the page until the cutover: its deadlines are {} together{}",
            format_duration(all),
            asked.as_deref().unwrap_or("")
        ),
        "going back stops the new stack and starts this one: page, stop, start, check, cutover".to_owned(),
    ];
    [
        Step { name: "page", what: page, details: held.into_iter().collect() },
        Step { name: "stop", what: stop, details: down },
    ]
}

fn where_asked(environment: &EnvironmentDefinition) -> &'static str {
    if environment.checks.ask_the_front() { "at every endpoint or through the front" } else { "at every endpoint" }
}

/// A share of the users that the new stack gets before it gets all.
fn shift(step: &machine::Step) -> Step {
    let then = step.pause.as_ref().map(|pause| format!("; then {}", gate(pause))).unwrap_or_default();
    let what = format!("{} of the users, watched for {}{then}", step.share, format_duration(step.bake));
    Step { name: "shift", what, details: Vec::new() }
}

/// What is run besides, and what that means for a way back.
fn hook(hook: &HookDefinition) -> Step {
    let when = match hook.at {
        HookPoint::OnRollback => ", on rollback: when the traffic was sent back",
        HookPoint::OnRetire => ", on retire: when it is drained, before it is torn down",
        HookPoint::BeforeProvisioning | HookPoint::AfterChecks => "",
        HookPoint::BeforeCutover => ", right before the traffic moves",
        HookPoint::AfterCutover => ", once it is live and while it bakes",
    };
    let what = format!("{}{when}, {}: {}", hook.name, within(hook.timeout), hook.call.shown());
    let secrets = hook.secrets.iter().map(|(called, name)| format!("secret      {}", renamed(called, name)));
    let mut details: Vec<String> = secrets.collect();
    if hook.one_way {
        details.push(no_way_back(&hook.name, ""));
    }
    Step { name: "hook", what, details }
}

/// A secret by what it is called where it is used, and by its own name where that is another.
fn renamed(called: &str, name: &str) -> String {
    if called == name { name.to_owned() } else { format!("{called} is {name}") }
}

fn stand_up(pipeline: &Pipeline, environment: &EnvironmentDefinition, secrets: Option<&Secrets>) -> Step {
    let stack = &environment.stack;
    let mut details = vec![match &stack.definition {
        DefinitionSource::File(file) => format!("definition  {} (sha256 {})", file.path.display(), file.digest),
        DefinitionSource::Git(path) => format!("definition  git {path}@COMMIT, as it was frozen"),
    }];
    details.extend(stack.parameters.iter().map(|(name, value)| format!("parameter   {name} = {value:?}")));
    let build = match &pipeline.webhook.parameters {
        None => "any that the definition knows".to_owned(),
        Some(none) if none.is_empty() => "none".to_owned(),
        Some(some) => some.join(", "),
    };
    details.push(format!("from builds {build}"));
    for (called, name) in &stack.secrets {
        let place = match pipeline.secrets.get(name) {
            Some(SecretSource::File(path)) => format!("file {}", path.display()),
            Some(SecretSource::Env(variable)) => format!("variable {variable}"),
            None => "nowhere".to_owned(),
        };
        let fingerprint = match secrets.map(|secrets| secrets.fingerprint_now(&pipeline.name, name)) {
            Some(Ok(fingerprint)) => format!("fingerprint {fingerprint}"),
            Some(Err(why)) => why.to_string(),
            None => "its fingerprint is known once `serve` has run, to whoever may read the state folder".to_owned(),
        };
        details.push(format!("secret      {} from {place}: {fingerprint}", renamed(called, name)));
    }
    // Where secrets are kept may stand in it, but never one.
    details.extend(stack.settings.iter().map(|(key, value)| format!("{key:<11} {value}")));
    let what = format!("{}-N by \"{}\", {}", environment.id, stack.driver, within(environment.plan.provision_within));
    Step { name: "provision", what, details }
}

fn within(length: Millis) -> String {
    format!("within {}", format_duration(length))
}

fn gate(gate: &Gate) -> String {
    let who = match &*gate.by {
        [] => "anybody who may approve".to_owned(),
        some => some.join(" or "),
    };
    let but = if gate.not_the_asker { ", but not who asked for it" } else { "" };
    let otherwise = match gate.otherwise {
        Otherwise::Approve => "goes on",
        Otherwise::Abort => "is aborted",
    };
    format!("by {who}{but}; after {} it {otherwise}", format_duration(gate.timeout))
}

fn show_check(check: &Check) -> String {
    let what = match &check.kind {
        Kind::Http(http) => {
            let body = http.contains.iter().map(|text| format!(", a body with {text:?}"));
            let equals = http.equals.iter().map(|text| format!(", the body {text:?}"));
            let more: String = body.chain(equals).collect();
            let method = format!("{:?}", http.method).to_uppercase();
            let scheme = format!("{:?}", http.scheme).to_lowercase();
            let at = match check.via {
                Via::Stack => format!("{scheme}://ENDPOINT{}", http.path),
                Via::Front => format!("{} through the front's preview", http.path),
            };
            format!("{method} {at} answers {}{more}", http.status)
        }
        Kind::Tcp(_) => "ENDPOINT accepts a connection".to_owned(),
        Kind::Command(_) => "a command of this host ends with exit status 0".to_owned(),
    };
    let (every, timeout, grace) =
        (show_duration(check.every), show_duration(check.timeout), show_duration(check.grace));
    let (passes, fails) = (check.passes, check.fails);
    format!(
        "{what}: every {every}, each within {timeout}, {passes} in a row; {fails} failures end it, the first {grace} aside"
    )
}
