//! What the front speaks TLS with, and what is known about it. Must not log what is in the files.

use std::{io, sync::Arc};

use rustls::ServerConfig;

use super::certificate::Certificate;
use crate::{tls, web_front::builtin::settings::TlsFiles};

/// What is served, and what there is to know about it.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Certificate,
}

/// Reads both and checks that they belong together. `hosts`: what users go to, besides what `files` names.
pub(super) fn load(files: &TlsFiles, hosts: &[String]) -> io::Result<Arc<Loaded>> {
    let identity = tls::read(&files.certificate, &files.key)?;
    let certificate = Certificate::read(&identity.chain, files, hosts);
    Ok(Arc::new(Loaded { config: identity.config, certificate }))
}
