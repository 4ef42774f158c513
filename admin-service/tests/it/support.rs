//! An admin service inside the test, on a database of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use admin_service::{
    config::{Config, DatabaseConfig},
    sealing::MasterKeys,
    server::{self, Running},
};
use e2e::{postgres::Postgres, world};
use secrecy::SecretString;
use service::{
    config::Sources,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) fn config(database_url: &str) -> Config {
    Config::load(&Sources { args: Vec::new(), env: world::admin_environment(database_url).into_iter().collect() })
        .expect("a configuration")
}

pub(crate) fn database(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: SecretString::from(url), max_connections: 8, statement_timeout: Duration::from_secs(5) }
}

/// What seals secrets and chains logs.
pub(crate) fn master_keys() -> MasterKeys {
    world::MASTER_KEYS.parse().expect("keys")
}

/// A database and what keeps it alive.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    pub(crate) directory: Option<TempDir>,
    postgres: Option<Arc<Postgres>>,
}

impl TestDatabase {
    /// Does what no service would, behind the services' backs. Only PostgreSQL lets one.
    pub(crate) fn meddle(&self, sql: &str) {
        let postgres = self.postgres.as_ref().expect("PostgreSQL");
        let ended = postgres.session("relay", sql).wait().expect("psql ends");
        assert!(ended.success(), "{sql}");
    }

    /// Where the server's socket is. Only PostgreSQL has one.
    pub(crate) fn socket_directory(&self) -> std::path::PathBuf {
        self.postgres.as_ref().expect("PostgreSQL").socket_directory().to_owned()
    }

    /// The same database, for another replica. Only PostgreSQL takes one.
    pub(crate) fn shared(&self) -> Self {
        Self { url: self.url.clone(), directory: None, postgres: self.postgres.clone() }
    }
}

pub(crate) fn sqlite() -> TestDatabase {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display());
    TestDatabase { url, directory: Some(directory), postgres: None }
}

pub(crate) fn postgres() -> TestDatabase {
    let postgres = Postgres::start();
    TestDatabase { url: postgres.database("relay"), directory: None, postgres: Some(Arc::new(postgres)) }
}

const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// A running service.
pub(crate) struct Service {
    pub(crate) rest: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) database: TestDatabase,
    pub(crate) metrics: Metrics,
    running: Running,
    stopping: CancellationToken,
}

impl Service {
    pub(crate) async fn start(database: TestDatabase) -> Self {
        Self::leasing(database, DEFAULT_LEASE).await
    }

    /// With leases of another length than the default.
    pub(crate) async fn leasing(database: TestDatabase, lease: Duration) -> Self {
        let config = Config { lease, ..config(&database.url) };
        Self::with(database, config).await
    }

    /// With receivers of events on this machine.
    pub(crate) async fn delivering(database: TestDatabase) -> Self {
        let mut config = config(&database.url);
        config.webhooks.allow_loopback();
        Self::with(database, config).await
    }

    /// With these master keys.
    pub(crate) async fn sealing(database: TestDatabase, keys: &str) -> Self {
        let config = Config { master_keys: keys.parse().expect("keys"), ..config(&database.url) };
        Self::with(database, config).await
    }

    async fn with(database: TestDatabase, config: Config) -> Self {
        let stopping = CancellationToken::new();
        let metrics = Metrics::default();
        let http_metrics = HttpServerMetrics::new(&metrics);
        let running = server::start(config, &metrics, http_metrics, stopping.clone()).await.expect("it starts");
        Self { rest: running.rest, grpc: running.grpc, database, metrics, running, stopping }
    }

    pub(crate) fn operator(&self) -> world::Operator {
        world::Operator::at(self.rest)
    }

    pub(crate) async fn stop(self) -> TestDatabase {
        self.stopping.cancel();
        self.running.drained().await;
        self.database
    }
}
