//! One pipeline file: from text to a [`Pipeline`], or every mistake in it.

mod announced;
mod environment;
mod hooks;
mod programs;
mod secrets;
mod stack;
mod terms;
mod variables;

use std::path::{Path, PathBuf};

pub(crate) use programs::program;
pub(crate) use secrets::secret;
pub(super) use stack::unknown_parameter;

use self::{secrets::NamedSecrets, variables::Variables};
use super::{Pipeline, Registry, artifacts::Artifacts, keys};
use crate::{
    machine::Name,
    text::{did_you_mean, excerpt},
    toml_file::{Document, Mistake, Table, Value},
    web_front::Claim,
};

/// A pipeline as read, with the places that mistakes across files point at.
pub(super) struct Parsed {
    pub(super) pipeline: Pipeline,
    pub(super) places: Vec<Places>,
}

/// What a front needs for itself alone, and where its file says so.
type Claims = Vec<(Claim, (usize, usize))>;

/// Where in its file an environment says what must be unique among all files.
pub(super) struct Places {
    pub(super) name: (usize, usize),
    pub(super) claims: Claims,
}

/// What the reading of one file needs to know.
struct Reader<'a, 'd> {
    registry: &'a Registry,
    folder: PathBuf,
    pipeline: Option<Name>,
    variables: Variables<'d>,
    secrets: NamedSecrets<'d>,
    has_source: bool,
    /// Mistakes in other files that this one names.
    elsewhere: Vec<Mistake>,
}

/// Reads one file's text. What could be read is returned beside the mistakes, for checks across files.
pub(super) fn parse(registry: &Registry, path: &Path, text: &str) -> (Option<Parsed>, Vec<Mistake>) {
    let file = path.display().to_string();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name: Option<Name> = stem.parse().ok();
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let (document, root) = Document::parse(&file, text);
    let table = document.root(&root);
    let (parsed, elsewhere) = read(registry, &table, folder, name.clone());
    let mut mistakes = document.into_mistakes();
    mistakes.extend(elsewhere);
    if name.is_none() {
        let why = stem.parse::<Name>().err().map_or(stem, |e| e.to_string());
        mistakes.push(Mistake::of_file(&file, format!("the file's name is the pipeline's: {why}")));
    }
    let parsed = parsed.map(|mut parsed| {
        path.clone_into(&mut parsed.pipeline.file);
        parsed
    });
    (parsed, mistakes)
}

fn read(
    registry: &Registry,
    table: &Table<'_, '_>,
    folder: PathBuf,
    name: Option<Name>,
) -> (Option<Parsed>, Vec<Mistake>) {
    table.only(keys::FILE);
    let section = |key: &str| table.get(key).and_then(|v| v.table());
    let description = table.get("description").and_then(|v| v.text()).unwrap_or_default().to_owned();
    let roots = table.get("artifacts").and_then(|v| v.some_texts());
    let named = roots.is_some();
    let roots =
        roots.map_or_else(|| vec![folder.join("..")], |all| all.iter().map(|(root, _)| folder.join(root)).collect());
    let webhook = section("webhook").map(|t| announced::webhook(&t, &folder)).unwrap_or_default();
    let source = section("source").and_then(|t| announced::source(&t, &folder));
    let (variables, secrets) = (section("variables"), section("secrets"));
    let mut reader = Reader {
        registry,
        pipeline: name.clone(),
        variables: variables.as_ref().map(Variables::read).unwrap_or_default(),
        secrets: secrets.as_ref().map(|t| NamedSecrets::read(t, &folder)).unwrap_or_default(),
        has_source: table.get("source").is_some(),
        folder,
        elsewhere: Vec::new(),
    };
    let list = table.require("environments", "[[environments]]").and_then(|v| v.list()).unwrap_or_default();
    let environments: Vec<_> = list.iter().filter_map(|v| reader.environment(&v.table()?)).collect();
    if list.is_empty() {
        table.get("environments").inspect(|v| v.wrong("`environments` is empty; a pipeline needs one at least"));
    }
    environment::order(&list, &environments);
    if let (Some(entry), Some(list)) = (environments.first(), section("webhook").and_then(|t| t.get("parameters"))) {
        allowed_parameters(&entry.0.stack, &list);
    }
    if table.is_whole() {
        variables.inspect(|t| reader.variables.unused(t));
        secrets.inspect(|t| reader.secrets.unused(t));
    }
    let Some(name) = name else { return (None, reader.elsewhere) };
    let local = environments.iter().any(|(environment, _)| environment.stack.reads_this_host);
    let artifacts = Artifacts { roots, named, forbidden: Vec::new(), local };
    let (environments, places) = environments.into_iter().unzip();
    let secrets = reader.secrets.into_sources();
    let pipeline =
        Pipeline { name, description, file: PathBuf::new(), webhook, source, secrets, artifacts, environments };
    (Some(Parsed { pipeline, places }), reader.elsewhere)
}

/// What builds may set must mean something where they arrive.
fn allowed_parameters(stack: &super::StackDefinition, list: &Value<'_, '_>) {
    let Some(needs) = stack.file().and_then(|file| file.needs.as_ref()) else { return };
    for item in list.list().unwrap_or_default() {
        // A list that is wrong in itself was told before.
        if let Some(why) = item.as_text().and_then(|name| unknown_parameter(needs, name)) {
            item.wrong(&why);
        }
    }
}

/// How a key with a text is written.
fn example(key: &str, value: Option<&&str>) -> String {
    format!("{key} = \"{}\"", value.copied().unwrap_or("..."))
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

/// What was probably meant, or else what to know.
fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    did_you_mean(word, known).map_or_else(|| otherwise.to_owned(), |guess| format!("did you mean `{guess}`?"))
}

/// What variables and secrets may be called: what needs no quotes in TOML.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
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
