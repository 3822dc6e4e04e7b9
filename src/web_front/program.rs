//! Programs that drivers run: in a group of their own, without the controller's environment, for a bounded time. Must not
//! know what they are for.

use std::{fs::File, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// What of the controller's environment a program may see. Nothing else: it holds the controller's own secrets.
const PASSED_ON: [&str; 8] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "SSH_AUTH_SOCK"];
/// The most that is read of what a program or nginx says, in bytes.
const MOST: u64 = 1 << 20;
/// For the last words of a program that has ended: a connection that is kept may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a program is given to read.
pub(super) enum Input<'a> {
    /// An end.
    Nothing,
    /// This, and no end before its own.
    Text(&'a str),
    /// A file, which it holds open until it ends.
    File(File),
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(super) struct Ran {
    /// Exit status; none when it was killed.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The line that tells why: those before it are warnings.
    pub fn why(&self) -> String {
        let line = self.err.lines().map(str::trim).rfind(|line| !line.is_empty());
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).take(300).collect();
        line.map_or_else(|| format!("it ended with {:?} and said nothing", self.status), plain)
    }
}

/// Ends the whole group when the call is given up. Asked politely, so that it can
/// put things right.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// Runs a program to its end. An error says in words why there was none.
pub(super) async fn run(command: &mut Command, input: Input<'_>, limit: Duration) -> Result<Ran, String> {
    command.env_clear().envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (stdin, text) = match input {
        Input::Nothing => (Stdio::null(), ""),
        Input::Text(text) => (Stdio::piped(), text),
        Input::File(file) => (file.into(), ""),
    };
    command.stdin(stdin);
    let mut child = command.spawn().map_err(|error| format!("it can not be started: {error}"))?;
    // The child is reaped only below, so until then the number is its own.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let ran = timeout(limit, to_the_end(&mut child, text.as_bytes())).await;
    let ran = ran.map_err(|_| format!("no end within {} s", limit.as_secs_f32()))?;
    group.0 = None;
    ran.map_err(|error| error.to_string())
}

async fn to_the_end(child: &mut Child, input: &[u8]) -> std::io::Result<Ran> {
    let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let talk = async {
        let mut stdin = stdin;
        let feed = async {
            if let Some(stdin) = &mut stdin {
                // Who does not read it says why on its own.
                let _ = stdin.write_all(input).await;
                let _ = stdin.flush().await;
            }
        };
        // To some an end of the questions is the end of the talk, so it comes after the answers.
        tokio::join!(feed, read(&mut stdout, &mut out));
    };
    let work = async { tokio::join!(talk, read(&mut stderr, &mut err)) };
    let mut work = Box::pin(work);
    let status = tokio::select! {
        _ = &mut work => child.wait().await?,
        status = child.wait() => {
            let _ = timeout(LAST_WORDS, &mut work).await;
            status?
        }
    };
    drop(work);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { status: status.code(), out: text(out), err: text(err) })
}

async fn read(stream: &mut Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(stream) = stream {
        // What was read until it broke is worth having.
        let _ = stream.take(MOST).read_to_end(into).await;
    }
}
