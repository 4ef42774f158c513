//! Admin keys, with which operators and internal services call the admin surface. A root key makes, lists and revokes them.

use std::sync::Arc;

use uuid::Uuid;
use wire::{
    TenantId,
    fields::Fields,
    time::{from_unix_ms, now},
};

use crate::{
    domain::{
        admin_key::{AdminKey, MOST_ADMIN_KEYS, NewAdminKey},
        audit::{Action, AuditEntry, Caller, Subject},
        credentials::{KeyKind, KeySecret},
    },
    errors::UseCaseError,
    last_used::LastUsed,
    store::AdminKeyStore,
};

#[derive(Clone)]
pub(crate) struct AdminKeys {
    store: Arc<dyn AdminKeyStore>,
    used: Arc<LastUsed>,
}

impl AdminKeys {
    pub(crate) fn new(store: Arc<dyn AdminKeyStore>) -> Self {
        Self { store, used: Arc::default() }
    }

    /// Answers the key's text, which is shown once.
    pub(crate) async fn create(&self, caller: &Caller, fields: Fields) -> Result<(AdminKey, KeySecret), UseCaseError> {
        let now = now();
        let NewAdminKey { name, scopes, expires_at } = NewAdminKey::read(fields, now).map_err(UseCaseError::invalid)?;
        let secret = KeySecret::generate(KeyKind::Admin);
        let key = AdminKey {
            id: Uuid::now_v7(),
            name,
            scopes,
            hint: secret.hint().to_owned(),
            created_at: now,
            // As the database keeps it.
            expires_at: expires_at.map(|at| from_unix_ms(at.as_millisecond())),
            revoked_at: None,
            last_used_at: None,
        };
        let fields = ["name", "scopes"].into_iter().chain(key.expires_at.map(|_| "expires_at"));
        let audit = AuditEntry::new(TenantId::DEPLOYMENT, caller, Action::CreateAdminKey, fields);
        let audit = audit.about(Subject::AdminKey(key.id));
        self.store.create_admin_key(key.clone(), secret.digest(), MOST_ADMIN_KEYS, audit).await?;
        Ok((key, secret))
    }

    /// Every key, newest first, revoked ones included.
    pub(crate) async fn list(&self) -> Result<Vec<AdminKey>, UseCaseError> {
        Ok(self.store.admin_keys().await?)
    }

    /// Once this returns, every replica refuses the key, and no change that was under way with it is committed. Revoking it again changes
    /// nothing.
    pub(crate) async fn revoke(&self, caller: &Caller, id: Uuid) -> Result<AdminKey, UseCaseError> {
        let audit = AuditEntry::new(TenantId::DEPLOYMENT, caller, Action::RevokeAdminKey, ["revoked_at"]);
        Ok(self.store.revoke_admin_key(id, audit.about(Subject::AdminKey(id))).await?)
    }

    /// The key that has this text, and whether it is valid. It is read from the database every time, so a revocation holds at every replica
    /// once it is committed.
    pub(crate) async fn find(&self, text: &str) -> Result<Option<(AdminKey, bool)>, UseCaseError> {
        let Some(secret) = KeySecret::read(KeyKind::Admin, text) else { return Ok(None) };
        let now = now();
        let Some(key) = self.store.find_admin_key(secret.digest()).await? else { return Ok(None) };
        let is_valid = key.is_valid(now);
        if is_valid {
            self.used.note(key.id, now);
        }
        Ok(Some((key, is_valid)))
    }

    /// Writes when keys were last used.
    pub(crate) async fn write_uses(&self) {
        self.used.write("admin keys", async |used| self.store.admin_keys_used(used).await).await;
    }
}
