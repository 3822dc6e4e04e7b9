//! `journal verify`, `journal show` and `journal key`: the state file and evidence from it, without a controller.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::screen::say;
use crate::{
    evidence::{Key, PublicKey},
    installation, journal,
    settings::Settings,
};

/// What to do with the state file.
#[derive(Subcommand)]
pub enum Verb {
    /// Check every line and every sum, of the state file or of a file with evidence
    #[command(after_long_help = super::help::JOURNAL)]
    Verify {
        /// Where it is
        #[command(flatten)]
        place: Place,
        /// The key that signed the evidence, as `pointsman journal key` prints it on the controller's host
        #[arg(long, value_name = "KEY", requires = "folder")]
        key: Option<PublicKey>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Print its lines
    Show {
        /// Where it is
        #[command(flatten)]
        place: Place,
    },
    /// Print the public key with which this installation signs evidence
    Key {
        /// The settings [default: pointsman.toml]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Where it is.
#[derive(clap::Args)]
pub struct Place {
    /// Its folder, or a file with evidence [default: what the settings say]
    folder: Option<PathBuf>,
    /// The settings [default: pointsman.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    config: Option<PathBuf>,
}

/// Does it.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Verify { place, key, json } => match &place.folder {
            Some(file) if key.is_some() || file.is_file() => super::evidence::verify(file, key, json),
            Some(_) | None => verify(&place.folder()?, json),
        },
        Verb::Show { place } => show(&place.folder()?),
        Verb::Key { config } => {
            let state = Settings::load(config.as_deref()).map_err(super::mistakes)?.state;
            say(Key::existing(&state)?.public());
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Place {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        match &self.folder {
            Some(folder) => Ok(folder.clone()),
            None => Ok(Settings::load(self.config.as_deref()).map_err(super::mistakes)?.state.join("journal")),
        }
    }
}

fn show(folder: &Path) -> anyhow::Result<ExitCode> {
    let names = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<_> = names.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    for file in files {
        say(fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn help(folder: &Path, problem: &journal::Problem) -> String {
    if problem.newer() { super::way_back::from_newer(folder) } else { problem.help() }
}

fn verify(folder: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let verified = journal::verify(folder);
    // A journal that is gone, cut off or exchanged may read well; what stands beside it tells.
    let doubt = match &verified {
        Err(problem) if problem.line > 0 => None,
        Ok(_) | Err(_) => installation::doubt(folder),
    };
    let missing = verified.is_err() && !folder.exists();
    let missing = missing.then(|| {
        let path = folder.display();
        format!(
            "{path}: there is no such folder with a state file, and no such file with evidence; nothing was checked"
        )
    });
    let found = match (verified, doubt.or(missing)) {
        (Ok(_) | Err(_), Some(doubt)) if as_json => {
            say(json!({ "good": false, "problem": doubt, "help": doubt }));
            return Ok(ExitCode::FAILURE);
        }
        (Ok(_) | Err(_), Some(doubt)) => anyhow::bail!("{doubt}"),
        (Ok(found), None) => found,
        (Err(problem), None) if as_json => {
            say(json!({ "good": false, "problem": problem.to_string(), "help": help(folder, &problem) }));
            return Ok(ExitCode::FAILURE);
        }
        (Err(problem), None) if problem.newer() => anyhow::bail!("{problem}\n{}", help(folder, &problem)),
        (Err(problem), None) => anyhow::bail!("{problem}"),
    };
    if as_json {
        let torn = found.torn.as_ref().map(|torn| json!({ "file": torn.file, "bytes": torn.bytes }));
        say(json!({ "good": true, "records": found.records, "environments": found.environments, "torn": torn }));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("{} records of {} environments: good", found.records, found.environments));
    super::way_back::beside(folder).iter().for_each(say);
    if let Some(torn) = found.torn {
        say(format!("the end of {} is torn: {} bytes, never acknowledged", torn.file, torn.bytes));
    }
    Ok(ExitCode::SUCCESS)
}
