//! A program of this host that looks at an endpoint; exit status 0 passes. Must not be run by a shell, and must not see
//! the controller's own environment.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::Signal;
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::Subject;
use crate::program::{Group, keep_the_end, passed_on};

/// The most of its output that is kept, in bytes.
const OUTPUT: usize = 8 << 10;

/// `command = ["./smoke", "--quick"]`: a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct CommandCheck {
    program: String,
    arguments: Vec<String>,
}

impl TryFrom<Vec<String>> for CommandCheck {
    type Error = String;
    fn try_from(mut words: Vec<String>) -> Result<Self, String> {
        if words.first().is_none_or(String::is_empty) {
            return Err("`command` is empty: name a program and its arguments, such as [\"/opt/smoke\", \"--quick\"]"
                .to_owned());
        }
        let program = words.remove(0);
        Ok(Self { program, arguments: words })
    }
}

impl CommandCheck {
    pub(super) async fn probe(&self, subject: &Subject, endpoint: SocketAddr, limit: Duration) -> Result<(), String> {
        let asked = format!("command {} for {endpoint}", self.program);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(passed_on(&["PATH", "HOME", "LANG", "TZ"]));
        command.env("POINTSMAN_ENDPOINT", endpoint.to_string()).env("POINTSMAN_VERSION", &subject.version);
        command.env("POINTSMAN_CHECKED_STACK", subject.stack.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{asked}: it can not be started: {error}"))?;
        let mut group = Group::of(&child, Signal::KILL);
        let stderr = child.stderr.take();
        // Read to the end first: who closes its errors before its end is still waited for.
        let work = async {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                keep_the_end(stderr, &mut said, OUTPUT).await;
            }
            (child.wait().await, said)
        };
        let Ok((status, said)) = timeout(limit, work).await else {
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
