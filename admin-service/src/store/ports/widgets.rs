//! The port to widget keys and appearances.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{
        audit::AuditEntry,
        widget::{Appearance, BotKey},
    },
    store::{error::StoreError, revision::AtRevision},
};

/// A widget's appearance, and since when it has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAppearance {
    /// The look.
    pub appearance: Appearance,
    /// When the bot was made.
    pub created_at: Timestamp,
    /// When the look was last written.
    pub updated_at: Timestamp,
}

/// Widget keys, look and copy, always of a tenant's bot; `by` as in [`BotStore`](super::bots::BotStore).
#[async_trait]
pub trait WidgetStore: Send + Sync {
    /// Writes a new key, unless the bot has `most` that are not revoked, and answers the change's revision.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant has no such bot, [`StoreError::Full`] where there are too many.
    async fn create_widget_key(&self, by: Uuid, key: BotKey, most: usize, audit: AuditEntry)
    -> Result<u64, StoreError>;

    /// A bot's keys, newest first, revoked ones included; `None` where the tenant has no such bot.
    async fn widget_keys(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<Option<Vec<BotKey>>, StoreError>;

    /// Revokes a key. A revoked key is written again, so a caller who lost the answer can repeat the call.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant has no such key, [`StoreError::InUse`] where it is the tenant's own, which is
    /// rotated instead.
    async fn revoke_widget_key(
        &self,
        by: Uuid,
        tenant_id: TenantId,
        id: Uuid,
        audit: AuditEntry,
    ) -> Result<AtRevision<BotKey>, StoreError>;

    /// How a bot's widget looks; `None` where the tenant has no such bot.
    async fn appearance(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<Option<StoredAppearance>, StoreError>;

    /// Lets `change` write on a bot's appearance, and keeps others from writing meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant has no such bot.
    async fn save_appearance(
        &self,
        by: Uuid,
        tenant_id: TenantId,
        bot_id: Uuid,
        change: &(dyn for<'a> Fn(&'a mut Appearance) -> AuditEntry + Send + Sync),
    ) -> Result<AtRevision<StoredAppearance>, StoreError>;
}
