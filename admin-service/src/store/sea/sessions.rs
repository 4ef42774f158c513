//! A visitor's session as a row: how it is read, written and locked.

use sea_orm::{ActiveValue::Set, QuerySelect as _, prelude::*};
use wire::{SessionId, TenantId, time::from_unix_ms};

use super::{
    connection::{Transaction, translate},
    values::{broken_row, number_from_row, stored_number, stored_time},
};
use crate::{
    domain::{
        credentials::WidgetKey,
        visitor::{Identity, Mode, UsedTokens, VisitorSession},
    },
    store::{entity::visitor_session, error::StoreError},
};

impl TryFrom<visitor_session::Model> for VisitorSession {
    type Error = StoreError;

    fn try_from(row: visitor_session::Model) -> Result<Self, StoreError> {
        let broken = |error: &dyn std::fmt::Display| broken_row("visitor_session", error);
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            identity: identity(&row)?,
            bot_id: row.bot_id,
            widget_key: WidgetKey::from_stored(row.widget_key),
            origin: row.origin.parse().map_err(|error| broken(&error))?,
            locale: row.locale,
            mode: Mode::from_text(&row.mode).ok_or_else(|| broken(&"mode"))?,
            routing_key: row.routing_key,
            metadata: serde_json::from_value(row.metadata).map_err(|error| broken(&error))?,
            created_at: from_unix_ms(row.created_at),
            expires_at: from_unix_ms(row.expires_at),
            is_ended: row.ended_revision.is_some(),
            used_tokens: used_tokens(row.used_tokens)?,
        })
    }
}

pub(super) fn used_tokens(stored: Option<Json>) -> Result<UsedTokens, StoreError> {
    let read = stored.map(serde_json::from_value).transpose();
    read.map(Option::unwrap_or_default).map_err(|error| broken_row("visitor_session.used_tokens", error))
}

/// Writes a new session.
pub(super) async fn insert_session(rows: &impl ConnectionTrait, session: &VisitorSession) -> Result<(), StoreError> {
    let row = visitor_session::ActiveModel {
        id: Set(session.id.as_uuid()),
        tenant_id: Set(session.tenant_id.as_uuid()),
        bot_id: Set(session.bot_id),
        widget_key: Set(session.widget_key.as_str().to_owned()),
        origin: Set(session.origin.to_string()),
        locale: Set(session.locale.clone()),
        mode: Set(session.mode.as_str().to_owned()),
        routing_key: Set(session.routing_key.clone()),
        metadata: Set(session.metadata.clone().into()),
        created_at: Set(stored_time(session.created_at)),
        expires_at: Set(stored_time(session.expires_at)),
        ended_revision: Set(None),
        used_tokens: Set(None),
        ..Default::default()
    };
    let row = with_identity(row, session.identity.as_ref());
    visitor_session::Entity::insert(row).exec_without_returning(rows).await.map(drop).map_err(translate)
}

/// A session's row, which others cannot change until the transaction is over.
pub(super) async fn lock_session(
    transaction: &Transaction,
    tenant_id: TenantId,
    id: SessionId,
) -> Result<Option<visitor_session::Model>, StoreError> {
    visitor_session::Entity::find_by_id(id.as_uuid())
        .filter(visitor_session::Column::TenantId.eq(tenant_id.as_uuid()))
        .lock_exclusive()
        .one(transaction)
        .await
        .map_err(translate)
}

/// Who a session's visitor is; `None` where nobody told.
fn identity(row: &visitor_session::Model) -> Result<Option<Identity>, StoreError> {
    let Some(visitor_user_id) = row.visitor_user_id.clone() else { return Ok(None) };
    let generation =
        row.tenant_generation.ok_or_else(|| broken_row("visitor_session", "a visitor of no generation"))?;
    Ok(Some(Identity {
        visitor_user_id,
        name: row.visitor_name.clone(),
        email: row.visitor_email.clone(),
        tenant_generation: number_from_row(generation)?,
        continues: row.continues.map(SessionId::from),
    }))
}

/// A row with what is kept of an identity.
fn with_identity(row: visitor_session::ActiveModel, identity: Option<&Identity>) -> visitor_session::ActiveModel {
    visitor_session::ActiveModel {
        visitor_user_id: Set(identity.map(|identity| identity.visitor_user_id.clone())),
        visitor_name: Set(identity.and_then(|identity| identity.name.clone())),
        visitor_email: Set(identity.and_then(|identity| identity.email.clone())),
        tenant_generation: Set(identity.map(|identity| stored_number(identity.tenant_generation))),
        continues: Set(identity.and_then(|identity| identity.continues).map(|id| id.as_uuid())),
        succeeded_by: Set(None),
        ..row
    }
}
