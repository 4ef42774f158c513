//! The port to visitors' sessions and revocations.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    domain::{
        audit::AuditEntry,
        tenant::Tenant,
        visitor::{Identity, UsedTokens, VisitorSession, WidgetAccess},
    },
    store::{error::StoreError, revision::AtRevision},
};

/// What widget keys open, and the sessions they began. Of what is kept here, gateways are told only what ends early.
#[async_trait]
pub trait VisitorStore: Send + Sync {
    /// What a key opens; `None` where there is no such tenant.
    async fn widget_access(&self, tenant_id: TenantId, key: &str) -> Result<Option<WidgetAccess>, StoreError>;

    /// Writes a new session.
    async fn create_session(&self, session: &VisitorSession) -> Result<(), StoreError>;

    /// A tenant's session, over or not.
    async fn session(&self, tenant_id: TenantId, id: SessionId) -> Result<Option<VisitorSession>, StoreError>;

    /// Removes at most so many sessions that were over before, and answers how many.
    async fn forget_sessions(&self, before: Timestamp, most: u64) -> Result<u64, StoreError>;

    /// Notes that a token of a session is used. Answers all that were used; `None` where there is no such session.
    async fn use_token(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        generation: u64,
        at: Timestamp,
    ) -> Result<Option<UsedTokens>, StoreError>;

    /// Ends a session before its time. A session that is over or forgotten stays as it is. By the answered revision the
    /// session is ended: wait until every gateway has it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant.
    async fn end_session(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError>;

    /// Ends a session, and begins the one that follows it for the visitor whom a minted token names. If the session was ended so before,
    /// for the same visitor, this changes nothing and answers the session that followed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant.
    async fn identify_visitor(
        &self,
        tenant_id: TenantId,
        from: SessionId,
        vouched: Vouched,
        audit: AuditEntry,
    ) -> Result<AtRevision<Identified>, StoreError>;

    /// A tenant's sessions that were ended by changes after this revision.
    async fn ended_sessions(&self, tenant_id: TenantId, after: u64) -> Result<Vec<SessionId>, StoreError>;

    /// Ends a visitor's minted tokens: those of the tenant's generation from now on are good. With them end the widget sessions in which
    /// the visitor was identified. Answers when.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant.
    async fn revoke_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
        audit: AuditEntry,
    ) -> Result<AtRevision<Timestamp>, StoreError>;

    /// A tenant's visitors that were revoked after its count of revocations was this, each with the generation that its good
    /// tokens have at least.
    async fn revoked_visitors(&self, tenant_id: TenantId, after: u64) -> Result<Vec<(String, u64)>, StoreError>;

    /// What a minted token rests on: the tenant, its default bot, and the generation that the visitor's good tokens have at least.
    async fn known_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
    ) -> Result<Option<KnownVisitor>, StoreError>;

    /// Removes revocations from before: no token they ended can still be presented.
    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError>;

    /// Notes when widget keys were last used.
    async fn widget_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError>;
}

/// What a minted token says of a visitor, and what the page says.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// The minted token's visitor, with what the page calls it.
    pub identity: Identity,
    /// The minted token's generation.
    pub generation: u64,
}

/// What became of a session whose visitor was identified.
#[derive(Clone, Debug, PartialEq)]
pub enum Identified {
    /// It was ended, and this session follows it.
    As(Box<VisitorSession>),
    /// It was over before.
    SessionOver,
    /// The minted token is over: its visitor, or the tenant, has a later generation.
    TokenOver,
}

/// What a minted token rests on.
#[derive(Clone, Debug)]
pub struct KnownVisitor {
    /// The tenant.
    pub tenant: Tenant,
    /// Its default bot.
    pub bot_id: Uuid,
    /// Tokens of an earlier generation are over.
    pub generation: u64,
}
