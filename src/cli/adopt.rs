//! `adopt`: the stack that is live today becomes Pointsman's.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    client::{Server, Terms},
    follow::{Follow, refused},
    told::Accepted,
};
use crate::machine::EnvironmentId;

/// A stack that is there already.
#[derive(Args)]
#[group(skip)]
pub struct Adopt {
    /// The environment, written pipeline/environment
    environment: EnvironmentId,
    /// The name that the stack has at its provider, or its id
    stack: String,
    /// What people call what runs in it [default: the stack's name]
    #[arg(long)]
    version: Option<String>,
    /// Which of its outputs says where it serves [default: the one of the definition]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The same key again is the same adoption [default: none]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    follow: Follow,
}

/// Asks for it.
pub async fn adopt(server: &Server, request: Adopt) -> anyhow::Result<ExitCode> {
    let connection = server.connect()?;
    let mut body = json!({ "stack": request.stack });
    let optional = [("version", request.version), ("output", request.output), ("reason", request.reason)];
    for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        body[name] = value.into();
    }
    let path = format!("/v1/environments/{}/adopt", request.environment);
    match connection.send::<Accepted>(&path, &body, Terms { key: request.idempotency_key, seen: None }).await {
        Ok(answer) => request.follow.outcome(&connection, server, answer.deployment(), &["accepted"]).await,
        Err(error) => refused(server, error),
    }
}
