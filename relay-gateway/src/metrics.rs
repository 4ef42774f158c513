//! What the gateway counts beside its requests: refusals, and how long those it depends on take.

use std::{sync::atomic::AtomicU32, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use service::telemetry::metrics::{Metrics, Seconds};
use wire::ErrorCode;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc_method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: &'static str,
    outcome: &'static str,
}

/// The gateway's own metrics.
#[derive(Clone, Debug)]
pub(crate) struct GatewayMetrics {
    refusals: Family<RefusalLabels, Counter>,
    admin_calls: Seconds<CallLabels>,
    upstream: Seconds<UpstreamLabels>,
}

impl GatewayMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let refusals = Family::<RefusalLabels, Counter>::default();
        metrics.register(|registry| {
            registry.register("relay_refusals", "Calls refused by the gateway, by error code", refusals.clone());
        });
        let calls = "Time the admin service took, by method and outcome";
        let upstream = "Time an upstream took to begin its answer, by upstream and outcome";
        Self {
            refusals,
            admin_calls: Seconds::new(metrics, "rpc_client_call_duration", calls),
            upstream: Seconds::new(metrics, "http_client_request_duration", upstream),
        }
    }

    pub(crate) fn refused(&self, reason: ErrorCode) {
        self.refusals.get_or_create(&RefusalLabels { reason: reason.as_str() }).inc();
    }

    pub(crate) fn admin_called(&self, rpc_method: &'static str, outcome: &'static str, took: Duration) {
        self.admin_calls.observe(CallLabels { rpc_method, outcome }, took);
    }

    pub(crate) fn upstream_answered(&self, upstream: &'static str, outcome: &'static str, took: Duration) {
        self.upstream.observe(UpstreamLabels { upstream, outcome }, took);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskedLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AloneLabels {
    reason: &'static str,
}

/// The metrics of what all gateways count together, in Redis.
#[derive(Clone, Debug)]
pub(crate) struct FleetMetrics {
    asked: Seconds<AskedLabels>,
    alone: Family<AloneLabels, Counter>,
    connections: Gauge,
}

impl FleetMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let (alone, connections) = (Family::<AloneLabels, Counter>::default(), Gauge::default());
        metrics.register(|registry| {
            let help =
                "Calls whose limits this gateway counted alone, with its share, because Redis did not say, by reason";
            registry.register("redis_counted_alone", help, alone.clone());
            let help = "Connections to Redis that are in use: one for each worker where all is well";
            registry.register("redis_connections", help, connections.clone());
        });
        let asked = Seconds::new(
            metrics,
            "redis_call_duration",
            "Time until Redis answered, or was not waited for any longer, by outcome",
        );
        Self { asked, alone, connections }
    }

    pub(crate) fn asked(&self, outcome: &'static str, took: Duration) {
        self.asked.observe(AskedLabels { outcome }, took);
    }

    pub(crate) fn counted_alone(&self, reason: &'static str) {
        self.alone.get_or_create(&AloneLabels { reason }).inc();
    }

    pub(crate) fn connected(&self, count: usize) {
        self.connections.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// How many gateways hold a lease, this one included, as the admin service said last; 0 before it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayCount(Gauge<u32, AtomicU32>);

impl GatewayCount {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let made = Self::default();
        let help = "Gateways that hold a lease, this one included, as the admin service said last";
        metrics.register(|registry| registry.register("directory_gateways", help, made.0.clone()));
        made
    }

    pub(crate) fn set(&self, count: u32) {
        self.0.set(count);
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.get()
    }
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// From a browser to the chat backend.
    ToBackend,
    /// From the chat backend to a browser.
    ToBrowser,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabels {
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FrameLabels {
    direction: &'static str,
}

/// The metrics of visitors' sockets.
#[derive(Clone, Debug)]
pub(crate) struct SocketMetrics {
    open: Gauge,
    closed: Family<ClosedLabels, Counter>,
    to_backend: Counter,
    to_visitor: Counter,
}

/// Counts a socket as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl SocketMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let frames = Family::<FrameLabels, Counter>::default();
        let of = |direction| frames.get_or_create_owned(&FrameLabels { direction });
        let made = Self {
            open: Gauge::default(),
            closed: Family::default(),
            to_backend: of("to_backend"),
            to_visitor: of("to_visitor"),
        };
        metrics.register(|registry| {
            registry.register("visitor_sockets_open", "Visitors' sockets that are open", made.open.clone());
            registry.register("visitor_sockets_closed", "Visitors' sockets closed, by code", made.closed.clone());
            registry.register("visitor_socket_frames", "Frames relayed, by direction", frames);
        });
        made
    }

    pub(crate) fn open(&self) -> OpenSocket {
        self.open.inc();
        OpenSocket(self.open.clone())
    }

    pub(crate) fn closed(&self, code: u16) {
        self.closed.get_or_create(&ClosedLabels { code: code.into() }).inc();
    }

    pub(crate) fn relayed(&self, direction: Direction) {
        match direction {
            Direction::ToBackend => self.to_backend.inc(),
            Direction::ToBrowser => self.to_visitor.inc(),
        };
    }
}

/// How a lookup was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup {
    /// From the cache.
    Hit,
    /// By a fetch of its own, which was kept.
    Miss,
    /// By a fetch that was under way.
    Merged,
    /// By a fetch of its own, without a lease, which was not kept.
    Unleased,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    outcome: &'static str,
}

/// The metrics of what is known of tenants.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryMetrics {
    // Taken out of their family once, since the hot path counts here.
    hits: Counter,
    misses: Counter,
    merged: Counter,
    unleased: Counter,
    evictions: Counter,
    repeats: Counter,
}

impl DirectoryMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let lookups = Family::<LookupLabels, Counter>::default();
        let of = |outcome| lookups.get_or_create_owned(&LookupLabels { outcome });
        let made = Self {
            hits: of("hit"),
            misses: of("miss"),
            merged: of("merged"),
            unleased: of("unleased"),
            evictions: Counter::default(),
            repeats: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register("directory_lookups", "Lookups of tenants, by how they were answered", lookups);
            registry.register(
                "directory_evictions",
                "Tenants dropped from the cache because it was full",
                made.evictions.clone(),
            );
            registry.register(
                "directory_repeats",
                "Fetches made again because a change came while they were under way",
                made.repeats.clone(),
            );
        });
        made
    }

    pub(crate) fn looked_up(&self, lookup: Lookup) {
        let counter = match lookup {
            Lookup::Hit => &self.hits,
            Lookup::Miss => &self.misses,
            Lookup::Merged => &self.merged,
            Lookup::Unleased => &self.unleased,
        };
        counter.inc();
    }

    pub(crate) fn evicted(&self) {
        self.evictions.inc();
    }

    pub(crate) fn repeated(&self) {
        self.repeats.inc();
    }
}
