//! What every server of ours speaks TLS with: a chain and its key from PEM files. Must not log what is in them.

use std::{io, path::Path, sync::Arc};

use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// A chain and its key, and how they are served.
pub(crate) struct Identity {
    /// With HTTP/2 and HTTP/1.1, in this order.
    pub(crate) config: Arc<ServerConfig>,
    /// The chain, the leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// Reads both files and checks that they belong together.
///
/// # Errors
/// Which file cannot be used, and why.
pub(crate) fn read(certificate: &Path, key: &Path) -> io::Result<Identity> {
    let bad = |path: &Path, why: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} cannot be used: {why}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|e| bad(certificate, &e))?;
    if chain.is_empty() {
        return Err(bad(certificate, &"it has no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain.clone(), key))
        .map_err(|e| bad(certificate, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Identity { config: Arc::new(config), chain })
}
