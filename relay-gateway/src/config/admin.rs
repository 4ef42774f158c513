//! How the admin service is reached.

use std::time::Duration;

use service::config::{Read, SecretList, Settings};

use super::values::{HttpUrl, List};

/// Room for some tenants: a cache that held none would ask about every call.
const LEAST_CACHE_BYTES: u64 = 65_536;

/// How the admin service is reached.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Its replicas.
    pub urls: List<HttpUrl>,
    /// The bearer tokens: the first is sent.
    pub token: SecretList,
    /// How long it may take to answer, all replicas together.
    pub timeout: Duration,
    /// How long after its last answer callers still wait for it to come back.
    pub patience: Duration,
    /// About how many bytes what it answered may take.
    pub cache_bytes: u64,
}

/// How long the admin service may take, and how much of its answers is cached.
#[derive(Clone, Copy, Debug)]
pub struct AdminBounds {
    timeout: Duration,
    patience: Duration,
    cache_bytes: u64,
}

impl AdminConfig {
    pub(super) fn new(urls: List<HttpUrl>, token: SecretList, bounds: AdminBounds) -> Self {
        let AdminBounds { timeout, patience, cache_bytes } = bounds;
        Self { urls, token, timeout, patience, cache_bytes }
    }
}

impl AdminBounds {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let timeout = settings.millis("directory_timeout_ms");
        let patience = settings.millis_or_zero("directory_patience_ms");
        let cache_bytes = settings.checked("directory_cache_bytes", |bytes: &u64| {
            if *bytes >= LEAST_CACHE_BYTES { Ok(()) } else { Err(format!("must be at least {LEAST_CACHE_BYTES}")) }
        });
        Ok(Self { timeout: timeout?, patience: patience?, cache_bytes: cache_bytes? })
    }
}
