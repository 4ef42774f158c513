//! The composition root: makes each part's configuration from one, and starts them in the order they need each other.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use axum::Router;
use secrecy::ExposeSecret as _;
use shared::{
    config::{ConfigError, EXIT_CONFIG, SecretList, Sources},
    edge::Edge,
    serve::{self, Bounds},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    backend,
    config::{BackendConfig, Config},
    data_dir::{ADMIN_KEY, DataDir},
    demo,
};

const BACKEND_DATABASE: &str = "chat-backend.db";

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory, or a listener.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A setting that only a part could judge.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The admin service.
    #[error(transparent)]
    Admin(#[from] admin_service::server::StartError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] relay_gateway::server::StartError),
    /// The demo page's way to the admin service.
    #[error("the demo page: {0}")]
    Demo(#[from] demo::InvalidAdmin),
    /// The chat backend.
    #[error("the chat backend's database: {0}")]
    Backend(#[from] backend::StoreError),
}

impl StartError {
    /// How the process ends.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            _ => 1,
        }
    }
}

/// Everything that was started.
#[derive(Debug, Default)]
pub struct Running {
    gateway: Option<relay_gateway::server::Running>,
    servers: JoinSet<()>,
    admin: Option<admin_service::server::Running>,
}

impl Running {
    /// Waits until it was told to stop and everything in flight is done.
    pub async fn drained(mut self) {
        if let Some(gateway) = self.gateway {
            gateway.drained().await;
        }
        while self.servers.join_next().await.is_some() {}
        if let Some(admin) = self.admin {
            admin.drained().await;
        }
    }
}

/// Starts the whole system and says what to do next.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, stopping: CancellationToken) -> Result<Running, StartError> {
    let data = DataDir::open(&config.data_dir)?;
    let relay_secret = data.relay_secret()?;
    let metrics = Metrics::default();
    let http_metrics = HttpServerMetrics::new(&metrics);
    let mut running = Running::default();
    // Behind a token of its own, the gateway drains first: what it still forwards finds the others listening.
    let behind = CancellationToken::new();

    // Open first, for the embed codes name it; who connects already waits until the gateway is there.
    let listener = serve::bind(config.listen).await?;
    let relay_url = match &config.relay_url {
        Some(url) => url.as_url().to_string(),
        None => {
            let address = listener.local_addr()?;
            if address.ip().is_unspecified() {
                tracing::warn!(%address, "embed codes name this address, which no browser reaches: set relay_url");
            }
            format!("http://{address}")
        }
    };
    let grpc_token = data.grpc_token()?;
    let api_key = config.api_key.clone().map_or_else(|| data.admin_key(), Ok)?;
    let admin_config = admin_config(&config, &data, &grpc_token, &api_key, relay_url)?;
    let admin = admin_service::server::start(admin_config, &metrics, http_metrics.clone(), behind.clone()).await?;

    let backend_url = match &config.chat_backend_url {
        Some(url) => url.as_url().to_string(),
        None => {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let edge = Edge { server: "chat-backend", metrics: http_metrics.clone(), access_log: false };
            let address =
                serve_backend(&mut running.servers, listen, &data, &relay_secret, edge, behind.clone()).await?;
            format!("http://{address}")
        }
    };

    let gateway_config = gateway_config(&config, &admin, &grpc_token, &relay_secret, &backend_url)?;
    let pages = if config.demo_page { demo::router(admin.grpc, api_key.first())? } else { Router::new() };
    let gateway =
        relay_gateway::server::start_on(listener, pages, gateway_config, &metrics, http_metrics, stopping).await?;
    if let Some(address) = config.ops_listen {
        let listener = serve::bind(address).await?;
        tracing::info!(server = "ops", address = %listener.local_addr()?, "listening");
        let router = metrics.router().merge(gateway.probes());
        running.servers.spawn(serve::serve(listener, router, Bounds::default(), behind.clone()));
    }
    let key_file = config.api_key.is_none().then(|| data.path(ADMIN_KEY));
    print_next_steps(gateway.public, admin.rest, key_file.as_deref(), config.demo_page);
    running.admin = Some(admin);
    running.servers.spawn(async move {
        gateway.drained().await;
        behind.cancel();
    });
    Ok(running)
}

/// Starts the chat backend by itself.
///
/// # Errors
/// [`StartError`].
pub async fn start_backend(config: BackendConfig, stopping: CancellationToken) -> Result<Running, StartError> {
    let data = DataDir::open(&config.data_dir)?;
    let relay_secret = config.relay_secret.map_or_else(|| data.relay_secret(), Ok)?;
    let edge = Edge {
        server: "chat-backend",
        metrics: HttpServerMetrics::new(&Metrics::default()),
        access_log: config.access_log,
    };
    let mut running = Running::default();
    serve_backend(&mut running.servers, config.listen, &data, &relay_secret, edge, stopping).await?;
    Ok(running)
}

async fn serve_backend(
    servers: &mut JoinSet<()>,
    listen: SocketAddr,
    data: &DataDir,
    relay_secret: &SecretList,
    edge: Edge,
    stopping: CancellationToken,
) -> Result<SocketAddr, StartError> {
    relay_secret.log_rotation("relay_secret");
    let store = backend::Store::open(&data.sqlite_url(BACKEND_DATABASE)?).await?;
    let backend = backend::Backend::new(store, stopping.clone());
    let router = backend::router(backend.clone(), relay_secret);
    let listener = serve::bind(listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(server = "chat-backend", %address, "listening");
    let router = edge.wrap(router);
    servers.spawn(async move {
        serve::serve(listener, router, Bounds::default(), stopping).await;
        if let Err(error) = backend.close().await {
            tracing::warn!(%error, "the chat backend's database did not close");
        }
    });
    Ok(address)
}

/// The admin service's configuration, through its own checks.
fn admin_config(
    config: &Config,
    data: &DataDir,
    grpc_token: &SecretList,
    api_key: &SecretList,
    relay_url: String,
) -> Result<admin_service::config::Config, StartError> {
    let database_url = match &config.database_url {
        Some(url) => url.clone(),
        None => data.sqlite_url("admin.db")?.into(),
    };
    let mut loaded = admin_service::config::Config::load(&environment([
        ("ADMIN_REST_LISTEN", config.admin_listen.to_string()),
        ("ADMIN_GRPC_LISTEN", config.grpc_listen.to_string()),
        ("ADMIN_DATABASE_URL", database_url.expose_secret().to_owned()),
        ("ADMIN_API_KEY", api_key.as_given().expose_secret().to_owned()),
        ("ADMIN_MASTER_KEYS", data.master_keys()?.expose_secret().to_owned()),
        ("ADMIN_GRPC_TOKEN", grpc_token.as_given().expose_secret().to_owned()),
        ("ADMIN_RELAY_URL", relay_url),
        ("ADMIN_LEASE_MS", config.lease_ms.to_string()),
        ("ADMIN_ACCESS_LOG", config.access_log.to_string()),
    ]))?;
    loaded.telemetry = config.telemetry.clone();
    Ok(loaded)
}

/// The gateway's configuration, through its own checks.
fn gateway_config(
    config: &Config,
    admin: &admin_service::server::Running,
    grpc_token: &SecretList,
    relay_secret: &SecretList,
    backend_url: &str,
) -> Result<relay_gateway::config::Config, StartError> {
    let mut loaded = relay_gateway::config::Config::load(&environment([
        ("GATEWAY_LISTEN", config.listen.to_string()),
        ("GATEWAY_ID", "standalone".to_owned()),
        // One worker: this runtime, whose threads the services share.
        ("GATEWAY_THREADS", "1".to_owned()),
        ("GATEWAY_ADMIN_GRPC", format!("http://{}", admin.grpc)),
        ("GATEWAY_ADMIN_GRPC_TOKEN", grpc_token.as_given().expose_secret().to_owned()),
        ("GATEWAY_CHAT_BACKEND_URL", backend_url.to_owned()),
        ("GATEWAY_RELAY_SECRET", relay_secret.as_given().expose_secret().to_owned()),
        ("GATEWAY_EXPOSE_ADMIN_API", "true".to_owned()),
        ("GATEWAY_ADMIN_REST", format!("http://{}", admin.rest)),
        ("GATEWAY_ACCESS_LOG", config.access_log.to_string()),
    ]))?;
    loaded.telemetry = config.telemetry.clone();
    if config.chat_backend_url.is_none() {
        loaded.descriptors_each = 3;
    }
    if let Some(proxies) = &config.trusted_proxies {
        loaded.trusted_proxies = proxies.clone();
    }
    Ok(loaded)
}

fn environment<const N: usize>(variables: [(&str, String); N]) -> Sources {
    let env = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Sources { args: Vec::new(), env }
}

fn print_next_steps(relay: SocketAddr, admin: SocketAddr, key_file: Option<&std::path::Path>, demo: bool) {
    let key = key_file.map_or_else(
        || "# ADMIN_API_KEY is the one you set".to_owned(),
        |path| format!("export ADMIN_API_KEY=\"$(cat '{}')\"", path.display()),
    );
    // A closed standard output is no reason to stop.
    let _ = writeln!(
        io::stdout(),
        "\nchat-relay is up.

  relay      http://{relay}
  admin API  http://{admin}  (reference: http://{admin}/docs)

Next, in another terminal, provision a tenant:

  export BASE_URL=http://{relay}
  {key}
  python3 deploy/provision-tenant.py --relay-url \"$BASE_URL\" --admin-key \"$ADMIN_API_KEY\" \\
    --tenant-name \"Demo Boutique\" --origin \"$BASE_URL\" --origin https://shop.demo.com \\
    --origin app://bloonio_chat_flutter
{}",
        if demo { format!("\nThen chat with it in a browser: http://{relay}/demo\n") } else { String::new() }
    );
}
