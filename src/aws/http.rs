//! How the SDK's requests go out: through the same kind of HTTP client as all other requests of ours. Must not retry, and must not
//! know a service.

use std::{fmt, time::Duration};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::{Response, StatusCode},
};
use aws_smithy_types::body::SdkBody;
use reqwest::Client;

use crate::outgoing;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one request may take at the very most; the SDK's own limit for an attempt is shorter.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest answer, in bytes. A hundred tasks with all their containers take about 1 MB.
const MOST: usize = 16 << 20;

/// The client that all services of an account share.
pub(super) fn client() -> Result<SharedHttpClient, reqwest::Error> {
    let client = outgoing::client().connect_timeout(CONNECT).timeout(LONGEST).build()?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

struct Connector(Client);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(client: &Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |why: String| ConnectorError::user(why.into());
    let request = request.try_into_http1x().map_err(|error| user(error.to_string()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().map(<[u8]>::to_vec).ok_or_else(|| user("its body is a stream".to_owned()))?;
    let url = parts.uri.to_string();
    let asked = client.request(parts.method, url).headers(parts.headers).body(body);
    let mut answer = asked.send().await.map_err(failed)?;
    let status = StatusCode::try_from(answer.status().as_u16()).map_err(|error| user(error.to_string()))?;
    let headers = std::mem::take(answer.headers_mut());
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if text.len() + chunk.len() > MOST {
            return Err(ConnectorError::other(format!("the answer is longer than {MOST} bytes").into(), None));
        }
        text.extend_from_slice(&chunk);
    }
    let mut response = Response::new(status, SdkBody::from(text));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}
