//! ssh, through the operator's own program: their keys, agent and jump hosts hold here as in their shell. It never asks
//! anything and takes no unknown host key. One connection is kept for a while and shared. Must not know what is run.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{net::lookup_host, process::Command, time::timeout};

use super::settings::SshSettings;
use crate::{
    program::{NoEnd, Ran},
    stacks::StepError,
};

/// How long a connection without use is kept.
const KEPT: &str = "60";
/// How long the addresses of a host's name are waited for, which are only part of a name.
const NAMED: Duration = Duration::from_secs(1);
/// What the operator's configuration may not change for us: neither a program, a terminal or a forwarding of its own, nor
/// how much is said. Those in the first line are not known to ssh before 8.7.
const OURS: [&str; 21] = [
    "IgnoreUnknown=SessionType,StdinNull,ForkAfterAuthentication",
    "SessionType=default",
    "StdinNull=no",
    "ForkAfterAuthentication=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    "AddKeysToAgent=no",
    "VisualHostKey=no",
    "LogLevel=INFO",
    "BatchMode=yes",
    "NumberOfPasswordPrompts=0",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    // A host that is gone is noticed, also by the connection that is kept.
    "ServerAliveInterval=5",
    "ServerAliveCountMax=2",
    "ControlMaster=auto",
    "EscapeChar=none",
    "ForwardAgent=no",
];
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
    pub(super) fn new(settings: SshSettings, folder: &Path, connect: Duration) -> Self {
        Self { settings, folder: folder.to_owned(), connect }
    }

    /// Runs a command line there, by whatever shell the user has: of words that every shell takes as they are.
    pub(super) async fn run(&self, line: &str) -> Command {
        let mut command = self.command().await;
        command.arg("-T").arg("--").arg(&self.settings.host).arg(line);
        command
    }

    /// Connects its input and output to an address there.
    pub(super) async fn connect(&self, to: SocketAddr) -> Command {
        let mut command = self.command().await;
        command.arg("-W").arg(to.to_string()).arg("--").arg(&self.settings.host);
        command
    }

    /// The name of the socket by which a connection is shared, in a folder that only we may enter. A connection outlives
    /// the settings that it was made with, so everything that says where, as whom and by what trust is in its name.
    async fn socket(&self) -> String {
        let settings = &self.settings;
        let mut sum = Sha256::new();
        let mut add = |part: &[u8]| {
            sum.update(part.len().to_le_bytes());
            sum.update(part);
        };
        let port = settings.port.map(|port| port.to_string());
        for word in [Some(&settings.host), settings.user.as_ref(), port.as_ref()] {
            add(word.map_or(b"-", |word| word.as_bytes()));
        }
        for file in [&settings.key, &settings.known_hosts, &settings.config] {
            add(file.as_deref().map_or(b"-", |file| file.as_os_str().as_bytes()));
            add(&file.as_deref().map(read).unwrap_or_default());
        }
        if settings.config.is_none() {
            let own = std::env::var_os("HOME").map(|home| Path::new(&home).join(".ssh/config"));
            own.iter().for_each(|own| add(&read(own)));
            add(&read(Path::new(OsStr::new("/etc/ssh/ssh_config"))));
        }
        // Whoever has the name now. What is only a name in ssh's configuration has no address, which is no matter: `%C` has
        // what the configuration makes of it.
        let mut addresses: Vec<_> = match timeout(NAMED, lookup_host((settings.host.as_str(), 22))).await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip().to_string()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        addresses.sort_unstable();
        addresses.iter().for_each(|address| add(address.as_bytes()));
        let mut sum = hex::encode(sum.finalize());
        sum.truncate(16);
        format!("ssh-{sum}-%C")
    }

    async fn command(&self) -> Command {
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
        OURS.into_iter().for_each(&mut option);
        option(&format!("ConnectTimeout={}", self.connect.as_secs().max(1)));
        option(&format!("ControlPath={}", self.socket().await));
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
    pub(super) fn understood(&self, ran: Result<Ran, NoEnd>) -> Result<Ran, StepError> {
        let host = &self.settings.host;
        let ran = ran.map_err(|why| StepError::Unavailable(format!("ssh to {host}: {why}")))?;
        if ran.status != Some(ITS_OWN) {
            return Ok(ran);
        }
        Err(self.failed(&ran))
    }

    /// Returns the error of ssh itself.
    fn failed(&self, ran: &Ran) -> StepError {
        let host = &self.settings.host;
        let has = |words: &[&str]| words.iter().any(|word| ran.err.contains(word));
        let why = ran.why();
        let known = || self.settings.known_hosts.as_ref().map_or("known_hosts".into(), |f| f.display().to_string());
        let key = || self.settings.key.as_ref().map_or("the key".into(), |key| key.display().to_string());
        let line = |word: &str| ran.err.lines().find(|line| line.contains(word)).unwrap_or(&why).trim().to_owned();
        let refused = if has(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            format!(
                "the host key of {host} is not the one in {}: if the host was reinstalled, put its new key there; if not, another host answers in its place",
                known()
            )
        } else if has(&["Host key verification failed", "host key is known for"]) {
            format!("the host key of {host} is not in {}: look it up on the host and add it there", known())
        } else if has(&["UNPROTECTED PRIVATE KEY FILE", "bad permissions"]) {
            format!("ssh does not use {}, which others may read ({}): `chmod 600 {0}`", key(), line("Permissions "))
        } else if has(&["Bad owner or permissions"]) {
            format!("ssh does not use its configuration ({}): it must be yours, and `chmod 600`", line("Bad owner"))
        } else if has(&["Bad configuration option", "terminating, "]) {
            format!("ssh refuses its configuration ({}): correct that file", line("onfiguration option"))
        } else if self.settings.key.as_ref().is_some_and(|key| !key.exists())
            && has(&["ermission denied", "o such identity", "not accessible"])
        {
            format!("there is no {}: name the right file as front.ssh.key", key())
        } else if has(&["Load key "]) {
            format!(
                "ssh cannot use {} ({}): it must be a private key without passphrase, or its key must be in the agent",
                key(),
                line("Load key ")
            )
        } else if has(&["agent refused operation"]) {
            format!("the ssh agent refuses the key for {host} ({why}): name one without the agent as front.ssh.key")
        } else if has(&["Permission denied", "Too many authentication failures"]) {
            format!(
                "{host} refuses the sign-in by ssh ({why}): add the public key to the user's authorized_keys there, or \
                 name the right `user` and `key`"
            )
        } else if has(&["ould not resolve hostname"]) {
            return StepError::Unavailable(format!("there is no host {host} ({why}): correct front.ssh.host, or DNS"));
        } else {
            return StepError::Unavailable(format!("{host} cannot be reached by ssh: {why}"));
        };
        StepError::Refused(refused)
    }
}

/// A file that is part of a name: that it cannot be read is a content too.
fn read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|error| error.kind().to_string().into_bytes())
}

/// Whether ssh says that it got to the host, and that nothing listens at the address there.
pub(super) fn nobody_listens(said: &str) -> bool {
    said.contains("Stdio forwarding request failed: Session open refused")
        || said.contains("open failed: connect failed")
}

/// One word for ssh's configuration.
fn in_quotes(path: &Path) -> String {
    format!("\"{}\"", String::from_utf8_lossy(path.as_os_str().as_bytes()).replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SshSettings {
        SshSettings { host: "127.0.0.1".into(), user: None, port: None, key: None, known_hosts: None, config: None }
    }

    #[tokio::test]
    async fn a_connection_is_shared_only_by_those_who_mean_the_same_host_as_the_same_user_by_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let (key, config) = (folder.path().join("key"), folder.path().join("config"));
        fs::write(&key, "one").unwrap();
        fs::write(&config, "Host *").unwrap();
        let name = async |settings: SshSettings| Ssh::new(settings, Path::new("/s"), NAMED).socket().await;
        let with = |change: &dyn Fn(&mut SshSettings)| {
            let mut changed = SshSettings { key: Some(key.clone()), config: Some(config.clone()), ..settings() };
            change(&mut changed);
            changed
        };
        let mut names = vec![name(with(&|_| {})).await];
        assert_eq!(name(with(&|_| {})).await, names[0]);
        names.push(name(with(&|s| s.host = "127.0.0.2".into())).await);
        names.push(name(with(&|s| s.user = Some("deploy".into()))).await);
        names.push(name(with(&|s| s.port = Some(2222))).await);
        names.push(name(with(&|s| s.key = None)).await);
        names.push(name(with(&|s| s.known_hosts = Some("/k".into()))).await);
        names.push(name(with(&|s| s.config = None)).await);
        fs::write(&key, "another in the same place").unwrap();
        names.push(name(with(&|_| {})).await);
        fs::write(&config, "Host *\nHostName other").unwrap();
        names.push(name(with(&|_| {})).await);
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
        assert!(names.iter().all(|name| name.len() < 30), "a path of a socket may not be long");
    }

    #[test]
    fn what_ssh_says_is_said_in_one_sentence_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("web1");
        fs::write(&key, "").unwrap();
        let settings = SshSettings { host: "web1".into(), key: Some(key.clone()), ..settings() };
        let ssh = Ssh::new(settings, Path::new("/s"), Duration::from_secs(1));
        let says = |err: &str| {
            ssh.understood(Ok(Ran { status: Some(255), out: String::new(), err: err.to_owned() })).unwrap_err()
        };
        let cases = [
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "was reinstalled",
                true,
            ),
            ("No ED25519 host key is known for web1\nHost key verification failed.", "add it there", true),
            ("deploy@web1: Permission denied (publickey).", "authorized_keys", true),
            ("ssh: connect to host web1 port 22: Connection refused", "cannot be reached by ssh: ssh: connect", false),
            (
                "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermissions 0644 for '/k/web1' are too open.\nbad \
                 permissions\ndeploy@web1: Permission denied (publickey).",
                "`chmod 600 ",
                true,
            ),
            ("Load key \"/k/web1\": error in libcrypto\nPermission denied", "without passphrase", true),
            (
                "/x/config: line 3: Bad configuration option: hots\n/x/config: terminating, 1 bad",
                "correct that file",
                true,
            ),
            ("ssh: Could not resolve hostname web1: Name or service not known", "correct front.ssh.host", false),
        ];
        for (said, expected, refused) in cases {
            let error = says(said);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(matches!(error, StepError::Refused(_)), refused, "{error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
        fs::remove_file(&key).unwrap();
        let error = says("no such identity: x\nweb1: Permission denied (publickey).").to_string();
        assert!(error.contains("there is no ") && error.contains("front.ssh.key"), "{error}");
        let nginx = Ran { status: Some(65), out: String::new(), err: "Permission denied".to_owned() };
        assert!(ssh.understood(Ok(nginx)).is_ok(), "what nginx says is not ssh's");
    }
}
