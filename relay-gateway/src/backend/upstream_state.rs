//! What is known of one upstream: where it is, its connections, and whether it is there and accepts the relay.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Response};
use hyper::body::Incoming;

use super::{acceptance::Acceptance, pool::Pool, upstream_error::UpstreamError};
use crate::{config::UpstreamTimeouts, metrics::GatewayMetrics};

/// What is known of one upstream. Its client and the answers that still stream share it.
pub(super) struct UpstreamState {
    pub(super) name: &'static str,
    /// `Host`, as every request has it.
    pub(super) host: HeaderValue,
    /// Where its paths begin, without a trailing slash.
    pub(super) base_path: String,
    pub(super) pool: Pool,
    pub(super) timeouts: UpstreamTimeouts,
    pub(super) metrics: GatewayMetrics,
    pub(super) reachable: AtomicBool,
    /// Whether it accepts HMAC#2; `None` for an upstream that does not authenticate the relay.
    pub(super) acceptance: Option<Acceptance>,
}

impl UpstreamState {
    /// Notes what an answer shows of the relay's signature, before its headers are stripped.
    pub(super) fn answered(&self, answer: &Response<Incoming>) {
        if let Some(acceptance) = &self.acceptance {
            acceptance.answered(answer.status(), answer.headers());
        }
    }

    /// Says when the upstream went away and when it came back: once, however many are turned away.
    pub(super) fn reached(&self, error: Option<&UpstreamError>) {
        let is_reachable = !matches!(error, Some(UpstreamError::Unreachable(_)));
        if self.reachable.load(Ordering::Relaxed) == is_reachable
            || self.reachable.swap(is_reachable, Ordering::Relaxed) == is_reachable
        {
            return;
        }
        match error {
            Some(UpstreamError::Unreachable(cause)) => {
                tracing::warn!(upstream = self.name, cause, "cannot be reached");
            }
            _ => tracing::info!(upstream = self.name, "can be reached again"),
        }
    }
}
