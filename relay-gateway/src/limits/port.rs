//! The port to everything that counts.
//!
//! Each count is of this process (`local/`). With Redis (`fleet/`), what signatures were used for, tenants' rates and sessions of widget
//! keys are counted for all gateways; where Redis says nothing, this process counts its share of the limits. The other counts concern one
//! process or one address.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Instant};

use ipnet::IpNet;
use service::edge::network;
use uuid::Uuid;
use wire::{SessionId, TenantId};

use super::{
    bounds::{LimitsConfig, SocketBounds},
    fleet::{Fleet, Unknown},
    limit::{Exceeded, Lane, Limit, Now, SocketLimit},
    local::{
        BodyMemory, FailureGuard, Failures, FrameRates, HeldBytes, OperatorRates, SessionRates, Slot, Slots,
        SocketCounts, SocketPlace, TenantRate,
    },
    signature_use::SignedUse,
    signed_calls::{AdmittedCall, NotAdmitted, SignedCalls},
};

/// All that is counted.
pub struct Limits {
    signed_calls: SignedCalls,
    failures: Failures,
    sessions: SessionRates,
    operators: OperatorRates,
    frames: FrameRates,
    sockets: SocketCounts,
    connections: Slots<IpAddr>,
    memory: BodyMemory,
    proxies: Vec<IpNet>,
    /// What all gateways count together, if they do.
    fleet: Option<Arc<Fleet>>,
}

impl Limits {
    /// Connections from `proxies` are their clients', and are not counted as theirs.
    #[must_use]
    pub fn new(config: &LimitsConfig, sockets: SocketBounds, proxies: Vec<IpNet>) -> Self {
        Self {
            signed_calls: SignedCalls::default(),
            failures: Failures::new(config.failures_per_min),
            sessions: SessionRates::new(config.sessions_per_min),
            operators: OperatorRates::new(config.operator_calls_per_min),
            frames: FrameRates::new(config.frames_per_min, config.frame_bytes_per_min),
            sockets: SocketCounts::new(sockets),
            connections: Slots::new(config.connections_per_address),
            memory: BodyMemory::new(config.body_memory),
            proxies,
            fleet: None,
        }
    }

    /// Counts with the other gateways, where they can.
    pub(crate) fn in_fleet(self, fleet: Option<Arc<Fleet>>) -> Self {
        Self { fleet, ..self }
    }

    /// Admits a verified signed call: its signature is reserved, and then one call of its tenant's rate is spent.
    ///
    /// # Errors
    /// [`NotAdmitted`]; then the signature is as it was.
    pub async fn admit_signed_call(
        &self,
        call: SignedUse<'_>,
        tenant: TenantRate,
        now: Now,
    ) -> Result<AdmittedCall<'_>, NotAdmitted> {
        match &self.fleet {
            None => self.signed_calls.admit(&call, tenant, now),
            // Boxed: without Redis, a call's future stays small.
            Some(fleet) => Box::pin(self.signed_calls.admit_in(fleet, &call, tenant, now)).await,
        }
    }

    /// Counts a new session of a widget key, whose limit is `per_hour`.
    ///
    /// # Errors
    /// [`Limit::AddressSessions`], [`Limit::KeyShare`], [`Limit::KeySessions`]; then nothing of the key is spent.
    pub(crate) async fn begin_session(
        &self,
        tenant: TenantId,
        key: Uuid,
        per_hour: NonZeroU32,
        client: IpAddr,
        now: Instant,
    ) -> Result<(), Exceeded> {
        self.sessions.begin_at(client, now)?;
        let Some(fleet) = &self.fleet else { return self.sessions.begin(key, per_hour, 1, client, now) };
        let each = fleet.gateways();
        match fleet.begin_session(tenant, key, per_hour, network(client)).await {
            Ok(counted) => counted.map(|()| self.sessions.note(key, per_hour, each, client, now)),
            Err(Unknown) => self.sessions.begin(key, per_hour, each, client, now),
        }
    }

    /// Counts a call of an operator whose token is good.
    ///
    /// # Errors
    /// [`Limit::OperatorCalls`].
    pub(crate) fn admit_operator_call(&self, operator: Uuid, now: Instant) -> Result<(), Exceeded> {
        self.operators.spend(operator, now)
    }

    /// Charges a call that may fail, before it costs anything. However the call ends (refused, too large, too slow, disconnected), it
    /// stays charged unless the guard is disarmed.
    ///
    /// # Errors
    /// [`Limit::FailedCalls`] where the address has failed too often: then nothing is charged.
    pub(crate) fn charge_failure(&self, lane: Lane, client: IpAddr, now: Instant) -> Result<FailureGuard, Exceeded> {
        self.failures.of(lane).charge(client, now)
    }

    /// Counts a call that has failed.
    ///
    /// # Errors
    /// [`Limit::FailedCalls`] where it is one too many: then the caller is told this instead of why the call failed.
    pub(crate) fn count_failure(&self, lane: Lane, client: IpAddr, now: Instant) -> Result<(), Exceeded> {
        self.failures.of(lane).count(client, now)
    }

    /// Counts frames and bytes that a session sends, and answers whether it may send them.
    pub(crate) fn admits_frames(&self, session: SessionId, frames: u32, bytes: u32, now: Instant) -> bool {
        self.frames.admits(session, frames, bytes, now)
    }

    /// Takes a place for a socket, which it holds until the place is dropped.
    ///
    /// # Errors
    /// The first bound that is reached; then nothing is taken.
    pub(crate) fn take_socket(
        &self,
        tenant: TenantId,
        session: SessionId,
        client: IpAddr,
    ) -> Result<SocketPlace, SocketLimit> {
        self.sockets.take(tenant, session, client)
    }

    /// Takes a place for a connection from `peer`; `None` where `peer` is a proxy, whose connections are its clients'.
    ///
    /// # Errors
    /// [`Limit::Connections`].
    pub(crate) fn connect(&self, peer: IpAddr) -> Result<Option<Slot<IpAddr>>, Exceeded> {
        if self.proxies.iter().any(|proxy| proxy.contains(&peer.to_canonical())) {
            return Ok(None);
        }
        let place = self.connections.take(network(peer));
        place.map(Some).ok_or(Exceeded { limit: Limit::Connections, retry_after_s: 1 })
    }

    /// Begins to count the bytes of a body that is waited for. Nothing is taken yet.
    pub(crate) fn hold_body(&self, client: IpAddr) -> HeldBytes<'_> {
        self.memory.hold(client)
    }

    /// Forgets what is over. Call it now and then: it only frees memory.
    pub(crate) fn sweep(&self) {
        self.signed_calls.sweep();
        self.failures.sweep();
        self.sessions.sweep();
        self.operators.sweep();
        self.frames.sweep();
        self.memory.sweep();
    }
}
