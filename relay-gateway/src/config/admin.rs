//! How the admin service is reached.

use std::{path::PathBuf, time::Duration};

use service::config::{Read, SecretList, Settings};

use super::values::{HttpUrl, List};

/// Room for some tenants: a cache that held none would ask about every call.
const LEAST_CACHE_BYTES: u64 = 65_536;

/// The files of a gateway's TLS to the admin service, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminTls {
    /// The authority that the admin service's certificate must be of. Without it, those that the system trusts.
    pub ca: Option<PathBuf>,
    /// This gateway's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How the admin service is reached.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Its replicas.
    pub urls: List<HttpUrl>,
    /// Whom to trust there, and what proves this gateway.
    pub tls: AdminTls,
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
    pub(super) fn new(urls: List<HttpUrl>, tls: AdminTls, token: SecretList, bounds: AdminBounds) -> Self {
        let AdminBounds { timeout, patience, cache_bytes } = bounds;
        Self { urls, tls, token, timeout, patience, cache_bytes }
    }
}

/// Reads the files of TLS to the admin service.
pub(super) fn read_tls(settings: &mut Settings) -> Read<AdminTls> {
    let ca = settings.optional("admin_grpc_ca_file");
    let (cert, key) = (settings.optional("admin_grpc_cert_file"), settings.optional("admin_grpc_key_file"));
    let identity = match (cert?, key?) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(
                settings.problem("admin_grpc_key_file: is missing: set it with admin_grpc_cert_file".to_owned())
            );
        }
        (None, Some(_)) => {
            return Err(
                settings.problem("admin_grpc_cert_file: is missing: set it with admin_grpc_key_file".to_owned())
            );
        }
    };
    Ok(AdminTls { ca: ca?, identity })
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
