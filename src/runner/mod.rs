//! Stand-in for the runner, until the real one takes its place: it waits to be stopped.

use std::{path::Path, sync::Arc};

use tokio::sync::watch;

use crate::{clock::Clock, journal::Journal, pipelines::Pipelines};

/// Runs every environment until `stop` says true.
pub async fn run(
    _journal: Journal,
    _pipelines: Arc<Pipelines>,
    _clock: Clock,
    _state: &Path,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    // A stop that can no longer come is one too.
    let _ = stop.wait_for(|stop| *stop).await;
    Ok(())
}
