//! A gateway and the two fakes around it.

use std::net::SocketAddr;

use e2e::{signed::Tenant, world};
use proto::{
    directory::v1::tenant_directory_server::TenantDirectoryServer,
    events::v1::tenant_events_server::TenantEventsServer, identity::v1::identity_server::IdentityServer,
    visitors::v1::visitors_server::VisitorsServer,
};
use relay_gateway::{
    config::Config,
    server::{self, Running},
};
use service::{
    config::Sources,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use wire::TenantId;

use super::{
    admin::FakeAdmin,
    backend::{BackendSocket, FakeBackend},
    net::loopback,
};

/// How long the leases are, unless a test says otherwise: longer than any test.
pub(crate) const LEASE_MS: u32 = 600_000;

/// A gateway and what it stands between.
pub(crate) struct Fixture {
    pub(crate) relay: SocketAddr,
    pub(crate) admin: FakeAdmin,
    pub(crate) backend: FakeBackend,
    pub(crate) tenant: Tenant,
    pub(crate) client: reqwest::Client,
    pub(crate) stopping: CancellationToken,
    pub(crate) running: Running,
    pub(crate) metrics: Metrics,
    /// The backend's ends of visitors' sockets, as they come.
    pub(crate) sockets: mpsc::UnboundedReceiver<BackendSocket>,
    grpc: SocketAddr,
    backend_address: SocketAddr,
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        id: TenantId::generate().to_string(),
        secret: format!("sk_{}", "s".repeat(43)),
        widget_public_key: format!("pk_{}", "p".repeat(32)),
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A gateway that may cache: its admin service grants leases.
    pub(crate) async fn leased() -> Self {
        Self::leased_for(LEASE_MS).await
    }

    pub(crate) async fn leased_for(lease_ms: u32) -> Self {
        Self::leased_with(lease_ms, &[]).await
    }

    pub(crate) async fn leased_with(lease_ms: u32, extra: &[(&str, &str)]) -> Self {
        let fixture = Self::starting(lease_ms, extra).await;
        world::until_ready(fixture.relay).await;
        fixture
    }

    /// With further variables for the gateway; they win over the fakes' own addresses.
    pub(crate) async fn with(extra: &[(&str, &str)]) -> Self {
        Self::starting(0, extra).await
    }

    async fn starting(lease_ms: u32, extra: &[(&str, &str)]) -> Self {
        let admin = FakeAdmin::granting(lease_ms);
        let (listener, grpc) = loopback().await;
        let services = tonic::transport::Server::builder()
            .add_service(TenantDirectoryServer::new(admin.clone()))
            .add_service(IdentityServer::new(admin.clone()))
            .add_service(VisitorsServer::new(admin.clone()))
            .add_service(TenantEventsServer::new(admin.clone()));
        tokio::spawn(services.serve_with_incoming(TcpIncoming::from(listener)));

        let (backend, backend_address, sockets) = FakeBackend::start().await;

        let mut variables = world::gateway_environment(grpc, backend_address);
        // Backends here count calls and connections: the test of the check turns it on.
        variables.insert("GATEWAY_CHECK_BACKEND_AT_START".to_owned(), "false".to_owned());
        // What is away here stays away.
        variables.insert("GATEWAY_DIRECTORY_PATIENCE_MS".to_owned(), "0".to_owned());
        variables.extend(world::environment(extra));
        let config =
            Config::load(&Sources { args: Vec::new(), env: variables.into_iter().collect() }).expect("a configuration");
        let (metrics, stopping) = (Metrics::default(), CancellationToken::new());
        let http_metrics = HttpServerMetrics::new(&metrics);
        let running = server::start(config, &metrics, http_metrics, stopping.clone()).await.expect("it starts");
        let tenant = tenant();
        admin.set(&tenant, |_| {});
        admin.widget_access(&tenant, |_| {});
        Self {
            relay: running.public,
            admin,
            backend,
            tenant,
            client: reqwest::Client::new(),
            stopping,
            running,
            metrics,
            sockets,
            grpc,
            backend_address,
        }
    }

    /// Where the fake admin service listens.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where the fake backend listens.
    pub(crate) fn backend_url(&self) -> String {
        format!("http://{}", self.backend_address)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/relay/{path}", self.relay)
    }

    /// A signed call of the tenant's.
    pub(crate) fn signed(&self, method: http::Method, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.tenant.request(&self.client, method, &self.url(path), body)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.signed(http::Method::POST, path, body)
    }

    /// What `/metrics` would show.
    pub(crate) fn shown_metrics(&self) -> String {
        let mut text = String::new();
        self.metrics
            .register(|registry| prometheus_client::encoding::text::encode(&mut text, registry))
            .expect("encodes");
        text
    }
}
