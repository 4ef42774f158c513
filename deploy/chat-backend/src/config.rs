//! What the chat backend by itself can be told.

use std::{net::SocketAddr, path::PathBuf};

use service::{
    config::{ConfigError, SecretList, Settings, Sources, Spec},
    telemetry::TelemetryConfig,
};

use super::events_url::EventsUrl;

const SPEC: Spec = Spec {
    program: "chat-relay backend",
    about: "The reference chat backend: conversations, tickets, knowledge and a bot, for calls that came through the relay.",
    env_prefix: "CHAT_BACKEND_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["relay_secret"],
    parts: &[],
    commands: &[],
};

/// The chat backend by itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the relay reaches it.
    pub listen: SocketAddr,
    /// Its database.
    pub data_dir: PathBuf,
    /// What HMAC#2 may be made with, where it is not the data directory's.
    pub relay_secret: Option<SecretList>,
    /// Where events and usage are published to, if anywhere.
    pub events_url: Option<EventsUrl>,
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
        let data_dir = settings.required("data_dir");
        let relay_secret = settings.optional_secrets("relay_secret");
        let events_url = settings.optional("events_url");
        let access_log = settings.required("access_log");
        let telemetry = TelemetryConfig::read(&mut settings);
        settings.finish()?;
        Ok(Self {
            listen: listen?,
            data_dir: data_dir?,
            relay_secret: relay_secret?,
            events_url: events_url?,
            access_log: access_log?,
            telemetry: telemetry?,
        })
    }
}
