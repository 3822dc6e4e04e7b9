//! nginx's host, this one or another over ssh: runs the script there that does all the work, and connects to what nginx
//! says about itself. Must not know what is done.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use super::{super::SEEN, settings::Settings, ssh::Ssh};
use crate::{
    program::{Input, Ran, run},
    stacks::StepError,
};

const SCRIPT: &str = include_str!("host.sh");
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
    pub fn new(settings: &Settings, ssh: Option<Ssh>) -> Self {
        Self { ssh, settings: settings.clone() }
    }

    /// Whether it is this one.
    pub fn is_here(&self) -> bool {
        self.ssh.is_none()
    }

    /// One verb of the script.
    pub async fn script(&self, verb: &str, arguments: &[&str], and_nginx: bool) -> Result<Ran, StepError> {
        let settings = &self.settings;
        let mut words = vec!["sh", "-c", SCRIPT, "sh", verb, settings.include.as_str(), settings.folder.as_str()];
        words.extend(arguments);
        if and_nginx {
            words.extend(settings.nginx.iter().map(String::as_str));
        }
        let limit = settings.timeouts.command + settings.timeouts.farewell;
        let Some(ssh) = &self.ssh else {
            let mut command = Command::new("sh");
            command.args(&words[1..]);
            return run(&mut command, &SEEN, Input::Nothing, limit)
                .await
                .map_err(|why| StepError::Unavailable(format!("sh: {why}")));
        };
        let limit = limit + settings.timeouts.connect;
        for _ in 1..TRIES {
            match ssh.understood(run(&mut ssh.run(&words), &SEEN, Input::Nothing, limit).await) {
                Err(StepError::Unavailable(_)) => {}
                done => return done,
            }
        }
        ssh.understood(run(&mut ssh.run(&words), &SEEN, Input::Nothing, limit).await)
    }

    /// All that whoever listens at this address there answers to this request. `Err(None)`: nobody listens there.
    pub async fn ask(&self, address: SocketAddr, request: &str) -> Result<Vec<u8>, Option<StepError>> {
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
        let ran = run(&mut ssh.connect(address), &SEEN, Input::Text(request), limit * 2).await;
        // ssh says with its own exit status that the other side could not connect.
        if ran.as_ref().is_ok_and(|ran| ran.out.is_empty() && super::ssh::nobody_listens(&ran.err)) {
            return Err(None);
        }
        ssh.understood(ran).map(|ran| ran.out.into_bytes()).map_err(Some)
    }
}
