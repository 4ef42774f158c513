//! Calls to the admin service over gRPC: the token, the trace, the deadline, and the next replica where one is away.
//!
//! Every call made through here may be repeated without harm: lookups, and operations idempotent by design. What must
//! not be sent twice does not belong here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use shared::{ApiError, ErrorCode, request_id::RequestId, telemetry};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tracing::{Instrument as _, field::Empty};

use crate::{config::AdminConfig, metrics::GatewayMetrics};

/// [`shared::request_id::X_REQUEST_ID`] as gRPC metadata.
const REQUEST_ID_KEY: &str = "x-request-id";

/// A connection to whichever replica of the admin service answers.
#[derive(Clone)]
pub(crate) struct AdminClient {
    replicas: Arc<[Channel]>,
    /// The replica that answered last.
    preferred: Arc<AtomicUsize>,
    authorization: MetadataValue<Ascii>,
    timeout: Duration,
    metrics: GatewayMetrics,
}

/// The admin service's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAdmin {
    /// A URL.
    #[error("admin_grpc: {0}")]
    Url(#[from] tonic::transport::Error),
    /// The token.
    #[error("admin_grpc_token cannot travel in a header")]
    Token,
}

impl AdminClient {
    pub(crate) fn new(config: &AdminConfig, metrics: GatewayMetrics) -> Result<Self, InvalidAdmin> {
        let replicas = config
            .urls
            .0
            .iter()
            .map(|url| {
                let endpoint = Endpoint::from_shared(url.as_url().to_string())?
                    .connect_timeout(config.timeout.min(Duration::from_secs(1)))
                    .timeout(config.timeout)
                    .tcp_nodelay(true)
                    .http2_keep_alive_interval(Duration::from_secs(10))
                    .keep_alive_timeout(Duration::from_secs(5));
                Ok(endpoint.connect_lazy())
            })
            .collect::<Result<_, tonic::transport::Error>>()?;
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {}", config.token.expose_secret()).parse().map_err(|_| InvalidAdmin::Token)?;
        authorization.set_sensitive(true);
        Ok(Self { replicas, preferred: Arc::default(), authorization, timeout: config.timeout, metrics })
    }

    /// Makes one call, at the next replica where the last one is away. `method` is its name in metrics and spans.
    ///
    /// # Errors
    /// The admin service's own error; [`ErrorCode::DirectoryUnavailable`] where none answers in time.
    pub(crate) async fn call<M, R, F>(
        &self,
        method: &'static str,
        request_id: &RequestId,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, ApiError>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut away = None;
        for attempt in 0..self.replicas.len() {
            let index = (first + attempt) % self.replicas.len();
            match self.call_replica(index, method, request_id, message.clone(), &call).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(status) => match ApiError::from_status(&status) {
                    // Its own word: another replica would say the same. But a replica that has lost its database, or
                    // does not know our token, has said nothing about the tenant.
                    Some(error)
                        if !matches!(error.code(), ErrorCode::StoreUnavailable | ErrorCode::InvalidServiceToken) =>
                    {
                        return Err(error);
                    }
                    _ => away = Some(status),
                },
            }
        }
        let cause = away.map_or_else(|| "no replica is configured".to_owned(), |status| status.to_string());
        Err(ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The admin service gives no answer right now. What was asked may have been done; asking again does no harm.",
        )
        .retry_after_seconds(1)
        .caused_by(cause))
    }

    async fn call_replica<M, R, F>(
        &self,
        index: usize,
        method: &'static str,
        request_id: &RequestId,
        message: M,
        call: &impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, Status>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let span = tracing::info_span!(
            "rpc",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
        );
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        if let Ok(id) = MetadataValue::try_from(request_id.as_str()) {
            request.metadata_mut().insert(REQUEST_ID_KEY, id);
        }
        telemetry::inject_metadata(&span, request.metadata_mut());
        let started = Instant::now();
        let answer = tokio::time::timeout(self.timeout, call(self.replicas[index].clone(), request))
            .instrument(span.clone())
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("the admin service took too long")));
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(status) if ApiError::from_status(status).is_some() => "refused",
            Err(status) if status.code() == Code::DeadlineExceeded => "timeout",
            Err(_) => "unavailable",
        };
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        self.metrics.admin_called(method, outcome, started.elapsed());
        answer.map(Response::into_inner)
    }
}
