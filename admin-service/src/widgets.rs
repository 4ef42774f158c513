//! A bot's widget keys, look and copy, for a tenant's developers.

use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;
use wire::fields::Fields;
use wire::{TenantId, time::now};

use crate::{
    account_keys::Principal,
    domain::{
        audit::{Action, AuditEntry, Subject},
        credentials::WidgetKey,
        refusal::RefusedField,
        widget::{Appearance, BotKey, MOST_WIDGET_KEYS, NewBotKey, embed_code},
    },
    errors::UseCaseError,
    propagation::{Changed, Propagation},
    store::{StoredAppearance, WidgetStore},
};

#[derive(Clone)]
pub(crate) struct Widgets {
    store: Arc<dyn WidgetStore>,
    propagation: Propagation,
    /// Where pages load the widget from, without a trailing slash.
    relay_url: Arc<str>,
}

impl Widgets {
    pub(crate) fn new(store: Arc<dyn WidgetStore>, propagation: Propagation, relay_url: &Url) -> Self {
        Self { store, propagation, relay_url: relay_url.as_str().trim_end_matches('/').into() }
    }

    /// A bot's keys, newest first, revoked ones included.
    pub(crate) async fn keys(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<Vec<BotKey>, UseCaseError> {
        self.store.widget_keys(tenant_id, bot_id).await?.ok_or(UseCaseError::BotNotFound)
    }

    pub(crate) async fn create_key(&self, by: &Principal, fields: Fields) -> Result<BotKey, UseCaseError> {
        let new = NewBotKey::read(fields).map_err(UseCaseError::Invalid)?;
        let NewBotKey { bot_id, name, allowed_domains, rate_limit_per_hour } = new;
        let key = BotKey {
            id: Uuid::now_v7(),
            tenant_id: by.tenant_id,
            bot_id,
            api_key: WidgetKey::generate(),
            name,
            allowed_domains,
            rate_limit_per_hour,
            is_active: true,
            created_at: now(),
            last_used_at: None,
        };
        let changed = ["bot_id", "name", "allowed_domains", "rate_limit_per_hour"];
        let audit = AuditEntry::new(by.tenant_id, &by.caller, Action::CreateWidgetKey, changed);
        let audit = audit.about(Subject::WidgetKey(key.id));
        self.store.create_widget_key(by.account_key, key.clone(), MOST_WIDGET_KEYS, audit).await?;
        // No gateway can have asked for a key that did not exist, so there is no gateway to wait for.
        self.propagation.announce();
        Ok(key)
    }

    /// From the moment this returns the key opens nothing, on any gateway. Revoking it again is as good as revoking it.
    pub(crate) async fn revoke_key(&self, by: &Principal, id: Uuid) -> Result<Changed<BotKey>, UseCaseError> {
        let (store, tenant_id, by_key) = (Arc::clone(&self.store), by.tenant_id, by.account_key);
        let audit = AuditEntry::new(tenant_id, &by.caller, Action::RevokeWidgetKey, ["is_active"]);
        let audit = audit.about(Subject::WidgetKey(id));
        let revoking = async move { store.revoke_widget_key(by_key, tenant_id, id, audit).await };
        Ok(self.propagation.commit_and_propagate(revoking).await?)
    }

    /// What is pasted into a page to have the widget there, and the key's text it carries.
    pub(crate) async fn embed_code(
        &self,
        tenant_id: TenantId,
        bot_id: Uuid,
        key_id: Uuid,
    ) -> Result<(String, WidgetKey), UseCaseError> {
        let keys = self.keys(tenant_id, bot_id).await?;
        let key = keys.into_iter().find(|key| key.id == key_id && key.is_active);
        let key = key.ok_or(UseCaseError::WidgetKeyNotFound)?.api_key;
        Ok((embed_code(&self.relay_url, tenant_id, &key), key))
    }

    pub(crate) async fn appearance(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<StoredAppearance, UseCaseError> {
        self.store.appearance(tenant_id, bot_id).await?.ok_or(UseCaseError::BotNotFound)
    }

    /// Writes only the fields present.
    pub(crate) async fn customize(
        &self,
        by: &Principal,
        fields: Map<String, Value>,
    ) -> Result<Changed<(Uuid, StoredAppearance)>, UseCaseError> {
        let bot_id = fields.get("bot_id").and_then(Value::as_str).and_then(|text| Uuid::try_parse(text).ok());
        let mut refused = Appearance::default().patch(&fields).err().unwrap_or_default();
        if bot_id.is_none() {
            refused.insert(0, RefusedField::no_bot_id());
        }
        let Some(bot_id) = bot_id.filter(|_| refused.is_empty()) else {
            return Err(UseCaseError::Invalid(refused));
        };
        let (store, by) = (Arc::clone(&self.store), by.clone());
        let saving = async move {
            let change = |appearance: &mut Appearance| {
                // What is refused was refused above, whatever the appearance is.
                let changed = appearance.patch(&fields).unwrap_or_default();
                AuditEntry::new(by.tenant_id, &by.caller, Action::CustomizeWidget, changed).about(Subject::Bot(bot_id))
            };
            store.save_appearance(by.account_key, by.tenant_id, bot_id, &change).await
        };
        let saved = self.propagation.commit_and_propagate(saving).await?;
        Ok(saved.map(|appearance| (bot_id, appearance)))
    }
}
