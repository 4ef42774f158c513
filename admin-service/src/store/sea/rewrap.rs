//! Reads sealed values, and replaces them, for `admin-service rewrap`. A replacement takes no revision: the secret itself stays the same, so
//! gateways need not hear of it.

use sea_orm::{
    DatabaseConnection, FromQueryResult, QueryOrder as _, QuerySelect as _, TransactionTrait as _, Value, prelude::*,
    sea_query::Expr,
};

use super::connection::translate;
use crate::store::{
    entity::{access_log, audit_log, log_chain, secret, signing_key, tenant},
    error::StoreError,
};

/// A row's key and its sealed value.
pub(crate) type SealedRow<K> = (K, Vec<u8>);

/// A row's key, its sealed value, and the value that replaces it.
pub(crate) type ResealedRow<K> = (K, Vec<u8>, Vec<u8>);

/// Which of a tenant's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantSecretOf {
    /// The current one.
    Now,
    /// The one before a rotation with overlap.
    Before,
}

impl TenantSecretOf {
    pub(crate) const ALL: [Self; 2] = [Self::Now, Self::Before];

    fn column(self) -> tenant::Column {
        match self {
            Self::Now => tenant::Column::SealedSecret,
            Self::Before => tenant::Column::PreviousSealedSecret,
        }
    }
}

/// Tenants' secrets, of `limit` tenants that have such a one and follow on `after`.
pub(crate) async fn sealed_tenants(
    connection: &DatabaseConnection,
    which: TenantSecretOf,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<SealedRow<Uuid>>, StoreError> {
    use tenant::{Column, Entity};
    let mut page = Entity::find().select_only().columns([Column::Id, which.column()]).order_by_asc(Column::Id);
    page = page.filter(which.column().is_not_null());
    if let Some(after) = after {
        page = page.filter(Column::Id.gt(after));
    }
    page.limit(limit).into_tuple().all(connection).await.map_err(translate)
}

/// The signing keys' private halves. A retired key has none.
pub(crate) async fn sealed_signing_keys(connection: &DatabaseConnection) -> Result<Vec<SealedRow<Uuid>>, StoreError> {
    use signing_key::{Column, Entity};
    let all = Entity::find().select_only().columns([Column::Id, Column::SealedPrivate]);
    let all: Vec<SealedRow<Uuid>> = all.into_tuple().all(connection).await.map_err(translate)?;
    Ok(all.into_iter().filter(|(_, sealed)| !sealed.is_empty()).collect())
}

/// The deployment's own secrets, by name.
pub(crate) async fn sealed_secrets(connection: &DatabaseConnection) -> Result<Vec<SealedRow<String>>, StoreError> {
    use secret::{Column, Entity};
    let all = Entity::find().select_only().columns([Column::Name, Column::Sealed]);
    all.into_tuple().all(connection).await.map_err(translate)
}

/// Replaces tenants' secrets, all of them or none. One that was rotated meanwhile stays as it is. Answers how many were replaced.
pub(crate) async fn replace_tenants(
    connection: &DatabaseConnection,
    which: TenantSecretOf,
    rows: Vec<ResealedRow<Uuid>>,
) -> Result<u64, StoreError> {
    replace::<tenant::Entity, _>(connection, (tenant::Column::Id, which.column()), rows).await
}

/// The same for signing keys.
pub(crate) async fn replace_signing_keys(
    connection: &DatabaseConnection,
    rows: Vec<ResealedRow<Uuid>>,
) -> Result<u64, StoreError> {
    use signing_key::{Column, Entity};
    replace::<Entity, _>(connection, (Column::Id, Column::SealedPrivate), rows).await
}

/// The same for the deployment's own secrets.
pub(crate) async fn replace_secrets(
    connection: &DatabaseConnection,
    rows: Vec<ResealedRow<String>>,
) -> Result<u64, StoreError> {
    replace::<secret::Entity, _>(connection, (secret::Column::Name, secret::Column::Sealed), rows).await
}

async fn replace<E: EntityTrait, K: Into<Value>>(
    connection: &DatabaseConnection,
    (key, sealed): (E::Column, E::Column),
    rows: Vec<ResealedRow<K>>,
) -> Result<u64, StoreError> {
    let transaction = connection.begin().await.map_err(translate)?;
    let mut replaced = 0;
    for (id, before, after) in rows {
        let one = E::update_many().col_expr(sealed, Expr::value(after)).filter(key.eq(id)).filter(sealed.eq(before));
        replaced += one.exec(&transaction).await.map_err(translate)?.rows_affected;
    }
    transaction.commit().await.map_err(translate)?;
    Ok(replaced)
}

#[derive(FromQueryResult)]
struct Chained {
    key_id: Option<String>,
    count: i64,
}

/// How many rows of the audit log are chained under each master key.
pub(crate) async fn chained_audit(connection: &DatabaseConnection) -> Result<Vec<(String, u64)>, StoreError> {
    by_key::<audit_log::Entity>(connection, audit_log::Column::ChainKey).await.map(counts)
}

/// The same for the access log and for the anchors, where the chains begin. The service verifies both before it prunes the access log.
pub(crate) async fn chained_access(connection: &DatabaseConnection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut rows = by_key::<access_log::Entity>(connection, access_log::Column::ChainKey).await?;
    rows.extend(by_key::<log_chain::Entity>(connection, log_chain::Column::AnchorKey).await?);
    Ok(counts(rows))
}

/// Rows from before there was a chain have no key.
fn counts(rows: Vec<Chained>) -> Vec<(String, u64)> {
    rows.into_iter().filter_map(|Chained { key_id, count }| Some((key_id?, u64::try_from(count).ok()?))).collect()
}

async fn by_key<E: EntityTrait>(connection: &DatabaseConnection, key: E::Column) -> Result<Vec<Chained>, StoreError> {
    let counted = E::find().select_only().column_as(key, "key_id").column_as(key.count(), "count");
    counted.group_by(key).into_model().all(connection).await.map_err(translate)
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait as _, Database};

    use super::*;

    #[tokio::test]
    async fn a_secret_that_was_rotated_meanwhile_stays_as_it_is() {
        let connection = Database::connect("sqlite::memory:").await.expect("it connects");
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let made = "CREATE TABLE tenant (id BLOB PRIMARY KEY, sealed_secret BLOB NOT NULL)";
        connection.execute_unprepared(made).await.expect("made");
        for id in [one, other] {
            let row = format!("INSERT INTO tenant VALUES (x'{}', x'01')", id.simple());
            connection.execute_unprepared(&row).await.expect("inserted");
        }
        let stale = vec![(one, vec![9], vec![2]), (other, vec![1], vec![2])];
        assert_eq!(replace_tenants(&connection, TenantSecretOf::Now, stale).await.expect("replaced"), 1);
        let mut kept = sealed_tenants(&connection, TenantSecretOf::Now, None, 10).await.expect("read");
        kept.sort_by_key(|(id, _)| *id != one);
        assert_eq!(kept, [(one, vec![1]), (other, vec![2])]);
    }
}
