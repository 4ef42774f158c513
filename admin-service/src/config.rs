//! What the admin service can be told. `config.default.toml` is the documentation.

use std::{net::SocketAddr, time::Duration};

use coherence::LONGEST_LEASE_MS;
use secrecy::{ExposeSecret as _, SecretString};
use service::{
    config::{ConfigError, Read, SecretList, Settings, Sources, Spec},
    telemetry::TelemetryConfig,
};

use url::Url;

use crate::sealing::MasterKeys;

/// Gateways ask three times a lease; below this they would do little else.
const SHORTEST_LEASE_MS: u64 = 250;

/// What the program can be told.
pub const SPEC: Spec = Spec {
    program: "admin-service",
    about: "Owns tenants and their secrets: REST for operators, gRPC for gateways.",
    env_prefix: "ADMIN_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["api_key", "master_keys", "grpc_token", "database_url"],
    parts: &[],
    commands: &[("verify-audit", "Verifies the MACs that chain the logs: `admin-service verify-audit --help`")],
};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where operators reach the REST facade.
    pub rest_listen: SocketAddr,
    /// Where gateways reach gRPC.
    pub grpc_listen: SocketAddr,
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

/// The database and its bounds.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `sqlite:` or `postgres:`; it may hold a password.
    pub url: SecretString,
    /// Connections, at most.
    pub max_connections: u32,
    /// How long one statement may run (PostgreSQL) or wait for another writer (SQLite).
    pub statement_timeout: Duration,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::read(Settings::load(SPEC, sources)?)
    }

    /// Reads and checks settings that were given otherwise than to a process of its own.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn read(mut settings: Settings) -> Result<Self, ConfigError> {
        let rest_listen = settings.required("rest_listen");
        let grpc_listen = settings.required("grpc_listen");
        let ops_listen = settings.optional("ops_listen");
        let database = read_database(&mut settings);
        let api_key = settings.secrets("api_key");
        let master_keys = settings.required("master_keys");
        let grpc_token = settings.secrets("grpc_token");
        let token_issuer = settings.required("token_issuer");
        let operator_token_ttl = settings.required("operator_token_ttl_seconds").map(Duration::from_secs);
        let visitor_token_ttl = settings
            .checked("visitor_token_ttl_seconds", |seconds: &u64| {
                if (60..=86_400).contains(seconds) { Ok(()) } else { Err("must be 60 to 86400".to_owned()) }
            })
            .map(Duration::from_secs);
        let relay_url = settings.checked("relay_url", check_relay_url);
        let lease = settings
            .checked("lease_ms", |lease: &u64| {
                if (SHORTEST_LEASE_MS..=LONGEST_LEASE_MS).contains(lease) {
                    Ok(())
                } else {
                    Err(format!("must be {SHORTEST_LEASE_MS} to {LONGEST_LEASE_MS}"))
                }
            })
            .map(Duration::from_millis);
        let drain_delay = settings.required("drain_delay_ms").map(Duration::from_millis);
        let drain_timeout = settings.required("drain_timeout_ms").map(Duration::from_millis);
        let access_log = settings.required("access_log");
        let telemetry = settings.telemetry();
        settings.finish()?;
        Ok(Self {
            rest_listen: rest_listen?,
            grpc_listen: grpc_listen?,
            ops_listen: ops_listen?,
            database: database?,
            api_key: api_key?,
            master_keys: master_keys?,
            grpc_token: grpc_token?,
            token_issuer: token_issuer?,
            operator_token_ttl: operator_token_ttl?,
            visitor_token_ttl: visitor_token_ttl?,
            relay_url: relay_url?,
            lease: lease?,
            drain_delay: drain_delay?,
            drain_timeout: drain_timeout?,
            access_log: access_log?,
            telemetry: telemetry?,
        })
    }
}

/// Reads what it takes to verify the logs, and no other setting.
///
/// # Errors
/// Every problem there is, at once.
pub fn load_for_logs(sources: &Sources) -> Result<(DatabaseConfig, MasterKeys), ConfigError> {
    let mut settings = Settings::load(SPEC, sources)?;
    let (database, master_keys) = (read_database(&mut settings), settings.required("master_keys"));
    settings.finish()?;
    Ok((database?, master_keys?))
}

fn read_database(settings: &mut Settings) -> Read<DatabaseConfig> {
    let url = settings.checked("database_url", |url: &String| check_database_url(url));
    let max_connections = settings.checked("database_max_connections", |count: &u32| {
        // PostgreSQL's notifications take one for themselves.
        if *count >= 2 { Ok(()) } else { Err("must be at least 2".to_owned()) }
    });
    let statement_timeout = settings.required("database_statement_timeout_ms").map(Duration::from_millis);
    Ok(DatabaseConfig { url: url?.into(), max_connections: max_connections?, statement_timeout: statement_timeout? })
}

/// Whether browsers could load a script from under this URL.
fn check_relay_url(url: &Url) -> Result<(), String> {
    let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if is_web && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() {
        Ok(())
    } else {
        Err("must be an http or https URL such as https://relay.example.com, without user, query or fragment"
            .to_owned())
    }
}

/// Whether this is a database's URL. What is wrong is said without quoting it: it may hold a password.
///
/// # Errors
/// What is wrong with it.
pub fn check_database_url(url: &str) -> Result<(), String> {
    if url.starts_with("sqlite:") {
        return Ok(());
    }
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err("must begin with sqlite: or postgres://".to_owned());
    }
    // Left to the driver, an error here would show the whole URL.
    match url::Url::parse(url) {
        Ok(_) => Ok(()),
        Err(_) => Err("is not a URL: percent-encode what is special in its user name and password".to_owned()),
    }
}

impl DatabaseConfig {
    /// The path of the SQLite file; `None` for PostgreSQL and for a database in memory.
    pub(crate) fn sqlite_file(&self) -> Option<std::path::PathBuf> {
        database::sqlite_file(self.url.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&Sources { args: Vec::new(), env })
    }

    #[test]
    fn a_short_admin_key_refuses_the_start_and_is_not_shown() {
        let error = load(&[
            ("ADMIN_API_KEY", "fifteen-chars-x"),
            ("ADMIN_DATABASE_URL", "mysql://x"),
            ("ADMIN_LEASE_MS", "60000"),
            ("ADMIN_RELAY_URL", "ftp://relay"),
        ])
        .expect_err("refused")
        .to_string();
        for expected in [
            "api_key must have at least 16",
            "ADMIN_MASTER_KEYS",
            "ADMIN_GRPC_TOKEN",
            "sqlite: or postgres://",
            "250 to 25000",
            "https://relay.example.com",
        ] {
            assert!(error.contains(expected), "{expected} in {error}");
        }
        assert!(!error.contains("fifteen-chars-x"));
    }

    #[test]
    fn nothing_secret_is_in_its_debug() {
        let config = load(&[
            ("ADMIN_API_KEY", "an-admin-key-to-hide"),
            ("ADMIN_GRPC_TOKEN", "a-grpc-token-to-hide"),
            ("ADMIN_MASTER_KEYS", "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ="),
            ("ADMIN_DATABASE_URL", "postgres://u:hidden-password@h/d"),
        ])
        .expect("loads");
        let shown = format!("{config:?}");
        for hidden in ["to-hide", "hidden-password", "K4ZVi+"] {
            assert!(!shown.contains(hidden), "{hidden} in {shown}");
        }
        let error =
            load(&[("ADMIN_DATABASE_URL", "postgres://u:hidden/password@h/d")]).expect_err("refused").to_string();
        assert!(error.contains("percent-encode") && !error.contains("hidden"), "{error}");
    }
}
