//! What the one-process deployment can be told.

use std::{net::SocketAddr, path::PathBuf};

use admin_service::config::check_database_url;
use relay_gateway::config::HttpUrl;
use secrecy::{ExposeSecret as _, SecretString};
use service::{
    config::{ConfigError, IN_ONE_PROCESS, SecretList, Settings, Sources, Spec},
    laptop::{Exposure, Laptop},
    telemetry::TelemetryConfig,
};

const SPEC: Spec = Spec {
    program: "chat-relay",
    about: "The admin service, the relay gateway and a chat backend in one process.",
    env_prefix: "CHAT_RELAY_",
    env_names: &[
        ("api_key", "ADMIN_API_KEY"),
        ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG"),
    ],
    defaults: include_str!("../config.default.toml"),
    secrets: &["api_key", "relay_secret", "grpc_token", "master_keys"],
    parts: &IN_ONE_PROCESS,
    commands: &[("backend", "The chat backend by itself, with settings of its own: `chat-relay backend --help`")],
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
    /// Who may see `/demo`.
    pub demo: Exposure,
    /// Whether the embedded chat backend has the demo's articles, for visitors of local pages: on a laptop ([`Laptop`]), unless
    /// `demo_page` is false. Elsewhere `demo_page = true` turns on the page alone.
    pub demo_knowledge: bool,
    /// Who reaches the admin API at the relay's own address.
    pub admin_api: Exposure,
    /// Databases and keys.
    pub data_dir: PathBuf,
    /// The admin service's database, where it is not SQLite in the data directory.
    pub database_url: Option<SecretString>,
    /// The chat backend, where it is not the embedded one.
    pub chat_backend_url: Option<HttpUrl>,
    /// The admin keys, where they are not a generated one.
    pub api_key: Option<SecretList>,
    /// What HMAC#2 is made with, where it is not the data directory's: the first signs.
    pub relay_secret: Option<SecretList>,
    /// What gateways may send over gRPC, where it is not the data directory's.
    pub grpc_token: Option<SecretList>,
    /// Whether the secrets at rest are sealed with keys of the environment's, and not with the data directory's.
    pub has_master_keys: bool,
    /// Whether requests leave log lines.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    gateway: Settings,
    admin: Settings,
}

/// Settings of the admin service that are known only at start, or whose default differs here.
#[derive(Debug)]
pub(crate) struct AdminWiring<'a> {
    pub(crate) database_url: &'a SecretString,
    pub(crate) api_key: &'a SecretList,
    /// The data directory's, where none were set.
    pub(crate) master_keys: Option<SecretString>,
    pub(crate) grpc_token: &'a SecretList,
    pub(crate) relay_url: String,
}

/// What the gateway is told that only the start knows.
#[derive(Debug)]
pub(crate) struct GatewayWiring<'a> {
    pub(crate) admin_grpc: SocketAddr,
    pub(crate) admin_rest: SocketAddr,
    pub(crate) grpc_token: &'a SecretList,
    pub(crate) relay_secret: &'a SecretList,
    pub(crate) backend_url: &'a str,
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
        let relay_url = settings.optional::<HttpUrl>("relay_url");
        let demo_page = settings.optional("demo_page");
        let data_dir = settings.required("data_dir");
        let database_url = settings.optional::<String>("database_url");
        if let Ok(Some(url)) = &database_url
            && let Err(wrong) = check_database_url(url)
        {
            settings.problem(format!("database_url {wrong}"));
        }
        let chat_backend_url = settings.optional("chat_backend_url");
        let api_key = settings.optional_secrets("api_key");
        let relay_secret = settings.optional_secrets("relay_secret");
        let grpc_token = settings.optional_secrets("grpc_token");
        let master_keys = settings.optional::<String>("master_keys");
        let access_log = settings.required("access_log");
        let telemetry = settings.telemetry();
        // What the parts read is checked now, so that all problems are told in one run, before anything is opened.
        let gateway = settings.of_part(relay_gateway::config::SPEC);
        let admin = settings.of_part(admin_service::config::SPEC);
        let secret = STAND_IN.parse().expect("it passes the checks of a secret");
        let no_database = STAND_IN_DATABASE.into();
        settings.adopt(&wire_admin(admin.clone(), AdminWiring::stand_in(&secret, &no_database)));
        let checked = wire_gateway(gateway.clone(), &GatewayWiring::stand_in(&secret));
        settings.adopt(&checked);
        settings.finish()?;
        let (listen, relay_url, checked, demo_page) = (listen?, relay_url?, checked?, demo_page?);
        let laptop = Laptop::new(listen, relay_url.is_some(), !checked.trusted_proxies.0.is_empty());
        Ok(Self {
            listen,
            relay_url,
            demo: laptop.exposure(demo_page),
            demo_knowledge: demo_page != Some(false) && laptop.exposure(None) != Exposure::Off,
            admin_api: checked.exposed.admin_api,
            admin_listen: admin_listen?,
            grpc_listen: grpc_listen?,
            ops_listen: ops_listen?,
            data_dir: data_dir?,
            database_url: database_url?.map(SecretString::from),
            chat_backend_url: chat_backend_url?,
            api_key: api_key?,
            relay_secret: relay_secret?,
            grpc_token: grpc_token?,
            has_master_keys: master_keys?.is_some(),
            access_log: access_log?,
            telemetry: telemetry?,
            gateway,
            admin,
        })
    }

    /// The admin service's configuration, through its own checks.
    pub(crate) fn admin(&self, wiring: AdminWiring<'_>) -> Result<admin_service::config::Config, ConfigError> {
        let mut settings = self.admin.clone();
        settings.fill("rest_listen", self.admin_listen.to_string());
        settings.fill("grpc_listen", self.grpc_listen.to_string());
        let mut loaded = wire_admin(settings, wiring)?;
        loaded.telemetry = self.telemetry.clone();
        Ok(loaded)
    }

    /// The gateway's configuration, through its own checks.
    pub(crate) fn gateway(&self, wiring: &GatewayWiring<'_>) -> Result<relay_gateway::config::Config, ConfigError> {
        let mut settings = self.gateway.clone();
        settings.fill("listen", self.listen.to_string());
        let mut loaded = wire_gateway(settings, wiring)?;
        loaded.telemetry = self.telemetry.clone();
        if self.chat_backend_url.is_none() {
            loaded.descriptors_each = 3;
        }
        Ok(loaded)
    }
}

/// Passes the checks of a key or token, while the real one is not known yet.
const STAND_IN: &str = "stands-in-until-the-start";
const STAND_IN_DATABASE: &str = "sqlite::memory:";
const STAND_IN_MASTER_KEYS: &str = "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ=";

impl<'a> AdminWiring<'a> {
    fn stand_in(secret: &'a SecretList, database_url: &'a SecretString) -> Self {
        Self {
            database_url,
            api_key: secret,
            master_keys: Some(STAND_IN_MASTER_KEYS.into()),
            grpc_token: secret,
            relay_url: "http://127.0.0.1".to_owned(),
        }
    }
}

impl<'a> GatewayWiring<'a> {
    fn stand_in(secret: &'a SecretList) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self {
            admin_grpc: address,
            admin_rest: address,
            grpc_token: secret,
            relay_secret: secret,
            backend_url: "http://127.0.0.1:1",
        }
    }
}

fn wire_admin(mut settings: Settings, wiring: AdminWiring<'_>) -> Result<admin_service::config::Config, ConfigError> {
    settings.fill("database_url", wiring.database_url.expose_secret().to_owned());
    settings.fill("api_key", wiring.api_key.as_given().expose_secret().to_owned());
    if let Some(keys) = wiring.master_keys {
        settings.fill("master_keys", keys.expose_secret().to_owned());
    }
    settings.fill("grpc_token", wiring.grpc_token.as_given().expose_secret().to_owned());
    settings.fill("relay_url", wiring.relay_url);
    admin_service::config::Config::read(settings)
}

fn wire_gateway(
    mut settings: Settings,
    wiring: &GatewayWiring<'_>,
) -> Result<relay_gateway::config::Config, ConfigError> {
    settings.fill("id", "standalone".to_owned());
    // One worker: this runtime, whose threads the services share.
    settings.fill("threads", "1".to_owned());
    settings.fill("admin_grpc", format!("http://{}", wiring.admin_grpc));
    settings.fill("admin_grpc_token", wiring.grpc_token.as_given().expose_secret().to_owned());
    settings.fill("admin_rest", format!("http://{}", wiring.admin_rest));
    settings.fill("chat_backend_url", wiring.backend_url.to_owned());
    settings.fill("relay_secret", wiring.relay_secret.as_given().expose_secret().to_owned());
    relay_gateway::config::Config::read(settings)
}

#[cfg(test)]
mod tests;
