//! The tenant lifecycle: provision, update, rotate, suspend, reactivate, fetch. REST and gRPC share it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;
use wire::{TenantId, time::now};

use crate::{
    domain::{
        audit::{Action, AuditEntry, Caller},
        credentials::{TenantSecret, WidgetKey},
        refusal::RefusedField,
        settings::TenantSettings,
        tenant::{Tenant, TenantStatus},
    },
    errors::UseCaseError,
    propagation::{Changed, Propagation},
    sealing::{MasterKeys, SealContext},
    store::{AtRevision, Page, PageStart, PreviousUse, Replacement, StoreError, TenantStore},
};

/// The table and column for which a tenant's secret is sealed. If this text changes, no stored secret opens any more.
pub(crate) const SECRET_COLUMN: &str = "tenant.secret";

/// The longest overlap of a rotation, in seconds: a week.
pub(crate) const MOST_OVERLAP_S: u64 = 7 * 24 * 3600;

/// How many times an update is tried in all, if other changes of the tenant keep committing first.
const UPDATE_ATTEMPTS: u32 = 5;

/// Says why a callback cannot be called, as far as its URL shows.
pub(crate) type CallbackCheck = Arc<dyn Fn(&Url) -> Result<(), String> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Tenants {
    store: Arc<dyn TenantStore>,
    master_keys: MasterKeys,
    propagation: Propagation,
    check_callback: CallbackCheck,
}

impl Tenants {
    pub(crate) fn new(
        store: Arc<dyn TenantStore>,
        master_keys: MasterKeys,
        propagation: Propagation,
        check_callback: CallbackCheck,
    ) -> Self {
        Self { store, master_keys, propagation, check_callback }
    }

    /// Checks a callback as far as its URL shows. Each attempt checks the addresses of its name.
    fn check_callback(&self, settings: &TenantSettings) -> Result<(), UseCaseError> {
        let Some(text) = &settings.callback_url_base else { return Ok(()) };
        let refused = |why: String| UseCaseError::Invalid(vec![RefusedField::new("callback_url_base", why)]);
        let url = Url::parse(text).map_err(|error| refused(format!("is no URL: {error}")))?;
        (self.check_callback)(&url).map_err(|why| refused(format!("cannot be called: {why}")))
    }

    async fn commit_and_propagate(
        &self,
        change: impl Future<Output = Result<Tenant, StoreError>> + Send + 'static,
    ) -> Result<Changed<Tenant>, StoreError> {
        let change = async move { change.await.map(|tenant| AtRevision { revision: tenant.revision, value: tenant }) };
        self.propagation.commit_and_propagate(change).await
    }

    fn seal(&self, id: TenantId, secret: &TenantSecret) -> Vec<u8> {
        self.master_keys.seal(SealContext { row: id.as_uuid(), column: SECRET_COLUMN }, secret.expose().as_bytes())
    }

    pub(crate) async fn provision(
        &self,
        caller: &Caller,
        fields: &Map<String, Value>,
    ) -> Result<(Tenant, TenantSecret), UseCaseError> {
        let settings = TenantSettings::provision(fields).map_err(UseCaseError::Invalid)?;
        self.check_callback(&settings)?;
        let now = now();
        let tenant = Tenant {
            id: TenantId::generate(),
            status: TenantStatus::Active,
            widget_public_key: WidgetKey::generate(),
            settings,
            created_at: now,
            updated_at: now,
            secret_rotated_at: None,
            widget_key_rotated_at: None,
            token_generation: 0,
            visitor_revocations: 0,
            sessions_ended: 0,
            operators_changed: 0,
            endpoint_stopped_at: None,
            previous_secret: None,
            revision: 0,
        };
        let secret = TenantSecret::generate();
        let audit = AuditEntry::new(tenant.id, caller, Action::ProvisionTenant, fields.keys().cloned());
        let sealed = self.seal(tenant.id, &secret);
        let tenant = self.store.create(tenant, sealed, audit).await?;
        // Gateways also cache that an id is unknown. But this id was generated just now, so no gateway has been asked for it: do not wait.
        self.propagation.announce();
        Ok((tenant, secret))
    }

    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: TenantId,
        fields: &Map<String, Value>,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        for _ in 0..UPDATE_ATTEMPTS {
            let tenant = self.fetch(id).await?;
            let mut settings = tenant.settings;
            let changed = settings.patch(fields).map_err(UseCaseError::Invalid)?;
            if changed.contains(&"callback_url_base") {
                self.check_callback(&settings)?;
            }
            let audit = AuditEntry::new(id, caller, Action::UpdateTenant, changed);
            let store = Arc::clone(&self.store);
            let change = async move { store.apply_update(id, tenant.revision, &settings, audit).await };
            match self.commit_and_propagate(change).await {
                // Another change committed between our read and our write. The next round reads it, and applies our fields to it.
                Err(StoreError::Conflict) => {}
                result => return Ok(result?),
            }
        }
        Err(UseCaseError::Conflict)
    }

    /// Answers the tenant and its new secret, which is shown once. The secret that it replaces is accepted for `overlap` more. With
    /// `revokes_issued`, the tokens that were issued for the tenant before end too: an attacker with a leaked secret may have obtained
    /// tokens.
    pub(crate) async fn rotate_secret(
        &self,
        caller: &Caller,
        id: TenantId,
        overlap: Duration,
        revokes_issued: bool,
    ) -> Result<Changed<(TenantSecret, Tenant)>, UseCaseError> {
        let secret = TenantSecret::generate();
        let further = [(!overlap.is_zero(), "previous_secret"), (revokes_issued, "issued_tokens")];
        let further = further.into_iter().filter(|(is_changed, _)| *is_changed).map(|(_, field)| field);
        let fields = ["tenant_secret"].into_iter().chain(further);
        let audit = AuditEntry::new(id, caller, Action::RotateTenantSecret, fields);
        let sealed = self.seal(id, &secret);
        let changed = self.rotate(id, Replacement::Secret { sealed, revokes_issued, overlap }, audit).await?;
        Ok(changed.map(|tenant| (secret, tenant)))
    }

    /// Ends the secret before the last rotation now. Where there is none, this is as good as ending one.
    pub(crate) async fn revoke_previous_secret(
        &self,
        caller: &Caller,
        id: TenantId,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        let audit = AuditEntry::new(id, caller, Action::RevokePreviousSecret, ["previous_secret"]);
        let store = Arc::clone(&self.store);
        Ok(self.commit_and_propagate(async move { store.revoke_previous_secret(id, audit).await }).await?)
    }

    /// Notes when a gateway last took calls that were signed with previous secrets.
    pub(crate) async fn note_previous_uses(&self, gateway: &str, uses: &[PreviousUse]) -> Result<(), UseCaseError> {
        Ok(self.store.note_previous_uses(gateway, uses).await?)
    }

    /// Removes previous secrets that have ended. What cannot be removed now is removed the next time.
    pub(crate) async fn forget_previous_secrets(&self) {
        if let Err(error) = self.store.forget_previous_secrets().await {
            tracing::warn!(%error, "could not remove secrets that have ended: trying again in some seconds");
        }
    }

    async fn rotate(&self, id: TenantId, to: Replacement, audit: AuditEntry) -> Result<Changed<Tenant>, UseCaseError> {
        let store = Arc::clone(&self.store);
        Ok(self.commit_and_propagate(async move { store.rotate(id, to, audit).await }).await?)
    }

    pub(crate) async fn rotate_widget_key(
        &self,
        caller: &Caller,
        id: TenantId,
    ) -> Result<Changed<(WidgetKey, Timestamp)>, UseCaseError> {
        let audit = AuditEntry::new(id, caller, Action::RotateWidgetKey, ["widget_public_key"]);
        let changed = self.rotate(id, Replacement::WidgetKey(WidgetKey::generate()), audit).await?;
        Ok(changed.map(|tenant| (tenant.widget_public_key, tenant.updated_at)))
    }

    pub(crate) async fn suspend(&self, caller: &Caller, id: TenantId) -> Result<Changed<Tenant>, UseCaseError> {
        self.set_status(caller, id, TenantStatus::Suspended, Action::SuspendTenant).await
    }

    pub(crate) async fn reactivate(&self, caller: &Caller, id: TenantId) -> Result<Changed<Tenant>, UseCaseError> {
        self.set_status(caller, id, TenantStatus::Active, Action::ReactivateTenant).await
    }

    async fn set_status(
        &self,
        caller: &Caller,
        id: TenantId,
        status: TenantStatus,
        action: Action,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        let audit = AuditEntry::new(id, caller, action, ["status"]);
        let store = Arc::clone(&self.store);
        Ok(self.commit_and_propagate(async move { store.set_status(id, status, audit).await }).await?)
    }

    pub(crate) async fn fetch(&self, id: TenantId) -> Result<Tenant, UseCaseError> {
        self.store.find(id).await?.ok_or(UseCaseError::TenantNotFound)
    }

    /// A page of tenants and how many there are in all.
    pub(crate) async fn page(&self, start: PageStart, limit: u64) -> Result<(Page<Tenant>, u64), UseCaseError> {
        Ok(self.store.page(start, limit).await?)
    }

    pub(crate) async fn is_available(&self) -> Result<(), UseCaseError> {
        Ok(self.store.ping().await?)
    }
}
