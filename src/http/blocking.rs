//! Work that may block, such as reading a file, beside the threads that serve requests.

use super::Problem;

/// Does it; to its end, also where whoever asked has gone.
///
/// # Errors
/// That it met a defect, which the log names.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work for a request met a defect");
        Problem::new(500, "a defect of pointsman; its log says more")
    })
}
