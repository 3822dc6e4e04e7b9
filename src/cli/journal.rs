//! `journal verify` and `journal show`: the state file, without a controller.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;

use super::client::say;
use crate::{journal, settings::Settings};

/// What to do with the state file.
#[derive(Subcommand)]
pub enum Verb {
    /// Check every line and every sum
    Verify {
        /// Its folder [default: what pointsman.toml says]
        folder: Option<PathBuf>,
    },
    /// Print its lines
    Show {
        /// Its folder [default: what pointsman.toml says]
        folder: Option<PathBuf>,
    },
}

/// Does it.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let (Verb::Verify { folder } | Verb::Show { folder }) = &verb;
    let folder = match folder {
        Some(folder) => folder.clone(),
        None => Settings::load(None).map_err(super::mistakes)?.state.join("journal"),
    };
    if matches!(verb, Verb::Verify { .. }) {
        let found = journal::verify(&folder).map_err(|problem| anyhow::anyhow!("{problem}\n{}", problem.help()))?;
        say(format!("{} records of {} environments: good", found.records, found.environments));
        if let Some(torn) = found.torn {
            say(format!("the end of {} is torn: {} bytes, never acknowledged", torn.file, torn.bytes));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let names = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<_> = names.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    for file in files {
        say(fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
