//! `import`: what a script of before was told becomes a pipeline. It reads files and writes new ones, never over what is
//! there; it executes nothing, connects to nothing, and no secret comes into a file that others may read.

mod profile;
mod shell;
mod template;

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use serde_json::json;

use self::{profile::Profile, template::Template};
use super::{
    init::{Draft, extras, make, quoted, unless_there},
    screen::say,
};
use crate::{machine::Name, random, settings::Settings};

/// What is imported.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// The parameter file of a script that deploys OpenStack stacks
    ///
    /// Reads shell assignments (OS_*, STACK_*, SCRIPT_HOME, LOCAL_SETTINGS_PY_SRC, EXTRA_SSH_KEYS, WEB_FRONT_*) without
    /// running anything, and writes a pipeline of Heat stacks behind a front that the script's own command repoints.
    #[command(after_long_help = super::help::IMPORT)]
    OpenstackProfile(Args),
}

/// Arguments of `import`: the profile, and what it does not say.
#[derive(clap::Args)]
pub struct Args {
    /// The file with the assignments
    file: PathBuf,
    /// The application's name: a-z, 0-9 and '-' [default: STACK_PREFIX, as far as it is one]
    #[arg(long)]
    name: Option<Name>,
    /// The environment
    #[arg(long, default_value = "live")]
    environment: Name,
    /// The HOT template [default: deploy.yaml in SCRIPT_HOME]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The port at which a stack serves
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The path that answers 200 when a stack is well
    #[arg(long, value_name = "PATH", default_value = "/")]
    check: String,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What to do where something of it is there already.
const OTHERWISE: &str = "for another environment of it, import into another folder and move its [[environments]] over \
    (docs/moving-from-a-script.md, step 5); for another application, choose another --name";

/// Reads, writes, checks, and says what is left to do.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::OpenstackProfile(args) = verb;
    let settings = Settings::load(None).map_err(super::mistakes)?;
    let (drafts, notes) = drafts(&args, &settings.pipelines)?;
    unless_there(&drafts, OTHERWISE)?;
    let drafts = drafts.into_iter().chain(extras(&settings.pipelines)).collect();
    let (written, known) = make(drafts, &settings.pipelines, &settings.state)?;
    if args.json {
        say(json!({ "written": written, "notes": notes }));
    } else {
        written.iter().for_each(|path| say(format!("written: {}", path.display())));
        notes.iter().for_each(|note| say(format!("note: {note}")));
        say(
            "\nNext: read the pipeline, then `pointsman check`, `pointsman plan`, `pointsman serve`, and in a second terminal \
             `pointsman adopt` for the stack that is live today (docs/moving-from-a-script.md)",
        );
    }
    if known.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(super::mistakes(known)) }
}

fn read(file: &Path) -> anyhow::Result<Profile> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let folder = std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    let read = shell::read(&text).and_then(|variables| profile::read(&variables, &folder));
    read.map_err(|found| {
        let lines: Vec<_> = found.iter().map(|(line, why)| format!("{}:{line}: {why}", file.display())).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

/// What will be written, and what is to be known about it.
fn drafts(args: &Args, pipelines: &Path) -> anyhow::Result<(Vec<Draft>, Vec<String>)> {
    let mut profile = read(&args.file)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let prefix = profile.prefix.clone().unwrap_or_default().to_ascii_lowercase().replace('_', "-");
            let prefix = prefix.trim_matches('-').parse();
            prefix.ok().context("STACK_PREFIX cannot be made the name of an application: write --name")?
        }
    };
    let source = args.template.clone().unwrap_or_else(|| profile.home.join("deploy.yaml"));
    let text = fs::read_to_string(&source)
        .with_context(|| format!("the template {} cannot be read: say --template", source.display()))?;
    let template = template::read(&text).map_err(|why| anyhow::anyhow!("{}: {why}", source.display()))?;
    let made = Made { args, name: &name, id: format!("{name}-{}", args.environment) };
    let folder = pipelines.parent().unwrap_or(Path::new("")).join("stacks/heat").join(&made.id);
    let settings = settings(&profile, &template);
    let (definition, mut notes) = made.definition(&template, settings.as_ref())?;
    let draft = |path, text, secret| Draft { path, text, secret };
    let mut drafts = made.beside(&profile, &template, &source, &folder, settings.as_ref())?;
    drafts.push(draft(folder.join("deploy.yaml"), text, false));
    drafts.push(draft(folder.join("stack.toml"), definition, false));
    let (parameters, more) = fitted(&profile, &template, settings.as_ref());
    notes.extend(more);
    notes.extend(dropped(&profile, &template, settings.as_ref()));
    let key = format!("{}\n", random::hex_of(32).context("the system has no random numbers")?);
    drafts.push(draft(pipelines.join(format!("secrets/{name}.key")), key, true));
    let kept = format!("secrets/{}.openstack", made.id);
    match &profile.password {
        Some(secret) => drafts.push(draft(pipelines.join(&kept), format!("{}\n", secret.expose_secret()), true)),
        None => notes.push(format!("the profile has no password: put it into {}", pipelines.join(&kept).display())),
    }
    drafts.push(draft(
        pipelines.join(format!("{name}.toml")),
        made.pipeline(&profile, &parameters, &kept, settings.is_some())?,
        false,
    ));
    notes.append(&mut profile.notes);
    notes.push(format!("cutovers run ./change_proxy.sh by ssh as {}: see that ssh asks for nothing", profile.front));
    Ok((drafts, notes))
}

/// How the template takes the file with secrets.
enum Taken {
    /// A file that `get_file` takes, under this name.
    File(String),
    /// The hidden parameter [`SETTINGS`].
    Parameter,
}

/// What the secret is called, and the hidden parameter for it.
const SETTINGS: &str = "local_settings";

fn settings(profile: &Profile, template: &Template) -> Option<Taken> {
    let source = profile.local_settings.as_ref()?;
    let names = [source.file_name()?.to_str()?, "local_settings.py"];
    let file = template.files.iter().find(|file| names.iter().any(|name| Path::new(file).ends_with(name)));
    let parameter = || template.hidden.contains(SETTINGS).then_some(Taken::Parameter);
    file.cloned().map(Taken::File).or_else(parameter)
}

/// Whether a file of the template's is the one with further keys.
fn holds_keys(keys: &Path, name: &str) -> bool {
    keys.file_name() == Path::new(name).file_name() || Path::new(name).ends_with("extra_ssh_keys.pub")
}

/// The files of the profile that the template has no place for.
fn dropped(profile: &Profile, template: &Template, settings: Option<&Taken>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(path) = profile.local_settings.as_ref().filter(|_| settings.is_none()) {
        notes.push(format!(
            "LOCAL_SETTINGS_PY_SRC is left out: the template neither takes {} by get_file nor has a hidden parameter {SETTINGS}",
            path.file_name().unwrap_or_default().to_string_lossy()
        ));
    }
    let keys = profile.extra_keys.as_ref();
    if keys.is_some_and(|keys| !template.files.iter().any(|name| holds_keys(keys, name))) {
        notes.push("EXTRA_SSH_KEYS is left out: the template does not take extra_ssh_keys.pub by get_file".to_owned());
    }
    notes
}

/// `stack.parameters`, and what could not be fitted.
fn fitted(profile: &Profile, template: &Template, settings: Option<&Taken>) -> (Vec<String>, Vec<String>) {
    let (mut parameters, mut notes, mut wanted) = (Vec::new(), Vec::new(), template.wanted.clone());
    for (names, variable, value) in &profile.values {
        match names.iter().find(|name| template.parameters.contains(**name)) {
            Some(name) => {
                wanted.remove(*name);
                parameters.push(format!("{name} = {}", quoted(value)));
            }
            None => notes.push(format!("{variable} is left out: the template has no parameter {}", names.join(" or "))),
        }
    }
    wanted.retain(|name| !["version", "artifact"].contains(&name.as_str()));
    if matches!(settings, Some(Taken::Parameter)) {
        wanted.remove(SETTINGS);
    }
    notes.extend(wanted.iter().map(|name| match template.hidden.contains(name) {
        true => format!(
            "the template wants {name}, which is hidden: name where it is kept in [secrets] of the pipeline, hand it over with \
             stack.secrets, and say {name} = {{ parameter = \"{name}\" }} in [secrets] of stack.toml"
        ),
        false => format!("the template wants {name}: add it to stack.parameters"),
    }));
    (parameters, notes)
}

/// Files that are made of a profile.
struct Made<'a> {
    args: &'a Args,
    name: &'a Name,
    id: String,
}

impl Made<'_> {
    fn definition(&self, template: &Template, settings: Option<&Taken>) -> anyhow::Result<(String, Vec<String>)> {
        let output = ["instance_ip", "address", "server_ip", "ip"].into_iter().find(|o| template.outputs.contains(*o));
        let outputs = template.outputs.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let output = output.with_context(|| {
            format!(
                "the template says nowhere where its stack serves: give it an output instance_ip; it has: {outputs}"
            )
        })?;
        let mut text = format!(
            "# What a release of {} runs as: the template beside this file.\n\ntemplate = \"deploy.yaml\"\n\
             endpoints = {{ output = \"{output}\", port = {} }}\n",
            self.id, self.args.port
        );
        let known: Vec<_> = ["version", "artifact"].into_iter().filter(|p| template.parameters.contains(*p)).collect();
        if !known.is_empty() {
            text += "\n[parameters]\n";
        }
        known.iter().for_each(|p| text += &format!("{p} = \"{{{p}}}\"\n"));
        match settings {
            Some(Taken::File(file)) => text += &format!("\n[secrets]\n{SETTINGS} = {{ file = {} }}\n", quoted(file)),
            Some(Taken::Parameter) => text += &format!("\n[secrets]\n{SETTINGS} = {{ parameter = \"{SETTINGS}\" }}\n"),
            None => {}
        }
        let says_not_which = known.is_empty();
        let note = "the template takes neither version nor artifact: every release installs whatever it finds";
        Ok((text, says_not_which.then(|| note.to_owned()).into_iter().collect()))
    }

    /// The files that the template names, but for the one that is a secret.
    fn beside(
        &self,
        profile: &Profile,
        template: &Template,
        source: &Path,
        folder: &Path,
        secret: Option<&Taken>,
    ) -> anyhow::Result<Vec<Draft>> {
        let from = source.parent().unwrap_or(Path::new(""));
        let one = |name: &String| {
            let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || name.contains("://") {
                bail!("the template takes {name:?}, which is not beside it: move it there");
            }
            let keys = profile.extra_keys.as_ref().filter(|keys| holds_keys(keys, name));
            let path = keys.cloned().unwrap_or_else(|| from.join(name));
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{}, which the template takes, cannot be read", path.display()))?;
            Ok(Draft { path: folder.join(name), text, secret: false })
        };
        let is_secret = |name: &&String| matches!(secret, Some(Taken::File(file)) if file == *name);
        template.files.iter().filter(|name| !is_secret(name)).map(one).collect()
    }

    fn pipeline(&self, profile: &Profile, parameters: &[String], kept: &str, secret: bool) -> anyhow::Result<String> {
        let mut cloud: Vec<_> = profile.cloud.iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
        cloud.push(format!("secret = {{ file = {} }}", quoted(kept)));
        let (secrets, names) = match &profile.local_settings {
            Some(path) if secret => {
                fs::metadata(path).with_context(|| format!("LOCAL_SETTINGS_PY_SRC: {}", path.display()))?;
                let path = quoted(&path.display().to_string());
                (format!("[secrets]\nlocal_settings = {{ file = {path} }}\n\n"), "secrets = [\"local_settings\"]\n")
            }
            _ => (String::new(), ""),
        };
        Ok(include_str!("pipeline.toml")
            .replace("@NAME@", self.name.as_str())
            .replace("@DESCRIPTION@", &quoted(self.name.as_str()))
            .replace("@SECRETS@\n", &secrets)
            .replace("@ENVIRONMENT@", &quoted(self.args.environment.as_str()))
            .replace("@DEFINITION@", &quoted(&format!("../stacks/heat/{}/stack.toml", self.id)))
            .replace("@HANDED@\n", names)
            .replace("@CLOUD@", &cloud.join(", "))
            .replace("@PARAMETERS@", &parameters.join(", "))
            .replace("@FRONT@", &quoted(&profile.front))
            .replace("@CHECK@", &quoted(&self.args.check)))
    }
}

#[cfg(test)]
mod tests;
