//! Everything that counts: rates, failures, replays, open connections and sockets, buffered bytes.
//!
//! One rule for all of it: `now` is passed in, what is counted is bounded, and `Limits::sweep` is the one place that forgets.
//! A limit of five admits five, however many come at once. Counted per gateway and in memory. What a caller is told is said by
//! `ingress/exceeded.rs`; this module knows neither HTTP nor sockets.

use std::{net::IpAddr, num::NonZeroU32, time::Instant};

use ipnet::IpNet;
use service::edge::network;
use wire::SessionId;

pub(crate) mod failures;
mod gcra;
pub(crate) mod memory;
pub mod replays;
pub(crate) mod sessions;
pub(crate) mod slots;
pub(crate) mod sockets;
pub mod tenants;
pub(crate) mod visitors;

use failures::FailureLimiter;
use memory::BodyMemory;
use replays::ReplayGuard;
use sessions::SessionRates;
use slots::Slots;
use sockets::{SocketBounds, SocketCounts};
use tenants::TenantRates;
use visitors::VisitorRates;

/// How much of everything there may be.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Failed calls of one address in a minute, for each lane.
    pub failures_per_min: NonZeroU32,
    /// Sessions of one address in a minute.
    pub sessions_per_min: NonZeroU32,
    /// Frames of one session in a minute.
    pub frames_per_min: NonZeroU32,
    /// Bytes of one session's frames in a minute.
    pub frame_bytes_per_min: NonZeroU32,
    /// Open connections of one address.
    pub connections_per_address: usize,
    /// Open visitors' sockets of one address.
    pub sockets_per_address: usize,
    /// Bytes of bodies that are waited for: of all callers together, and of one address that has proved nothing.
    pub body_memory: memory::MemoryConfig,
}

/// Which limit was reached. Each is one of a caller's settings or of the gateway's, and is named to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `rate_limit_per_min` of the tenant: this many calls.
    TenantRate(u32),
    /// `unverified_per_min`: failed calls of the address.
    FailedCalls,
    /// `sessions_per_min`: sessions begun by the address.
    AddressSessions,
    /// `rate_limit_per_hour` of the widget key: this many sessions.
    KeySessions(u32),
    /// What of the widget key's sessions is left for one address.
    KeyShare,
    /// `max_connections_per_address`.
    Connections,
    /// `body_memory_per_address_bytes`: bytes of bodies from this address that are waited for.
    AddressMemory,
    /// `body_memory_bytes`: bytes of all bodies that are waited for.
    Memory,
}

/// A limit that was reached, and after how many whole seconds the caller may come back: a caller who returns then finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub limit: Limit,
    pub retry_after_s: u64,
}

/// A way into the gateway. Failures are counted by lane: a stranger who fails at signing must not keep operators out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Signed,
    Visitor,
    Operator,
    Developer,
}

/// All that is counted.
pub(crate) struct Limits {
    pub(crate) replays: ReplayGuard,
    pub(crate) tenants: TenantRates,
    pub(crate) sessions: SessionRates,
    pub(crate) visitors: VisitorRates,
    /// Failures are counted by lane: a stranger who fails at signing must not keep operators out.
    pub(crate) signed_failures: FailureLimiter,
    pub(crate) visitor_failures: FailureLimiter,
    pub(crate) operator_failures: FailureLimiter,
    pub(crate) developer_failures: FailureLimiter,
    pub(crate) connections: Slots<IpAddr>,
    pub(crate) sockets: SocketCounts,
    pub(crate) memory: BodyMemory,
    proxies: Vec<IpNet>,
}

impl Limits {
    /// Connections from `proxies` are their clients', and are not counted as theirs.
    pub(crate) fn new(config: &LimitsConfig, sockets: SocketBounds, proxies: Vec<IpNet>) -> Self {
        let failures = || FailureLimiter::new(config.failures_per_min);
        Self {
            replays: ReplayGuard::default(),
            tenants: TenantRates::default(),
            sessions: SessionRates::new(config.sessions_per_min),
            visitors: VisitorRates::new(config.frames_per_min, config.frame_bytes_per_min),
            signed_failures: failures(),
            visitor_failures: failures(),
            operator_failures: failures(),
            developer_failures: failures(),
            connections: Slots::new(config.connections_per_address),
            sockets: SocketCounts::new(sockets),
            memory: BodyMemory::new(config.body_memory),
            proxies,
        }
    }

    /// Takes a place for a connection from `peer`; `None` where `peer` is a proxy, whose connections are its clients'.
    ///
    /// # Errors
    /// [`Limit::Connections`].
    pub(crate) fn connect(&self, peer: IpAddr) -> Result<Option<slots::Slot<IpAddr>>, Exceeded> {
        if self.proxies.iter().any(|proxy| proxy.contains(&peer.to_canonical())) {
            return Ok(None);
        }
        let place = self.connections.take(network(peer));
        place.map(Some).ok_or(Exceeded { limit: Limit::Connections, retry_after_s: 1 })
    }

    /// Counts a call of a lane that has failed.
    ///
    /// # Errors
    /// [`Limit::FailedCalls`] where it is one too many.
    pub(crate) fn count_failure(&self, lane: Lane, address: IpAddr, now: Instant) -> Result<(), Exceeded> {
        let failures = match lane {
            Lane::Signed => &self.signed_failures,
            Lane::Visitor => &self.visitor_failures,
            Lane::Operator => &self.operator_failures,
            Lane::Developer => &self.developer_failures,
        };
        failures.count(address, now)
    }

    /// Forgets what is over. Call it now and then: it only frees memory.
    pub(crate) fn sweep(&self) {
        for failures in
            [&self.signed_failures, &self.visitor_failures, &self.operator_failures, &self.developer_failures]
        {
            failures.sweep();
        }
        self.tenants.sweep();
        self.sessions.sweep();
        self.visitors.sweep();
        self.memory.sweep();
    }

    /// Counts a session's frames and bytes below the WebSocket library.
    pub(crate) fn admits_frames(&self, session: SessionId, frames: u32, bytes: u32, now: Instant) -> bool {
        self.visitors.admits(session, frames, bytes, now)
    }
}
