//! `evidence`: a file about one deployment; and what `journal verify` says of such a file, without a controller.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{
    client::Server,
    follow::refused,
    screen::{harmless, say},
};
use crate::{
    evidence::{self, Proven, PublicKey},
    machine::EnvironmentId,
};

/// The longest file that is read as a bundle, in bytes: one of 100,000 records is shorter.
const LONGEST: u64 = 256 << 20;

/// Arguments of `evidence`.
#[derive(Args)]
#[group(skip)]
pub struct Evidence {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The number of the deployment
    number: u32,
    /// The file to write; it must not be there yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the evidence.
pub async fn evidence(server: &Server, request: &Evidence) -> anyhow::Result<ExitCode> {
    let Evidence { environment, number, output } = request;
    let connection = server.connect()?;
    let bundle = match connection.file(&format!("/v1/deployments/{environment}/{number}/evidence")).await {
        Ok(bundle) => bundle,
        Err(error) => return refused(server, error.into()),
    };
    let Some(path) = output else {
        std::io::stdout().write_all(&bundle).context("writing to standard output")?;
        return Ok(ExitCode::SUCCESS);
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(&bundle)?;
        file.sync_all()
    });
    written.with_context(|| format!("writing {}; name another file", path.display()))?;
    let shown = path.display();
    say(if server.json {
        json!({ "deployment": format!("{environment}/{number}"), "file": path, "bytes": bundle.len() }).to_string()
    } else {
        format!("{shown}: {} bytes; check it with `pointsman journal verify {shown}`", bundle.len())
    });
    Ok(ExitCode::SUCCESS)
}

/// Checks a file with evidence, and says what it shows and what it does not.
pub(super) fn verify(file: &Path, trusted: Option<PublicKey>, as_json: bool) -> anyhow::Result<ExitCode> {
    let bundle = read(file)?;
    let proven = match evidence::verify(&bundle, trusted) {
        Ok(proven) => proven,
        Err(broken) if as_json => {
            say(json!({ "good": false, "problem": broken.to_string() }));
            return Ok(ExitCode::FAILURE);
        }
        Err(broken) => anyhow::bail!("{}: {broken}; it proves nothing: ask for it again", file.display()),
    };
    if as_json {
        say(json!({
            "good": true, "deployment": proven.deployment, "installation": proven.installation,
            "key": proven.key.to_string(), "key_is_trusted": trusted.is_some(), "made": proven.made, "by": proven.by,
            "records": proven.lines, "between": proven.between, "first": proven.first, "last": proven.last,
            "newest": proven.newest, "whole": proven.whole, "definition": proven.definition,
            "approved_by": proven.approved_by,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    words(&proven, trusted.is_some()).iter().for_each(|line| say(harmless(line)));
    Ok(ExitCode::SUCCESS)
}

/// Reads the file, if it is not longer than any bundle.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("reading {}", file.display());
    let mut bundle = Vec::new();
    File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bundle)).with_context(reading)?;
    let size = bundle.len() as u64;
    anyhow::ensure!(
        size <= LONGEST,
        "{} is longer than {} MiB: it is not a bundle of evidence",
        file.display(),
        LONGEST >> 20
    );
    Ok(bundle)
}

fn words(proven: &Proven, trusted: bool) -> Vec<String> {
    let Proven { deployment, made, by, installation, key, lines, between, first, last, newest, .. } = proven;
    let mut all = vec![
        format!("{deployment}: good"),
        format!(
            "{lines} records of this deployment, {first} to {last} of the journal, and the checksums of {between} others between them"
        ),
        format!("made at {made} for {by} by installation {installation}, when record {newest} was the newest"),
    ];
    if !proven.approved_by.is_empty() {
        all.push(format!("approved by {}", proven.approved_by.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    if !proven.whole {
        all.push(
            "older records of this deployment were no longer in the journal: how it began is not shown".to_owned(),
        );
    }
    if !proven.tied {
        all.push("the checksum of the first record could not be checked: the one before it was gone; the signature holds for it".to_owned());
    }
    if !proven.definition {
        all.push("the text of the stack definition is not in it; the records hold its SHA-256".to_owned());
    }
    all.push(format!("signed with {key}"));
    all.push(if trusted {
        "It proves: whoever has this key has signed these records, and nothing was changed, left out or swapped since.".to_owned()
    } else {
        "Compare this key with what `pointsman journal key` prints on the controller's host, or name that one with `--key`: only \
         then it proves that the records are those of that installation, and that nothing was changed, left out or swapped since."
            .to_owned()
    });
    all.push(
        "It does not prove that what was recorded is true, nor what the other records say: who can write the state folder can \
         write another journal. A backup of the journal shows whether these records and checksums stand in it."
            .to_owned(),
    );
    all
}
