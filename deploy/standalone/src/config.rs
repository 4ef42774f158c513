//! What the one-process deployment and the backend by itself can be told.

use std::{net::SocketAddr, path::PathBuf};

use admin_service::config::check_database_url;
use relay_gateway::config::{HttpUrl, List, Network};
use secrecy::SecretString;
use shared::{
    config::{ConfigError, SecretList, Settings, Sources, Spec},
    telemetry::TelemetryConfig,
};

const SPEC: Spec = Spec {
    program: "chat-relay",
    about: "The admin service, the relay gateway and a chat backend in one process. `chat-relay backend --help` is the chat backend by itself.",
    env_prefix: "CHAT_RELAY_",
    env_names: &[
        ("api_key", "ADMIN_API_KEY"),
        ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG"),
    ],
    defaults: include_str!("../config.default.toml"),
    secrets: &["api_key"],
};

const BACKEND_SPEC: Spec = Spec {
    program: "chat-relay backend",
    about: "The reference chat backend: conversations, tickets, knowledge and a bot, for calls that came through the relay.",
    env_prefix: "CHAT_BACKEND_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../backend.default.toml"),
    secrets: &["relay_secret"],
};

/// The one-process deployment.
#[derive(Clone, Debug)]
pub struct Config {
    /// The relay.
    pub listen: SocketAddr,
    /// The REST facade.
    pub admin_listen: SocketAddr,
    /// The admin service's gRPC.
    pub grpc_listen: SocketAddr,
    /// `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// Where browsers reach the relay, where that is not where it listens.
    pub relay_url: Option<HttpUrl>,
    /// Whether `/demo` is there.
    pub demo_page: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Option<List<Network>>,
    /// Databases and keys.
    pub data_dir: PathBuf,
    /// The admin service's database, where it is not SQLite in the data directory.
    pub database_url: Option<SecretString>,
    /// The chat backend, where it is not the embedded one.
    pub chat_backend_url: Option<HttpUrl>,
    /// The admin keys, where they are not a generated one.
    pub api_key: Option<SecretList>,
    /// Leases, in milliseconds; the admin service checks it.
    pub lease_ms: u64,
    /// Whether requests leave log lines.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// The chat backend by itself.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Where the relay reaches it.
    pub listen: SocketAddr,
    /// Its database.
    pub data_dir: PathBuf,
    /// What HMAC#2 may be made with, where it is not the data directory's.
    pub relay_secret: Option<SecretList>,
    /// Whether requests leave log lines.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = Settings::load(SPEC, sources)?;
        let listen = settings.required("listen");
        let admin_listen = settings.required("admin_listen");
        let grpc_listen = settings.required("grpc_listen");
        let ops_listen = settings.optional("ops_listen");
        let relay_url = settings.optional("relay_url");
        let demo_page = settings.optional("demo_page");
        let trusted_proxies = settings.optional("trusted_proxies");
        let data_dir = settings.required("data_dir");
        let database_url = settings.optional::<String>("database_url");
        if let Ok(Some(url)) = &database_url
            && let Err(wrong) = check_database_url(url)
        {
            settings.problem(format!("database_url {wrong}"));
        }
        let chat_backend_url = settings.optional("chat_backend_url");
        let api_key = settings.optional_secrets("api_key");
        let lease_ms = settings.required("lease_ms");
        let access_log = settings.required("access_log");
        let telemetry = settings.telemetry();
        settings.finish()?;
        let (listen, relay_url, trusted_proxies) = (listen?, relay_url?, trusted_proxies?);
        // Behind a proxy, too, one listens on loopback: whoever says so is not trying it out.
        let is_at_home = SocketAddr::ip(&listen).is_loopback() && relay_url.is_none() && trusted_proxies.is_none();
        Ok(Self {
            listen,
            relay_url,
            demo_page: demo_page?.unwrap_or(is_at_home),
            admin_listen: admin_listen?,
            grpc_listen: grpc_listen?,
            ops_listen: ops_listen?,
            trusted_proxies,
            data_dir: data_dir?,
            database_url: database_url?.map(SecretString::from),
            chat_backend_url: chat_backend_url?,
            api_key: api_key?,
            lease_ms: lease_ms?,
            access_log: access_log?,
            telemetry: telemetry?,
        })
    }
}

impl BackendConfig {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = Settings::load(BACKEND_SPEC, sources)?;
        let listen = settings.required("listen");
        let data_dir = settings.required("data_dir");
        let relay_secret = settings.optional_secrets("relay_secret");
        let access_log = settings.required("access_log");
        let telemetry = settings.telemetry();
        settings.finish()?;
        Ok(Self {
            listen: listen?,
            data_dir: data_dir?,
            relay_secret: relay_secret?,
            access_log: access_log?,
            telemetry: telemetry?,
        })
    }
}
