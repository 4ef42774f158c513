//! A widget's visitors: the pages that may use a key, sessions, and their tokens.
//!
//! A gateway decides from its cache. Sessions and tokens outlive the call, so the admin service checks again in the database.

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sha2::Sha256;
use wire::{
    SessionId, TenantId,
    origin::{Origin, OriginPolicy},
    time::now,
};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::{
        audit::{Action, AuditEntry, Caller, Subject},
        credentials::WidgetKey,
        tenant::{Tenant, TenantStatus},
        visitor::{Mode, SESSION_LIFETIME, UsedTokens, VisitorSession, WidgetAccess},
        widget::BotKey,
    },
    errors::UseCaseError,
    last_used::LastUsed,
    propagation::Propagation,
    sealing::{MasterKeys, SealContext},
    store::{AtRevision, Identified, SigningKeyStore, StoreError, VisitorStore, Vouched},
    tokens::{SignedToken, Tokens},
};

/// Sessions that are removed in one transaction: others write in between.
const FORGOTTEN_AT_ONCE: u64 = 1000;

/// What names the sessions of known visitors is kept under this name.
pub(crate) const SESSION_SECRET: &str = "visitor_sessions";
/// And sealed in this context.
pub(crate) const SESSION_CONTEXT: SealContext = SealContext { row: Uuid::nil(), column: "secret.visitor_sessions" };

/// Longer than any minted token lives: a revocation that is older ends nothing that could still be presented.
const REVOCATIONS_KEPT: SignedDuration = SignedDuration::from_hours(48);

#[derive(Clone)]
pub(crate) struct Visitors {
    store: Arc<dyn VisitorStore>,
    tokens: Tokens,
    propagation: Propagation,
    /// Keyed with the deployment's own secret.
    session_names: Hmac<Sha256>,
    used: Arc<LastUsed>,
}

/// What the token says with which a session is ended.
pub(crate) enum EndingToken {
    /// A widget session's.
    Session(SessionToken),
    /// A minted one, whose time is not over.
    Minted { visitor_user_id: String, generation: u64, tenant_generation: u64 },
}

/// What a widget session's token says.
pub(crate) struct SessionToken {
    pub(crate) id: SessionId,
    pub(crate) generation: u64,
    /// Whether its time is over.
    pub(crate) has_ended: bool,
}

impl SessionToken {
    /// An expired token is good for the session only while it could still be refreshed.
    fn is_superseded(&self, session: &VisitorSession) -> bool {
        self.has_ended && session.used_tokens.supersede(self.generation, now().as_millisecond())
    }
}

/// The key that a page may use, and its tenant.
struct Admitted {
    key: BotKey,
    tenant: Tenant,
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
    /// Finds the secret that names known visitors' sessions, or makes it where this is the first start.
    pub(crate) async fn open_with<S: VisitorStore + SigningKeyStore + 'static>(
        store: Arc<S>,
        tokens: Tokens,
        propagation: Propagation,
        master_keys: &MasterKeys,
    ) -> Result<Self, UseCaseError> {
        let mut fresh = Zeroizing::new([0; 32]);
        getrandom::fill(fresh.as_mut()).expect("the system has randomness");
        let sealed = store.ensure_secret(SESSION_SECRET, master_keys.seal(SESSION_CONTEXT, fresh.as_slice())).await?;
        let secret = master_keys.open(SESSION_CONTEXT, &sealed)?;
        let session_names = Hmac::new_from_slice(&secret).expect("HMAC takes a key of any length");
        Ok(Self { store, tokens, propagation, session_names, used: Arc::default() })
    }

    /// The session that stands for a visitor whom the tenant's backend knows, for a token of this generation. It is derived from
    /// tenant and visitor, so that it is the same on every gateway and with every token.
    pub(crate) async fn known(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
        generation: u64,
    ) -> Result<(SessionId, Uuid), UseCaseError> {
        let known = self.store.known_visitor(tenant_id, visitor_user_id).await?.ok_or(UseCaseError::SessionOver)?;
        if known.tenant.status == TenantStatus::Suspended {
            return Err(UseCaseError::TenantSuspended);
        }
        if generation < known.generation {
            return Err(UseCaseError::SessionOver);
        }
        Ok((self.known_session(tenant_id, visitor_user_id), known.bot_id))
    }

    /// The id of the session that stands for a visitor whom the tenant's backend knows.
    fn known_session(&self, tenant_id: TenantId, visitor_user_id: &str) -> SessionId {
        let mut name = self.session_names.clone();
        name.update(tenant_id.as_uuid().as_bytes());
        name.update(visitor_user_id.as_bytes());
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            <[u8; 32]>::from(name.finalize().into_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
    }

    /// A tenant's visitors that were revoked after its count of revocations was this.
    pub(crate) async fn revoked(&self, tenant_id: TenantId, after: u64) -> Result<Vec<(String, u64)>, UseCaseError> {
        Ok(self.store.revoked_visitors(tenant_id, after).await?)
    }

    /// Ends a visitor's minted tokens, and waits up to `wait` until that is true on every gateway. Answers when the change was made,
    /// and whether it is true everywhere. A later call makes the change once more, and waits for the rest.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        visitor_user_id: String,
        wait: Option<Duration>,
    ) -> Result<(Timestamp, bool), UseCaseError> {
        let audit = AuditEntry::new(tenant_id, caller, Action::RevokeVisitor, ["visitor_tokens"]);
        let audit = audit.about(Subject::Visitor(self.known_session(tenant_id, &visitor_user_id)));
        let store = Arc::clone(&self.store);
        let change = async move { store.revoke_visitor(tenant_id, &visitor_user_id, audit).await };
        Ok(self.propagation.commit_within(change, wait).await?)
    }

    /// Ends the session that a token opens, and waits as [`Visitors::revoke`] does. If the session is over already, this writes
    /// nothing and only waits: otherwise a visitor could make changes without end.
    pub(crate) async fn end(
        &self,
        request_id: String,
        tenant_id: TenantId,
        token: EndingToken,
        wait: Option<Duration>,
    ) -> Result<(SessionId, bool), UseCaseError> {
        let entry = |id: SessionId, fields: &'static str| {
            let caller = Caller { actor: format!("visitor:{id}"), request_id, admin_key: None };
            AuditEntry::new(tenant_id, &caller, Action::EndVisitorSession, [fields]).about(Subject::Session(id))
        };
        let store = Arc::clone(&self.store);
        match token {
            EndingToken::Session(token) => {
                let id = token.id;
                let session = self.store.session(tenant_id, id).await?.filter(|session| !session.is_ended);
                if session.is_some_and(|session| token.is_superseded(&session)) {
                    return Err(UseCaseError::SessionOver);
                }
                let audit = entry(id, "visitor_session");
                let change = async move { store.end_session(tenant_id, id, audit).await };
                let ((), is_everywhere) = self.propagation.commit_within(change, wait).await?;
                Ok((id, is_everywhere))
            }
            EndingToken::Minted { visitor_user_id, generation, tenant_generation } => {
                let id = self.known_session(tenant_id, &visitor_user_id);
                let known = self.store.known_visitor(tenant_id, &visitor_user_id).await?;
                let known = known.ok_or(UseCaseError::SessionOver)?;
                let is_over = generation < known.generation || tenant_generation < known.tenant.token_generation;
                let audit = entry(id, "visitor_tokens");
                let change = async move {
                    if is_over {
                        return Ok(AtRevision { value: (), revision: known.tenant.revision });
                    }
                    let revoked = store.revoke_visitor(tenant_id, &visitor_user_id, audit).await?;
                    Ok(AtRevision { value: (), revision: revoked.revision })
                };
                let ((), is_everywhere) = self.propagation.commit_within(change, wait).await?;
                Ok((id, is_everywhere))
            }
        }
    }

    /// Ends a session and begins the one that follows it, for the visitor whom a minted token names. Waits as [`Visitors::revoke`] does,
    /// and answers whether the end is true on every gateway.
    pub(crate) async fn identify(
        &self,
        request_id: String,
        tenant_id: TenantId,
        token: SessionToken,
        vouched: Vouched,
        wait: Option<Duration>,
    ) -> Result<(SessionId, SignedToken, bool), UseCaseError> {
        let before = self.store.session(tenant_id, token.id).await?.ok_or(UseCaseError::SessionOver)?;
        if token.is_superseded(&before) {
            return Err(UseCaseError::SessionOver);
        }
        let key = self.admit(tenant_id, before.widget_key.as_str(), &before.origin).await?.key;
        let caller = Caller { actor: format!("visitor:{}", token.id), request_id, admin_key: None };
        let audit = AuditEntry::new(tenant_id, &caller, Action::IdentifyVisitor, ["visitor_session"]);
        let audit = audit.about(Subject::Session(token.id));
        let store = Arc::clone(&self.store);
        let change = async move { store.identify_visitor(tenant_id, token.id, vouched, audit).await };
        let (identified, is_everywhere) = self.propagation.commit_within(change, wait).await?;
        let session = match identified {
            Identified::As(session) => session,
            Identified::SessionOver => return Err(UseCaseError::SessionOver),
            Identified::TokenOver => return Err(UseCaseError::IdentityOver),
        };
        self.used.note(key.id, now());
        // Where the answer is given again, its caller may have none of the session's tokens: the newest that was used can be refreshed.
        let signed = self.tokens.for_session(&session, session.used_tokens.newest()).await?;
        Ok((session.id, signed, is_everywhere))
    }

    /// A tenant's sessions that were ended by changes after this revision.
    pub(crate) async fn ended(&self, tenant_id: TenantId, after: u64) -> Result<Vec<SessionId>, UseCaseError> {
        Ok(self.store.ended_sessions(tenant_id, after).await?)
    }

    /// What a key opens; `None` where there is no such tenant.
    pub(crate) async fn widget_access(
        &self,
        tenant_id: TenantId,
        key: &str,
    ) -> Result<Option<WidgetAccess>, UseCaseError> {
        // The text comes from a visitor. A text without a key's form is not looked up: PostgreSQL would refuse some of them, such as one
        // with a NUL.
        let key = if WidgetKey::is_well_formed(key) { key } else { "" };
        Ok(self.store.widget_access(tenant_id, key).await?)
    }

    /// Begins a session and signs its first token.
    pub(crate) async fn open(&self, new: NewSession) -> Result<(SessionId, SignedToken), UseCaseError> {
        let NewSession { tenant_id, widget_key, origin, locale, mode, routing_key, metadata } = new;
        let key = self.admit(tenant_id, &widget_key, &origin).await?.key;
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
            is_ended: false,
            used_tokens: UsedTokens::default(),
            identity: None,
        };
        let token = self.tokens.for_session(&session, 0).await?;
        self.store.create_session(&session).await?;
        self.used.note(key.id, created_at);
        Ok((session.id, token))
    }

    /// Signs another token, bound as the one before it. Its generation follows the newest that was used, so that two tabs that refresh
    /// at once get the same generation. A gateway from before generations sends none.
    pub(crate) async fn refresh(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        widget_key: &str,
        origin: &Origin,
        generation: Option<u64>,
    ) -> Result<SignedToken, UseCaseError> {
        let mut session = self.session(tenant_id, id).await?;
        if session.widget_key.as_str() != widget_key || session.origin != *origin {
            return Err(UseCaseError::SessionOver);
        }
        let Admitted { key, tenant } = self.admit(tenant_id, widget_key, origin).await?;
        if session.identity.as_ref().is_some_and(|identity| identity.tenant_generation < tenant.token_generation) {
            return Err(UseCaseError::SessionOver);
        }
        let at = now();
        let generation = generation.unwrap_or_else(|| session.used_tokens.newest());
        self.use_token(&mut session, generation, at).await?;
        if session.used_tokens.supersede(generation, at.as_millisecond()) {
            return Err(UseCaseError::SessionOver);
        }
        self.used.note(key.id, at);
        self.tokens.for_session(&session, session.used_tokens.newest().max(generation).saturating_add(1)).await
    }

    /// A session that is not over, and is opened by a token of this generation, if any.
    pub(crate) async fn opened(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        generation: Option<u64>,
    ) -> Result<VisitorSession, UseCaseError> {
        let mut session = self.session(tenant_id, id).await?;
        if let Some(generation) = generation
            && let Err(error) = self.use_token(&mut session, generation, now()).await
        {
            // The token opens the session all the same, and its next use is noted.
            tracing::warn!(%error, "it was not noted that a visitor's token was used");
        }
        Ok(session)
    }

    /// Notes that a token of the session is used. Nothing is written where a newer one, or itself, was used before.
    async fn use_token(
        &self,
        session: &mut VisitorSession,
        generation: u64,
        at: Timestamp,
    ) -> Result<(), UseCaseError> {
        if generation <= session.used_tokens.newest() {
            return Ok(());
        }
        match self.store.use_token(session.tenant_id, session.id, generation, at).await {
            Ok(Some(used)) => session.used_tokens = used,
            Ok(None) => return Err(UseCaseError::SessionOver),
            // The disk is full: the conversation goes on, and older tokens can be refreshed for longer.
            Err(StoreError::NoChanges(error)) => {
                tracing::warn!(error, "it was not noted that a visitor's token was used");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// A session that is not over.
    async fn session(&self, tenant_id: TenantId, id: SessionId) -> Result<VisitorSession, UseCaseError> {
        let found = self.store.session(tenant_id, id).await?;
        found.filter(|session| !session.is_ended && session.expires_at > now()).ok_or(UseCaseError::SessionOver)
    }

    /// Whether pages of this origin may use this key.
    async fn admit(&self, tenant_id: TenantId, key: &str, origin: &Origin) -> Result<Admitted, UseCaseError> {
        let access = self.widget_access(tenant_id, key).await?.ok_or(UseCaseError::InvalidWidgetKey)?;
        let WidgetAccess { tenant, opened } = access;
        let (key, _) = opened.ok_or(UseCaseError::InvalidWidgetKey)?;
        if tenant.status == TenantStatus::Suspended {
            return Err(UseCaseError::TenantSuspended);
        }
        let origins = tenant.settings.allowed_origins.clone();
        if !(OriginPolicy { origins, domains: key.allowed_domains.clone() }).allows(origin) {
            return Err(UseCaseError::OriginNotAllowed(origin.clone()));
        }
        Ok(Admitted { key, tenant })
    }

    /// Writes when keys were last used.
    pub(crate) async fn write_uses(&self) {
        self.used.write("widget keys", async |used| self.store.widget_keys_used(used).await).await;
    }

    /// Removes sessions that are over, and revocations whose tokens have all ended.
    pub(crate) async fn forget_ended(&self) {
        let before: Timestamp = now();
        if let Err(error) = self.store.forget_revocations(before - REVOCATIONS_KEPT).await {
            tracing::warn!(%error, "old revocations were not removed");
        }
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
