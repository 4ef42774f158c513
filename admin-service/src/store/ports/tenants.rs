//! The port to tenants.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use wire::TenantId;

use crate::{
    domain::{
        audit::AuditEntry,
        credentials::WidgetKey,
        settings::TenantSettings,
        tenant::{Tenant, TenantStatus},
    },
    store::{
        error::StoreError,
        page::{Page, PageStart},
        revision::AtRevision,
    },
};

/// A tenant with what only the directory may see.
#[derive(Clone, Debug)]
pub struct KeyedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its sealed secret.
    pub sealed_secret: Vec<u8>,
    /// The sealed secret that belongs to `tenant.previous_secret`.
    pub sealed_previous: Option<Vec<u8>>,
}

/// When a call was last signed with a tenant's previous secret.
#[derive(Clone, Copy, Debug)]
pub struct PreviousUse {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The rotation that left that secret.
    pub rotated_at: Timestamp,
    /// When.
    pub used_at: Timestamp,
}

/// A secret or key that takes another's place.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// A new sealed secret; with it, tokens that were issued before may end.
    Secret {
        /// Sealed.
        sealed: Vec<u8>,
        /// Whether this ends the visitors' minted tokens and the operators' tokens that were issued before.
        revokes_issued: bool,
        /// How long the old secret is accepted beside the new one. A secret that an earlier rotation has kept ends in any case.
        overlap: Duration,
    },
    /// A new widget key.
    WidgetKey(WidgetKey),
}

/// Tenants.
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// Writes a new tenant and answers it with its revision.
    async fn create(&self, tenant: Tenant, sealed_secret: Vec<u8>, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Replaces a secret or a widget key.
    async fn rotate(&self, id: TenantId, to: Replacement, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Ends the secret before the last rotation. Where there is none, that counts as a change, as with the status.
    async fn revoke_previous_secret(&self, id: TenantId, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Notes when a gateway last took calls that were signed with previous secrets. It takes no revision, because no gateway caches it.
    /// A use of a secret that has ended since is dropped.
    async fn note_previous_uses(&self, gateway: &str, uses: &[PreviousUse]) -> Result<(), StoreError>;

    /// Removes previous secrets that have ended by now.
    async fn forget_previous_secrets(&self) -> Result<(), StoreError>;

    /// Writes the status; writing the one it has counts as a change, so that repeating a call whose answer was lost
    /// is as good as the call.
    async fn set_status(&self, id: TenantId, status: TenantStatus, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Writes settings that were derived from the tenant at `expected_revision`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the tenant has changed since.
    async fn apply_update(
        &self,
        id: TenantId,
        expected_revision: u64,
        settings: &TenantSettings,
        audit: AuditEntry,
    ) -> Result<Tenant, StoreError>;

    /// A tenant.
    async fn find(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// A tenant with its sealed secret, and the revision both were read at.
    async fn find_keyed(&self, id: TenantId) -> Result<AtRevision<Option<KeyedTenant>>, StoreError>;

    /// A page of tenants, newest first, and how many there are in all.
    async fn page(&self, start: PageStart, limit: u64) -> Result<(Page<Tenant>, u64), StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
