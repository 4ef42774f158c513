//! The composition root: the only place that knows both the use cases and what stands behind their ports.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use service::{
    config::SecretList,
    edge::{ClientAddresses, Edge},
    passed_on::ClientProof,
    serve::{self, Bounds, ListenError, Tls, TlsError},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::{
    signature::{RelayKey, RelayKeys},
    time::now_unix_ms,
};

use crate::{
    account_keys::AccountKeys,
    admin_keys::AdminKeys,
    auth::{OperatorGate, RootKeys},
    bell::Bell,
    bots::Bots,
    config::{Config, WebhookConfig},
    delivery::{AddressGuard, Delivery, DeliveryMetrics},
    directory::Directory,
    errors::UseCaseError,
    events::Events,
    grpc::{self, RpcMetrics, Services},
    logs::Logs,
    operators::Operators,
    propagation::{Propagation, PropagationMetrics},
    rest::{self, Developers, RelayUrl, WebhookPublicKey},
    signing_keys::SigningKeys,
    store::{self, ConnectError, SeaStore, StoreError},
    tenants::{CallbackCheck, Tenants},
    tokens::Tokens,
    visitors::Visitors,
    webhook_key::WebhookSigningKey,
    widgets::Widgets,
};

/// The service's name in metrics.
const NAME: &str = "admin-service";

/// How often it is written when keys were last used, and tenants' secrets that are over are removed: seldom, for a call must not wait for it.
const WRITE_USES_EVERY: Duration = Duration::from_secs(10);
/// How often visitors' sessions that are over are removed.
const FORGET_SESSIONS_EVERY: Duration = Duration::from_secs(3600);
/// How often the access log is written: a process that is killed loses no more than that.
const WRITE_LOGS_EVERY: Duration = Duration::from_secs(2);
/// How often it is said how far the logs have come, and old rows are removed.
const TELL_LOGS_EVERY: Duration = Duration::from_secs(3600);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Database(#[from] ConnectError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The address of an open listener could not be read.
    #[error(transparent)]
    Address(#[from] io::Error),
    /// The certificates of gRPC.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The signing key.
    #[error("the signing key: {0}")]
    SigningKey(String),
    /// The history of changes.
    #[error("the history of changes: {0}")]
    History(#[from] StoreError),
}

/// A service that takes calls.
pub struct Running {
    /// Where the REST facade listens.
    pub rest: SocketAddr,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    tasks: JoinSet<()>,
    account_keys: AccountKeys,
    admin_keys: AdminKeys,
    visitors: Visitors,
    logs: Logs,
    store: SeaStore,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("rest", &self.rest).field("grpc", &self.grpc).finish_non_exhaustive()
    }
}

impl Running {
    /// Waits until the service was told to stop and everything in flight is done.
    pub async fn drained(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a server ended badly");
            }
        }
        // Once more, now that no call is in flight.
        self.account_keys.write_uses().await;
        self.admin_keys.write_uses().await;
        self.visitors.write_uses().await;
        self.logs.write_waiting().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the database did not close");
        }
    }
}

/// Opens the database, then the listeners: a service that listens can answer.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    config: Config,
    metrics: &Metrics,
    http_metrics: HttpServerMetrics,
    stopping: CancellationToken,
) -> Result<Running, StartError> {
    let store = store::connect(&config.database, &config.master_keys).await?;
    let port = Arc::new(store.clone());
    let ttls = (config.operator_token_ttl, config.visitor_token_ttl);
    let webhook_key = WebhookSigningKey::open(port.clone(), &config.master_keys)
        .await
        .map_err(|error: UseCaseError| StartError::SigningKey(error.to_string()))?;
    let signing_keys = SigningKeys::open(port.clone(), config.master_keys.clone(), webhook_key.clone())
        .await
        .map_err(|error: UseCaseError| StartError::SigningKey(error.to_string()))?;
    let tokens = Tokens::new(signing_keys.clone(), config.token_issuer, ttls);
    let propagation = Propagation::start(port.clone(), config.lease, PropagationMetrics::new(metrics)).await?;
    let tenants =
        Tenants::new(port.clone(), config.master_keys.clone(), propagation.clone(), callback_check(&config.webhooks));
    let visitors = Visitors::open_with(port.clone(), tokens.clone(), propagation.clone(), &config.master_keys)
        .await
        .map_err(|error: UseCaseError| StartError::SigningKey(error.to_string()))?;
    let directory = Directory::new(port.clone(), config.master_keys);
    let account_keys = AccountKeys::new(port.clone());
    let admin_keys = AdminKeys::new(port.clone());
    let developers = Developers {
        account_keys: account_keys.clone(),
        bots: Bots::new(port.clone()),
        widgets: Widgets::new(port.clone(), propagation.clone(), &config.relay_url),
    };
    let bell = Bell::default();
    let events = Events::new(port.clone(), propagation.clone(), bell.clone());
    let delivery = Delivery {
        store: port.clone(),
        events: events.clone(),
        directory: directory.clone(),
        propagation: propagation.clone(),
        bell,
        own_key: webhook_key.signing_key(),
        config: config.webhooks,
        lease: config.lease,
        metrics: DeliveryMetrics::new(metrics),
    };
    let operators = Operators::new(port, tokens.clone(), propagation.clone());
    let logs = Logs::new(Arc::new(store.clone()));
    let client_proof = ClientProof::new(&config.grpc_token);
    let clients =
        ClientAddresses::new(move |headers, peer| client_proof.client(headers, now_unix_ms()).unwrap_or(peer));
    let gate = OperatorGate::new(RootKeys::new(&config.api_key), admin_keys.clone(), logs.clone());
    config.api_key.log_rotation("api_key");
    config.grpc_token.log_rotation("grpc_token");
    let relay_url = RelayUrl::new(&config.relay_url);

    let tls = match config.grpc_tls {
        Some(files) => Some(Tls::open(files, b"h2", metrics).await?),
        None => None,
    };
    let rest_listener = serve::bind("rest_listen", config.rest_listen).await?;
    let grpc_listener = serve::bind("grpc_listen", config.grpc_listen).await?;
    let (rest, grpc) = (rest_listener.local_addr()?, grpc_listener.local_addr()?);
    let bounds = Bounds { drain_delay: config.drain_delay, drain_timeout: config.drain_timeout, ..Bounds::default() };
    let mut tasks = JoinSet::new();
    if let Some(tls) = tls.clone() {
        tasks.spawn(tls.follow(stopping.clone()));
    }

    let keys = rest::Keys { keys: signing_keys.clone(), propagation: propagation.clone() };
    let probes = rest::probes(tenants.clone(), stopping.clone());
    let router = rest::router(rest::Services {
        tenants: tenants.clone(),
        logs: logs.clone(),
        events: events.clone(),
        webhook_public_key: WebhookPublicKey(webhook_key.public_text().into()),
        relay_keys: relay_keys(config.relay_secrets.as_ref()),
        developers,
        admin_keys: admin_keys.clone(),
        keys,
        gate: gate.clone(),
        clients: clients.clone(),
        relay_url,
        probes: probes.clone(),
    });
    let edge = Edge { server: NAME, metrics: http_metrics, access_log: config.access_log, clients };
    tasks.spawn(serve::serve(rest_listener, edge.wrap(router), bounds, stopping.clone()));

    let delivered = CancellationToken::new();
    let delivering = delivery.run(stopping.clone());
    tasks.spawn({
        let delivered = delivered.clone();
        async move {
            // Dropped, it says so: also where the delivery has panicked.
            let _says_so = delivered.drop_guard();
            delivering.await;
        }
    });
    let kept = (visitors.clone(), tenants.clone());
    tasks.spawn(maintain((account_keys.clone(), admin_keys.clone()), kept, stopping.clone()));
    tasks.spawn(maintain_logs(logs.clone(), stopping.clone()));

    // Changes in flight still need what comes down the gateways' streams, so these end last.
    let (spreading, closing, told_to_stop) = (propagation.clone(), propagation.clone(), stopping.clone());
    tasks.spawn(async move {
        // The task keeps no state. If it panics, it begins again after a second; only changes in that second are slow.
        while let Err(error) = tokio::spawn({
            let spreading = spreading.clone();
            async move { spreading.run().await }
        })
        .await
        {
            tracing::error!(%error, "following the history ended badly: beginning again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    tasks.spawn(async move {
        told_to_stop.cancelled().await;
        tokio::time::sleep(bounds.drain_delay).await;
        // Workers hold a lease until their attempts have ended. They give it up then, so no change waits for it.
        let _ = tokio::time::timeout(bounds.drain_timeout, delivered.cancelled()).await;
        closing.close(bounds.drain_timeout).await;
    });

    let services = Services {
        tenants,
        directory,
        operators,
        signing_keys,
        tokens,
        visitors: visitors.clone(),
        propagation: propagation.clone(),
        logs: logs.clone(),
        gate,
        events,
        service_tokens: config.grpc_token,
        events_token: config.events_token,
        metrics: RpcMetrics::new(metrics),
    };
    let told_to_stop = stopping.clone();
    tasks.spawn(async move {
        let grpc_stopping = CancellationToken::new();
        let serving = grpc::serve((grpc_listener, tls), services, grpc_stopping.clone());
        let deadline = async {
            told_to_stop.cancelled().await;
            tokio::time::sleep(bounds.drain_delay).await;
            grpc_stopping.cancel();
            tokio::time::sleep(bounds.drain_timeout).await;
        };
        tokio::select! {
            ended = serving => if let Err(error) = ended { tracing::error!(%error, "gRPC ended") },
            () = deadline => tracing::warn!("some calls did not finish within the drain timeout"),
        }
    });

    if let Some(address) = config.ops_listen {
        let listener = serve::bind("ops_listen", address).await?;
        tracing::info!(server = "admin-ops", address = %listener.local_addr()?, "listening");
        tasks.spawn(serve::serve(listener, metrics.router().merge(probes), bounds, stopping));
    }
    tracing::info!(server = "admin-rest", address = %rest, "listening");
    tracing::info!(server = "admin-grpc", address = %grpc, "listening");
    Ok(Running { rest, grpc, tasks, account_keys, admin_keys, visitors, logs, store })
}

/// Which callbacks may be called.
fn callback_check(webhooks: &WebhookConfig) -> CallbackCheck {
    let guard = AddressGuard::new(webhooks);
    Arc::new(move |url| guard.check_url(url).map(drop).map_err(|refused| refused.to_string()))
}

/// What publications may be signed with.
fn relay_keys(secrets: Option<&SecretList>) -> RelayKeys {
    let accepted = secrets.into_iter().flat_map(SecretList::accepted);
    accepted.map(|secret| RelayKey::new(secret.expose_secret().as_bytes())).collect()
}

/// What need not be done at once, from time to time until the service stops.
async fn maintain(
    (account_keys, admin_keys): (AccountKeys, AdminKeys),
    (visitors, tenants): (Visitors, Tenants),
    stopping: CancellationToken,
) {
    visitors.forget_ended().await;
    tenants.forget_previous_secrets().await;
    let mut swept = Instant::now();
    while tokio::time::timeout(WRITE_USES_EVERY, stopping.cancelled()).await.is_err() {
        account_keys.write_uses().await;
        admin_keys.write_uses().await;
        visitors.write_uses().await;
        // Soon after its end, so that it does not come back with a clock that is set back.
        tenants.forget_previous_secrets().await;
        if swept.elapsed() > FORGET_SESSIONS_EVERY {
            visitors.forget_ended().await;
            swept = Instant::now();
        }
    }
}

/// Writes what waits for the access log, and says from time to time how far the logs have come.
async fn maintain_logs(logs: Logs, stopping: CancellationToken) {
    let mut told: Option<Instant> = None;
    loop {
        if told.is_none_or(|told| told.elapsed() > TELL_LOGS_EVERY) {
            logs.prune().await;
            logs.tell_heads().await;
            told = Some(Instant::now());
        }
        if tokio::time::timeout(WRITE_LOGS_EVERY, stopping.cancelled()).await.is_ok() {
            return;
        }
        logs.write_waiting().await;
    }
}
