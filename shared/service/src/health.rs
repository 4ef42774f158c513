//! `/healthz` (the process lives) and `/readyz` (it should be sent traffic).

use std::{future::Future, time::Duration};

use axum::{Router, routing::get};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

/// How long `/readyz` waits for its answer: load balancers give a probe about a second.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Adds both probes. `ready` answers an error that says what is missing, or an optional line that `/readyz` prints too. It is dropped after
/// 500 ms. `needed` names what it asks, such as the database. A process that is stopping is never ready.
pub fn routes<S, F, Fut>(stopping: CancellationToken, needed: &'static str, ready: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<&'static str>, String>> + Send,
{
    Router::new().route("/healthz", get(|| async { "ok\n" })).route(
        "/readyz",
        get(move || async move {
            if stopping.is_cancelled() {
                return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
            }
            match tokio::time::timeout(ANSWER_WITHIN, ready()).await {
                Ok(Ok(None)) => (StatusCode::OK, "ready\n".to_owned()),
                Ok(Ok(Some(detail))) => (StatusCode::OK, format!("ready\n{detail}\n")),
                Ok(Err(missing)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{needed}: {missing}\n")),
                Err(_) => {
                    let within = ANSWER_WITHIN.as_millis();
                    (StatusCode::SERVICE_UNAVAILABLE, format!("{needed}: no answer within {within} ms\n"))
                }
            }
        }),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn readyz_answers_within_a_second_whatever_it_waits_for() {
        let never = || async { std::future::pending().await };
        let router: Router = routes(CancellationToken::new(), "database", never);
        let request = http::Request::get("/readyz").body(Body::empty()).expect("a request");
        let answer = tokio::time::timeout(Duration::from_secs(1), router.oneshot(request)).await.expect("in time");
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = to_bytes(answer.into_body(), 100).await.expect("a body");
        assert_eq!(body, "database: no answer within 500 ms\n");
    }
}
