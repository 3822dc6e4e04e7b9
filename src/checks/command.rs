//! A program of this host that looks at an endpoint; exit status 0 passes. Must not be run by a shell, and must not see
//! the controller's own environment.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::Subject;
use crate::program::{Group, LAST_WORDS, keep_the_end, passed_on};

/// The most of its output that is kept, in bytes.
const OUTPUT: usize = 8 << 10;

/// `command = ["./smoke", "--quick"]`: a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct CommandCheck {
    program: String,
    arguments: Vec<String>,
    /// Where it runs: the folder of the file that has it. None: where the controller runs.
    folder: Option<PathBuf>,
}

impl TryFrom<Vec<String>> for CommandCheck {
    type Error = String;
    fn try_from(mut words: Vec<String>) -> Result<Self, String> {
        if words.first().is_none_or(String::is_empty) {
            return Err("`command` is empty: name a program and its arguments, such as [\"/opt/smoke\", \"--quick\"]"
                .to_owned());
        }
        let program = words.remove(0);
        Ok(Self { program, arguments: words, folder: None })
    }
}

impl CommandCheck {
    /// The same, run in that folder.
    pub(super) fn within(self, folder: &Path) -> Self {
        // Where the controller has no folder of its own any more, the name as it was given is the best there is.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self { folder: Some(folder), ..self }
    }

    /// The question, in words.
    pub(super) fn asked(&self) -> String {
        format!("command {}", self.program)
    }

    /// The program and its arguments.
    pub fn words(&self) -> Vec<String> {
        std::iter::once(&self.program).chain(&self.arguments).cloned().collect()
    }

    /// A program with `/` in it is found from the folder.
    fn found(&self) -> PathBuf {
        match &self.folder {
            Some(folder) if self.program.contains('/') => folder.join(&self.program),
            _ => PathBuf::from(&self.program),
        }
    }

    pub(super) async fn probe(&self, subject: &Subject, endpoint: SocketAddr, limit: Duration) -> Result<(), String> {
        let asked = format!("{} for {endpoint}", self.asked());
        let mut command = Command::new(self.found());
        self.folder.as_ref().map(|folder| command.current_dir(folder));
        command.args(&self.arguments).env_clear().envs(passed_on(&["PATH", "HOME", "LANG", "TZ"]));
        command.env("POINTSMAN_ENDPOINT", endpoint.to_string()).env("POINTSMAN_VERSION", &subject.version);
        command.env("POINTSMAN_CHECKED_STACK", subject.stack.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{asked}: it cannot be started: {error}"))?;
        let mut group = Group::of(&child, Signal::KILL);
        let stderr = child.stderr.take();
        let mut said = Vec::new();
        // Its own end counts, and not that of its output: what it leaves running may hold that open, such as the master
        // connection of an ssh.
        let work = async {
            let mut reading = Box::pin(async {
                if let Some(stderr) = stderr {
                    keep_the_end(stderr, &mut said, OUTPUT).await;
                }
            });
            tokio::select! {
                status = child.wait() => {
                    // What it said last is there by now, or never comes.
                    let _ = timeout(LAST_WORDS, reading).await;
                    status
                }
                () = &mut reading => child.wait().await,
            }
        };
        let Ok(status) = timeout(limit, work).await else {
            return Err(format!("{asked}: expected exit status 0, got none within {} ms", limit.as_millis()));
        };
        group.forget();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.chars().filter(|c| !c.is_control()).take(200).collect();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) if last.is_empty() => Err(format!("{asked}: expected exit status 0, got {status}")),
            Ok(status) => Err(format!("{asked}: expected exit status 0, got {status}: {last}")),
            Err(error) => Err(format!("{asked}: its end could not be read: {error}")),
        }
    }
}
