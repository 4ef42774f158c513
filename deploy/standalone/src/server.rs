//! The composition root: makes each part's configuration from one, and starts them in the order they need each other.

use std::{io, net::SocketAddr};

use axum::Router;
use chat_backend::{
    EventsUrl, FilesUrl,
    config::{DatabaseUrl, FilesConfig, FilesSettings},
};
use relay_gateway::config::HttpUrl;
use service::{
    config::SecretList,
    edge::{ClientAddresses, Edge},
    laptop::Exposure,
    serve::{self, Bounds, ListenError},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    config::Config,
    data_dir::{ADMIN_KEY, DataDir},
    demo::{self, hosts::OwnHosts},
    next_steps::NextSteps,
    wiring::{self, AdminWiring, GatewayWiring},
};

const BACKEND_DATABASE: &str = "chat-backend.db";

/// Where gateways serve, where nobody says otherwise.
const DEFAULT_RELAY_URL: &str = "http://127.0.0.1:7811";

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
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
    Backend(#[from] chat_backend::StoreError),
    /// The place where the chat backend keeps files.
    #[error("attachments_url: {0}")]
    Files(#[from] chat_backend::ObjectsError),
}

/// Everything that was started.
#[derive(Debug, Default)]
pub struct Running {
    gateway: Option<relay_gateway::server::Running>,
    servers: JoinSet<()>,
    admin: Option<admin_service::server::Running>,
    /// Cancelled once the other servers are done: the chat backend publishes until it ends.
    admin_stopping: CancellationToken,
}

impl Running {
    /// Waits until it was told to stop and everything in flight is done.
    pub async fn drained(mut self) {
        if let Some(gateway) = self.gateway {
            gateway.drained().await;
        }
        while self.servers.join_next().await.is_some() {}
        self.admin_stopping.cancel();
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
    let relay_secret = config.relay_secret.clone().map_or_else(|| data.relay_secret(), Ok)?;
    let metrics = Metrics::default();
    let http_metrics = HttpServerMetrics::new(&metrics);
    let mut running = Running::default();
    // The chat backend stops after the gateway, which still forwards calls, and the admin service stops after both.
    let behind = CancellationToken::new();

    // Open the listener first: the embed codes name its address. Clients that connect now wait until the gateway runs.
    let listener = serve::bind("listen", config.listen).await?;
    let address = listener.local_addr()?;
    let relay_url = match &config.relay_url {
        Some(url) => url.clone(),
        None => {
            let reachable = serve::from_this_machine(address);
            if reachable != address {
                tracing::warn!(%reachable, "embed codes name this address, which only this machine reaches: set relay_url");
            }
            HttpUrl::at(reachable)
        }
    };
    let grpc_token = config.grpc_token.clone().map_or_else(|| data.grpc_token(), Ok)?;
    let api_key = config.api_key.clone().map_or_else(|| data.admin_key(), Ok)?;
    let database_url = match &config.database_url {
        Some(url) => url.clone(),
        None => data.sqlite_url("admin.db")?.into(),
    };
    let admin_config = wiring::admin(
        &config,
        AdminWiring {
            database_url,
            api_key: api_key.clone(),
            master_keys: config.master_keys.clone().map_or_else(|| data.master_keys(), Ok)?,
            grpc_token: grpc_token.clone(),
            relay_secret: relay_secret.clone(),
            relay_url: relay_url.clone(),
        },
    );
    let admin =
        admin_service::server::start(admin_config, &metrics, http_metrics.clone(), running.admin_stopping.clone())
            .await
            .map_err(in_own_words)?;

    let backend_url = match &config.backend.url {
        Some(url) => url.clone(),
        None => {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let edge = Edge {
                server: "chat-backend",
                metrics: http_metrics.clone(),
                access_log: false,
                clients: ClientAddresses::default(),
            };
            let events_url = EventsUrl::at(serve::from_this_machine(admin.rest));
            let mut backend = open_backend(&data, None, behind.clone()).await?;
            backend = backend.publishing_to(&events_url, &relay_secret, &metrics);
            backend = backend.keeping_files(&files_config(&data, &config.backend.files, relay_url.as_url())?)?;
            if config.demo_knowledge {
                backend = backend.with_demo_knowledge().await?;
            }
            if let Some(mail) = &config.backend.mail {
                backend = backend.mailing(mail, &metrics);
            }
            let address =
                serve_backend(&mut running.servers, listen, backend, &relay_secret, edge, behind.clone()).await?;
            HttpUrl::at(address)
        }
    };

    let admin_grpc = serve::from_this_machine(admin.grpc);
    let gateway_config = wiring::gateway(
        &config,
        GatewayWiring {
            admin_grpc,
            admin_rest: serve::from_this_machine(admin.rest),
            grpc_token,
            relay_secret,
            backend_url,
        },
    );
    let next_steps = NextSteps::new(address, admin.rest, config.relay_url.as_ref(), config.admin_api());
    let pages = match config.demo {
        Exposure::Off => Router::new(),
        demo => {
            let hosts = OwnHosts::new(address, config.relay_url.as_ref());
            demo::router(admin_grpc, api_key.first(), hosts, demo, next_steps.clone())?
        }
    };
    let gateway =
        relay_gateway::server::start_on(listener, pages, gateway_config, &metrics, http_metrics, stopping).await?;
    if let Some(address) = config.ops_listen {
        let listener = serve::bind("ops_listen", address).await?;
        tracing::info!(server = "ops", address = %listener.local_addr()?, "listening");
        let router = metrics.router().merge(gateway.probes());
        running.servers.spawn(serve::serve(listener, router, Bounds::default(), behind.clone()));
    }
    let key_file = config.api_key.is_none().then(|| data.path(ADMIN_KEY));
    next_steps.print(key_file.as_deref(), config.demo);
    running.admin = Some(admin);
    running.servers.spawn(async move {
        gateway.drained().await;
        behind.cancel();
    });
    Ok(running)
}

/// The admin service's failure, with the setting that this program has for what the admin service calls otherwise.
fn in_own_words(error: admin_service::server::StartError) -> StartError {
    use admin_service::server::StartError as Admin;
    match error {
        Admin::Listen(error) if error.setting() == "rest_listen" => error.of_setting("admin_listen").into(),
        Admin::Listen(error) => error.into(),
        error => error.into(),
    }
}

/// Starts the chat backend by itself.
///
/// # Errors
/// [`StartError`].
pub async fn start_backend(
    config: chat_backend::config::Config,
    stopping: CancellationToken,
) -> Result<Running, StartError> {
    let data = DataDir::open(&config.data_dir)?;
    let relay_secret = config.relay_secret.map_or_else(|| data.relay_secret(), Ok)?;
    let metrics = Metrics::default();
    let edge = Edge {
        server: "chat-backend",
        metrics: HttpServerMetrics::new(&metrics),
        access_log: config.access_log,
        clients: ClientAddresses::default(),
    };
    let mut running = Running::default();
    let mut backend = open_backend(&data, config.database_url.as_ref(), stopping.clone()).await?;
    if let Some(url) = &config.events_url {
        backend = backend.publishing_to(url, &relay_secret, &metrics);
    }
    let relay_url = Url::parse(DEFAULT_RELAY_URL).expect("it is a URL");
    backend = backend.keeping_files(&files_config(&data, &config.files, &relay_url)?)?;
    if let Some(mail) = &config.mail {
        backend = backend.mailing(mail, &metrics);
    }
    serve_backend(&mut running.servers, config.listen, backend, &relay_secret, edge, stopping).await?;
    Ok(running)
}

/// Opens the backend over this database of PostgreSQL, or over its file in the data directory.
async fn open_backend(
    data: &DataDir,
    server: Option<&DatabaseUrl>,
    stopping: CancellationToken,
) -> Result<chat_backend::Backend, StartError> {
    let store = match server {
        Some(url) => chat_backend::Store::open(url.expose()).await?,
        None => chat_backend::Store::open(&data.sqlite_url(BACKEND_DATABASE)?).await?,
    };
    Ok(chat_backend::Backend::new(store, stopping))
}

/// Where files are kept and served, unless the settings say otherwise: beside the database, and at the relay.
fn files_config(data: &DataDir, settings: &FilesSettings, relay_url: &Url) -> Result<FilesConfig, StartError> {
    let url = match &settings.url {
        Some(url) => url.clone(),
        None => FilesUrl::folder(&std::path::absolute(data.path("attachments"))?),
    };
    Ok(FilesConfig::new(url, settings.base_url.clone().unwrap_or_else(|| relay_url.clone())))
}

async fn serve_backend(
    servers: &mut JoinSet<()>,
    listen: SocketAddr,
    backend: chat_backend::Backend,
    relay_secret: &SecretList,
    edge: Edge,
    stopping: CancellationToken,
) -> Result<SocketAddr, StartError> {
    relay_secret.log_rotation("relay_secret");
    let router = chat_backend::router(backend.clone(), relay_secret);
    let listener = serve::bind("listen", listen).await?;
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
