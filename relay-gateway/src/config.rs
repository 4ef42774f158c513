//! What the gateway can be told. `config.default.toml` is the documentation.
//!
//! A configuration has two halves. [`Wiring`] says where this gateway and its neighbours are, and holds their secrets: a process of
//! its own reads it, and a deployment in one process knows it. [`Behaviour`] is everything else, and both read it.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use service::{
    body::BodyBounds,
    config::{ConfigError, Settings, Sources, Spec},
    laptop::Exposure,
    serve::{Bounds, TlsFiles},
    telemetry::TelemetryConfig,
};

use crate::limits::{FleetConfig, LimitsConfig};
use descriptors::Bounded;

mod admin;
mod attachments;
mod backend;
mod behaviour;
mod descriptors;
mod fleet;
mod limits;
mod public;
mod signed;
mod sockets;
mod values;
mod wiring;

pub use admin::{AdminBounds, AdminConfig, AdminTls};
pub(crate) use attachments::is_token;
pub use attachments::{AttachmentConfig, MediaRange};
pub use backend::{BackendBounds, BackendConfig, UpstreamTimeouts};
pub use behaviour::Behaviour;
pub use public::{Exposed, Public};
pub use signed::SignedConfig;
pub use sockets::{SocketConfig, SocketLimits};
pub use values::{HttpUrl, List, Network, ParameterName};
pub use wiring::Wiring;

/// What the program can be told.
pub const SPEC: Spec = Spec {
    program: "relay-gateway",
    about: "Verifies signed calls and forwards them to the chat backend.",
    env_prefix: "GATEWAY_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["admin_grpc_token", "relay_secret", "redis_url"],
    parts: &[],
    commands: &[],
};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the public reaches the relay.
    pub listen: SocketAddr,
    /// Where Prometheus reaches `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// This gateway's name.
    pub id: String,
    /// How many threads serve.
    pub threads: NonZeroUsize,
    /// How the admin service is reached.
    pub admin: AdminConfig,
    /// How the chat backend is reached.
    pub backend: BackendConfig,
    /// The REST facade that paths are passed to.
    pub admin_rest: HttpUrl,
    /// Which paths are passed through.
    pub exposed: Exposed,
    /// Bounds of visitors' sockets.
    pub sockets: SocketConfig,
    /// Which files visitors and operators may send.
    pub attachments: AttachmentConfig,
    /// How much of everything there may be.
    pub limits: LimitsConfig,
    /// The certificate of the public listener, if it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Where all gateways count together, if they do.
    pub fleet: Option<FleetConfig>,
    /// Query parameters that are part of what a signature with a body is good once for.
    pub replay_parameters: List<ParameterName>,
    /// How long a signed call may wait for the relay, from the end of its body.
    pub call_deadline: Duration,
    /// Bounds of a signed body.
    pub body: BodyBounds,
    /// Bounds of the public listener.
    pub bounds: Bounds,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: List<Network>,
    /// Whether each request leaves a log line.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Descriptors that a connection, or a visitor's socket, takes of this process: its own and one to the chat backend, and a third
    /// where the backend is in this process too.
    pub descriptors_each: usize,
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
        let Behaviour { admin, backend, public, sockets, attachments, limits, signed, access_log } = behaviour;
        Self {
            listen: wiring.listen,
            ops_listen: wiring.ops_listen,
            id: wiring.id,
            threads: wiring.threads,
            admin: AdminConfig::new(wiring.admin_urls, wiring.admin_tls, wiring.admin_token, admin),
            backend: BackendConfig::new(wiring.backend_url, wiring.relay_secret, backend),
            admin_rest: wiring.admin_rest,
            exposed: public.exposed,
            sockets,
            attachments,
            limits,
            tls: wiring.tls,
            fleet: wiring.fleet,
            replay_parameters: signed.replay_parameters,
            call_deadline: signed.call_deadline,
            body: signed.body,
            bounds: public.bounds,
            trusted_proxies: public.trusted_proxies,
            access_log,
            telemetry: wiring.telemetry,
            descriptors_each: wiring.descriptors_each,
        }
    }

    /// Fits the bounds on connections and sockets to the descriptors this process may have, and says so.
    pub(crate) fn fit_descriptors(&mut self) {
        self.bounded().fit();
    }

    fn bounded(&mut self) -> Bounded<'_> {
        Bounded {
            connections: &mut self.bounds.max_connections,
            sockets: &mut self.sockets.limits.most,
            limits: &mut self.limits,
            descriptors_each: self.descriptors_each,
            is_laptop: self.exposed.admin_api == Exposure::Direct,
        }
    }
}

#[cfg(test)]
mod tests;
