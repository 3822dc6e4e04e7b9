//! Starts a process of a stack: its command, environment and limits, from definition and release.
//!
//! Must not keep or show the value of a secret. `exec` is the small program between whoever starts a command and the
//! command: it gives it its signals back, limits itself, ties its life to its parent's where that is wanted, and becomes it.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};

use super::{
    definition::{Definition, Limits, SecretVariable},
    family,
    folder::Spec,
    handed::Handed,
    identity::{INSTALLATION, INSTANCE, Mark, OF_STACK, PLACE},
    life::Life,
    output::Output,
    ports,
    supervisor::Shared,
    template,
};
use crate::{signals, text::line_end};

/// How the last words of a process begin that never became the command.
pub(super) const CANNOT_START: &str = "cannot start ";

/// What of the controller's environment its stacks see. Nothing else: it holds the controller's own secrets.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR"];

/// The part of our own environment that processes of stacks get.
pub(super) fn passed_on() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    PASSED_ON.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))
}

/// A command with all placeholders filled.
pub(super) struct Filled {
    pub(super) arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    working_folder: Option<PathBuf>,
}

/// Fills the placeholders for one instance.
///
/// # Errors
/// The first that has no value.
pub(super) fn fill(
    definition: &Definition,
    spec: &Spec,
    instance: usize,
    endpoint: SocketAddr,
    folder: &Path,
) -> Result<Filled, String> {
    let value = |name: &str| value_of(name, definition, spec, instance, endpoint, folder);
    let arguments = definition.command.iter().map(|part| template::expand(part, value)).collect::<Result<_, _>>()?;
    let variables = definition.environment.iter();
    let environment =
        variables.map(|(k, v)| Ok((k.clone(), template::expand(v, value)?))).collect::<Result<_, String>>()?;
    let working_folder = definition.working_folder.as_ref().map(|text| template::expand(text, value)).transpose()?;
    Ok(Filled { arguments, environment, working_folder: working_folder.map(PathBuf::from) })
}

fn value_of(
    name: &str,
    definition: &Definition,
    spec: &Spec,
    instance: usize,
    endpoint: SocketAddr,
    folder: &Path,
) -> Result<String, String> {
    let release = &spec.release;
    Ok(match name {
        "port" => endpoint.port().to_string(),
        "address" => endpoint.ip().to_string(),
        "version" => release.version.to_string(),
        "artifact" => release.artifact.to_string(),
        "release" => release.number.to_string(),
        "commit" => release.commit.as_deref().unwrap_or_default().to_owned(),
        "instance" => instance.to_string(),
        "stack" => spec.name.to_string(),
        "folder" => folder.display().to_string(),
        "pointsman" => own_program()?,
        _ => {
            let name = name.strip_prefix("parameters.").unwrap_or(name);
            let given = release.parameters.get(name).map(|value| value.to_string());
            given.or_else(|| definition.parameters.get(name).cloned()).ok_or_else(|| {
                format!("{{parameters.{name}}} has no value: give `{name}` in the pipeline's stack.parameters, or a default in [parameters] of the definition")
            })?
        }
    })
}

/// Our own program. After an upgrade in place the old one is marked as deleted; the new one is where it was.
fn own_program() -> Result<String, String> {
    let path = env::current_exe().map_err(|error| format!("our own program cannot be found: {error}"))?;
    let path = path.to_string_lossy();
    Ok(path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned())
}

/// Starts an instance, in a process group of its own. Returns it with its output.
///
/// # Errors
/// Says in one sentence why it could not even be tried.
pub(super) fn start(shared: &Shared, instance: usize) -> Result<(Life, Output), String> {
    let Shared { folder, spec, definition, handed, .. } = shared;
    let endpoint = *spec.endpoints.get(instance).ok_or("it has no address")?;
    ports::can_listen(endpoint).map_err(|error| match family::listener(endpoint) {
        Some(other) => {
            format!("nothing can listen on {endpoint}: {error} by process {} ({})", other.pid, family::name(other.pid))
        }
        None => format!("nothing can listen on {endpoint}: {error}"),
    })?;
    spec.artifact_is_the_same()?;
    let filled = fill(definition, spec, instance, endpoint, &folder.0)?;
    // The very program that we are, even where its file was replaced.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("pointsman").arg("stack-exec");
    let Limits { memory, files, processes, .. } = &definition.limits;
    for (option, limit) in [("--memory", memory), ("--files", files), ("--processes", processes)] {
        if let Some(limit) = limit {
            command.args([option, &limit.to_string()]);
        }
    }
    command.arg("--").args(filled.arguments);
    command.env_clear().envs(passed_on()).envs(filled.environment).envs(secrets(definition, handed)?);
    command.envs(marks(&spec.mark)).env(INSTANCE, instance.to_string());
    command.current_dir(working_folder(filled.working_folder, spec, &folder.0)?);
    let piped = Output::new(shared, instance);
    let (output, [out, err]) = piped.map_err(|error| format!("its output cannot be read: {error}"))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let child = command.spawn().map_err(|error| format!("it could not be started: {error}"))?;
    let life = Life::of(child).map_err(|error| format!("it cannot be watched: {error}"))?;
    Ok((life, output))
}

fn marks(mark: &Mark) -> [(&'static str, &str); 3] {
    [(OF_STACK, &mark.stack), (INSTALLATION, &mark.installation), (PLACE, &mark.place)]
}

fn secrets(definition: &Definition, handed: &Handed) -> Result<Vec<(String, String)>, String> {
    let read = |(name, variable): (&String, &SecretVariable)| {
        let value = match variable {
            SecretVariable::File(file) => {
                let mut text = fs::read_to_string(file)
                    .map_err(|error| format!("the secret {name} cannot be read from {file}: {error}"))?;
                text.truncate(text.len() - line_end(text.as_bytes()));
                text
            }
            SecretVariable::Handed(secret) => handed
                .value(secret)
                .ok_or_else(|| format!("{name} is to be the secret {secret}, which was not handed over"))?
                .to_owned(),
        };
        Ok((name.clone(), value))
    };
    definition.secrets.iter().map(read).collect()
}

/// Where it says; else where the artifact is, if that is a folder; else a folder of the stack's own.
fn working_folder(given: Option<PathBuf>, spec: &Spec, folder: &Path) -> Result<PathBuf, String> {
    if let Some(given) = given {
        let there = given.is_dir();
        return there
            .then_some(given.clone())
            .ok_or_else(|| format!("its working folder {} is not there", given.display()));
    }
    let artifact = Path::new(spec.release.artifact.as_ref());
    if artifact.is_absolute() && artifact.is_dir() {
        return Ok(artifact.to_owned());
    }
    let own = folder.join("work");
    fs::create_dir_all(&own).map_err(|error| format!("{} cannot be made: {error}", own.display()))?;
    Ok(own)
}

/// What the program between the supervisor and the command is told.
#[derive(Debug)]
pub struct Exec {
    /// The process whose end ends it too, if there is one.
    pub parent: Option<i32>,
    /// Bytes of private memory.
    pub memory: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Processes and threads of its user.
    pub processes: Option<u64>,
    /// The command, never empty.
    pub command: Vec<String>,
}

/// Becomes the command. Returns only when that did not work, with the reason.
pub fn exec(exec: &Exec) -> String {
    let Some((program, arguments)) = exec.command.split_first() else {
        return format!("{CANNOT_START}nothing: the command is empty");
    };
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{CANNOT_START}{program}: {what}{error}");
    if let Err(error) = signals::give_back() {
        return failed("its signals cannot be set to their defaults: ", &error);
    }
    if let Some(parent) = exec.parent {
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            return failed(&format!("its life cannot be tied to that of process {parent}: "), &error);
        }
        if getppid() != Pid::from_raw(parent) {
            return failed("", &"whoever started it is gone");
        }
    }
    for (resource, limit, name) in [
        (Resource::Data, exec.memory, "memory"),
        (Resource::Nofile, exec.files, "open files"),
        (Resource::Nproc, exec.processes, "processes"),
    ] {
        let Some(limit) = limit else { continue };
        // What we may not raise stays where it is.
        let most = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }) {
            return failed(&format!("its limit of {name} cannot be set: "), &error);
        }
    }
    let error = Command::new(program).args(arguments).exec();
    let folder = env::current_dir().map_or_else(|_| "?".to_owned(), |path| path.display().to_string());
    let place = if program.contains('/') { format!(" (in {folder})") } else { " (looked for in PATH)".to_owned() };
    failed("", &format!("{error}{place}"))
}
