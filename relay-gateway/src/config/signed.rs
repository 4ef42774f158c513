//! Bounds of a signed call.

use std::{num::NonZeroUsize, time::Duration};

use service::{
    body::BodyBounds,
    config::{Read, Settings},
};

use super::values::{List, ParameterName};

/// Bounds of a signed call.
#[derive(Clone, Debug)]
pub struct SignedConfig {
    /// Query parameters that are part of what a signature with a body is good once for.
    pub(super) replay_parameters: List<ParameterName>,
    /// How long a call may wait for the relay, from the end of its body.
    pub(super) call_deadline: Duration,
    /// Bounds of its body.
    pub(super) body: BodyBounds,
}

impl SignedConfig {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let replay_parameters = settings.optional("replay_parameters");
        let call_deadline = settings.millis("call_deadline_ms");
        let limit = settings.required("body_limit_bytes").map(NonZeroUsize::get);
        let idle_timeout = settings.millis("body_idle_timeout_ms");
        let total_timeout = settings.millis("body_timeout_ms");
        let body = BodyBounds { limit: limit?, idle_timeout: idle_timeout?, total_timeout: total_timeout? };
        let replay_parameters = replay_parameters?.unwrap_or(List(Vec::new()));
        Ok(Self { replay_parameters, call_deadline: call_deadline?, body })
    }
}
