//! nginx's host, this one or another over ssh: runs the script there that does all the work, and connects to what nginx
//! says about itself. Must not know what is done.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use super::{super::SEEN, settings::Settings, ssh::Ssh, words};
use crate::{
    program::{Input, Ran, run},
    stacks::StepError,
};

const SCRIPT: &str = include_str!("host.sh");
/// The line by which the script tells that it has begun.
const BEGUN: &str = "@pointsman@\n";
/// The most that is read of what nginx says, in bytes.
const MOST: u64 = 1 << 20;
/// How often a connection is tried that breaks for no known reason.
const TRIES: usize = 3;

/// Where nginx runs.
pub(super) struct Host {
    ssh: Option<Ssh>,
    settings: Settings,
}

impl Host {
    pub(super) fn new(settings: &Settings, ssh: Option<Ssh>) -> Self {
        Self { ssh, settings: settings.clone() }
    }

    /// Whether it is this one.
    pub(super) fn is_here(&self) -> bool {
        self.ssh.is_none()
    }

    /// Runs one verb of the script. Its output begins where the script began: login scripts may have spoken before.
    pub(super) async fn script(&self, verb: &str, arguments: &[&str], and_nginx: bool) -> Result<Ran, StepError> {
        let settings = &self.settings;
        let mut words = vec![verb, settings.include.as_str(), settings.folder.as_str()];
        words.extend(arguments);
        if and_nginx {
            words.extend(settings.nginx.iter().map(String::as_str));
        }
        let text = whole(&words);
        let Some(ssh) = &self.ssh else {
            let ran = run(Command::new("sh").arg("-s"), &SEEN, Input::Text(&text), settings.timeouts.command).await;
            let ran = ran.map_err(|why| StepError::Unavailable(format!("sh: {why}")))?;
            return from_its_beginning(ran).map_err(|ran| words::never_began(settings, &ran));
        };
        let limit = settings.timeouts.command + settings.timeouts.connect;
        let mut tries = 1;
        loop {
            let ran = run(&mut ssh.run("sh -s").await, &SEEN, Input::Text(&text), limit).await;
            match ssh.understood(ran) {
                Err(StepError::Unavailable(_)) if tries < TRIES => tries += 1,
                Err(why) => return Err(why),
                Ok(ran) => return from_its_beginning(ran).map_err(|ran| words::never_began(settings, &ran)),
            }
        }
    }

    /// All that whoever listens at this address there answers to this request. `Err(None)`: nobody listens there.
    pub(super) async fn ask(&self, address: SocketAddr, request: &str) -> Result<Vec<u8>, Option<StepError>> {
        let limit = self.settings.timeouts.connect;
        let broken = |why: String| Some(StepError::Unavailable(format!("nginx's read-back at {address}: {why}")));
        let Some(ssh) = &self.ssh else {
            let talk = async {
                let mut stream = TcpStream::connect(address).await.map_err(|_| None)?;
                stream.write_all(request.as_bytes()).await.map_err(|e| broken(e.to_string()))?;
                let mut answer = Vec::new();
                let read = stream.take(MOST).read_to_end(&mut answer).await;
                read.map_err(|e| broken(e.to_string())).map(|_| answer)
            };
            let late = |_| broken("no answer in time".to_owned());
            return timeout(limit, talk).await.map_err(late)?;
        };
        let ran = run(&mut ssh.connect(address).await, &SEEN, Input::Text(request), limit * 2).await;
        // ssh says with its own exit status that the other side could not connect.
        if ran.as_ref().is_ok_and(|ran| ran.out.is_empty() && super::ssh::nobody_listens(&ran.err)) {
            return Err(None);
        }
        ssh.understood(ran).map(|ran| ran.out.into_bytes()).map_err(Some)
    }
}

/// The script with these words as its arguments, in one command: a shell that has not read its end runs none of it, so a
/// connection that breaks cannot cut it short. It is read by `sh`, whatever shell the user has.
fn whole(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    format!("{{\nset -- {}\n{SCRIPT}}} </dev/null\n", quoted.join(" "))
}

/// What the script itself said; an error is all that was said where it never began.
fn from_its_beginning(ran: Ran) -> Result<Ran, Ran> {
    let after = |text: &str| {
        let at = if text.starts_with(BEGUN) { Some(0) } else { text.find(&format!("\n{BEGUN}")).map(|at| at + 1) };
        at.map(|at| text[at + BEGUN.len()..].to_owned())
    };
    match after(&ran.out) {
        Some(out) => Ok(Ran { status: ran.status, out, err: after(&ran.err).unwrap_or(ran.err) }),
        None => Err(ran),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Output, Stdio},
    };

    use super::*;

    fn sh(text: &str) -> Output {
        let mut child = Command::new("sh")
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that has seen enough closes its end first.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    }

    #[test]
    fn nothing_is_run_of_a_script_that_was_cut_short_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (include, place) = (at("etc/it's $(x).conf"), at("state"));
        let text = whole(&["farewell", &include, &place, "raise"]);
        let end = text.rfind('}').unwrap();
        for length in (0..end).step_by(97).chain([end - 1, end]) {
            let done = sh(&text[..length]);
            assert!(done.stdout.is_empty(), "{length} of {end}: {done:?}");
        }
        let done = sh(&text);
        assert!(done.status.success() && done.stdout == BEGUN.as_bytes(), "{done:?}");
    }

    #[test]
    fn what_login_scripts_say_is_left_away() {
        let ran = |out: &str, err: &str| Ran { status: Some(0), out: out.to_owned(), err: err.to_owned() };
        let noisy = ran("Welcome!\n@pointsman@\nnone\n@pointsman@\n", "stty: no\n@pointsman@\nwhy");
        let ours = from_its_beginning(noisy).unwrap();
        assert_eq!((ours.out.as_str(), ours.err.as_str()), ("none\n@pointsman@\n", "why"));
        assert!(from_its_beginning(ran("This account is currently not available.\n", "")).is_err());
    }
}
