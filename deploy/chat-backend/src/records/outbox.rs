//! The outbox: what the admin service must still be told, in the order of commits.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use serde_json::json;
use wire::{TenantId, time::now_unix_ms};

use crate::store::{OfTenant, Store, StoreError};

/// What a row tells of. The database calls it by [`Kind::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event for the tenant.
    Event,
    /// A message that counts towards the tenant's quota.
    Usage,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Usage => "usage",
        }
    }
}

/// A row that must be sent.
#[derive(Debug, FromQueryResult)]
pub(crate) struct OutboxRow {
    pub(crate) id: i64,
    kind: String,
    pub(crate) event_id: String,
    /// A JSON object.
    pub(crate) body: String,
}

impl OutboxRow {
    pub(crate) fn is_event(&self) -> bool {
        self.kind == Kind::Event.as_str()
    }
}

/// Writes a row, as one part of the transaction that it tells of.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    kind: Kind,
    event_id: &str,
    body: &str,
) -> Result<(), StoreError> {
    rows.execute(
        "INSERT INTO outbox (tenant_id, kind, event_id, body, created_at) VALUES ($1, $2, $3, $4, $5)",
        [kind.as_str().into(), event_id.into(), body.into(), now_unix_ms().into()],
    )
    .await
}

/// A tenant's oldest rows that must be sent, in the order in which they must be sent.
pub(crate) async fn oldest(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    limit: u64,
) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = "SELECT id, kind, event_id, body FROM outbox WHERE tenant_id = $1 AND refused_reason IS NULL ORDER BY id LIMIT $2";
    rows.all(sql, [limit.into()]).await
}

/// Deletes rows that the admin service has.
pub(crate) async fn delete(rows: &OfTenant<'_, impl ConnectionTrait>, sent: &[OutboxRow]) -> Result<(), StoreError> {
    let ids: Vec<_> = sent.iter().map(|row| row.id).collect();
    let each = rows.dialect().each("$2");
    // Two replicas may delete the same rows: in one order, so that neither waits for the other for ever.
    let sql = format!(
        "DELETE FROM outbox WHERE tenant_id = $1 AND id IN (
             SELECT id FROM outbox WHERE tenant_id = $1 AND id IN (SELECT CAST(value AS BIGINT) FROM {each}) ORDER BY id{lock}
         )",
        lock = rows.dialect().for_update(),
    );
    rows.execute(&sql, [json!(ids).to_string().into()]).await
}

/// Notes why the admin service refused a row. The row stays, and is not sent again.
pub(crate) async fn refuse(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    refused: &OutboxRow,
    reason: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET refused_reason = $3 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [refused.id.into(), reason.into()]).await
}

/// The tenants that have rows to send. It jumps from tenant to tenant in the index, so a long outbox makes it no slower.
pub(crate) async fn tenants(store: &Store) -> Result<Vec<TenantId>, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        tenant_id: String,
    }
    let sql = "
        WITH RECURSIVE found (tenant_id) AS (
            SELECT min(tenant_id) FROM outbox WHERE refused_reason IS NULL
            UNION ALL
            SELECT (SELECT min(tenant_id) FROM outbox WHERE refused_reason IS NULL AND tenant_id > found.tenant_id)
            FROM found WHERE found.tenant_id IS NOT NULL
        )
        SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL";
    let statement = Statement::from_string(store.across_tenants().get_database_backend(), sql);
    let found = Found::find_by_statement(statement).all(store.across_tenants()).await?;
    Ok(found.iter().filter_map(|found| found.tenant_id.parse().ok()).collect())
}

/// How much there is in the outbox, over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Depth {
    /// Rows that must be sent.
    pub(crate) waiting: i64,
    /// Rows that the admin service refused.
    pub(crate) refused: i64,
    /// When the oldest row that must be sent was written. Unix milliseconds.
    pub(crate) oldest_at: Option<i64>,
}

/// Measures the outbox.
pub(crate) async fn depth(store: &Store) -> Result<Depth, StoreError> {
    let sql = "
        SELECT (SELECT count(*) FROM outbox WHERE refused_reason IS NULL) AS waiting,
            (SELECT count(*) FROM outbox WHERE refused_reason IS NOT NULL) AS refused,
            (SELECT created_at FROM outbox WHERE refused_reason IS NULL ORDER BY id LIMIT 1) AS oldest_at";
    let statement = Statement::from_string(store.across_tenants().get_database_backend(), sql);
    let found = Depth::find_by_statement(statement).one(store.across_tenants()).await?;
    Ok(found.unwrap_or_default())
}
