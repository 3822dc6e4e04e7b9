//! Whether somebody accepts connections. Must not send anything.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

/// `tcp = {}`: a connection is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpCheck {}

impl TcpCheck {
    pub(super) async fn probe(&self, endpoint: SocketAddr, limit: Duration) -> Result<(), String> {
        match timeout(limit, TcpStream::connect(endpoint)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("TCP {endpoint}: expected a connection, got {error}")),
            Err(_) => Err(format!("TCP {endpoint}: expected a connection, got none within {} ms", limit.as_millis())),
        }
    }
}
