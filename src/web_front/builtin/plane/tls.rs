//! Certificate and key from PEM files, and what is known about them. Must not log what is in them.

use std::{io, sync::Arc};

use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::certificate::Certificate;
use crate::web_front::builtin::settings::TlsFiles;

/// What is served, and what there is to know about it.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Certificate,
}

/// Reads both and checks that they belong together. `hosts`: what users go to, besides what `files` names.
pub(super) fn load(files: &TlsFiles, hosts: &[String]) -> io::Result<Arc<Loaded>> {
    let bad = |path: &std::path::Path, why: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{} cannot be used: {why}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|e| bad(&files.certificate, &e))?;
    if chain.is_empty() {
        return Err(bad(&files.certificate, &"it has no certificate"));
    }
    let certificate = Certificate::read(&chain, files, hosts);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad(&files.key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| bad(&files.certificate, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(Loaded { config: Arc::new(config), certificate }))
}
