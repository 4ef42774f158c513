//! `/healthz` (the process lives) and `/readyz` (it should be sent traffic).

use std::future::Future;

use axum::{Router, routing::get};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

/// Adds both probes. `ready` says what is missing, or nothing; a process that is stopping is never ready.
pub fn routes<S, F, Fut>(stopping: CancellationToken, ready: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    Router::new().route("/healthz", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || async move {
            if stopping.is_cancelled() {
                return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
            }
            match ready().await {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
            }
        }),
    )
}
