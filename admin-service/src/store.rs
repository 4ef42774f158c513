//! The port to the database: what use cases need kept. One verb is one transaction.
//!
//! `sea` implements it over SQLite and PostgreSQL. Every change takes the directory's next revision inside its own
//! transaction, in commit order, and writes its audit row there too.

use async_trait::async_trait;
use coherence::{Changes, replica::Registration};
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    domain::{
        access::RecordedAccess,
        account_key::AccountKey,
        audit::{AuditEntry, RecordedAudit},
        bot::Bot,
        credentials::WidgetKey,
        operator::{Email, Operator},
        settings::TenantSettings,
        signing_key::SealedSigningKey,
        tenant::{Tenant, TenantStatus},
        visitor::{UsedTokens, VisitorSession, WidgetAccess},
        widget::{Appearance, BotKey},
    },
    log_chain::{Head, Log},
};

mod connect;
mod entity;
mod migration;
mod sea;

pub(crate) use connect::connect_to_read;
pub use connect::{ConnectError, connect};
pub use sea::SeaStore;
pub(crate) use sea::verify;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row for this tenant.
    #[error("not found")]
    NotFound,
    /// The account key that asks was revoked, has ended, or its tenant was suspended, since it was looked at.
    #[error("the account key opens nothing any more")]
    Unauthorized,
    /// There are as many as there may be.
    #[error("no more may be made")]
    Full,
    /// Somebody else changed it since it was read.
    #[error("changed since it was read")]
    Conflict,
    /// The database is away, busy past its timeout, or shutting down. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database takes no changes: its disk is full or failing, or it may only be read. Nothing was changed.
    #[error("the database takes no changes: {0}")]
    NoChanges(String),
    /// The answer to a commit was lost: it may have been made, or not.
    #[error("it is not known whether it was committed: {0}")]
    Unknown(String),
    /// What is stored is not what was written, or a statement is wrong. Trying again will not help.
    #[error("{0}")]
    Broken(String),
}

/// A tenant with what only the directory may see.
#[derive(Clone, Debug)]
pub struct KeyedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its sealed secret.
    pub sealed_secret: Vec<u8>,
}

/// An answer and the directory's revision it was read at.
#[derive(Clone, Debug)]
pub struct AtRevision<T> {
    /// The answer.
    pub value: T,
    /// The revision.
    pub revision: u64,
}

/// A secret or key that takes another's place.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// A new sealed secret; with it, tokens that were issued before may end.
    Secret {
        /// Sealed.
        sealed: Vec<u8>,
        /// Whether visitors' minted tokens and operators' tokens of before are over.
        revokes_issued: bool,
    },
    /// A new widget key.
    WidgetKey(WidgetKey),
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After skipping so many rows. Costs what it skips.
    Offset(u64),
    /// Below this id. Costs the same however deep.
    After(Uuid),
}

/// A page of rows, newest first.
#[derive(Clone, Debug)]
pub struct Page<T, Key = Uuid> {
    /// The rows.
    pub items: Vec<T>,
    /// What to go on below; `None` on the last page.
    pub next: Option<Key>,
}

/// Tenants.
#[async_trait]
pub trait TenantStore: Send + Sync {
    /// Writes a new tenant and answers it with its revision.
    async fn create(&self, tenant: Tenant, sealed_secret: Vec<u8>, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Replaces a secret or a widget key.
    async fn rotate(&self, id: TenantId, to: Replacement, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Writes the status; writing the one it has counts as a change, so that repeating a call whose answer was lost
    /// is as good as the call.
    async fn set_status(&self, id: TenantId, status: TenantStatus, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Writes settings that were derived from the tenant at `expected_revision`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the tenant has changed since.
    async fn apply_update(
        &self,
        id: TenantId,
        expected_revision: u64,
        settings: &TenantSettings,
        audit: AuditEntry,
    ) -> Result<Tenant, StoreError>;

    /// A tenant.
    async fn find(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// A tenant with its sealed secret, and the revision both were read at.
    async fn find_keyed(&self, id: TenantId) -> Result<AtRevision<Option<KeyedTenant>>, StoreError>;

    /// A page of tenants, newest first, and how many there are in all.
    async fn page(&self, start: PageStart, limit: u64) -> Result<(Page<Tenant>, u64), StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The two logs: the history of changes, written with each change, and what is no change.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// A page of the audit log, of one tenant or of all: newest first, by revision, below `after`.
    async fn audit_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAudit, u64>, StoreError>;

    /// A page of the access log, of one tenant or of all: newest first, by number, below `after`.
    async fn access_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAccess, u64>, StoreError>;

    /// Writes a batch of the access log, in its order.
    async fn write_access(&self, entries: &[RecordedAccess]) -> Result<(), StoreError>;

    /// Removes some of the oldest rows of the access log that are from before, and seals where it then begins. Answers whether
    /// there may be more.
    async fn prune_access(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// The newest row of each log that has one.
    async fn log_heads(&self) -> Result<Vec<(Log, Head)>, StoreError>;
}

/// Operators, always of a tenant.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// Creates the operator, or refreshes the one with this email. `merge` makes the row to write from the one that
    /// is there. Answers whether it was created.
    async fn upsert_operator(
        &self,
        tenant_id: TenantId,
        email: &Email,
        merge: &(dyn for<'a> Fn(Option<&'a Operator>) -> Operator + Send + Sync),
        audit: AuditEntry,
    ) -> Result<(Operator, bool), StoreError>;

    /// The operator with this email.
    async fn find_operator(&self, tenant_id: TenantId, email: &Email) -> Result<Option<Operator>, StoreError>;
}

/// Account keys, found by the digest of their text.
#[async_trait]
pub trait AccountKeyStore: Send + Sync {
    /// Writes a new key, unless the tenant has `most` that are neither revoked nor expired.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant, [`StoreError::Full`] where there are too many.
    async fn create_account_key(
        &self,
        key: AccountKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;

    /// A tenant's keys, newest first; `None` where there is no such tenant.
    async fn account_keys(&self, tenant_id: TenantId) -> Result<Option<Vec<AccountKey>>, StoreError>;

    /// Revokes a key; one that is revoked stays as it is. `None` where the tenant has no such key.
    async fn revoke_account_key(
        &self,
        tenant_id: TenantId,
        id: Uuid,
        audit: AuditEntry,
    ) -> Result<Option<AccountKey>, StoreError>;

    /// The key with this digest, and its tenant's status.
    async fn find_account_key(&self, digest: [u8; 32]) -> Result<Option<(AccountKey, TenantStatus)>, StoreError>;

    /// Notes when keys were last used.
    async fn account_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError>;
}

/// A tenant's bots. What is written is written on behalf of an account key, `by`, which is looked at once more in the writing's
/// own transaction: revoking it or suspending the tenant comes before or after, and not in between.
#[async_trait]
pub trait BotStore: Send + Sync {
    /// Writes a new bot, unless the tenant has `most`.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there are too many.
    async fn create_bot(&self, by: Uuid, bot: Bot, most: usize, audit: AuditEntry) -> Result<(), StoreError>;

    /// A tenant's bots, the oldest first.
    async fn bots(&self, tenant_id: TenantId) -> Result<Vec<Bot>, StoreError>;
}

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

/// Widget keys, look and copy, always of a tenant's bot; `by` as in [`BotStore`].
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

    /// Revokes a key; one that is revoked is written once more, so that repeating a call whose answer was lost is as good as
    /// the call.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the tenant has no such key, [`StoreError::Conflict`] where it is the tenant's own, which
    /// is rotated instead.
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

/// What widget keys open, and the sessions they began. Gateways are told of what ends before its time, and of nothing else here.
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

    /// Ends a session before its time; one that is over, or forgotten, stays as it is. Everything up to the answered revision has
    /// its end in it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant.
    async fn end_session(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError>;

    /// A tenant's sessions that were ended by changes after this revision.
    async fn ended_sessions(&self, tenant_id: TenantId, after: u64) -> Result<Vec<SessionId>, StoreError>;

    /// Ends a visitor's minted tokens: those of the tenant's generation from now on are good. Answers when.
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

/// Keys that sign tokens.
#[async_trait]
pub trait SigningKeyStore: Send + Sync {
    /// The keys that are not retired, newest first.
    async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError>;

    /// Every key there ever was, newest first.
    async fn all_signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError>;

    /// A secret of this deployment's by its name: the one that is kept, or `sealed`, which is then kept. Of several replicas that
    /// start at once one wins.
    async fn ensure_secret(&self, name: &'static str, sealed: Vec<u8>) -> Result<Vec<u8>, StoreError>;

    /// Writes `key` unless there is one already that is not retired. Of several replicas that start at once one wins.
    async fn ensure_signing_key(&self, key: SealedSigningKey) -> Result<(), StoreError>;

    /// Writes `key`. [`StoreError::Full`] where `most` are not retired already.
    async fn add_signing_key(
        &self,
        key: SealedSigningKey,
        most: usize,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError>;

    /// Retires a key and erases its private half. A key that is retired already is answered as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where it is the key that signs now, among those that `open`.
    async fn retire_signing_key(
        &self,
        id: Uuid,
        open: &[Uuid],
        audit: AuditEntry,
    ) -> Result<AtRevision<SealedSigningKey>, StoreError>;
}

/// A point in the directory's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The revision; 0 before the first change.
    pub revision: u64,
    /// What only this database has at this revision: one that was restored from a backup goes on with others.
    pub mark: Uuid,
}

/// A replica that may have granted leases, and how far it has spread changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its registration.
    pub registration: Registration<Uuid>,
    /// The longest lease it grants, in milliseconds.
    pub lease_ms: u64,
    /// How far it has spread changes.
    pub done: Done,
    /// It has stopped: all who may hold a lease of its are named in `done`.
    pub is_retired: bool,
}

/// Up to where a replica has spread changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Everything up to this revision is true on every gateway it has leased to.
    pub revision: u64,
    /// Up to where each of them has acknowledged, [`u64::MAX`] where it has given its lease up. What a gateway says of
    /// itself holds for every lease, whoever granted it.
    pub acknowledged: Vec<(Uuid, u64)>,
}

/// The history of changes, and the replicas that spread them.
#[async_trait]
pub trait PropagationStore: Send + Sync {
    /// What changed after a position, and the position then. Where there is none, where it is not in this database's
    /// history, or where there is more than `most`: a start-over.
    async fn changes_after(
        &self,
        position: Option<Position>,
        most: u64,
    ) -> Result<(Changes<TenantId>, Position), StoreError>;

    /// Writes a registration, or renews it.
    async fn register(&self, registration: Registration<Uuid>, lease_ms: u64) -> Result<(), StoreError>;

    /// Removes a registration, unless it has been renewed since.
    async fn unregister(&self, registration: Registration<Uuid>) -> Result<(), StoreError>;

    /// Whether other replicas can have this database open.
    fn is_shared(&self) -> bool;

    /// Every replica that is registered.
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError>;

    /// Writes how far a replica has spread changes, and tells the others. Answers whether it is registered still.
    async fn report_done(&self, incarnation: Uuid, done: &Done) -> Result<bool, StoreError>;

    /// Writes a replica's last word: it grants nothing any more, and its leases end with this registration.
    async fn retire(&self, registration: Registration<Uuid>, done: &Done) -> Result<(), StoreError>;

    /// An item whenever another replica may have changed or reported something. One can be lost, so look from time to time
    /// besides. Ends where the connection is lost for good.
    async fn signals(&self) -> Result<BoxStream<'static, ()>, StoreError>;
}

/// `now` as the database keeps it.
fn stored_time(at: Timestamp) -> i64 {
    at.as_millisecond()
}
