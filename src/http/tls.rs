//! The controller's own TLS: its certificate, read again when the files are others, and the first byte by which a connection says
//! that it is encrypted. Must not log what is in the files.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{net::TcpStream, sync::watch};

use crate::{
    settings::TlsFiles,
    tls::{self, Pair},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// First byte of every TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// Certificate and key that are served.
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
        let read = tls::read(&files.certificate, &files.key)?;
        Ok(Self { files, config: read.config.into(), seen: Mutex::new(Some(read.digest)) })
    }

    /// Returns what new connections are served with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again where they are others. Where they cannot be used, the ones from before are served on.
    pub fn look(&self) {
        let TlsFiles { certificate, key } = &self.files;
        let pair = Pair::read(certificate, key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = pair.as_ref().ok().map(Pair::digest);
        if now == *seen {
            return;
        }
        *seen = now;
        // What does not fit may be halves of two pairs, of which the second one is just being written.
        match pair.and_then(|pair| pair.identity(certificate, key).or_else(|_| tls::read(certificate, key))) {
            Ok(read) => {
                *seen = Some(read.digest);
                self.config.store(read.config);
                tracing::info!(file = %certificate.display(), "a new certificate is served");
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

/// Returns whether a connection begins with TLS. Plain HTTP goes on at the same port: for commands on this host, and for senders
/// of webhooks that were there before the certificate.
pub(super) async fn is_encrypted(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}
