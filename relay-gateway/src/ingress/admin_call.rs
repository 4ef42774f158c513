//! What the relay's own endpoints ask the admin service with: on whose behalf, and until when.

use std::time::{Duration, Instant};

use wire::request_id::RequestId;

use crate::{admin::AdminClient, domain::tenant::TenantState};

/// A verified call that the admin service answers.
pub(super) struct AdminCall<'a> {
    pub(super) admin: &'a AdminClient,
    /// The tenant whose signature was verified.
    pub(super) tenant: &'a TenantState,
    pub(super) request_id: &'a RequestId,
    /// When the caller must have its answer.
    pub(super) deadline: Instant,
}

impl AdminCall<'_> {
    /// The time until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
