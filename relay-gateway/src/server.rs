//! The composition root: the only place that knows both the ingress and what stands behind its ports.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use coherence::LONGEST_LEASE_MS;
use service::{
    edge::{ClientAddresses, Edge},
    passed_on::ClientProof,
    serve::{self, Bounds, ListenError, Tls, TlsError},
    telemetry::metrics::{HttpServerMetrics, Metrics},
    workers::Workers,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{AdminClient, InvalidAdmin},
    backend::{Backend, Upstream},
    config::{Config, SocketLimits, UpstreamTimeouts},
    directory::{CachedDirectory, ChangeListener, GrpcDirectory, PreviousUses, Subscription, TenantDirectory},
    ingress::{self, Gateway, Ingress, Tickets},
    limits::{Fleet, Limits, SocketBounds},
    metrics::{FleetMetrics, GatewayCount, GatewayMetrics, SocketMetrics},
    signing_keys::SigningKeys,
    sockets::{OperatorJudge, Participant, SocketDeps, Sockets, VisitorJudge},
};

/// The service's name in metrics.
const NAME: &str = "relay-gateway";

/// How often quiet addresses are forgotten, and unused connections closed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the REST facade may take beside what a change waits.
const PASSTHROUGH_MARGIN: Duration = Duration::from_secs(10);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A listener's own address, or a worker's thread, could not be had.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The admin service's address or token.
    #[error(transparent)]
    Admin(#[from] InvalidAdmin),
}

/// A gateway that takes calls.
pub struct Running {
    /// Where it listens.
    pub public: SocketAddr,
    tasks: JoinSet<()>,
    probes: Router,
    /// Gives the lease up, once no call needs it any more.
    leaving: CancellationToken,
    subscription: JoinHandle<()>,
    /// Where previous secrets were used, and whom to tell in whose name.
    telling: (Arc<PreviousUses>, AdminClient, String),
    /// Visitors' sockets live on them longer than the requests they came as.
    _workers: Workers,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Running {
    /// `/healthz` and `/readyz`, for a listener that no caller fills.
    pub fn probes(&self) -> Router {
        self.probes.clone()
    }

    /// Waits until the gateway was told to stop and everything in flight is done.
    pub async fn drained(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a server ended badly");
            }
        }
        // Once more, now that no call is in flight. What cannot be told is lost with the process.
        let (uses, admin, name) = &self.telling;
        if let Err(error) = uses.tell_all(admin, name).await {
            tracing::warn!(cause = error.cause(), "could not tell where secrets from before a rotation were used");
        }
        self.leaving.cancel();
        if let Err(error) = self.subscription.await {
            tracing::error!(%error, "the directory's subscription ended badly");
        }
    }
}

/// Starts the gateway. It needs neither the admin service nor the chat backend to start: `/readyz` says what is missing.
///
/// # Errors
/// [`StartError`].
pub async fn start(
    config: Config,
    metrics: &Metrics,
    http_metrics: HttpServerMetrics,
    stopping: CancellationToken,
) -> Result<Running, StartError> {
    let listener = serve::bind("listen", config.listen).await?;
    start_on(listener, Router::new(), config, metrics, http_metrics, stopping).await
}

/// The same on a listener that is open already, with further pages beside its own.
///
/// # Errors
/// [`StartError`].
pub async fn start_on(
    listener: TcpListener,
    pages: Router,
    mut config: Config,
    metrics: &Metrics,
    http_metrics: HttpServerMetrics,
    stopping: CancellationToken,
) -> Result<Running, StartError> {
    config.fit_descriptors();
    let tls = match config.tls.take() {
        Some(files) => Some(Tls::open(files, b"http/1.1", metrics).await?),
        None => None,
    };
    let own_metrics = GatewayMetrics::new(metrics);
    let admin = AdminClient::new(&config.admin, own_metrics.clone()).await?;
    // A change returns when it is true everywhere: giving up on it sooner would lose the secret that its answer shows once.
    let passthrough_header =
        config.backend.timeouts.header.max(Duration::from_millis(LONGEST_LEASE_MS) + PASSTHROUGH_MARGIN);
    let passthrough_timeouts = UpstreamTimeouts { header: passthrough_header, ..config.backend.timeouts };
    let directory = CachedDirectory::new(GrpcDirectory::new(admin.clone()), config.admin.cache_bytes, metrics);
    let backend = Arc::new(Backend::new(&config.backend, own_metrics.clone()));
    let proxies = config.trusted_proxies.0.iter().map(|network| network.0).collect();
    let gateways = GatewayCount::new(metrics);
    let fleet = config.fleet.take();
    let fleet = fleet.map(|fleet| Arc::new(Fleet::new(fleet, gateways.clone(), FleetMetrics::new(metrics))));
    let limits = Limits::new(&config.limits, socket_bounds(&config), proxies).in_fleet(fleet.clone());
    let limits = Arc::new(limits);
    let signing_keys = SigningKeys::new(admin.clone(), directory.clone());
    let judge = VisitorJudge::new(directory.clone(), admin.clone(), signing_keys.clone(), Arc::clone(&limits));
    let operator_judge = OperatorJudge::new(directory.clone(), signing_keys.clone(), Arc::clone(&limits));
    let deps = SocketDeps {
        backend: Arc::clone(&backend),
        limits: Arc::clone(&limits),
        metrics: SocketMetrics::new(metrics),
        refusals: own_metrics.clone(),
    };
    let operator_sockets = Arc::new(Sockets::new(config.sockets, operator_judge, deps.clone()));
    let sockets = Arc::new(Sockets::new(config.sockets, judge, deps));
    // Each listener applies a change (the keys are dropped, forbidden sockets closed) before the gateway acknowledges it. The keys must
    // come first, because sockets are judged by the new key set.
    let listeners: Vec<Arc<dyn ChangeListener>> =
        vec![Arc::new(signing_keys.clone()), Arc::clone(&sockets) as _, Arc::clone(&operator_sockets) as _];
    let subscription = Subscription::new(directory.clone(), admin.clone(), config.id.clone(), listeners, gateways);
    let previous_uses = Arc::<PreviousUses>::default();
    let trusted = config.trusted_proxies.clone();
    let clients = ClientAddresses::new(move |headers, peer| ingress::behind_proxies(peer, headers, &trusted));
    let gateway = Arc::new(Gateway {
        directory,
        previous_uses: Arc::clone(&previous_uses),
        signing_keys,
        admin,
        backend,
        sockets: Arc::clone(&sockets),
        operator_sockets: Arc::clone(&operator_sockets),
        tickets: Tickets::new(config.backend.relay_secret.accepted()),
        admin_rest: Upstream::new("admin-rest", &config.admin_rest, passthrough_timeouts, own_metrics.clone()),
        client_proof: ClientProof::new(&config.admin.token),
        exposed: config.exposed,
        limits: Arc::clone(&limits),
        replay_parameters: config.replay_parameters.0.into_iter().map(|name| name.0).collect(),
        call_deadline: config.call_deadline,
        body: config.body,
        attachments: config.attachments,
        trusted_proxies: config.trusted_proxies,
        metrics: own_metrics,
    });

    let public = listener.local_addr()?;
    let workers = Workers::start(config.threads)?;
    if let Some(fleet) = &fleet {
        fleet.connect(&workers).await;
    }
    let mut tasks = JoinSet::new();
    let edge = Edge { server: NAME, metrics: http_metrics, access_log: config.access_log, clients };
    let probes = ingress::probes(gateway.directory.clone(), fleet, stopping.clone());
    let ingress = Ingress::new(Arc::clone(&gateway), edge, pages.merge(probes.clone()));
    let serving =
        serve::serve_on(workers.clone(), listener, tls.clone(), ingress, limits, config.bounds, stopping.clone());
    tasks.spawn(serving);
    if let Some(tls) = tls {
        tasks.spawn(tls.follow(stopping.clone()));
    }
    if config.backend.check_at_start {
        let (backend, stopping) = (Arc::clone(&gateway.backend), stopping.clone());
        tasks.spawn(async move { backend.check_signature(stopping).await });
    }
    let telling = (previous_uses, gateway.admin.clone(), config.id.clone());
    tasks.spawn({
        let ((uses, admin, name), stopping) = (telling.clone(), stopping.clone());
        async move { uses.follow(&admin, &name, stopping).await }
    });
    tasks.spawn(sweep(gateway, stopping.clone()));
    tasks.spawn(drain(sockets, config.sockets.drain, config.bounds, stopping.clone()));
    tasks.spawn(drain(operator_sockets, config.sockets.drain, config.bounds, stopping.clone()));
    if let Some(address) = config.ops_listen {
        let listener = serve::bind("ops_listen", address).await?;
        tracing::info!(server = "gateway-ops", address = %listener.local_addr()?, "listening");
        // Probes have a listener that no caller can fill.
        let router = metrics.router().merge(probes.clone());
        tasks.spawn(serve::serve(listener, router, config.bounds, stopping));
    }
    let admin_api = config.exposed.admin_api;
    tracing::info!(server = "gateway", address = %public, gateway_id = config.id, workers = config.threads, ?admin_api, "listening");
    let leaving = CancellationToken::new();
    let subscription = tokio::spawn(subscription.run(leaving.clone()));
    Ok(Running { public, tasks, probes, leaving, subscription, telling, _workers: workers })
}

fn socket_bounds(config: &Config) -> SocketBounds {
    let SocketLimits { most, most_per_tenant, most_per_session } = config.sockets.limits;
    let per_address = config.limits.sockets_per_address;
    SocketBounds { all: most, per_tenant: most_per_tenant, per_session: most_per_session, per_address }
}

/// Closes sockets once the gateway stops.
async fn drain<P: Participant>(sockets: Arc<Sockets<P>>, over: Duration, bounds: Bounds, stopping: CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(bounds.drain_delay).await;
    let open = sockets.count();
    if tokio::time::timeout(bounds.drain_timeout, sockets.drain(over)).await.is_err() {
        tracing::warn!(open, "some sockets did not close within the drain timeout");
    }
}

async fn sweep<D: TenantDirectory>(gateway: Arc<Gateway<D>>, stopping: CancellationToken) {
    while tokio::time::timeout(SWEEP_EVERY, stopping.cancelled()).await.is_err() {
        gateway.backend.sweep();
        gateway.admin_rest.sweep();
        gateway.limits.sweep();
    }
}
