//! Asks at the public address, as a user would, which stack answers. Must not use the control socket.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, client::conn::http1, header::HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    plane::{FRONT_NAME, PROBE_NAME, parse_label},
    secret,
    settings::{Settings, TlsFiles},
};
use crate::{machine::StackName, stacks::StepError};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Returns the stack that answers. An answer that is not of a stack is an error that says what came instead.
pub(super) async fn ask(settings: &Settings, folder: &Path) -> Result<StackName, StepError> {
    let address =
        settings.public_address().ok_or_else(|| StepError::Refused("the front listens nowhere".to_owned()))?;
    let failed = |error: io::Error| {
        StepError::Unavailable(format!("the front's public address {address} does not answer: {error}"))
    };
    let secret = secret::of(folder).map_err(|error| {
        StepError::Unavailable(format!("the probe secret in {} cannot be read: {error}", folder.display()))
    })?;
    let talk = async {
        let stream = TcpStream::connect(address).await?;
        match &settings.tls {
            None => request(stream, settings, &secret, &address.to_string()).await,
            Some(files) => {
                let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()
                    .map_err(io::Error::other)?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Ours::new(files)?))
                    .with_no_client_auth();
                let name = ServerName::from(address.ip());
                let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
                request(stream, settings, &secret, &address.to_string()).await
            }
        }
    };
    let response = timeout(ANSWER_LIMIT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let response = response.map_err(failed)?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    match header("x-pointsman-stack").and_then(parse_label) {
        Some(stack) => Ok(stack),
        None => Err(StepError::Unavailable(format!(
            "at {address} no stack answered, but the front itself: {} {}",
            response.status().as_u16(),
            header(FRONT_NAME).unwrap_or("without saying why")
        ))),
    }
}

async fn request<S>(stream: S, settings: &Settings, secret: &HeaderValue, host: &str) -> io::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::head(settings.probe_path.as_str())
        .header("host", host)
        .header("user-agent", "pointsman")
        .header(PROBE_NAME, secret)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // The connection is driven along with the request, and goes when this returns. It may end right with the answer.
    let mut response = std::pin::pin!(sender.send_request(request));
    let early = tokio::select! {
        biased;
        response = &mut response => Some(response),
        _ = connection => None,
    };
    match early {
        Some(response) => response.map_err(io::Error::other),
        None => response.await.map_err(io::Error::other),
    }
}

/// Accepts only the very certificate that the front was given: names and issuers do not matter.
#[derive(Debug)]
struct Ours {
    leaf: Option<CertificateDer<'static>>,
    provider: CryptoProvider,
}

impl Ours {
    fn new(files: &TlsFiles) -> io::Result<Self> {
        let leaf = CertificateDer::pem_file_iter(&files.certificate).ok().and_then(|mut all| all.next()?.ok());
        Ok(Self { leaf, provider: ring::default_provider() })
    }
}

impl ServerCertVerifier for Ours {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.leaf.as_ref().is_none_or(|ours| ours == leaf) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate than the front's".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
