//! How a call reaches the admin service: the token, the trace, the deadline, the next replica where one is away, and some patience
//! where all are.
//!
//! A call may be sent twice, so each must be harmless when repeated: lookups, operations idempotent by design, and the opening of a
//! session, which leaves at worst a session that nobody uses and that ends by itself. The calls that send events to a tenant's receiver
//! are made as changes: a slow answer is waited for, and the call is sent twice only where its connection breaks. Then the receiver gets
//! a replayed event twice, under one id. A call that must not be sent twice does not belong here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proto::Call;
use secrecy::ExposeSecret as _;
use service::{ApiError, call_span, telemetry};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tracing::{Instrument as _, field::Empty};
use wire::{
    ErrorCode,
    request_id::RequestId,
    time::{as_millis, since_boot_ms},
};

use super::{
    backoff::Backoff,
    errors::{for_http_callers, no_answer},
    tls::{self, Connector},
};
use crate::{config::AdminConfig, metrics::GatewayMetrics};

/// [`wire::request_id::X_REQUEST_ID`] as gRPC metadata.
const REQUEST_ID_KEY: &str = "x-request-id";

/// A connection to whichever replica of the admin service answers.
#[derive(Clone)]
pub(crate) struct AdminClient {
    replicas: Arc<[Replica]>,
    /// The replica that answered last, and when: milliseconds since the machine started.
    preferred: Arc<AtomicUsize>,
    answered_at: Arc<AtomicU64>,
    authorization: MetadataValue<Ascii>,
    timeout: Duration,
    patience: Duration,
    metrics: GatewayMetrics,
}

struct Replica {
    endpoint: Endpoint,
    /// How to connect, where its URL is https.
    tls: Option<Connector>,
    channel: Channel,
}

/// The admin service's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAdmin {
    /// A URL.
    #[error("admin_grpc: {0}")]
    Url(#[from] tonic::transport::Error),
    /// A file of TLS.
    #[error("{0}")]
    Tls(String),
    /// The token.
    #[error("admin_grpc_token cannot travel in a header")]
    Token,
}

impl AdminClient {
    pub(crate) async fn new(config: &AdminConfig, metrics: GatewayMetrics) -> Result<Self, InvalidAdmin> {
        // Read the files once now, so that the start fails if they cannot be used.
        tls::load(&config.tls).await.map_err(InvalidAdmin::Tls)?;
        let tls = Connector(Arc::new(config.tls.clone()));
        let replicas = config
            .urls
            .0
            .iter()
            .map(|url| {
                if url.is_plain_beyond_loopback() {
                    tracing::warn!(
                        url = %url.as_url(),
                        "admin_grpc is http and leaves this machine: anybody on the path reads every tenant's secret and the token. \
                         Give both ends certificates (https://), or reach it over a network that encrypts, such as a VPN."
                    );
                }
                let endpoint = Endpoint::from_shared(url.as_url().to_string())?
                    .connect_timeout(config.timeout.min(Duration::from_secs(1)))
                    .tcp_nodelay(true)
                    // A link that swallows everything is noticed, and replaced, well within a lease.
                    .http2_keep_alive_interval(Duration::from_secs(2))
                    .keep_alive_timeout(Duration::from_secs(2));
                let tls = (url.as_url().scheme() == "https").then(|| tls.clone());
                let channel = match &tls {
                    Some(tls) => endpoint.connect_with_connector_lazy(tls.clone()),
                    None => endpoint.connect_lazy(),
                };
                Ok(Replica { channel, endpoint, tls })
            })
            .collect::<Result<_, tonic::transport::Error>>()?;
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {}", config.token.first().expose_secret()).parse().map_err(|_| InvalidAdmin::Token)?;
        authorization.set_sensitive(true);
        Ok(Self {
            replicas,
            preferred: Arc::default(),
            answered_at: Arc::default(),
            authorization,
            timeout: config.timeout,
            patience: config.patience,
            metrics,
        })
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many replicas there are.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// A connection of its own to one of the replicas. `index` is taken modulo the number of replicas.
    ///
    /// # Errors
    /// The transport's, where it cannot be made.
    pub(super) async fn connect(&self, index: usize) -> Result<Channel, tonic::transport::Error> {
        let Replica { endpoint, tls, .. } = &self.replicas[index % self.replicas.len()];
        match tls {
            Some(tls) => endpoint.connect_with_connector(tls.clone()).await,
            None => endpoint.connect().await,
        }
    }

    /// Notes that this replica has granted a lease: the gateway asks it first from now on. While a change is applied, it waits for the
    /// gateway's questions, so they must not go to a replica that is away.
    pub(crate) fn granted_by(&self, replica: usize) {
        self.preferred.store(replica, Ordering::Relaxed);
        self.answered();
    }

    /// Says that an admin service has answered.
    fn answered(&self) {
        self.answered_at.store(since_boot_ms(), Ordering::Relaxed);
    }

    /// Until when a call waits for a replica to come back, in milliseconds since the machine started: the admin service may only be
    /// restarting, or failing over.
    fn may_be_back_until(&self) -> u64 {
        let answered_at = self.answered_at.load(Ordering::Relaxed);
        if answered_at == 0 { 0 } else { answered_at + as_millis(self.patience) }
    }

    /// A request with what every call carries.
    pub(super) fn request<M>(&self, message: M, request_id: &RequestId) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        if let Ok(id) = MetadataValue::try_from(request_id.as_str()) {
            request.metadata_mut().insert(REQUEST_ID_KEY, id);
        }
        request
    }

    /// Makes a change, which waits at the admin service until it is true everywhere: at one replica after the other, each with all of
    /// the time that is left of `within`.
    ///
    /// # Errors
    /// As [`AdminClient::call`].
    pub(super) async fn change<M: Call>(
        &self,
        request_id: &RequestId,
        message: M,
        within: Duration,
    ) -> Result<M::Answer, ApiError> {
        let patient =
            Self { timeout: within.saturating_mul(u32::try_from(self.replicas.len()).unwrap_or(1)), ..self.clone() };
        let made = tokio::time::timeout(within, patient.call(request_id, message)).await;
        made.unwrap_or_else(|_| Err(no_answer("no answer in time")))
    }

    /// Makes one call: at each replica in turn, until one answers. If none answers, and one did recently, the gateway tries them all
    /// again for a while.
    ///
    /// # Errors
    /// The admin service's own error; [`ErrorCode::DirectoryUnavailable`] where none answers.
    pub(super) async fn call<M: Call>(&self, request_id: &RequestId, message: M) -> Result<M::Answer, ApiError> {
        let deadline = self.may_be_back_until();
        let mut backoff = Backoff::default();
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            let mut away = None;
            for attempt in 0..self.replicas.len() {
                let index = (first + attempt) % self.replicas.len();
                match self.call_replica(index, request_id, message.clone()).await {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        self.answered();
                        return Ok(answer);
                    }
                    Err(status) => match ApiError::from_status(&status) {
                        // Another replica would answer the same. But a replica that has lost its database, or does not know
                        // our token, has said nothing about the tenant.
                        Some(error)
                            if !matches!(
                                error.code(),
                                ErrorCode::StoreUnavailable | ErrorCode::InvalidServiceToken
                            ) =>
                        {
                            self.answered();
                            return Err(for_http_callers(error));
                        }
                        _ => away = Some(status),
                    },
                }
            }
            if since_boot_ms() >= deadline {
                let cause = away.map_or_else(|| "no replica is configured".to_owned(), |status| status.to_string());
                return Err(no_answer(cause));
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn call_replica<M: Call>(
        &self,
        index: usize,
        request_id: &RequestId,
        message: M,
    ) -> Result<M::Answer, Status> {
        let span = call_span!(
            telemetry::records_now(),
            else DEBUG,
            "rpc",
            otel.name = M::METHOD,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = M::METHOD,
        );
        let mut request = self.request(message, request_id);
        telemetry::inject_metadata(&span, request.metadata_mut());
        let started = Instant::now();
        // Shared between the replicas: one that says nothing leaves time for the next.
        let share = self.timeout / u32::try_from(self.replicas.len()).unwrap_or(u32::MAX);
        let answer = tokio::time::timeout(share, M::send(request, self.replicas[index].channel.clone()))
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
        self.metrics.admin_called(M::METHOD, outcome, started.elapsed());
        answer.map(Response::into_inner)
    }
}

/// Of a change's time, what its answer takes on its way.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How long the admin service may wait for a change to be true everywhere. It is less than the caller's remaining time, so that the
/// answer still arrives. Never 0, which means as long as it takes.
pub(super) fn propagation_wait_ms(left: Duration) -> u32 {
    let wait = left.saturating_sub(ANSWER_MARGIN);
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
}
