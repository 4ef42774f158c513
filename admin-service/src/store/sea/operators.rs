//! Operators in the database.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, PaginatorTrait as _, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    change::{Change, LockedTenant},
    connection::{SeaStore, end_read, translate},
    paging::cut,
    values::{broken_row, number_from_row, stored_number, stored_time},
};
use crate::{
    domain::{
        audit::{Action, AuditEntry, Subject},
        operator::{Email, Operator, OperatorName, OperatorProfile},
        tenant::Tenant,
    },
    store::{
        entity::{operator, tenant},
        error::{Limited, Missing, StoreError},
        page::Page,
        ports::OperatorStore,
        revision::AtRevision,
    },
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
            version: number_from_row(row.version)?,
            revoked_at: row.revoked_at.map(from_unix_ms),
        })
    }
}

impl From<&Operator> for operator::ActiveModel {
    fn from(operator: &Operator) -> Self {
        Self {
            id: Set(operator.id),
            tenant_id: Set(operator.tenant_id.as_uuid()),
            email: Set(operator.email.as_str().to_owned()),
            display_name: Set(operator.display_name.clone()),
            routing_keys: Set(serde_json::json!(operator.routing_keys)),
            avatar_url: Set(operator.avatar_url.clone()),
            created_at: Set(stored_time(operator.created_at)),
            updated_at: Set(stored_time(operator.updated_at)),
            version: Set(stored_number(operator.version)),
            revoked_at: Set(operator.revoked_at.map(stored_time)),
        }
    }
}

fn of(tenant_id: TenantId) -> Select<operator::Entity> {
    operator::Entity::find().filter(operator::Column::TenantId.eq(tenant_id.as_uuid()))
}

async fn find(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    name: &OperatorName,
) -> Result<Option<Operator>, StoreError> {
    let named = match name {
        OperatorName::Email(email) => of(tenant_id).filter(operator::Column::Email.eq(email.as_str())),
        OperatorName::Id(id) => of(tenant_id).filter(operator::Column::Id.eq(*id)),
    };
    named.one(connection).await.map_err(translate)?.map(Operator::try_from).transpose()
}

async fn count_active(connection: &impl ConnectionTrait, tenant_id: TenantId) -> Result<u64, StoreError> {
    of(tenant_id).filter(operator::Column::RevokedAt.is_null()).count(connection).await.map_err(translate)
}

/// Notes at the tenant that a membership changed with this change. The tenant's own `revision` and `updated_at` stay: its settings are
/// as they were.
async fn note_changed(change: &Change<'_>, tenant_id: TenantId) -> Result<(), StoreError> {
    let changed = tenant::ActiveModel {
        id: Set(tenant_id.as_uuid()),
        operators_changed: Set(change.revision()),
        ..Default::default()
    };
    tenant::Entity::update(changed).exec(change.rows()).await.map(drop).map_err(translate)
}

#[async_trait]
impl OperatorStore for SeaStore {
    async fn upsert_operator(
        &self,
        tenant_id: TenantId,
        profile: &OperatorProfile,
        mut audit: AuditEntry,
    ) -> Result<AtRevision<(Operator, bool)>, StoreError> {
        // Changes of a tenant take turns: of two calls for one email the second finds the row that the first has made.
        let locked = LockedTenant::lock(self, tenant_id).await?;
        let at = locked.time_of_change();
        let name = OperatorName::Email(profile.email.clone());
        let existing = find(locked.rows(), tenant_id, &name).await?;
        let operator = profile.applied_to(existing.as_ref(), tenant_id, at);
        let takes_a_seat = existing.as_ref().is_none_or(|existing| existing.revoked_at.is_some());
        let seats = Tenant::try_from(locked.row.clone())?.settings.agent_seats;
        if takes_a_seat && seats > 0 && count_active(locked.rows(), tenant_id).await? >= seats {
            let most = usize::try_from(seats).unwrap_or(usize::MAX);
            return Err(StoreError::Full { what: Limited::Seats, most });
        }
        let change = locked.take_revision().await?;
        let row = operator::ActiveModel::from(&operator);
        match &existing {
            Some(before) => {
                operator::Entity::update(row).exec(change.rows()).await.map_err(translate)?;
                if !operator.is_known_as(before) {
                    note_changed(&change, tenant_id).await?;
                    audit.action = Action::ChangeOperator;
                }
            }
            // No token of it can be there yet, so no gateway knows anything of it.
            None => operator::Entity::insert(row)
                .exec_without_returning(change.rows())
                .await
                .map(drop)
                .map_err(translate)?,
        }
        let revision = change.commit(audit.about(Subject::Operator(operator.id)), at).await?;
        Ok(AtRevision { value: (operator, existing.is_none()), revision })
    }

    async fn revoke_operator(
        &self,
        tenant_id: TenantId,
        name: &OperatorName,
        audit: AuditEntry,
    ) -> Result<AtRevision<Operator>, StoreError> {
        let locked = LockedTenant::lock(self, tenant_id).await?;
        let operator = find(locked.rows(), tenant_id, name).await?;
        let mut operator = operator.ok_or(StoreError::NotFound(Missing::Operator))?;
        if operator.revoked_at.is_some() {
            let revision = number_from_row(locked.row.operators_changed)?;
            locked.roll_back().await?;
            return Ok(AtRevision { value: operator, revision });
        }
        let at = locked.time_of_change();
        let change = locked.take_revision().await?;
        operator.version += 1;
        (operator.revoked_at, operator.updated_at) = (Some(at), at);
        let row = operator::ActiveModel::from(&operator);
        operator::Entity::update(row).exec(change.rows()).await.map_err(translate)?;
        note_changed(&change, tenant_id).await?;
        let revision = change.commit(audit.about(Subject::Operator(operator.id)), at).await?;
        Ok(AtRevision { value: operator, revision })
    }

    async fn find_operator(&self, tenant_id: TenantId, name: &OperatorName) -> Result<Option<Operator>, StoreError> {
        find(&self.connection, tenant_id, name).await
    }

    async fn operators(
        &self,
        tenant_id: TenantId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<(Page<Operator>, u64), StoreError> {
        let transaction = self.begin_read().await?;
        let active = count_active(&transaction, tenant_id).await?;
        let below = match after {
            Some(id) => of(tenant_id).filter(operator::Column::Id.lt(id)),
            None => of(tenant_id),
        };
        let newest_first = below.order_by_desc(operator::Column::Id).limit(limit + 1);
        let rows = newest_first.all(&transaction).await.map_err(translate)?;
        end_read(transaction).await?;
        Ok((cut(rows, limit, |row| row.id)?, active))
    }
}
