//! ssh, through the operator's own program: their keys, agent and jump hosts hold here as in their shell. It never asks
//! anything and takes no unknown host key. One connection is kept for a while and shared. Must not know what is run.

use std::{
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::settings::SshSettings;
use crate::{program::Ran, stacks::StepError};

/// How long a connection without use is kept.
const KEPT: &str = "60";
/// The name of the socket by which it is shared, in a folder that only we may enter.
const SOCKET: &str = "ssh";
/// The exit status of ssh for failures of its own.
const ITS_OWN: i32 = 255;

/// The way to one host.
pub(super) struct Ssh {
    settings: SshSettings,
    folder: PathBuf,
    connect: Duration,
}

impl Ssh {
    /// `folder` is the front's own, below the state folder.
    pub fn new(settings: SshSettings, folder: &Path, connect: Duration) -> Self {
        Self { settings, folder: folder.to_owned(), connect }
    }

    /// Runs these words there, as one command for whatever shell the user has.
    pub fn run(&self, words: &[&str]) -> Command {
        let mut command = self.command();
        let line: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        command.arg("-T").arg("--").arg(&self.settings.host).arg(format!("exec {}", line.join(" ")));
        command
    }

    /// Connects its input and output to an address there.
    pub fn connect(&self, to: SocketAddr) -> Command {
        let mut command = self.command();
        command.arg("-W").arg(to.to_string()).arg("--").arg(&self.settings.host);
        command
    }

    fn command(&self) -> Command {
        let settings = &self.settings;
        let mut command = Command::new("ssh");
        // A path of a socket may not be long, and the folder's may be: it is named from there.
        command.current_dir(&self.folder);
        if let Some(file) = &settings.config {
            command.arg("-F").arg(file);
        }
        command.args(["-a", "-x"]);
        let mut option = |text: &str| {
            command.arg("-o").arg(text);
        };
        // A host that is gone is noticed, also by the connection that is kept.
        for text in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=2",
            "ControlMaster=auto",
        ] {
            option(text);
        }
        option(&format!("ConnectTimeout={}", self.connect.as_secs().max(1)));
        option(&format!("ControlPath={SOCKET}"));
        option(&format!("ControlPersist={KEPT}"));
        if let Some(file) = &settings.known_hosts {
            option(&format!("UserKnownHostsFile={}", in_quotes(file)));
            option("GlobalKnownHostsFile=none");
        }
        if let Some(key) = &settings.key {
            option(&format!("IdentityFile={}", in_quotes(key)));
            option("IdentitiesOnly=yes");
        }
        settings.user.as_ref().map(|user| command.arg("-l").arg(user));
        settings.port.map(|port| command.arg("-p").arg(port.to_string()));
        command
    }

    /// Tells failures of ssh from those of what it ran, in one sentence with what to do.
    pub fn understood(&self, ran: Result<Ran, String>) -> Result<Ran, StepError> {
        let host = &self.settings.host;
        let ran = ran.map_err(|why| StepError::Unavailable(format!("ssh to {host}: {why}")))?;
        if ran.status != Some(ITS_OWN) {
            return Ok(ran);
        }
        let has = |words: &[&str]| words.iter().any(|word| ran.err.contains(word));
        let why = ran.why();
        let known = || self.settings.known_hosts.as_ref().map_or("known_hosts".into(), |f| f.display().to_string());
        if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            return Err(StepError::Refused(format!(
                "the host key of {host} is not the one in {}: if the host was set up anew, put its new key there; if it \
                 was not, somebody else answers in its place",
                known()
            )));
        }
        if has(&["Host key verification failed", "host key is known for"]) {
            return Err(StepError::Refused(format!(
                "the host key of {host} is in no {}: look it up on the host and add it there",
                known()
            )));
        }
        if has(&["Permission denied", "Too many authentication failures"]) {
            return Err(StepError::Refused(format!(
                "{host} does not let us in by ssh ({why}): add the public key to the user's authorized_keys there, or \
                 name the right `user` and `key`"
            )));
        }
        Err(StepError::Unavailable(format!("{host} can not be reached by ssh: {why}")))
    }
}

/// Whether ssh says that it got to the host, and that nothing listens at the address there.
pub(super) fn nobody_listens(said: &str) -> bool {
    said.contains("Stdio forwarding request failed: Session open refused")
        || said.contains("open failed: connect failed")
}

/// One word for any shell of the other side.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// One word for ssh's configuration.
fn in_quotes(path: &Path) -> String {
    format!("\"{}\"", String::from_utf8_lossy(path.as_os_str().as_bytes()).replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("/etc/nginx/x.conf"), "'/etc/nginx/x.conf'");
        assert_eq!(quoted("a'b; $(touch x)\n"), "'a'\\''b; $(touch x)\n'");
    }

    #[test]
    fn what_ssh_says_is_said_in_one_sentence_with_what_to_do() {
        let settings =
            SshSettings { host: "web1".into(), user: None, port: None, key: None, known_hosts: None, config: None };
        let ssh = Ssh::new(settings, Path::new("/s"), Duration::from_secs(1));
        let says = |err: &str| {
            ssh.understood(Ok(Ran { status: Some(255), out: String::new(), err: err.to_owned() })).unwrap_err()
        };
        let cases = [
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "set up anew",
                true,
            ),
            ("No ED25519 host key is known for web1\nHost key verification failed.", "add it there", true),
            ("deploy@web1: Permission denied (publickey).", "authorized_keys", true),
            ("ssh: connect to host web1 port 22: Connection refused", "can not be reached by ssh: ssh: connect", false),
        ];
        for (said, expected, refused) in cases {
            let error = says(said);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(matches!(error, StepError::Refused(_)), refused, "{error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
        let nginx = Ran { status: Some(65), out: String::new(), err: "Permission denied".to_owned() };
        assert!(ssh.understood(Ok(nginx)).is_ok(), "what nginx says is not ssh's");
    }
}
