//! `down`: ends fronts and process stacks of this installation, while no controller runs. Must not change the state file:
//! a controller that is started again starts all of it again.

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use super::{USAGE, ask, screen::say};
use crate::{
    installation,
    journal::{self, OpenError},
    settings::Settings,
    stacks,
    web_front::own_supervisor,
};

/// What is to be ended.
#[derive(clap::Args)]
pub struct Args {
    /// The controller's settings [default: pointsman.toml, or built-in defaults where there is none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Ends all that runs of this installation on this host.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let state = Settings::load(args.config.as_deref()).map_err(super::mistakes)?.state;
    let journal = state.join("journal");
    if !journal.is_dir() {
        bail!("there is no installation in {}: no state file; `--config FILE` names another one", state.display());
    }
    let _lock = journal::claim(&journal).map_err(|error| match error {
        OpenError::Locked { holder, .. } => anyhow::anyhow!(
            "the controller (process {holder}) runs and would start again what is ended; stop it first: `kill {holder}`"
        ),
        other => other.into(),
    })?;
    installation::is_at_home(&state, || stacks::elsewhere(&state.join("stacks")))?;
    let (fronts, made) = (fronts(&state)?, state.join("stacks"));
    let names = stacks::of_this_host(&made).with_context(|| format!("reading {}", made.display()))?;
    let program = std::env::current_exe().context("our own program cannot be found")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        if !args.yes
            && let Some(code) = agreed(fronts.len(), names.len()).await?
        {
            return Ok(code);
        }
        for (name, folder) in &fronts {
            own_supervisor::end(folder).await.with_context(|| format!("ending the front of {name}"))?;
            say(format!("front of {name}: ended"));
        }
        for name in &names {
            stacks::end(&made, &program, name).await.with_context(|| format!("ending the stack {name}"))?;
            say(format!("stack {name}: ended"));
        }
        say("Nothing of it runs on this host. `pointsman serve` starts all of it again.");
        Ok(ExitCode::SUCCESS)
    })
}

/// Folders of the fronts, with the environments that they are of.
fn fronts(state: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let root = state.join("fronts");
    let mut all = Vec::new();
    for pipeline in folders(&root).with_context(|| format!("reading {}", root.display()))? {
        for folder in folders(&pipeline).with_context(|| format!("reading {}", pipeline.display()))? {
            let name = folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
            all.push((name, folder));
        }
    }
    all.sort();
    Ok(all)
}

/// The folders in a folder; one that is not there has none.
fn folders(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// Asks a person. Without one the answer is no.
async fn agreed(fronts: usize, stacks: usize) -> anyhow::Result<Option<ExitCode>> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        super::complain("nothing was ended: there is no terminal to ask at; say --yes if this is what you want");
        return Ok(Some(ExitCode::from(USAGE)));
    }
    let question = format!("End {fronts} fronts and {stacks} stacks, so that users are served by nobody?");
    ask::agreed(question, "nothing was ended; `pointsman down` asks again").await
}
