//! Reads the bounds of everything that counts.

use std::num::{NonZeroU32, NonZeroUsize};

use service::config::{Read, Settings};

use crate::limits::{LimitsConfig, MemoryConfig};

/// The limits as given. What one address may have of all connections and sockets is known once their number is.
#[derive(Debug)]
pub(super) struct Given {
    failures_per_min: NonZeroU32,
    sessions_per_min: NonZeroU32,
    operator_calls_per_min: NonZeroU32,
    frames_per_min: NonZeroU32,
    frame_bytes_per_min: NonZeroU32,
    connections_per_address: Option<NonZeroUsize>,
    sockets_per_address: Option<NonZeroUsize>,
    body_memory: MemoryConfig,
}

pub(super) fn read(settings: &mut Settings) -> Read<Given> {
    let failures_per_min = settings.required("unverified_per_min");
    let sessions_per_min = settings.required("sessions_per_min");
    let operator_calls_per_min = settings.required("operator_calls_per_min");
    let frames_per_min = settings.required("socket_frames_per_min");
    let frame_bytes_per_min = settings.required("socket_bytes_per_min");
    let connections_per_address = settings.optional("max_connections_per_address");
    let sockets_per_address = settings.optional("max_sockets_per_address");
    let total = settings.required("body_memory_bytes").map(NonZeroUsize::get);
    let per_address = settings.required("body_memory_per_address_bytes").map(NonZeroUsize::get);
    Ok(Given {
        failures_per_min: failures_per_min?,
        sessions_per_min: sessions_per_min?,
        operator_calls_per_min: operator_calls_per_min?,
        frames_per_min: frames_per_min?,
        frame_bytes_per_min: frame_bytes_per_min?,
        connections_per_address: connections_per_address?,
        sockets_per_address: sockets_per_address?,
        body_memory: MemoryConfig { total: total?, per_address: per_address? },
    })
}

impl Given {
    /// With what one address may have of so many connections and sockets.
    pub(super) fn complete(self, connections: usize, sockets: usize) -> LimitsConfig {
        let share = |of: usize, given: Option<NonZeroUsize>| given.map_or(one_address_of(of), NonZeroUsize::get);
        LimitsConfig {
            failures_per_min: self.failures_per_min,
            sessions_per_min: self.sessions_per_min,
            operator_calls_per_min: self.operator_calls_per_min,
            frames_per_min: self.frames_per_min,
            frame_bytes_per_min: self.frame_bytes_per_min,
            connections_per_address: share(connections, self.connections_per_address),
            sockets_per_address: share(sockets, self.sockets_per_address),
            body_memory: self.body_memory,
        }
    }
}

/// What one address may have of so many, unless a setting says otherwise: a quarter, and enough for a few people at least.
pub(super) fn one_address_of(all: usize) -> usize {
    (all / 4).max(16).min(all)
}
