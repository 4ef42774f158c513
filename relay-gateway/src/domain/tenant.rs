//! A tenant as the gateway knows it: the keyed state, never the text of its secret.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use wire::{TenantId, signature::TenantKey};

/// What admission needs of a tenant.
#[derive(Debug)]
pub struct TenantState {
    pub id: TenantId,
    pub suspended: bool,
    /// Keyed for HMAC#1.
    pub key: TenantKey,
    /// The secret before a rotation with overlap.
    pub previous: Option<Box<PreviousKey>>,
    pub rate_limit_per_min: NonZeroU32,
    /// Whether messages may have attachments.
    pub file_upload_enabled: bool,
    /// Gigabytes of files that the tenant may keep; 0 is no limit.
    pub storage_gb_quota: u64,
    /// Minted tokens of an earlier generation are over.
    pub token_generation: u64,
    /// How often visitors of the tenant were revoked. Where it has not moved, no visitor was revoked since.
    pub visitor_revocations: u64,
    /// The revision at which a visitor's session was last ended. Where it has not moved, none was ended since.
    pub sessions_ended: u64,
    /// The revision at which an operator's membership last changed. Where it has not moved, what is known of operators is still true.
    pub operators_changed: u64,
    pub generation: Generation,
}

/// A secret that is accepted beside the current one, until its end.
#[derive(Debug)]
pub struct PreviousKey {
    /// Keyed for HMAC#1.
    pub key: TenantKey,
    /// Its end, in milliseconds since the machine started: whatever becomes of the calendar's clock, it is not accepted longer.
    pub until_boot_ms: u64,
    /// The rotation that left it, Unix milliseconds.
    pub rotated_at_ms: i64,
    /// When its use was last noted, Unix milliseconds.
    pub noted_at_ms: AtomicI64,
}

/// Tells what was learnt of a tenant at one time from what was learnt at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

impl Generation {
    /// One that was never there before.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
