//! ssh, through the operator's own program: their configuration, known hosts, keys, agent and jump hosts hold here as in
//! their shell. It never asks anything, and no shell of ours sees host or path. Must not outlive its use.

use std::process::Stdio;

use bytes::Bytes;
use git2::Oid;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use super::{
    Error,
    address::SshAddress,
    patience::Patience,
    protocol::{Chunks, Greeting, Packets, Sink, Tip, Upstream, greeting, receive, request},
};

/// The most that is kept of what the program complains about.
const COMPLAINT: usize = 4096;

pub(super) struct Ssh<'a> {
    child: Child,
    stdin: Option<ChildStdin>,
    packets: Packets<'a, Pipe<'a>>,
    patience: &'a Patience,
    greeting: Option<Greeting>,
}

impl<'a> Ssh<'a> {
    /// Starts `program`, the words of the command that is ssh.
    pub fn start(program: &[String], to: &SshAddress, patience: &'a Patience) -> Result<Self, Error> {
        let (name, more) = program.split_first().ok_or(Error::Interrupted)?;
        let mut command = Command::new(name);
        let connect = patience.limits.connect.as_secs().max(1);
        command.args(more).args(["-a", "-x", "-T", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o"]);
        command.arg(format!("ConnectTimeout={connect}"));
        to.port.map(|port| command.arg("-p").arg(port.to_string()));
        to.user.as_ref().map(|user| command.arg("-l").arg(user));
        command.arg("--").arg(&to.host).arg(format!("git-upload-pack {}", quoted(&to.path)));
        command.env_remove("GIT_PROTOCOL").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = patience.wait(async { command.spawn() })?;
        let mut child = started.map_err(|error| patience.unreachable(&format!("{name} does not start: {error}")))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = (stdout.ok_or(Error::Interrupted)?, stderr.ok_or(Error::Interrupted)?);
        let pipe = Pipe { stdout, stderr: Some(stderr), said: Vec::new(), patience };
        Ok(Self { child, stdin, packets: Packets::of(pipe, patience), patience, greeting: None })
    }
}

/// As git quotes it: for any shell of the other side.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'"))
}

impl Upstream for Ssh<'_> {
    fn tips(&mut self) -> Result<Vec<Tip>, Error> {
        let greeting = self.greeting.insert(greeting(&mut self.packets)?);
        Ok(greeting.tips.clone())
    }

    fn pack(&mut self, wants: &[Oid], haves: &[Oid], sink: &mut Sink<'_>) -> Result<(), Error> {
        let greeting = self.greeting.take().ok_or(Error::Interrupted)?;
        let request = request(&greeting, wants, haves, self.patience)?;
        let mut stdin = self.stdin.take().ok_or(Error::Interrupted)?;
        let written = self.patience.wait(async { stdin.write_all(&request).await })?;
        written.map_err(|error| self.patience.broken(format!("the connection was cut ({error})")))?;
        receive(&mut self.packets, sink)
    }
}

impl Drop for Ssh<'_> {
    fn drop(&mut self) {
        // With what it started itself, such as a jump host's connection. While it is not waited for, its id is its own.
        if let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.patience.finish(self.child.wait());
    }
}

struct Pipe<'a> {
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    said: Vec<u8>,
    patience: &'a Patience,
}

impl Pipe<'_> {
    /// The next bytes of its output, or none at the end; its complaints are read along, so that they never block it.
    async fn read(&mut self) -> std::io::Result<Bytes> {
        let (mut output, mut said) = (vec![0; 32 << 10], vec![0; 1024]);
        loop {
            let complaints = async {
                match &mut self.stderr {
                    Some(stderr) => stderr.read(&mut said).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = self.stdout.read(&mut output) => {
                    output.truncate(read?);
                    return Ok(output.into());
                }
                read = complaints => match read {
                    Ok(length @ 1..) => {
                        let room = COMPLAINT.saturating_sub(self.said.len()).min(length);
                        self.said.extend_from_slice(&said[..room]);
                    }
                    _ => self.stderr = None,
                },
            }
        }
    }

    async fn last_words(&mut self) {
        if let Some(stderr) = self.stderr.take() {
            let _ = stderr.take(COMPLAINT as u64).read_to_end(&mut self.said).await;
        }
    }

    /// Why it ended before it was done, as far as ssh and the other side say it.
    fn ended(&self) -> Error {
        let said = String::from_utf8_lossy(&self.said);
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        // The last line is the cause; those before it are banners and warnings.
        let why = crate::text::excerpt(said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no word"));
        if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            return self
                .patience
                .unreachable("its host key is not the known one; add it to known_hosts if it is right");
        }
        if has(&["Permission denied", "Too many authentication failures"]) {
            return self.patience.refused(why);
        }
        if has(&["not appear to be a git repository", "ot found", "does not exist"]) {
            return Error::NoRepository(self.patience.place.clone());
        }
        if has(&["Could not resolve", "connect to", "onnection closed", "onnection refused", "timed out", "kex_"]) {
            return self.patience.unreachable(&why);
        }
        self.patience.broken(format!("ssh ended: {why}"))
    }
}

impl Chunks for Pipe<'_> {
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let patience = self.patience;
        let read = patience.wait(self.read())?.unwrap_or_default();
        if !read.is_empty() {
            return Ok(Some(read));
        }
        patience.wait(self.last_words())?;
        Err(self.ended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_any_shell() {
        assert_eq!(quoted("/srv/shop.git"), "'/srv/shop.git'");
        assert_eq!(quoted("/a'b!; touch x"), "'/a'\\''b'\\!'; touch x'");
    }
}
