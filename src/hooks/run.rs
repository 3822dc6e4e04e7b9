//! The process of one run: takes the lock, records that it has begun, does it, records what came of it. It outlives the
//! controller; it ends at the hook's time limit, or when nobody waits for it any more.
//!
//! Must be run on the main thread, outside of any runtime: the kernel ends the program with the thread that started it.
//! Must write nothing down before the secrets are taken out.

use std::{
    future::pending,
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

use secrecy::{SecretString, zeroize::Zeroizing};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

use super::{
    call,
    folder::{Folder, Outcome},
    lines::Writer,
    order::{Job, Work},
    output::Output,
    redact::Redactor,
};
use crate::{clock::after, program::no_core_dump, text::format_duration};

/// How the process says that it has begun.
pub(super) const BEGUN: &str = "begun";
/// How often it looks whether somebody waits for it still.
const LOOK: Duration = Duration::from_millis(200);
/// How often, and with which pauses, it tries to take a lock that somebody may only have looked at.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);
/// How often, and with which pauses, it tries to write down what came of it, on a disk that is full.
const WRITES: u32 = 600;
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Runs the hook whose order comes with standard input, in this folder. Does nothing where it was begun before.
///
/// # Errors
/// When the folder cannot be written, or the order not be read.
pub fn run(folder: PathBuf) -> io::Result<()> {
    let begun = begin(Folder(folder));
    let mut out = io::stdout();
    // Whoever started us may be gone by now.
    let _ = match &begun {
        Ok(Some(_)) => writeln!(out, "{BEGUN}"),
        Ok(None) => Ok(()),
        Err(error) => writeln!(out, "{error}"),
    };
    let _ = out.flush();
    let Some((folder, job, _lock)) = begun? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tracing::info!("the hook begins; it may take {}", format_duration(job.limit));
        let outcome = carry_out(&folder, job).await;
        match &outcome.failed {
            None => tracing::info!("the hook succeeded"),
            Some(why) => tracing::warn!("the hook failed: {why}"),
        }
        for _ in 0..WRITES {
            match folder.end(&outcome) {
                Ok(()) => return Ok(()),
                Err(error) if folder.is_given_up() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "the outcome of the hook cannot be recorded; trying again");
                    after(WRITE_AGAIN).await;
                }
            }
        }
        folder.end(&outcome)
    })
}

/// The order, and the lock for as long as it runs.
fn begin(folder: Folder) -> io::Result<Option<(Folder, Job, std::fs::File)>> {
    // Fails only where it leads a session already.
    let _ = rustix::process::setsid();
    no_core_dump()?;
    let mut text = Zeroizing::new(Vec::new());
    io::stdin().read_to_end(&mut text)?;
    // The message of the reader might repeat what it read.
    let job =
        serde_json::from_slice(&text).map_err(|e| io::Error::other(format!("invalid order: column {}", e.column())))?;
    for _ in 0..TRIES {
        let Some(lock) = folder.lock()? else {
            std::thread::sleep(PAUSE);
            continue;
        };
        // Whoever had the lock before has begun it.
        if !folder.is_new()? {
            return Ok(None);
        }
        folder.begin()?;
        return Ok(Some((folder, job, lock)));
    }
    Ok(None)
}

async fn carry_out(folder: &Folder, job: Job) -> Outcome {
    let Job { limit, work, hidden } = job;
    let hidden: Vec<SecretString> = hidden.into_iter().map(SecretString::from).collect();
    let redactor = Redactor::of(&hidden);
    let output = Output::new(&redactor, Writer::new(&folder.0));
    let stop = stop(folder, Duration::from_millis(limit.0), format_duration(limit));
    match work {
        Work::Command(program) => call::command(&program, output, stop).await,
        Work::Http(request) => call::http(&request, output, stop).await,
    }
}

/// Returns when the run must end, with the reason.
async fn stop(folder: &Folder, limit: Duration, shown: String) -> String {
    let given_up = async {
        let mut look = interval(LOOK);
        while !folder.is_given_up() {
            look.tick().await;
        }
    };
    tokio::select! {
        () = after(limit) => format!("it was ended because its timeout of {shown} was over"),
        () = given_up => "it was ended because its deployment does not wait for it any more".to_owned(),
        () = told(SignalKind::terminate()) => "it was ended because this host told it to stop".to_owned(),
        () = told(SignalKind::interrupt()) => "it was ended because somebody interrupted it".to_owned(),
    }
}

async fn told(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => pending().await,
    }
}
