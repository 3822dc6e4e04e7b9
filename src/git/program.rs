//! The `git` program: how it is called, for reading a mirror and for fetching into one. Must let no text from a build be taken
//! for an option, use the network only in [`Errand::run`], and leave no process behind.

use std::{
    fs, io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    process::{Child, Command},
    time::{interval, timeout},
};

use super::{Error, Limits, address::Address, words};
use crate::{
    clock::Stopwatch,
    program::{Group, keep_the_end, passed_on},
};

/// Reading a mirror on this host takes no longer.
const READING: Duration = Duration::from_secs(60);
/// How often a fetch is held against its limits.
const LOOK: Duration = Duration::from_millis(100);
/// How long git may take to tidy up after it was told to end.
const GRACE: Duration = Duration::from_secs(1);
/// The most that is kept of what git says, in bytes.
const SAID: usize = 16 << 10;

/// What git sees of our environment: where the operator's configuration, agent and proxies are. The rest may hold secrets.
const SEEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_SSL_CAINFO",
];

fn git(place: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(place);
    prepared(git)
}

/// The same with a limit on each file that it writes, which holds before it begins: the kernel ends a pack that grows beyond it.
fn bounded(place: &Path, bytes: u64) -> Command {
    let mut git = Command::new("sh");
    // POSIX counts in blocks of 512 bytes.
    let blocks = bytes.div_ceil(512).to_string();
    git.args(["-c", "ulimit -f \"$0\" && exec git \"$@\"", &blocks, "--git-dir"]).arg(place);
    prepared(git)
}

fn prepared(mut git: Command) -> Command {
    git.env_clear().envs(passed_on(SEEN)).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
    git.env("GIT_LITERAL_PATHSPECS", "1");
    git.process_group(0).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    git
}

fn start(git: &mut Command) -> Result<Child, Error> {
    git.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoProgram,
        _ => Error::Interrupted,
    })
}

/// What git said when it was asked about a mirror.
pub(super) struct Said {
    pub ok: bool,
    pub out: Vec<u8>,
    pub err: String,
}

/// Asks git about a mirror. Never uses the network, whatever kind of repository it is, and is steered by no configuration but the
/// mirror's own.
///
/// # Errors
/// When git cannot be run or does not end.
pub(super) async fn read(place: &Path, arguments: &[&str], input: &str) -> Result<Said, Error> {
    let mut git = git(place);
    git.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_NO_LAZY_FETCH", "1")]);
    // No protocol has this name: an object that is missing is not fetched in passing.
    git.env("GIT_ALLOW_PROTOCOL", "none").args(arguments).stdin(Stdio::piped());
    let mut child = start(&mut git)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // Git that has ended before it read all says why on its own.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let talk = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = timeout(READING, talk).await.map_err(|_| Error::Interrupted)?.map_err(|_| Error::Interrupted)?;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Said { ok: output.status.success(), out: output.stdout, err })
}

/// One journey to a remote and back, within its limits.
pub(super) struct Errand<'a> {
    pub address: &'a Address,
    pub user: Option<&'a str>,
    pub password: Option<SecretString>,
    pub limits: Limits,
    /// How long all of it may take.
    pub whole: Duration,
    pub begun: Stopwatch,
    /// Whether a repository of this host that is a partial clone may fetch what is missing in it.
    pub lazily: bool,
    /// The words of the command that is ssh.
    pub ssh: &'a [String],
}

impl Errand<'_> {
    /// Runs git with the network. `place` is the mirror, `anew` whether it is being made, so that nothing in it can be damaged.
    ///
    /// # Errors
    /// In git's own words, told apart by what helps.
    pub(super) async fn run(&self, place: &Path, arguments: &[&str]) -> Result<String, Error> {
        let mut git = bounded(place, self.limits.bytes);
        self.configure(&mut git);
        let mut child = start(git.args(arguments).stdin(Stdio::null()))?;
        let mut group = Group::of(&child, Signal::KILL);
        let (mut out, mut said, mut last) = (Vec::new(), Vec::new(), (0, Stopwatch::start()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let outcome = {
            let mut talk = Box::pin(async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut said)) });
            let mut looks = interval(LOOK);
            let mut told = false;
            loop {
                tokio::select! {
                    status = child.wait() => {
                        // A helper that stays behind may hold the pipes open.
                        if !told {
                            let _ = timeout(GRACE, &mut talk).await;
                        }
                        break status.map_err(|_| Error::Interrupted);
                    }
                    _ = &mut talk, if !told => told = true,
                    _ = looks.tick() => if let Err(over) = self.look(place, &mut last) {
                        group.signal(Signal::TERM);
                        let _ = timeout(GRACE, child.wait()).await;
                        break Err(over);
                    },
                }
            }
        };
        group.signal(Signal::KILL);
        group.forget();
        let said = String::from_utf8_lossy(&said);
        self.judge(outcome?, place, &said)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn configure(&self, git: &mut Command) {
        let stall = self.limits.stall.as_secs().max(1);
        for setting in [
            "protocol.version=2",
            "gc.auto=0",
            "maintenance.auto=false",
            // One pack for each fetch, so that a killed one leaves one file that can be told from the others.
            "fetch.unpackLimit=1",
            // Malformed authors and dates of others are no reason to refuse a release.
            "fetch.fsckObjects=false",
            "transfer.fsckObjects=false",
            // A redirect could lead to a host that the pipeline does not name.
            "http.followRedirects=false",
            "core.hooksPath=/dev/null",
        ] {
            git.arg("-c").arg(setting);
        }
        git.arg("-c").arg(format!("http.lowSpeedTime={stall}")).args(["-c", "http.lowSpeedLimit=1"]);
        if let (Address::Http(url), Some(password)) = (self.address, &self.password) {
            // For this address only, and before any helper of the operator's. The values are in the environment, not in arguments.
            git.args(["-c", "credential.helper="]).arg("-c").arg(format!(
                "credential.{}.helper=!f() {{ test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                 \"$POINTSMAN_GIT_USER\" \"$POINTSMAN_GIT_PASSWORD\"; }}; f",
                url.origin().ascii_serialization()
            ));
            git.env("POINTSMAN_GIT_USER", self.user.unwrap_or("git"));
            git.env("POINTSMAN_GIT_PASSWORD", password.expose_secret());
        }
        // A partial clone of this host may fetch what it serves; our own history, which has no files, must not fetch them.
        git.env("GIT_NO_LAZY_FETCH", if self.lazily { "0" } else { "1" });
        let connect = self.limits.connect.as_secs().max(1);
        let ours = ["-a", "-x", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o"].map(str::to_owned);
        let words = self.ssh.iter().cloned().chain(ours).chain([format!("ConnectTimeout={connect}")]);
        let words: Vec<String> = words.map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        git.env("GIT_SSH_COMMAND", words.join(" ")).env("GIT_SSH_VARIANT", "ssh");
    }

    /// Whether it may go on. A pack that grows is a sign of life.
    fn look(&self, place: &Path, (size, since): &mut (u64, Stopwatch)) -> Result<(), Error> {
        let now = packs(place).sum();
        if now != *size {
            (*size, *since) = (now, Stopwatch::start());
        }
        let over = |what, limit| Err(Error::TimedOut { place: self.address.to_string(), what, limit });
        if self.begun.elapsed() >= self.whole {
            return over("did not send all", self.whole);
        }
        if since.elapsed() >= self.limits.stall { over("sent nothing", self.limits.stall) } else { Ok(()) }
    }

    fn judge(&self, status: ExitStatus, place: &Path, said: &str) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        let full = said.contains("File too large") || packs(place).any(|size| size >= self.limits.bytes);
        if full {
            return Err(Error::TooLarge { place: self.address.to_string(), limit: self.limits.bytes });
        }
        Err(words::understood(said, &self.address.to_string(), place))
    }
}

async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(stream) = stream {
        keep_the_end(stream, kept, SAID).await;
    }
}

/// The bytes of each pack, whole or half.
fn packs(place: &Path) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(place.join("objects/pack")).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
}
