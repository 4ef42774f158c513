//! What a limit says: which one was reached, when to come back, and what is left.

use std::time::Instant;

/// The period of a tenant's limit, seconds.
pub const PERIOD_S: u64 = 60;

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Rates refill by it.
    pub at: Instant,
    /// Signatures are forgotten by it, since they were signed by it. Unix milliseconds.
    pub unix_ms: i64,
}

/// A way into the gateway. Failures are counted by lane: a stranger who fails at signing must not keep operators out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Signed,
    Visitor,
    /// The platform's operators, with the admin key.
    Admin,
    Developer,
    /// A tenant's operators, who answer its visitors.
    Operator,
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
    /// `operator_calls_per_min`.
    OperatorCalls,
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

/// What a tenant has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until `remaining` is `limit` again, or, where nothing remains, until one call is.
    pub reset_s: u64,
}

impl Allowance {
    /// What is left after a call that was admitted.
    pub(super) fn after(limit: u32, remaining: u32) -> Self {
        let spent = u64::from(limit.saturating_sub(remaining));
        Self { limit, remaining, reset_s: (spent * PERIOD_S).div_ceil(u64::from(limit)) }
    }
}

/// Which bound of open sockets was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketLimit {
    All,
    Tenant,
    Session,
    Address,
}
