//! The database and its bounds.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use service::config::{Read, Settings};

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

/// How many connections the database may have, and how long a statement may take.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseBounds {
    max_connections: u32,
    statement_timeout: Duration,
}

impl DatabaseConfig {
    pub(super) fn new(url: SecretString, bounds: DatabaseBounds) -> Self {
        let DatabaseBounds { max_connections, statement_timeout } = bounds;
        Self { url, max_connections, statement_timeout }
    }

    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let (url, bounds) = (read_url(settings), DatabaseBounds::read(settings));
        Ok(Self::new(url?, bounds?))
    }

    /// The path of the SQLite file; `None` for PostgreSQL and for a database in memory.
    pub(crate) fn sqlite_file(&self) -> Option<std::path::PathBuf> {
        database::sqlite_file(self.url.expose_secret())
    }
}

impl DatabaseBounds {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let max_connections = settings.checked("database_max_connections", |count: &u32| {
            // PostgreSQL's notifications take one for themselves.
            if *count >= 2 { Ok(()) } else { Err("must be at least 2".to_owned()) }
        });
        let statement_timeout = settings.millis_or_zero("database_statement_timeout_ms");
        Ok(Self { max_connections: max_connections?, statement_timeout: statement_timeout? })
    }
}

pub(super) fn read_url(settings: &mut Settings) -> Read<SecretString> {
    settings.checked("database_url", |url: &String| check_database_url(url)).map(SecretString::from)
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
