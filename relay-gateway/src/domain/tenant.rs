//! A tenant as the gateway knows it: the keyed state, never the text of its secret.

use std::num::NonZeroU32;

use shared::{TenantId, signature::TenantKey};

/// What admission needs of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct TenantState {
    pub(crate) id: TenantId,
    pub(crate) suspended: bool,
    /// Keyed for HMAC#1.
    pub(crate) key: TenantKey,
    pub(crate) rate_limit_per_min: NonZeroU32,
}
