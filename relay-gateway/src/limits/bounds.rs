//! The configured limits: rates, connections, sockets and memory for bodies.

use std::num::NonZeroU32;

/// How much of everything there may be.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Failed calls of one address in a minute, for each lane.
    pub failures_per_min: NonZeroU32,
    /// Sessions of one address in a minute.
    pub sessions_per_min: NonZeroU32,
    /// Calls of one of a tenant's operators in a minute.
    pub operator_calls_per_min: NonZeroU32,
    /// Frames of one session in a minute.
    pub frames_per_min: NonZeroU32,
    /// Bytes of one session's frames in a minute.
    pub frame_bytes_per_min: NonZeroU32,
    /// Open connections of one address.
    pub connections_per_address: usize,
    /// Open visitors' sockets of one address.
    pub sockets_per_address: usize,
    /// Bytes of bodies that are waited for: of all callers together, and of one address that has proved nothing.
    pub body_memory: MemoryConfig,
}

/// Budgets, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// Of the process.
    pub total: usize,
    /// Of an address that has proved nothing.
    pub per_address: usize,
}

/// How many sockets may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct SocketBounds {
    pub all: usize,
    pub per_tenant: usize,
    /// A visitor's tabs.
    pub per_session: usize,
    pub per_address: usize,
}
