//! Operators in the database.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    change::Change,
    connection::{SeaStore, translate},
    values::{broken_row, stored_time},
};
use crate::{
    domain::{
        audit::{AuditEntry, Subject},
        operator::{Email, Operator},
    },
    store::{entity::operator, error::StoreError, ports::OperatorStore},
};

impl TryFrom<operator::Model> for Operator {
    type Error = StoreError;

    fn try_from(row: operator::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            email: Email::from_stored(row.email),
            display_name: row.display_name,
            routing_keys: serde_json::from_value(row.routing_keys)
                .map_err(|error| broken_row("operator.routing_keys", error))?,
            avatar_url: row.avatar_url,
            created_at: from_unix_ms(row.created_at),
            updated_at: from_unix_ms(row.updated_at),
        })
    }
}

async fn find(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    email: &Email,
) -> Result<Option<Operator>, StoreError> {
    operator::Entity::find()
        .filter(operator::Column::TenantId.eq(tenant_id.as_uuid()))
        .filter(operator::Column::Email.eq(email.as_str()))
        .one(connection)
        .await
        .map_err(translate)?
        .map(Operator::try_from)
        .transpose()
}

#[async_trait]
impl OperatorStore for SeaStore {
    async fn upsert_operator(
        &self,
        tenant_id: TenantId,
        email: &Email,
        merge: &(dyn for<'a> Fn(Option<&'a Operator>) -> Operator + Send + Sync),
        audit: AuditEntry,
    ) -> Result<(Operator, bool), StoreError> {
        // Changes take turns: of two calls for one email the second finds the row that the first has made.
        let change = Change::begin(self).await?;
        let existing = find(change.rows(), tenant_id, email).await?;
        let operator = merge(existing.as_ref());
        let row = operator::ActiveModel {
            id: Set(operator.id),
            tenant_id: Set(tenant_id.as_uuid()),
            email: Set(operator.email.as_str().to_owned()),
            display_name: Set(operator.display_name.clone()),
            routing_keys: Set(serde_json::json!(operator.routing_keys)),
            avatar_url: Set(operator.avatar_url.clone()),
            created_at: Set(stored_time(operator.created_at)),
            updated_at: Set(stored_time(operator.updated_at)),
        };
        if existing.is_some() {
            operator::Entity::update(row).exec(change.rows()).await.map_err(translate)?;
        } else {
            operator::Entity::insert(row).exec_without_returning(change.rows()).await.map_err(translate)?;
        }
        change.commit(audit.about(Subject::Operator(operator.id)), operator.updated_at).await?;
        Ok((operator, existing.is_none()))
    }

    async fn find_operator(&self, tenant_id: TenantId, email: &Email) -> Result<Option<Operator>, StoreError> {
        find(&self.connection, tenant_id, email).await
    }
}
