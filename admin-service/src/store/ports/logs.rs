//! The port to the audit log and the access log.

use async_trait::async_trait;
use jiff::Timestamp;
use wire::TenantId;

use crate::{
    domain::{access::RecordedAccess, audit::RecordedAudit},
    log_chain::{Head, Log},
    store::{error::StoreError, page::Page},
};

/// The two logs: the history of changes, written with each change, and events that change nothing.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// A page of the audit log, of one tenant or of all: newest first, by revision, below `after`.
    async fn audit_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAudit, u64>, StoreError>;

    /// A page of the access log, of one tenant or of all: newest first, by number, below `after`.
    async fn access_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAccess, u64>, StoreError>;

    /// Writes a batch of the access log, in its order.
    async fn write_access(&self, entries: &[RecordedAccess]) -> Result<(), StoreError>;

    /// Removes some of the oldest rows of the access log that are from before, and seals where it then begins. Answers whether
    /// there may be more.
    async fn prune_access(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// The newest row of each log that has one.
    async fn log_heads(&self) -> Result<Vec<(Log, Head)>, StoreError>;
}
