//! Asks at the public address, as a user would, which stack answers. Must not use the control socket.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{HeaderName, HeaderValue},
};
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
    plane::{FRONT_NAME, PROBE_NAME, STACK_NAME, label, parse_label},
    settings::{Settings, TlsFiles},
};
use crate::{
    machine::StackName,
    outgoing::{self, Mark, Way},
    stacks::StepError,
    web_front::secret,
};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Returns the stack that answers. An answer that is not of a stack is an error that says what came instead.
pub(super) async fn ask(settings: &Settings, folder: &Path) -> Result<StackName, StepError> {
    let address =
        settings.public_address().ok_or_else(|| StepError::Refused("the front listens nowhere".to_owned()))?;
    let failed = |error: io::Error| {
        StepError::Unavailable(format!("the front's public address {address} does not answer: {error}"))
    };
    let secret = probe_secret(folder)?;
    let talk = async {
        let stream = TcpStream::connect(address).await?;
        match &settings.tls {
            None => request(stream, settings, &secret, &address.to_string()).await,
            Some(files) => {
                let config = trusting_ours(files)?;
                let name = ServerName::from(address.ip());
                let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
                request(stream, settings, &secret, &address.to_string()).await
            }
        }
    };
    let response = timeout(ANSWER_LIMIT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let response = response.map_err(failed)?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    match header(STACK_NAME).and_then(parse_label) {
        Some(stack) => Ok(stack),
        None => Err(StepError::Unavailable(format!(
            "at {address} no stack answered, but the front itself: {} {}",
            response.status().as_u16(),
            header(FRONT_NAME).unwrap_or("without saying why")
        ))),
    }
}

/// The secret with which the front tells who answers.
fn probe_secret(folder: &Path) -> Result<HeaderValue, StepError> {
    secret::of_probes(folder).map_err(|error| {
        StepError::Unavailable(format!("the probe secret in {} cannot be read: {error}", folder.display()))
    })
}

fn trusting_ours(files: &TlsFiles) -> io::Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Ours::new(files)?))
        .with_no_client_auth())
}

/// Returns the way to a stack that the front knows: as its own controller, which needs no key of the preview.
pub(super) fn way(settings: &Settings, folder: &Path, stack: &StackName, connect: Duration) -> Result<Way, StepError> {
    let refused = |why: String| StepError::Refused(format!("the front cannot be asked: {why}"));
    let address = settings.public_address().ok_or_else(|| refused("it listens nowhere".to_owned()))?;
    let (plain, label) = (settings.tls.is_none(), HeaderValue::try_from(label(stack)));
    let label = label.map_err(|error| refused(error.to_string()))?;
    let mut client = outgoing::client().no_proxy().http1_only().pool_max_idle_per_host(0).connect_timeout(connect);
    if let Some(files) = &settings.tls {
        client = client.tls_backend_preconfigured(trusting_ours(files).map_err(|error| refused(error.to_string()))?);
    }
    let client = client.build().map_err(|error| refused(outgoing::root_cause(&error)))?;
    let origin = format!("{}://{address}", if plain { "http" } else { "https" });
    let (probe, name) = (HeaderName::from_static(PROBE_NAME), HeaderName::from_static(STACK_NAME));
    let headers = HeaderMap::from_iter([(probe, probe_secret(folder)?), (name.clone(), label.clone())]);
    Ok(Way { client, origin, headers, mark: Mark::Header(name, label) })
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
