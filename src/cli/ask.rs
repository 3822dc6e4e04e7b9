//! Questions to whoever sits at a terminal, and Ctrl-C as an answer. Must not decide anything.

use std::{io::Write, process::ExitCode, thread};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{USAGE, complain, follow::INTERRUPTED};

/// Asks, and says what is so when the answer is not yes.
///
/// # Errors
/// When the terminal cannot be read.
///
/// Returns the exit code where the answer is no, or Ctrl-C.
pub(super) async fn agreed(question: String, otherwise: &str) -> anyhow::Result<Option<ExitCode>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("hearing Ctrl-C")?;
    let terminal = std::io::stdin();
    let settings = rustix::termios::tcgetattr(&terminal).ok();
    let (tell, told) = oneshot::channel();
    // It ends with the process where it is not answered: nothing can stop who reads from a terminal.
    thread::spawn(move || {
        let asked = dialoguer::Confirm::new().with_prompt(question).default(false).interact();
        // Nobody waits for it any more.
        let _ = tell.send(asked);
    });
    let answer = tokio::select! {
        answer = told => answer.context("asking at the terminal")?,
        _ = interrupt.recv() => Err(dialoguer::Error::IO(std::io::ErrorKind::Interrupted.into())),
    };
    match answer {
        Ok(true) => Ok(None),
        Ok(false) => {
            complain(otherwise);
            Ok(Some(ExitCode::from(USAGE)))
        }
        Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
            if let Some(settings) = settings {
                // As it was, with the cursor shown, in a line of its own; a terminal that is gone needs none of it.
                let _ = rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &settings);
            }
            let _ = writeln!(std::io::stderr(), "\u{1b}[?25h");
            complain(otherwise);
            Ok(Some(ExitCode::from(INTERRUPTED)))
        }
        Err(error) => Err(error).context("asking at the terminal"),
    }
}
