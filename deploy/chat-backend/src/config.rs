//! What the chat backend by itself can be told.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use sea_orm::sqlx::postgres::PgConnectOptions;
use secrecy::{ExposeSecret as _, SecretString};
use service::{
    config::{ConfigError, SecretList, Settings, Sources, Spec},
    telemetry::TelemetryConfig,
};

use super::events_url::EventsUrl;

mod files;
mod mail;

pub use files::{FilesConfig, FilesSettings};
pub use mail::MailConfig;

const SPEC: Spec = Spec {
    program: "chat-relay backend",
    about: "The reference chat backend: conversations, tickets, knowledge and a bot, for calls that came through the relay.",
    env_prefix: "CHAT_BACKEND_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["relay_secret", "database_url", "smtp_url"],
    parts: &[],
    commands: &[],
};

/// The chat backend by itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the relay reaches it.
    pub listen: SocketAddr,
    /// Where its database is, unless `database_url` names another, and the relay's secret, unless that is set.
    pub data_dir: PathBuf,
    /// A database of PostgreSQL, which several replicas share.
    pub database_url: Option<DatabaseUrl>,
    /// What HMAC#2 may be made with, where it is not the data directory's.
    pub relay_secret: Option<SecretList>,
    /// Where events and usage are published to, if anywhere.
    pub events_url: Option<EventsUrl>,
    /// Where the files that visitors and operators send are kept.
    pub files: FilesSettings,
    /// Where answers are mailed from, if they are.
    pub mail: Option<MailConfig>,
    /// Whether requests leave log lines.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

/// The URL of a database of PostgreSQL, which may hold a password.
#[derive(Clone, Debug)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The URL, for [`crate::Store::open`].
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("sqlite:") {
            return Err("names a SQLite file: leave it unset, and the file is chat-backend.db in data_dir".to_owned());
        }
        if !(url.starts_with("postgres:") || url.starts_with("postgresql:")) {
            return Err("must be postgres://user:password@host/database".to_owned());
        }
        PgConnectOptions::from_str(url).map_err(|_| "cannot be read as postgres://user:password@host/database")?;
        Ok(Self(url.to_owned().into()))
    }
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = Settings::load(SPEC, sources)?;
        let listen = settings.required("listen");
        let data_dir = settings.required("data_dir");
        let database_url = settings.optional("database_url");
        let relay_secret = settings.optional_secrets("relay_secret");
        let events_url = settings.optional("events_url");
        let files = FilesSettings::read(&mut settings);
        let mail = MailConfig::read(&mut settings);
        let access_log = settings.required("access_log");
        let telemetry = TelemetryConfig::read(&mut settings);
        settings.finish()?;
        Ok(Self {
            listen: listen?,
            data_dir: data_dir?,
            database_url: database_url?,
            relay_secret: relay_secret?,
            events_url: events_url?,
            files: files?,
            mail: mail?,
            access_log: access_log?,
            telemetry: telemetry?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_no_servers_is_refused_with_what_to_do() {
        for (url, expected) in [
            ("sqlite://chat.db", "leave it unset"),
            ("mysql://a:secret@b/c", "must be postgres://"),
            ("postgres://a:secret@host:port/c", "cannot be read"),
        ] {
            let refused = url.parse::<DatabaseUrl>().expect_err("refused");
            assert!(refused.contains(expected) && !refused.contains("secret"), "{refused}");
        }
        let url = "postgres://a:secret@host/c".parse::<DatabaseUrl>().expect("a URL");
        assert!(!format!("{url:?}").contains("secret"), "{url:?}");
    }
}
