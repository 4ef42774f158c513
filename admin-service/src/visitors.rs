//! A widget's visitors: which pages a key opens the door to, sessions, and their tokens.
//!
//! Gateways judge by what they know under a lease; here it is judged once more by what is committed, since what is handed out
//! outlives the call.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use shared::{
    SessionId, TenantId,
    origin::{Origin, OriginPolicy},
    time::now,
};

use crate::{
    domain::{
        credentials::WidgetKey,
        tenant::TenantStatus,
        visitor::{Mode, SESSION_LIFETIME, VisitorSession, WidgetDoor},
        widget::BotKey,
    },
    errors::UseCaseError,
    last_used::LastUsed,
    store::VisitorStore,
    tokens::{SignedToken, Tokens},
};

/// Sessions that are removed in one transaction: others write in between.
const FORGOTTEN_AT_ONCE: u64 = 1000;

#[derive(Clone)]
pub(crate) struct Visitors {
    store: Arc<dyn VisitorStore>,
    tokens: Tokens,
    used: Arc<LastUsed>,
}

/// What a session is begun with.
pub(crate) struct NewSession {
    pub(crate) tenant_id: TenantId,
    pub(crate) widget_key: String,
    pub(crate) origin: Origin,
    pub(crate) locale: String,
    pub(crate) mode: Mode,
    pub(crate) routing_key: Option<String>,
    pub(crate) metadata: Map<String, Value>,
}

impl Visitors {
    pub(crate) fn new(store: Arc<dyn VisitorStore>, tokens: Tokens) -> Self {
        Self { store, tokens, used: Arc::default() }
    }

    /// What a key opens; `None` where there is no such tenant.
    pub(crate) async fn door(&self, tenant_id: TenantId, key: &str) -> Result<Option<WidgetDoor>, UseCaseError> {
        // A visitor's text: what is not of a key's form is nobody's, and not every database would take it.
        let key = if WidgetKey::is_well_formed(key) { key } else { "" };
        Ok(self.store.widget_door(tenant_id, key).await?)
    }

    /// Begins a session and signs its first token.
    pub(crate) async fn open(&self, new: NewSession) -> Result<(SessionId, SignedToken), UseCaseError> {
        let NewSession { tenant_id, widget_key, origin, locale, mode, routing_key, metadata } = new;
        let key = self.admit(tenant_id, &widget_key, &origin).await?;
        let created_at = now();
        let session = VisitorSession {
            id: SessionId::generate(),
            tenant_id,
            bot_id: key.bot_id,
            widget_key: key.api_key,
            origin,
            locale,
            mode,
            routing_key,
            metadata,
            created_at,
            expires_at: created_at.saturating_add(SESSION_LIFETIME).map_err(|_| UseCaseError::SessionOver)?,
        };
        let token = self.tokens.for_session(&session)?;
        self.store.create_session(&session).await?;
        self.used.note(key.id, created_at);
        Ok((session.id, token))
    }

    /// Signs another token, bound as the one before it was.
    pub(crate) async fn refresh(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        widget_key: &str,
        origin: &Origin,
    ) -> Result<SignedToken, UseCaseError> {
        let session = self.session(tenant_id, id).await?;
        if session.widget_key.as_str() != widget_key || session.origin != *origin {
            return Err(UseCaseError::SessionOver);
        }
        let key = self.admit(tenant_id, widget_key, origin).await?;
        self.used.note(key.id, now());
        self.tokens.for_session(&session)
    }

    /// A session that is not over.
    pub(crate) async fn session(&self, tenant_id: TenantId, id: SessionId) -> Result<VisitorSession, UseCaseError> {
        let found = self.store.session(tenant_id, id).await?;
        found.filter(|session| session.expires_at > now()).ok_or(UseCaseError::SessionOver)
    }

    /// Whether this key opens the door to pages of this origin.
    async fn admit(&self, tenant_id: TenantId, key: &str, origin: &Origin) -> Result<BotKey, UseCaseError> {
        let door = self.door(tenant_id, key).await?.ok_or(UseCaseError::InvalidWidgetKey)?;
        let (key, _) = door.opened.ok_or(UseCaseError::InvalidWidgetKey)?;
        if door.tenant.status == TenantStatus::Suspended {
            return Err(UseCaseError::TenantSuspended);
        }
        let origins = door.tenant.settings.allowed_origins;
        if !(OriginPolicy { origins, domains: key.allowed_domains.clone() }).allows(origin) {
            return Err(UseCaseError::OriginNotAllowed(origin.clone()));
        }
        Ok(key)
    }

    /// Writes when keys were last used.
    pub(crate) async fn write_uses(&self) {
        let used = self.used.take();
        if !used.is_empty()
            && let Err(error) = self.store.widget_keys_used(&used).await
        {
            tracing::warn!(%error, "it was not written when widget keys were last used: it will be");
            self.used.put_back(used);
        }
    }

    /// Removes sessions that are over.
    pub(crate) async fn forget_ended(&self) {
        let before: Timestamp = now();
        loop {
            match self.store.forget_sessions(before, FORGOTTEN_AT_ONCE).await {
                Ok(FORGOTTEN_AT_ONCE) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "ended sessions were not removed");
                    return;
                }
            }
        }
    }
}
