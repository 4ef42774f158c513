//! How the chat backend is reached.

use std::time::Duration;

use service::config::{Read, SecretList, Settings};

use super::values::HttpUrl;

/// How the chat backend is reached.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Its base URL.
    pub url: HttpUrl,
    /// What HMAC#2 is made with: the first signs.
    pub relay_secret: SecretList,
    /// How long it may take.
    pub timeouts: UpstreamTimeouts,
    /// Whether it is sent one signed call at start.
    pub check_at_start: bool,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// To begin its answer.
    pub header: Duration,
    /// For the next piece of its answer.
    pub idle: Duration,
    /// How long a connection may be idle and still be used.
    pub idle_connection: Duration,
    /// How old a connection may be and still be used.
    pub connection_age: Duration,
}

/// How long the chat backend may take, and whether it is checked at start.
#[derive(Clone, Copy, Debug)]
pub struct BackendBounds {
    timeouts: UpstreamTimeouts,
    check_at_start: bool,
}

impl BackendConfig {
    pub(super) fn new(url: HttpUrl, relay_secret: SecretList, bounds: BackendBounds) -> Self {
        let BackendBounds { timeouts, check_at_start } = bounds;
        Self { url, relay_secret, timeouts, check_at_start }
    }
}

impl BackendBounds {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let check_at_start = settings.required("check_backend_at_start");
        let connect = settings.millis("backend_connect_timeout_ms");
        let header = settings.millis("backend_header_timeout_ms");
        let idle = settings.millis("backend_idle_timeout_ms");
        let idle_connection = settings.millis("backend_idle_ms");
        let connection_age = settings.millis("backend_connection_age_ms");
        let timeouts = UpstreamTimeouts {
            connect: connect?,
            header: header?,
            idle: idle?,
            idle_connection: idle_connection?,
            connection_age: connection_age?,
        };
        Ok(Self { timeouts, check_at_start: check_at_start? })
    }
}
