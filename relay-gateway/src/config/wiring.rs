//! Where this gateway and its neighbours are, and their secrets.

use std::{net::SocketAddr, num::NonZeroUsize};

use service::{
    config::{Read, SecretList, Settings},
    serve::TlsFiles,
    telemetry::TelemetryConfig,
    workers,
};
use uuid::Uuid;

use super::{
    admin::{self, AdminTls},
    fleet,
    values::{HttpUrl, List},
};
use crate::limits::FleetConfig;

/// What connects a gateway with the rest of its deployment.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Where the public reaches the relay.
    pub listen: SocketAddr,
    /// Where Prometheus reaches `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// This gateway's name.
    pub id: String,
    /// How many threads serve.
    pub threads: NonZeroUsize,
    /// The gRPC of the admin service's replicas.
    pub admin_urls: List<HttpUrl>,
    /// Whom to trust there, and what proves this gateway.
    pub admin_tls: AdminTls,
    /// The bearer tokens: the first is sent.
    pub admin_token: SecretList,
    /// The REST facade of the admin service.
    pub admin_rest: HttpUrl,
    /// The chat backend's base URL.
    pub backend_url: HttpUrl,
    /// What HMAC#2 is made with: the first signs.
    pub relay_secret: SecretList,
    /// The certificate of the public listener, if it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Where all gateways count together, if they do.
    pub fleet: Option<FleetConfig>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Descriptors that a connection, or a visitor's socket, takes of this process.
    pub descriptors_each: usize,
}

impl Wiring {
    /// Reads the settings of a gateway that is a process of its own.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let listen = settings.required("listen");
        let ops_listen = settings.optional("ops_listen");
        let id = settings.optional("id");
        let threads = settings.optional("threads");
        let admin_urls = settings.required("admin_grpc");
        let admin_tls = admin::read_tls(settings);
        let admin_token = settings.secrets("admin_grpc_token");
        let admin_rest = settings.required("admin_rest");
        let backend_url = settings.required("chat_backend_url");
        let relay_secret = settings.secrets("relay_secret");
        let tls = TlsFiles::read(settings, "");
        let fleet = fleet::read(settings);
        let telemetry = TelemetryConfig::read(settings);
        Ok(Self {
            listen: listen?,
            ops_listen: ops_listen?,
            id: id?.unwrap_or_else(|| Uuid::new_v4().to_string()),
            threads: threads?.unwrap_or_else(workers::available),
            admin_urls: admin_urls?,
            admin_tls: admin_tls?,
            admin_token: admin_token?,
            admin_rest: admin_rest?,
            backend_url: backend_url?,
            relay_secret: relay_secret?,
            tls: tls?,
            fleet: fleet?,
            telemetry: telemetry?,
            descriptors_each: 2,
        })
    }
}
