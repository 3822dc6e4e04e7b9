//! The controller's own TLS: its certificate, read again when the files are others, and the first byte by which a connection says
//! that it is encrypted. Must not log what is in the files.

use std::{
    fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{net::TcpStream, sync::watch};

use crate::{settings::TlsFiles, tls};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// With what every connection by TLS begins: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// What is served.
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What the files held when they were read last, as digests, and whether they could be used.
    seen: Mutex<Option<[u8; 32]>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which one cannot be used, and why.
    pub fn open(files: TlsFiles) -> io::Result<Self> {
        let seen = digest(&files).ok();
        let read = tls::read(&files.certificate, &files.key)?;
        Ok(Self { files, config: read.config.into(), seen: Mutex::new(seen) })
    }

    /// Returns what new connections are served with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again where they are others. Where they cannot be used, the ones from before are served on.
    pub fn look(&self) {
        let read = digest(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = read.as_ref().ok().copied();
        if now == *seen {
            return;
        }
        *seen = now;
        match read.and_then(|_| tls::read(&self.files.certificate, &self.files.key)) {
            Ok(read) => {
                self.config.store(read.config);
                tracing::info!(file = %self.files.certificate.display(), "a new certificate is served");
            }
            Err(error) => tracing::error!(%error, "the new certificate is not served; the one from before goes on"),
        }
    }

    /// Looks at the files until `stop` says true.
    pub async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) -> bool {
        while tokio::time::timeout(LOOK, stop.wait_for(|stop| *stop)).await.is_err() {
            let looking = self.clone();
            if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
                return false;
            }
        }
        true
    }
}

fn digest(files: &TlsFiles) -> io::Result<[u8; 32]> {
    let mut both = fs::read(&files.certificate)?;
    both.push(0);
    both.extend(fs::read(&files.key)?);
    Ok(<sha2::Sha256 as sha2::Digest>::digest(&both).into())
}

/// Returns whether a connection begins with TLS. Plain HTTP goes on at the same port: for commands on this host, and for senders
/// of webhooks that were there before the certificate.
pub(super) async fn is_encrypted(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}
