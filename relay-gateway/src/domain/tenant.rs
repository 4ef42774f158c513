//! A tenant as the gateway knows it: the keyed state, never the text of its secret.

use std::num::NonZeroU32;

use shared::{TenantId, signature::TenantKey};

use super::door::Doors;

/// What admission needs of a tenant.
#[derive(Debug)]
pub(crate) struct TenantState {
    pub(crate) id: TenantId,
    pub(crate) suspended: bool,
    /// Keyed for HMAC#1.
    pub(crate) key: TenantKey,
    pub(crate) rate_limit_per_min: NonZeroU32,
    /// What is known of its widget keys.
    pub(crate) doors: Doors,
}
