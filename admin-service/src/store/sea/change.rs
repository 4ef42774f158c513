//! A change of the directory as one unit of work: its revision, the rows of its operation (rotate, suspend, …), and its audit row are
//! committed together or not at all.
//!
//! Locks are taken in one order, so that two changes never wait for each other in a circle:
//!
//! 1. the tenant's row, if the change depends on it ([`LockedTenant`]), and then rows of that tenant, such as a session;
//! 2. the directory's row, with the next revision ([`Change`]);
//! 3. the operation's other rows;
//! 4. the rows that [`Change::commit`] writes.
//!
//! A [`Change`] must lock no tenant and no session: it has the directory's row already, and would wait for a change that waits for
//! that row. Since the directory's row stays locked until the commit, revisions commit in their order, and the audit log has no gaps.

use jiff::Timestamp;
use sea_orm::{QuerySelect as _, prelude::*};
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use super::{
    authority, chain,
    connection::{SeaStore, Transaction, commit, translate},
    directory, signals,
    values::number_from_row,
};
use crate::{
    domain::audit::AuditEntry,
    store::{
        entity::tenant,
        error::{Missing, StoreError},
    },
};

/// A change that has taken its revision. If it is dropped, its transaction rolls back, and the next change takes the same revision.
#[must_use = "a change that is not committed is rolled back"]
pub(super) struct Change<'s> {
    store: &'s SeaStore,
    transaction: Transaction,
    revision: i64,
}

impl<'s> Change<'s> {
    /// Begins a change and takes its revision, which locks the directory's row. Every other change waits for that row, so what this
    /// change counts does not change before it commits.
    pub(super) async fn begin(store: &'s SeaStore) -> Result<Self, StoreError> {
        Self::take_revision(store, store.begin_write().await?, 0).await
    }

    /// Begins a change that makes a tenant.
    pub(super) async fn begin_with_new_tenant(store: &'s SeaStore) -> Result<Self, StoreError> {
        Self::take_revision(store, store.begin_write().await?, 1).await
    }

    /// Begins a change for an account key.
    ///
    /// # Errors
    /// [`StoreError::Unauthorized`] where the key is no longer valid or its tenant is suspended. Once the change has its revision, no
    /// revocation and no suspension is under way, so the key stays valid until the commit.
    pub(super) async fn begin_for(store: &'s SeaStore, account_key: Uuid) -> Result<Self, StoreError> {
        let change = Self::begin(store).await?;
        authority::account_key(&change.transaction, account_key).await?;
        Ok(change)
    }

    async fn take_revision(
        store: &'s SeaStore,
        transaction: Transaction,
        new_tenants: i64,
    ) -> Result<Self, StoreError> {
        let revision = directory::take_revision(&transaction, new_tenants).await?;
        Ok(Self { store, transaction, revision })
    }

    /// The transaction, in which the operation reads and writes its rows.
    pub(super) fn rows(&self) -> &Transaction {
        &self.transaction
    }

    /// The change's revision, as rows keep it.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Writes the audit row, tells the other replicas, and commits. Answers the change's revision. A change of a caller whose admin key was
    /// revoked meanwhile is rolled back.
    ///
    /// The audit row comes last. Every change locks in one order, so that no two wait for each other: the tenant's row, the directory's,
    /// the operation's own rows and its outbox's, and the newest row of the audit log.
    pub(super) async fn commit(self, audit: AuditEntry, at: Timestamp) -> Result<u64, StoreError> {
        let revision = number_from_row(self.revision)?;
        authority::admin_key(&self.transaction, audit.caller.admin_key).await?;
        chain::append_audit(&self.store.keys, &self.transaction, audit, revision, at).await?;
        signals::signal(&self.transaction).await?;
        commit(self.transaction).await?;
        Ok(revision)
    }

    /// Ends a change that turned out to change nothing. Answers the newest revision there is: it contains the state that the change
    /// found, so a caller waits until every gateway has it.
    pub(super) async fn roll_back(self) -> Result<u64, StoreError> {
        self.transaction.rollback().await.map_err(translate)?;
        number_from_row(self.revision - 1)
    }
}

/// A tenant's row, locked for a change that does not have its revision yet. Dropped, it is rolled back.
#[must_use = "a lock that becomes no change is rolled back"]
pub(super) struct LockedTenant<'s> {
    store: &'s SeaStore,
    transaction: Transaction,
    /// The row as it is.
    pub(super) row: tenant::Model,
}

impl<'s> LockedTenant<'s> {
    /// Locks a tenant's row. SQLite has no row locks and needs none: it has one writer.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub(super) async fn lock(store: &'s SeaStore, id: TenantId) -> Result<Self, StoreError> {
        let transaction = store.begin_write().await?;
        let found = tenant::Entity::find_by_id(id.as_uuid()).lock_exclusive().one(&transaction).await;
        let row = found.map_err(translate)?.ok_or(StoreError::NotFound(Missing::Tenant))?;
        Ok(Self { store, transaction, row })
    }

    /// The time of a change of this tenant: never before the change it follows, whatever the replicas' clocks say.
    pub(super) fn time_of_change(&self) -> Timestamp {
        now().max(from_unix_ms(self.row.updated_at))
    }

    /// The transaction, in which the operation reads and locks more rows of the tenant.
    pub(super) fn rows(&self) -> &Transaction {
        &self.transaction
    }

    /// Takes the change's revision.
    pub(super) async fn take_revision(self) -> Result<Change<'s>, StoreError> {
        Change::take_revision(self.store, self.transaction, 0).await
    }

    /// Ends without a change.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        self.transaction.rollback().await.map_err(translate)
    }
}
