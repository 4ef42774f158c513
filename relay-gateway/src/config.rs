//! What the gateway can be told. `config.default.toml` is the documentation.

use std::{
    net::SocketAddr,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};

use service::{
    body::BodyBounds,
    config::{ConfigError, SecretList, Settings, Sources, Spec},
    laptop::{Exposure, Laptop},
    process,
    serve::Bounds,
    telemetry::TelemetryConfig,
    workers,
};
use uuid::Uuid;

use crate::limits::{LimitsConfig, MemoryConfig};

mod values;

pub use values::{HttpUrl, List, Network, ParameterName};

/// What the program can be told.
pub const SPEC: Spec = Spec {
    program: "relay-gateway",
    about: "Verifies signed calls and forwards them to the chat backend.",
    env_prefix: "GATEWAY_",
    env_names: &[("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")],
    defaults: include_str!("../config.default.toml"),
    secrets: &["admin_grpc_token", "relay_secret"],
    parts: &[],
    commands: &[],
};

/// Room for some tenants: a cache that held none would ask about every call.
const LEAST_CACHE_BYTES: u64 = 65_536;

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
    /// Which paths are.
    pub exposed: Exposed,
    /// Bounds of visitors' sockets.
    pub sockets: SocketConfig,
    /// How much of everything there may be.
    pub limits: LimitsConfig,
    /// Query parameters that are part of what a signature with a body is good once for.
    pub replay_parameters: List<ParameterName>,
    /// How long a signed call may wait for the relay, from the end of its body.
    pub call_deadline: Duration,
    /// Bounds of a signed body.
    pub body: BodyBounds,
    /// Bounds of the public listener.
    pub bounds: Bounds,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: List<Network>,
    /// Whether each request leaves a log line.
    pub access_log: bool,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// Descriptors that a connection, or a visitor's socket, takes of this process: its own and one to the chat backend, and a third
    /// where the backend is in this process too.
    pub descriptors_each: usize,
}

/// What of the REST facade is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// What the operators' key opens.
    pub admin_api: Exposure,
    /// What account keys open.
    pub developer_api: bool,
}

/// Bounds of visitors' sockets.
#[derive(Clone, Copy, Debug)]
pub struct SocketConfig {
    /// How many there may be.
    pub limits: SocketLimits,
    /// Bytes a visitor's frame may have.
    pub frame_limit: usize,
    /// How often either end is asked whether it is there.
    pub ping_every: Duration,
    /// How long a visitor may say nothing.
    pub idle_timeout: Duration,
    /// How long either end may take to read a frame.
    pub send_timeout: Duration,
    /// When the process stops, how long it takes at most to close them all.
    pub drain: Duration,
}

/// How many sockets may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Of all.
    pub most: usize,
    /// Of one tenant.
    pub most_per_tenant: usize,
    /// Of one session: a visitor's tabs.
    pub most_per_session: usize,
}

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
        let millis = |settings: &mut Settings, key| {
            settings.required(key).map(|millis: NonZeroU64| Duration::from_millis(millis.get()))
        };
        let listen = settings.required("listen");
        let ops_listen = settings.optional("ops_listen");
        let id = settings.optional("id");
        let threads = settings.optional("threads");
        let urls = settings.checked("admin_grpc", |urls: &List<HttpUrl>| {
            if urls.0.iter().all(|url| url.as_url().scheme() == "http") {
                Ok(())
            } else {
                Err("must begin with http://: TLS to the admin service is not built yet".to_owned())
            }
        });
        let token = settings.secrets("admin_grpc_token");
        let directory_timeout = millis(&mut settings, "directory_timeout_ms");
        let patience = settings.required("directory_patience_ms").map(Duration::from_millis);
        let cache_bytes = settings.checked("directory_cache_bytes", |bytes: &u64| {
            if *bytes >= LEAST_CACHE_BYTES { Ok(()) } else { Err(format!("must be at least {LEAST_CACHE_BYTES}")) }
        });
        let backend_url = settings.required("chat_backend_url");
        let relay_secret = settings.secrets("relay_secret");
        let check_at_start = settings.required("check_backend_at_start");
        let connect = millis(&mut settings, "backend_connect_timeout_ms");
        let header = millis(&mut settings, "backend_header_timeout_ms");
        let idle = millis(&mut settings, "backend_idle_timeout_ms");
        let idle_connection = millis(&mut settings, "backend_idle_ms");
        let connection_age = millis(&mut settings, "backend_connection_age_ms");
        let call_deadline = millis(&mut settings, "call_deadline_ms");
        let replay_parameters = settings.optional("replay_parameters");
        let relay_url = settings.optional::<HttpUrl>("relay_url");
        let admin_api = settings.optional("expose_admin_api");
        let developer_api = settings.required("expose_developer_api");
        let admin_rest = settings.required("admin_rest");
        let body_limit = settings.required("body_limit_bytes").map(NonZeroUsize::get);
        let body_idle = millis(&mut settings, "body_idle_timeout_ms");
        let body_total = millis(&mut settings, "body_timeout_ms");
        let header_timeout = millis(&mut settings, "header_timeout_ms");
        let write_timeout = millis(&mut settings, "write_timeout_ms");
        let body_memory = settings.required("body_memory_bytes").map(NonZeroUsize::get);
        let body_memory_per_address = settings.required("body_memory_per_address_bytes").map(NonZeroUsize::get);
        let connections_per_address = settings.optional("max_connections_per_address");
        let sockets_per_address = settings.optional("max_sockets_per_address");
        let frame_bytes_per_min = settings.required("socket_bytes_per_min");
        let max_connections =
            settings.checked(
                "max_connections",
                |count: &usize| {
                    if *count > 0 { Ok(()) } else { Err("must be at least 1".to_owned()) }
                },
            );
        let sessions_per_min = settings.required("sessions_per_min");
        let most_sockets = settings.required("max_sockets").map(NonZeroUsize::get);
        let most_per_tenant = settings.required("max_sockets_per_tenant").map(NonZeroUsize::get);
        let most_per_session = settings.required("max_sockets_per_session").map(NonZeroUsize::get);
        let frame_limit = settings.required("socket_frame_bytes").map(NonZeroUsize::get);
        let frames_per_min = settings.required("socket_frames_per_min");
        let ping_every = millis(&mut settings, "socket_ping_ms");
        let idle_timeout = millis(&mut settings, "socket_idle_timeout_ms");
        let send_timeout = millis(&mut settings, "socket_send_timeout_ms");
        let socket_drain = settings.required("socket_drain_ms").map(Duration::from_millis);
        let drain_delay = settings.required("drain_delay_ms").map(Duration::from_millis);
        let drain_timeout = millis(&mut settings, "drain_timeout_ms");
        let unverified_per_min = settings.required("unverified_per_min");
        let trusted_proxies = settings.optional("trusted_proxies");
        let access_log = settings.required("access_log");
        let telemetry = settings.telemetry();
        settings.finish()?;
        let (max_connections, most_sockets) = (max_connections?, most_sockets?);
        let (listen, trusted_proxies) = (listen?, trusted_proxies?);
        let laptop = Laptop::new(listen, relay_url?.is_some(), trusted_proxies.is_some());
        let trusted_proxies = trusted_proxies.unwrap_or(List(Vec::<Network>::new()));
        let share = |of: usize, given: Option<NonZeroUsize>| given.map_or(one_address_of(of), NonZeroUsize::get);
        Ok(Self {
            listen,
            ops_listen: ops_listen?,
            id: id?.unwrap_or_else(|| Uuid::new_v4().to_string()),
            threads: threads?.unwrap_or_else(workers::available),
            admin: AdminConfig {
                urls: urls?,
                token: token?,
                timeout: directory_timeout?,
                patience: patience?,
                cache_bytes: cache_bytes?,
            },
            backend: BackendConfig {
                url: backend_url?,
                relay_secret: relay_secret?,
                timeouts: UpstreamTimeouts {
                    connect: connect?,
                    header: header?,
                    idle: idle?,
                    idle_connection: idle_connection?,
                    connection_age: connection_age?,
                },
                check_at_start: check_at_start?,
            },
            admin_rest: admin_rest?,
            exposed: Exposed { admin_api: laptop.exposure(admin_api?), developer_api: developer_api? },
            sockets: SocketConfig {
                limits: SocketLimits {
                    most: most_sockets,
                    most_per_tenant: most_per_tenant?,
                    most_per_session: most_per_session?,
                },
                frame_limit: frame_limit?,
                ping_every: ping_every?,
                idle_timeout: idle_timeout?,
                send_timeout: send_timeout?,
                drain: socket_drain?,
            },
            limits: LimitsConfig {
                failures_per_min: unverified_per_min?,
                sessions_per_min: sessions_per_min?,
                frames_per_min: frames_per_min?,
                frame_bytes_per_min: frame_bytes_per_min?,
                connections_per_address: share(max_connections, connections_per_address?),
                sockets_per_address: share(most_sockets, sockets_per_address?),
                body_memory: MemoryConfig { total: body_memory?, per_address: body_memory_per_address? },
            },
            replay_parameters: replay_parameters?.unwrap_or(List(Vec::new())),
            call_deadline: call_deadline?,
            body: BodyBounds { limit: body_limit?, idle_timeout: body_idle?, total_timeout: body_total? },
            bounds: Bounds {
                header_timeout: header_timeout?,
                write_timeout: write_timeout?,
                max_connections,
                drain_delay: drain_delay?,
                drain_timeout: drain_timeout?,
            },
            trusted_proxies,
            access_log: access_log?,
            telemetry: telemetry?,
            descriptors_each: 2,
        })
    }
}

/// What one address may have of so many, where nobody says otherwise: a quarter, and enough for a few people at least.
fn one_address_of(all: usize) -> usize {
    (all / 4).max(16).min(all)
}

/// Descriptors that are neither a connection's nor a socket's: listeners, logs, the admin service, workers' own.
const OTHER_DESCRIPTORS: usize = 64;

impl Config {
    /// Fits the bounds on connections and sockets to the descriptors this process may have, and says so: a process without a
    /// descriptor left can call nobody.
    pub(crate) fn fit_descriptors(&mut self) {
        process::raise_descriptor_limit();
        let Some(limit) = process::descriptor_limit() else { return };
        let before = (self.bounds.max_connections, self.sockets.limits.most);
        self.fit_to(limit);
        let now = (self.bounds.max_connections, self.sockets.limits.most);
        let (max_connections, max_sockets) = now;
        if now != before && self.exposed.admin_api == Exposure::Direct {
            // On a laptop it is no fault.
            tracing::info!(
                descriptors = limit,
                max_connections,
                max_sockets,
                "max_connections {} and max_sockets {} were lowered to what the limit of descriptors allows: enough for a trial",
                before.0,
                before.1,
            );
        } else if now != before {
            tracing::warn!(
                descriptors = limit,
                max_connections,
                max_sockets,
                "max_connections {} and max_sockets {} were lowered to what the limit of descriptors allows: raise it (ulimit -n)",
                before.0,
                before.1,
            );
        }
    }

    fn fit_to(&mut self, descriptors: usize) {
        let (connections, sockets) = (self.bounds.max_connections, self.sockets.limits.most);
        let room = descriptors.saturating_sub(OTHER_DESCRIPTORS) / self.descriptors_each;
        if connections + sockets <= room {
            return;
        }
        // Half for each, and what one does not want for the other.
        let half = room / 2;
        let fitted = |wanted: usize, others: usize| wanted.min(half.max(room.saturating_sub(others))).max(1);
        let before = (connections, sockets);
        let (connections, sockets) = (fitted(connections, sockets), fitted(sockets, connections));
        self.bounds.max_connections = connections;
        self.sockets.limits.most = sockets;
        // What one address may have shrinks with the whole, unless it was set.
        let share =
            |given: usize, before, now| if given == one_address_of(before) { one_address_of(now) } else { given };
        let limits = &mut self.limits;
        limits.connections_per_address = share(limits.connections_per_address, before.0, connections);
        limits.sockets_per_address = share(limits.sockets_per_address, before.1, sockets);
    }
}

#[cfg(test)]
mod tests;
