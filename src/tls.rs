//! What every server of ours speaks TLS with: a chain and its key from PEM files. Must not log what is in them.

use std::{fmt::Display, fs, io, path::Path, sync::Arc, thread, time::Duration};

use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

/// How often files are read again that are being replaced at this moment, and the pause before each time.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// A chain and its key, and how they are served.
pub(crate) struct Identity {
    /// TLS settings, with HTTP/2 and HTTP/1.1, in this order.
    pub(crate) config: Arc<ServerConfig>,
    /// The chain, the leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Digest of the files, as [`Pair::digest`] returns it.
    pub(crate) digest: [u8; 32],
}

/// What both files hold at one moment.
pub(crate) struct Pair {
    certificate: Vec<u8>,
    key: SecretSlice<u8>,
}

impl Pair {
    /// Reads both. While one is replaced, it is read again: a key of before is not taken for that of a new certificate.
    ///
    /// # Errors
    /// Which file cannot be read, and why.
    pub(crate) fn read(certificate: &Path, key: &Path) -> io::Result<Self> {
        let read = |path: &Path| fs::read(path).map_err(|error| unusable(path, &error));
        let mut first = read(certificate)?;
        for _ in 0..TRIES {
            let key = read(key)?.into();
            let again = read(certificate)?;
            if again == first {
                return Ok(Self { certificate: first, key });
            }
            first = again;
            thread::sleep(PAUSE);
        }
        Err(unusable(certificate, &"it is replaced again and again"))
    }

    /// Returns by what one pair is told from another.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update((self.certificate.len() as u64).to_be_bytes());
        digest.update(&self.certificate);
        digest.update(self.key.expose_secret());
        digest.finalize().into()
    }

    /// Checks that they belong together; the paths are for the error.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn identity(&self, certificate: &Path, key: &Path) -> io::Result<Identity> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| unusable(certificate, &error))?;
        if chain.is_empty() {
            return Err(unusable(certificate, &"it has no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret()).map_err(|error| unusable(key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain.clone(), key))
            .map_err(|error| unusable(certificate, &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity { config: Arc::new(config), chain, digest: self.digest() })
    }
}

fn unusable(path: &Path, why: &dyn Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} cannot be used: {why}", path.display()))
}

/// Reads both files and checks that they belong together. Where they do not, they may be halfway replaced: they are read again
/// for as long as they change.
///
/// # Errors
/// Which file cannot be used, and why.
pub(crate) fn read(certificate: &Path, key: &Path) -> io::Result<Identity> {
    let mut pair = Pair::read(certificate, key)?;
    for _ in 0..TRIES {
        let error = match pair.identity(certificate, key) {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        thread::sleep(PAUSE);
        let again = Pair::read(certificate, key)?;
        if again.digest() == pair.digest() {
            return Err(error);
        }
        pair = again;
    }
    pair.identity(certificate, key)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn files_that_are_replaced_while_they_are_read_are_read_as_one_pair() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let made: Vec<_> =
            (0..2).map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()).collect();
        // Each file is replaced whole, as certificate clients do; both together are not.
        let put = |nth: usize| {
            let draft = folder.path().join("draft");
            for (path, text) in [(&certificate, made[nth].cert.pem()), (&key, made[nth].signing_key.serialize_pem())] {
                fs::write(&draft, text).unwrap();
                fs::rename(&draft, path).unwrap();
            }
        };
        put(0);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| (0..).take_while(|_| !over.load(Ordering::Relaxed)).for_each(|nth| put(nth % 2)));
            for _ in 0..300 {
                if let Ok(pair) = Pair::read(&certificate, &key) {
                    let leaf = CertificateDer::from_pem_slice(&pair.certificate).unwrap();
                    let nth = made.iter().position(|made| *made.cert.der() == leaf).expect("one of both");
                    // The key is this certificate's, or is known not to be.
                    let own = pair.key.expose_secret() == made[nth].signing_key.serialize_pem().as_bytes();
                    assert_eq!(pair.identity(&certificate, &key).is_ok(), own);
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        put(1);
        assert_eq!(read(&certificate, &key).unwrap().chain[0], *made[1].cert.der());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let [one, two] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        fs::write(&certificate, one.cert.pem()).unwrap();
        fs::write(&key, two.signing_key.serialize_pem()).unwrap();
        let error = read(&certificate, &key).err().expect("they do not belong together").to_string();
        assert!(error.contains("cert.pem cannot be used"), "{error}");
    }
}
