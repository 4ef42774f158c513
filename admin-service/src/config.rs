//! What the admin service can be told. `config.default.toml` is the documentation.
//!
//! A configuration has two halves. [`Wiring`] says where this service and its neighbours are, and holds their secrets: a process of
//! its own reads it, and a deployment in one process knows it. [`Behaviour`] is everything else, and both read it.

use std::{net::SocketAddr, time::Duration};

use service::{
    config::{ConfigError, SecretList, Settings, Sources, Spec},
    serve::TlsFiles,
    telemetry::TelemetryConfig,
};
use url::Url;

use crate::sealing::MasterKeys;

mod behaviour;
mod database;
mod webhooks;
mod wiring;

pub use behaviour::{Behaviour, TokenConfig};
pub use database::{DatabaseBounds, DatabaseConfig, check_database_url};
pub use webhooks::WebhookConfig;
pub use wiring::Wiring;

/// What the program can be told.
pub const SPEC: Spec = Spec {
    program: "admin-service",
    about: "Owns tenants and their secrets: REST for operators, gRPC for gateways.",
    env_prefix: "ADMIN_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["api_key", "master_keys", "grpc_token", "relay_secrets", "events_token", "database_url"],
    parts: &[],
    commands: &[
        ("verify-audit", "Verifies the MACs that chain the logs: `admin-service verify-audit --help`"),
        ("rewrap", "Seals every secret under the newest master key: `admin-service rewrap --help`"),
    ],
};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where operators reach the REST facade.
    pub rest_listen: SocketAddr,
    /// Where gateways reach gRPC.
    pub grpc_listen: SocketAddr,
    /// The certificates of gRPC, where both ends show one.
    pub grpc_tls: Option<TlsFiles>,
    /// Where Prometheus reaches `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// The database and its bounds.
    pub database: DatabaseConfig,
    /// What is accepted as `X-Admin-Key`.
    pub api_key: SecretList,
    /// What seals secrets at rest.
    pub master_keys: MasterKeys,
    /// The bearer tokens accepted from gateways.
    pub grpc_token: SecretList,
    /// What chat backends may sign publications with (HMAC#2), if any may over HTTP.
    pub relay_secrets: Option<SecretList>,
    /// The bearer tokens that publish over gRPC, beside the admin key.
    pub events_token: Option<SecretList>,
    /// How events are delivered.
    pub webhooks: WebhookConfig,
    /// The `iss` of signed tokens.
    pub token_issuer: String,
    /// How long an operator's token lives.
    pub operator_token_ttl: Duration,
    /// How long a widget session's token lives.
    pub visitor_token_ttl: Duration,
    /// Where browsers reach the relay: what embed codes name.
    pub relay_url: Url,
    /// How long a gateway may use what it has cached before it must ask again.
    pub lease: Duration,
    /// How long new connections are still taken when the process stops.
    pub drain_delay: Duration,
    /// How long requests in flight then get.
    pub drain_timeout: Duration,
    /// Whether each REST request leaves a log line.
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
        let (wiring, behaviour) = (Wiring::read(&mut settings), Behaviour::read(&mut settings));
        settings.finish()?;
        Ok(Self::new(wiring?, behaviour?))
    }

    /// Puts both halves together.
    #[must_use]
    pub fn new(wiring: Wiring, behaviour: Behaviour) -> Self {
        let Behaviour { database, tokens, webhooks, lease, drain_timeout, access_log } = behaviour;
        Self {
            rest_listen: wiring.rest_listen,
            grpc_listen: wiring.grpc_listen,
            grpc_tls: wiring.grpc_tls,
            ops_listen: wiring.ops_listen,
            database: DatabaseConfig::new(wiring.database_url, database),
            api_key: wiring.api_key,
            master_keys: wiring.master_keys,
            grpc_token: wiring.grpc_token,
            relay_secrets: wiring.relay_secrets,
            events_token: wiring.events_token,
            webhooks,
            token_issuer: tokens.issuer,
            operator_token_ttl: tokens.operator_ttl,
            visitor_token_ttl: tokens.visitor_ttl,
            relay_url: wiring.relay_url,
            lease,
            drain_delay: wiring.drain_delay,
            drain_timeout,
            access_log,
            telemetry: wiring.telemetry,
        }
    }
}

/// Reads what commands take, the database and the master keys, and no other setting.
///
/// # Errors
/// Every problem there is, at once.
pub fn load_for_commands(sources: &Sources) -> Result<(DatabaseConfig, MasterKeys), ConfigError> {
    let mut settings = Settings::load(SPEC, sources)?;
    let (database, master_keys) = (DatabaseConfig::read(&mut settings), settings.required("master_keys"));
    settings.finish()?;
    Ok((database?, master_keys?))
}

#[cfg(test)]
mod tests;
