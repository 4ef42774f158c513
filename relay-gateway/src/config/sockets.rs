//! Bounds of visitors' sockets.

use std::{num::NonZeroUsize, time::Duration};

use service::config::{Read, Settings};

/// Bounds of visitors' sockets.
#[derive(Clone, Copy, Debug)]
pub struct SocketConfig {
    /// How many there may be.
    pub limits: SocketLimits,
    /// Bytes a visitor's frame may have.
    pub frame_limit: usize,
    /// How often the gateway pings either end.
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

impl SocketConfig {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let most = settings.required("max_sockets").map(NonZeroUsize::get);
        let most_per_tenant = settings.required("max_sockets_per_tenant").map(NonZeroUsize::get);
        let most_per_session = settings.required("max_sockets_per_session").map(NonZeroUsize::get);
        let frame_limit = settings.required("socket_frame_bytes").map(NonZeroUsize::get);
        let ping_every = settings.millis("socket_ping_ms");
        let idle_timeout = settings.millis("socket_idle_timeout_ms");
        let send_timeout = settings.millis("socket_send_timeout_ms");
        let drain = settings.millis_or_zero("socket_drain_ms");
        let limits =
            SocketLimits { most: most?, most_per_tenant: most_per_tenant?, most_per_session: most_per_session? };
        Ok(Self {
            limits,
            frame_limit: frame_limit?,
            ping_every: ping_every?,
            idle_timeout: idle_timeout?,
            send_timeout: send_timeout?,
            drain: drain?,
        })
    }
}
