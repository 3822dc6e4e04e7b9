//! One pipeline file: from text to a [`Pipeline`], or every mistake in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    DeployOn, EnvironmentDefinition, FrontDefinition, Pipeline, Registry, SecretSource, StackDefinition, Webhook,
    frozen::digest,
};
use crate::{
    checks::{Check, Checks},
    machine::{EnvironmentId, Gate, Millis, Name, Otherwise, Plan, Retain},
    text::{did_you_mean, excerpt},
    toml_file::{Document, Mistake, Table, Value},
};

/// The largest stack definition, in bytes.
const LARGEST_DEFINITION: u64 = 256 << 10;

/// A pipeline as read, with the places that mistakes across files point at.
pub(super) struct Parsed {
    pub(super) pipeline: Pipeline,
    pub(super) places: Vec<Places>,
}

/// Where a front listens, and where its file says so.
type Listen = Option<(String, (usize, usize))>;

/// Where in its file an environment says what must be unique among all files.
pub(super) struct Places {
    pub(super) name: (usize, usize),
    pub(super) listen: Listen,
}

/// What the reading of one file needs to know.
struct Reader<'a> {
    registry: &'a Registry,
    folder: PathBuf,
    pipeline: Option<Name>,
    /// Mistakes in other files that this one names.
    elsewhere: Vec<Mistake>,
}

/// Reads one file's text. What could be read is returned beside the mistakes, for checks across files.
pub(super) fn parse(registry: &Registry, path: &Path, text: &str) -> (Option<Parsed>, Vec<Mistake>) {
    let file = path.display().to_string();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name: Option<Name> = stem.parse().ok();
    let (document, root) = Document::parse(&file, text);
    let table = document.root(&root);
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut reader = Reader { registry, folder, pipeline: name.clone(), elsewhere: Vec::new() };

    table.only(&["description", "webhook", "environments"]);
    let description = table.get("description").and_then(|v| v.text()).unwrap_or_default().to_owned();
    let webhook = table.get("webhook").and_then(|v| v.table()).map(|t| reader.webhook(&t)).unwrap_or_default();
    let list = table.require("environments", "[[environments]]").and_then(|v| v.list()).unwrap_or_default();
    let environments: Vec<_> = list.iter().filter_map(|v| reader.environment(&v.table()?)).collect();
    if list.is_empty() {
        table.get("environments").inspect(|v| v.wrong("`environments` is empty; a pipeline needs one at least"));
    }
    order_of_environments(&list, &environments);

    let mut mistakes = document.into_mistakes();
    mistakes.extend(reader.elsewhere);
    let Some(name) = name else {
        let why = format!(
            "the file's name is the pipeline's: {}",
            stem.parse::<Name>().err().map_or(stem, |e| e.to_string())
        );
        mistakes.push(Mistake::of_file(file, why));
        return (None, mistakes);
    };
    let (environments, places) = environments.into_iter().unzip();
    let pipeline = Pipeline { name, description, file: path.to_owned(), webhook, source: None, environments };
    (Some(Parsed { pipeline, places }), mistakes)
}

/// The first environment takes the builds, the others what was live before them; no name stands twice.
fn order_of_environments(list: &[Value<'_, '_>], environments: &[(Arc<EnvironmentDefinition>, Places)]) {
    if list.len() != environments.len() {
        return;
    }
    for (place, (value, (environment, _))) in list.iter().zip(environments).enumerate() {
        let Some(table) = value.table() else { continue };
        let deploy = |text: &str| table.get("deploy").inspect(|v| v.wrong(text)).is_none();
        match (place, environment.deploy) {
            (0, DeployOn::Promotion) => {
                deploy("the first environment has none before it to promote from; write `deploy = \"on-build\"`");
            }
            (1.., DeployOn::Build) => {
                deploy(
                    "only the first environment takes builds and numbers their releases; write `deploy = \"on-promotion\"`",
                );
            }
            _ => {}
        }
        if environments.iter().take(place).any(|(other, _)| other.id == environment.id) {
            let name = &environment.id.environment;
            table.get("name").inspect(|v| {
                v.wrong(&format!("there is an environment \"{name}\" already; each needs a name of its own"))
            });
        }
    }
}

impl Reader<'_> {
    fn webhook(&self, table: &Table<'_, '_>) -> Webhook {
        table.only(&["secrets"]);
        let example = "secrets = [{ file = \"secrets/name.key\" }]";
        let list = table.require("secrets", example).and_then(|v| v.list()).unwrap_or_default();
        let secrets = list.iter().filter_map(|value| secret(value, &self.folder)).collect();
        Webhook { secrets, ..Webhook::default() }
    }

    fn environment(&mut self, table: &Table<'_, '_>) -> Option<(Arc<EnvironmentDefinition>, Places)> {
        table.only(&[
            "name",
            "deploy",
            "stack",
            "front",
            "bake",
            "retain",
            "drain",
            "watch",
            "deadlines",
            "approval",
            "checks",
        ]);
        let name_value = table.require("name", "name = \"live\"");
        let name = name_value.as_ref().and_then(|v| v.parsed(str::parse::<Name>));
        let words = [("on-build", DeployOn::Build), ("on-promotion", DeployOn::Promotion)];
        let deploy = table.require("deploy", "deploy = \"on-build\"").and_then(|v| v.word(&words));
        let example = "stack = { driver = \"process\", definition = \"../stacks/process/NAME.toml\" }";
        let stack = table.require("stack", example).and_then(|v| self.stack(&v.table()?));
        let front_value = table.require("front", "front = { driver = \"builtin\", listen = \"127.0.0.1:8080\" }");
        let front = front_value.as_ref().and_then(|v| self.front(&v.table()?));
        let checks = table.get("checks").and_then(|v| v.list()).unwrap_or_default();
        let checks = Checks { list: checks.iter().filter_map(check).collect() };
        let plan = Arc::new(plan(table));
        let watch = table.get("watch").and_then(|v| v.some_duration()).unwrap_or(Millis(10_000));
        let (pipeline, environment) = (self.pipeline.clone()?, name?);
        let (front, listen) = front?;
        let definition = EnvironmentDefinition {
            id: EnvironmentId { pipeline, environment },
            deploy: deploy?,
            stack: stack?,
            front,
            checks,
            plan,
            watch: Duration::from_millis(watch.0),
        };
        Some((Arc::new(definition), Places { name: name_value?.place(), listen }))
    }

    fn stack(&mut self, table: &Table<'_, '_>) -> Option<StackDefinition> {
        table.only(&["driver", "definition", "parameters"]);
        let driver = table.require("driver", "driver = \"process\"");
        let driver = driver.and_then(|v| known_driver(&v, &self.registry.stack_names(), "stack"));
        let value = table.require("definition", "definition = \"../stacks/process/NAME.toml\"")?;
        let parameters = table.get("parameters").and_then(|v| v.table()).map(|t| parameters(&t)).unwrap_or_default();
        let path = self.folder.join(value.full_text()?);
        let text = read_definition(&path).map_err(|why| value.wrong(&why)).ok()?;
        let driver = driver?;
        if let Err(found) = self.registry.check_stack(&driver, &text) {
            self.elsewhere.extend(found.into_iter().map(|text| placed(&path, &text)));
        }
        let digest = digest(&text);
        Some(StackDefinition { driver, path, text: text.into(), digest, parameters })
    }

    fn front(&self, table: &Table<'_, '_>) -> Option<(FrontDefinition, Listen)> {
        let driver = table.require("driver", "driver = \"builtin\"")?;
        let driver = known_driver(&driver, &self.registry.front_names(), "front")?;
        let settings = table.plain(&["driver"]);
        if let Err(found) = self.registry.check_front(&driver, &settings, &self.folder) {
            for text in found {
                // A message that begins with a key of the table is shown at that key.
                let path = text.trim_start_matches('`');
                let key = path
                    .strip_prefix("front.")
                    .unwrap_or(path)
                    .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
                    .next();
                match key.and_then(|key| table.get(key)) {
                    Some(value) => value.wrong(&text),
                    None => table.wrong(&text),
                }
            }
        }
        let listen = table.get("listen").and_then(|v| Some((settings.get("listen")?.as_str()?.to_owned(), v.place())));
        Some((FrontDefinition { driver, settings, folder: self.folder.clone() }, listen))
    }
}

fn check(value: &Value<'_, '_>) -> Option<Check> {
    let check = value.table()?.plain(&[]).try_into::<Check>();
    check.map_err(|error| value.wrong(&format!("this check: {}", error.message().trim()))).ok()
}

fn known_driver(value: &Value<'_, '_>, known: &[&str], kind: &str) -> Option<String> {
    let name = value.text()?;
    if known.contains(&name) {
        return Some(name.to_owned());
    }
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(guess) => format!("did you mean \"{guess}\"?"),
        None => format!("there are: {}", known.join(", ")),
    };
    value.wrong(&format!("there is no {kind} driver \"{}\"; {hint}", excerpt(name)));
    None
}

/// A place where a secret is kept: `{ file = "..." }` or `{ env = "..." }`, never the secret itself.
pub(crate) fn secret(value: &Value<'_, '_>, folder: &Path) -> Option<SecretSource> {
    const SHAPE: &str =
        "a secret is not written here, only where it is kept: `{ file = \"...\" }` or `{ env = \"...\" }`";
    if !value.is_table() {
        value.wrong(SHAPE);
        return None;
    }
    let table = value.table()?;
    table.only(&["file", "env"]);
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => Some(SecretSource::File(folder.join(file.full_text()?))),
        (None, Some(name)) => Some(SecretSource::Env(name.full_text()?.to_owned())),
        _ => {
            value.wrong(SHAPE);
            None
        }
    }
}

fn parameters(table: &Table<'_, '_>) -> BTreeMap<Arc<str>, Arc<str>> {
    table.entries().filter_map(|(name, value)| Some((name.into(), value.text()?.into()))).collect()
}

fn plan(table: &Table<'_, '_>) -> Plan {
    let mut plan = Plan::default();
    let set = |table: &Table<'_, '_>, key: &str, place: &mut Millis| {
        if let Some(length) = table.get(key).and_then(|v| v.duration()) {
            *place = length;
        }
    };
    set(table, "bake", &mut plan.bake);
    set(table, "drain", &mut plan.drain_within);
    if let Some(value) = table.get("retain") {
        plan.retain = retain(&value).unwrap_or(plan.retain);
    }
    if let Some(deadlines) = table.get("deadlines").and_then(|v| v.table()) {
        deadlines.only(&["provision", "check", "cutover", "retire"]);
        let set = |key: &str, place: &mut Millis| {
            if let Some(length) = deadlines.get(key).and_then(|v| v.some_duration()) {
                *place = length;
            }
        };
        set("provision", &mut plan.provision_within);
        set("check", &mut plan.check_within);
        set("cutover", &mut plan.cut_over_within);
        set("retire", &mut plan.retire_within);
    }
    if let Some(approval) = table.get("approval").and_then(|v| v.table()) {
        approval.only(&["before_provisioning", "before_cutover"]);
        let gate = |key| approval.get(key).and_then(|v| gate(&v.table()?));
        (plan.before_provisioning, plan.before_cutover) = (gate("before_provisioning"), gate("before_cutover"));
    }
    plan
}

fn retain(value: &Value<'_, '_>) -> Option<Retain> {
    match value.text()? {
        "none" => Some(Retain::None),
        "until-next" => Some(Retain::UntilNext),
        text => match crate::text::parse_duration(text) {
            Ok(length) if length.0 > 0 => Some(Retain::For(length)),
            Ok(_) => {
                value.wrong("`retain` is nothing; write \"none\" if the previous stack shall not be kept");
                None
            }
            Err(_) => {
                let is = excerpt(text);
                value.wrong(&format!(
                    "`retain` is \"{is}\"; accepted: \"none\", \"until-next\" or a length of time such as \"30m\""
                ));
                None
            }
        },
    }
}

fn gate(table: &Table<'_, '_>) -> Option<Gate> {
    table.only(&["timeout", "otherwise"]);
    let timeout = table.require("timeout", "timeout = \"6h\"").and_then(|v| v.some_duration());
    let words = [("approve", Otherwise::Approve), ("abort", Otherwise::Abort)];
    let otherwise = table.require("otherwise", "otherwise = \"abort\"").and_then(|v| v.word(&words));
    Some(Gate { timeout: timeout?, otherwise: otherwise?, by: Vec::new(), not_the_asker: false })
}

fn read_definition(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map(|m| m.len());
    let name = path.display();
    if length.is_ok_and(|length| length > LARGEST_DEFINITION) {
        return Err(format!("the stack definition {name} is larger than {LARGEST_DEFINITION} bytes"));
    }
    fs::read_to_string(path).map_err(|cause| {
        format!("the stack definition {name} can not be read: {cause}; paths are meant from the folder of this file")
    })
}

/// A mistake in another file, whose text may begin with `line:column: `.
fn placed(path: &Path, text: &str) -> Mistake {
    let file = path.display().to_string();
    let mut parts = text.splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    if let (Some(line), Some(column)) = (number(), number())
        && let Some(rest) = parts.next()
    {
        return Mistake { file, line, column, text: rest.trim_start().to_owned() };
    }
    Mistake::of_file(file, text)
}
