//! The supervisor's process. It does three things: it holds the listening sockets, it sees that a front serves them, and
//! it says how that goes. Must not read the settings, must not accept a user's connection, and must not end with the front.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    os::unix::{fs::OpenOptionsExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use tokio::{
    io::{AsyncReadExt, BufReader},
    net::{UnixListener, UnixStream},
    process::Command,
    sync::{mpsc, oneshot, watch},
    time::{interval, timeout},
};

use super::{
    ANSWER_LIMIT, Ask, ENDS, End, SOCKET, Status, gone,
    hold::{attach, give, holder_of, is_front_of, signal},
    pulse::{self, Doing, Pulse},
};
use crate::{
    clock::{Clock, Stopwatch, after},
    descriptors::AcceptErrors,
    web_front::builtin::{
        control::{Kept, Order, PROTOCOL, ask, bind, is_ours, receive, send},
        launch::{log_file, ourselves},
        plane::detach,
        process::VERSION,
    },
};

/// How often it is looked whether a front that was started answers.
const LOOK: Duration = Duration::from_millis(10);
/// The longest pause before a front that keeps ending is started again.
const LONGEST: Duration = Duration::from_secs(5);
/// A front that lived for so long is started again at once.
const LIVED: Duration = Duration::from_secs(1);
/// How long a front may be silent before it is asked again.
const SILENT: Duration = Duration::from_millis(200);

/// The folder, wherever it is moved.
struct Place(File, PathBuf);

impl Place {
    /// Where it is now; `None`: it was removed.
    fn path(&self) -> Option<PathBuf> {
        let handle = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let path = std::fs::read_link(handle).unwrap_or_else(|_| self.1.clone());
        (!path.to_string_lossy().ends_with(" (deleted)")).then_some(path)
    }
}

/// State of the front's process.
enum Front {
    /// Unknown; the next step is to look for one.
    Unknown,
    /// It serves; the connection ends with it.
    Serving { link: BufReader<UnixStream>, pid: u32, since: Stopwatch },
    /// It was started and does not answer yet.
    Starting { pid: u32 },
    /// No process; one is looked for or started after this time.
    Pausing(Duration),
}

struct Supervisor {
    place: Place,
    front: Front,
    held: Kept,
    sockets: Vec<OwnedFd>,
    children: FuturesUnordered<BoxFuture<'static, (u32, io::Result<ExitStatus>)>>,
    status: watch::Sender<Status>,
    clock: Clock,
    /// Ends in a row of fronts that hardly lived.
    in_a_row: u32,
    /// Since when nobody serves.
    away: Option<Stopwatch>,
    /// A front that was started to take over and has not yet.
    successor: Option<u32>,
    /// How a process ended whose connection still has to.
    ended: Option<(u32, String)>,
    /// The front that serves, or should, is asked whether it answers.
    asking: Option<BoxFuture<'static, bool>>,
    pulse: Pulse,
    /// The process that was ended because it hung, and the reason.
    hung: Option<(u32, String)>,
}

/// Supervises the front of this folder until it is told to leave, or the folder is removed. Returns at once where
/// another supervisor does.
///
/// # Errors
/// When the folder cannot be used.
pub async fn run(folder: &Path, stop: impl Future<Output = ()>) -> io::Result<()> {
    let place = Place(File::open(folder)?, folder.to_owned());
    let Some(_lock) = lock(folder).await? else {
        tracing::info!("another supervisor looks after this front");
        return Ok(());
    };
    let socket = UnixListener::from_std(bind(folder, SOCKET)?)?;
    let status = Status {
        version: VERSION.to_owned(),
        protocol: PROTOCOL,
        folder: place.path().unwrap_or_else(|| folder.to_owned()),
        pid: std::process::id(),
        front: None,
        ends: Vec::new(),
        failed: 0,
        why: String::new(),
    };
    let (status, seen) = watch::channel(status);
    let (ask, asked) = mpsc::channel(16);
    let supervisor = Supervisor {
        place,
        front: Front::Unknown,
        held: Kept { listen: Vec::new(), pid: 0 },
        sockets: Vec::new(),
        children: FuturesUnordered::new(),
        status,
        clock: Clock::real(),
        in_a_row: 0,
        away: None,
        successor: None,
        ended: None,
        asking: None,
        pulse: Pulse::default(),
        hung: None,
    };
    tokio::select! {
        biased;
        () = stop => tracing::info!("told to end; the front goes on"),
        () = supervisor.keep(asked) => {}
        () = listen(socket, &seen, &ask) => {}
    }
    Ok(())
}

/// `None`: another one has it, and keeps it.
async fn lock(folder: &Path) -> io::Result<Option<File>> {
    let lock =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(folder.join("supervisor.lock"))?;
    let mut look = interval(Duration::from_millis(20));
    for _ in 0..50 {
        look.tick().await;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Whoever asks, until the process ends.
async fn listen(socket: UnixListener, seen: &watch::Receiver<Status>, ask: &mpsc::Sender<Asked>) {
    let mut errors = AcceptErrors::at("the socket of the supervisor");
    loop {
        match socket.accept().await {
            Ok((stream, _)) if is_ours(&stream) => detach(answer(stream, seen.clone(), ask.clone())),
            Ok(_) => tracing::warn!("refused a request to the supervisor by a user who is neither ours nor root"),
            Err(error) => errors.wait(&error).await,
        }
    }
}

/// Request to the supervisor.
struct Asked {
    ask: Ask,
    tell: oneshot::Sender<Result<(), String>>,
    /// Ends when the answer has been sent.
    answered: oneshot::Receiver<()>,
}

async fn answer(stream: UnixStream, mut seen: watch::Receiver<Status>, ask: mpsc::Sender<Asked>) {
    let mut stream = BufReader::new(stream);
    match receive::<Ask>(&mut stream).await {
        Ok(Some(Ask::Watch)) => loop {
            let status = seen.borrow_and_update().clone();
            if send(&mut stream, &status).await.is_err() {
                return;
            }
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                // It says nothing more: this is its end.
                _ = stream.read_u8() => return,
            }
        },
        Ok(Some(other)) => {
            let (tell, told) = oneshot::channel();
            let (sent, answered) = oneshot::channel();
            let _ = ask.send(Asked { ask: other, tell, answered }).await;
            let said = told.await.unwrap_or_else(|_| Err("the supervisor ends".to_owned()));
            // Who asked may have gone.
            let _ = send(&mut stream, &said).await;
            drop::<oneshot::Sender<()>>(sent);
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "unknown request to the supervisor"),
    }
}

impl Supervisor {
    /// Sees that a front serves. Returns when there is nothing more to do.
    async fn keep(mut self, mut asked: mpsc::Receiver<Asked>) {
        loop {
            let wake = match &self.front {
                Front::Unknown => Duration::ZERO,
                Front::Starting { .. } => LOOK,
                Front::Pausing(pause) => *pause,
                Front::Serving { .. } => Duration::MAX,
            };
            let serving = !matches!(self.front, Front::Serving { .. });
            tokio::select! {
                Some(Asked { ask, tell, answered }) = asked.recv() => {
                    let (said, over) = self.obey(ask).await;
                    // Who asked may have gone.
                    let _ = tell.send(said);
                    if over {
                        // The answer leaves before the process ends. An error is how its task says so.
                        let _ = timeout(ANSWER_LIMIT, answered).await;
                        return;
                    }
                }
                Some((pid, status)) = self.children.next() => self.child_ended(pid, &words(status)),
                in_order = parting(&mut self.front) => self.front_left(in_order),
                answered = told(&mut self.asking) => self.heard(answered),
                () = after(wake), if serving => if !self.look().await {
                    tracing::info!("the folder of the front is gone; ending");
                    return;
                },
            }
        }
    }

    /// Finds the front or starts one. `false`: its folder is gone.
    async fn look(&mut self) -> bool {
        let Some(folder) = self.place.path() else { return false };
        match attach(&folder).await {
            Ok(Some((link, kept, sockets))) => self.attached(link, kept, sockets, folder),
            // Whether it ends is seen at the process.
            Ok(None) if matches!(self.front, Front::Starting { .. }) => {}
            Ok(None) => match self.start(&folder, false) {
                Ok(pid) => self.front = Front::Starting { pid },
                Err(error) => self.start_failed(&format!("it cannot be started: {error}")),
            },
            Err(error) => {
                tracing::warn!(%error, "a front runs and does not answer; asking again");
                self.front = Front::Pausing(SILENT);
                // Nobody knows its number but the socket, and that only as long as it was not handed over.
                let holder = holder_of(&folder).await.filter(|pid| is_front_of(*pid, &folder));
                if let Some(pid) = holder {
                    self.judge(pid);
                }
            }
        }
        true
    }

    fn attached(&mut self, link: BufReader<UnixStream>, kept: Kept, sockets: Vec<OwnedFd>, folder: PathBuf) {
        let pid = kept.pid;
        let away = self.away.take().map(|away| u64::try_from(away.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::info!(pid, listen = ?kept.listen, away_ms = away, "a front serves");
        self.successor = self.successor.filter(|successor| *successor != pid);
        (self.held, self.sockets) = (Kept { pid: 0, ..kept }, sockets);
        self.front = Front::Serving { link, pid, since: Stopwatch::start() };
        self.pulse.answered();
        self.ask_again();
        self.status.send_modify(|status| {
            (status.front, status.folder) = (Some(pid), folder);
            (status.failed, status.why) = (0, String::new());
            if let Some(last) = status.ends.last_mut().filter(|end| end.away_ms.is_none()) {
                last.away_ms = away;
            }
        });
    }

    /// Asks the front that serves, after a pause.
    fn ask_again(&mut self) {
        let Some(folder) = self.place.path() else { return };
        let asking = async move {
            after(pulse::EVERY).await;
            // Any answer is one.
            ask(&folder, &Order::Greet, pulse::LIMIT).await.is_ok()
        };
        self.asking = Some(asking.boxed());
    }

    /// The front that serves has answered, or not.
    fn heard(&mut self, answered: bool) {
        let Front::Serving { pid, .. } = self.front else { return self.asking = None };
        match answered {
            true => self.pulse.answered(),
            false => self.judge(pid),
        }
        self.ask_again();
    }

    /// Ends a front that does not answer, if it hangs. Its connection ends with it, and another one is started.
    fn judge(&mut self, pid: u32) {
        let Some(why) = self.pulse.silent(Doing::of(pid)) else {
            tracing::warn!(pid, "the front does not answer");
            return;
        };
        tracing::error!(pid, why, "the front hangs");
        match signal(pid, Signal::KILL) {
            Ok(()) => self.hung = Some((pid, why)),
            Err(error) => tracing::error!(pid, %error, "it cannot be ended"),
        }
        self.pulse.answered();
    }

    /// Starts a front, which is given the sockets that are held.
    fn start(&mut self, folder: &Path, take_over: bool) -> io::Result<u32> {
        let (ours, theirs) = StdUnixStream::pair()?;
        give(ours, &self.held, &self.sockets)?;
        let mut command = Command::new(ourselves().map_err(io::Error::other)?);
        command.arg("front").arg("--folder").arg(folder).arg("--kept");
        if take_over {
            command.arg("--take-over");
        }
        let log = log_file(folder)?;
        command.stdin(OwnedFd::from(theirs)).stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
        let mut child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        self.children.push(async move { (pid, child.wait().await) }.boxed());
        Ok(pid)
    }

    fn start_failed(&mut self, why: &str) {
        self.front = Front::Pausing(self.pause());
        tracing::error!(why, "the front does not begin");
        self.status.send_modify(|status| {
            status.failed += 1;
            why.clone_into(&mut status.why);
        });
    }

    /// Returns the pause before the next try: none the first time, then growing.
    fn pause(&mut self) -> Duration {
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            more => (LIVED / 20 * 2_u32.saturating_pow(more.min(16))).min(LONGEST),
        };
        self.in_a_row += 1;
        pause
    }

    fn child_ended(&mut self, pid: u32, how: &str) {
        let hung = self.hung.take_if(|(hung, _)| *hung == pid).map(|(_, why)| why);
        let how = hung.as_deref().unwrap_or(how);
        tracing::info!(pid, how, "a process of the front has ended");
        if matches!(&self.front, Front::Starting { pid: starting } if *starting == pid) {
            self.start_failed(how);
        } else if self.successor == Some(pid) {
            self.successor = None;
            self.status.send_modify(|status| {
                status.failed += 1;
                how.clone_into(&mut status.why);
            });
        } else {
            self.ended = Some((pid, how.to_owned()));
            self.status.send_if_modified(|status| {
                let end = status.ends.iter_mut().find(|end| end.pid == pid);
                end.map(|end| how.clone_into(&mut end.why)).is_some()
            });
        }
    }

    /// The front that served does not any more.
    fn front_left(&mut self, in_order: bool) {
        let Front::Serving { since, pid: left, .. } = std::mem::replace(&mut self.front, Front::Unknown) else {
            return;
        };
        self.asking = None;
        if in_order {
            tracing::info!("the front ended normally");
            self.status.send_modify(|status| status.front = None);
            return;
        }
        self.away = Some(Stopwatch::start());
        if since.elapsed() >= LIVED {
            self.in_a_row = 0;
        }
        let pause = self.pause();
        self.front = if pause.is_zero() { Front::Unknown } else { Front::Pausing(pause) };
        let hung = self.hung.as_ref().filter(|(pid, _)| *pid == left).cloned();
        let (at, ended) = (self.clock.host(), hung.or(self.ended.take()));
        self.status.send_modify(|status| {
            let Some(pid) = status.front.take() else { return };
            tracing::error!(pid, pause_ms = pause.as_millis(), "the front has ended; starting it again");
            let how = ended.filter(|(ended, _)| *ended == pid).map(|(_, how)| how);
            let why = how.unwrap_or_else(|| "in an unknown way".to_owned());
            status.ends.push(End { at, pid, why, away_ms: None });
            let surplus = status.ends.len().saturating_sub(ENDS);
            status.ends.drain(..surplus);
        });
    }

    /// Tells the front that serves this folder to end, whoever started it.
    async fn stop_stranger(&self) -> io::Result<()> {
        let Some(folder) = self.place.path() else { return Ok(()) };
        match attach(&folder).await? {
            Some((_link, kept, _)) => signal(kept.pid, Signal::TERM),
            None => Ok(()),
        }
    }

    /// Does what is asked; `true`: that was all.
    async fn obey(&mut self, ask: Ask) -> (Result<(), String>, bool) {
        match ask {
            Ask::Watch => (Err("invalid order".to_owned()), false),
            Ask::Leave => {
                tracing::info!("leaving the front to another supervisor");
                (Ok(()), true)
            }
            Ask::Start => {
                if matches!(self.front, Front::Pausing(_)) {
                    self.front = Front::Unknown;
                }
                (Ok(()), false)
            }
            Ask::Renew => {
                let Some(folder) = self.place.path() else { return (Err("its folder is gone".to_owned()), false) };
                let started = self.start(&folder, true);
                self.successor = started.as_ref().ok().copied();
                (started.map(drop).map_err(|error| error.to_string()), false)
            }
            Ask::End => {
                let ended = match &self.front {
                    // It said its number itself, or is our child and was not waited for: the number is still its own.
                    Front::Serving { pid, .. } | Front::Starting { pid } => signal(*pid, Signal::TERM),
                    Front::Unknown | Front::Pausing(_) => self.stop_stranger().await,
                };
                let ended = ended.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) });
                tracing::info!("ending with the front, as was asked");
                (ended.map_err(|error| error.to_string()), true)
            }
        }
    }
}

const IN_ORDER: &str = "in good order";

fn words(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) if status.success() => IN_ORDER.to_owned(),
        Ok(status) => status.to_string(),
        Err(error) => format!("in an unknown way: {error}"),
    }
}

/// Waits for the end of the front that serves; whether it went in good order. Never returns when none does.
async fn parting(front: &mut Front) -> bool {
    let Front::Serving { link, .. } = front else { return std::future::pending().await };
    // Anything that it says is this; the end of the connection without a word is a death.
    link.read_u8().await.is_ok()
}

/// Waits for the answer to what is asked, if anything is.
async fn told(asking: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match asking {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}
