//! A program of this host that looks at an endpoint; exit status 0 passes. Must not be run by a shell, and must not see
//! the controller's own environment.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use super::Subject;

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

/// Ends the whole group when the probe is over, however it is over.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // Gone already is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl CommandCheck {
    pub(super) async fn probe(&self, subject: &Subject, endpoint: SocketAddr, limit: Duration) -> Result<(), String> {
        let asked = format!("command {} for {endpoint}", self.program);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command
            .envs(["PATH", "HOME", "LANG", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("POINTSMAN_ENDPOINT", endpoint.to_string()).env("POINTSMAN_VERSION", &subject.version);
        command.env("POINTSMAN_CHECKED_STACK", subject.stack.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("{asked}: it can not be started: {error}"))?;
        // The child is reaped only below, so until then the number is its own.
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let stderr = child.stderr.take();
        // Read to the end first: who closes its errors before its end is still waited for.
        let work = async {
            let said = read(stderr).await;
            (child.wait().await, said)
        };
        let Ok((status, said)) = timeout(limit, work).await else {
            return Err(format!("{asked}: expected exit status 0, got none within {} ms", limit.as_millis()));
        };
        group.0 = None;
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

/// All is read, so that it does not block; the end is kept.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(OUTPUT);
        kept.drain(..surplus);
    }
    kept
}
