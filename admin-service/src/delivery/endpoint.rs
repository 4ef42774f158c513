//! What is known of a tenant's receiver: where it is, whether it may be called now, and what signs.

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use url::Url;
use wire::{TenantId, signature::TenantKey};

use super::{
    endpoint_url::{CallbackFormat, endpoint_url},
    request::{AttemptRequest, AttemptSigner, KeptEvent, UnsendableId},
    standard_keys::{EndingKey, StandardKeys, WebhookKey},
};
use crate::{
    directory::OpenedTenant,
    domain::{credentials::TenantSecret, settings::WebhookFormat, tenant::TenantStatus},
    errors::UseCaseError,
};

/// A tenant's receiver, as a revision of the tenant has it.
pub(super) struct Endpoint {
    tenant_id: TenantId,
    /// The revision of the tenant's last change.
    pub(super) revision: u64,
    /// Whether the tenant is active and its endpoint not stopped.
    pub(super) is_open: bool,
    /// Where it is. `None` where the tenant has no callback.
    base: Option<Url>,
    format: CallbackFormat,
    signer: Signer,
}

enum Signer {
    Bloonio(TenantKey),
    Standard(Box<StandardKeys>),
}

impl Endpoint {
    /// The receiver of a tenant; `own` signs `v1a`.
    ///
    /// # Errors
    /// [`UseCaseError::Broken`] where the tenant's secret is not of its form.
    pub(super) fn new(opened: &OpenedTenant, own: &SigningKey) -> Result<Self, UseCaseError> {
        let OpenedTenant { tenant, hmac_key, previous } = opened;
        let settings = &tenant.settings;
        let format = match settings.webhook_format {
            WebhookFormat::Bloonio => CallbackFormat::Bloonio { path_prefix: settings.callback_path_prefix.clone() },
            WebhookFormat::Standard => CallbackFormat::Standard,
        };
        let signer = match settings.webhook_format {
            WebhookFormat::Bloonio => Signer::Bloonio(TenantKey::new(hmac_key)),
            WebhookFormat::Standard => {
                let previous = previous.as_ref().map(|previous| {
                    webhook_key(&previous.hmac_key).map(|key| EndingKey { key, ends_at: previous.expires_at })
                });
                let (current, previous) = (webhook_key(hmac_key)?, previous.transpose()?);
                Signer::Standard(Box::new(StandardKeys { current, previous, own: own.clone() }))
            }
        };
        Ok(Self {
            tenant_id: tenant.id,
            revision: tenant.revision,
            is_open: tenant.status == TenantStatus::Active && tenant.endpoint_stopped_at.is_none(),
            base: settings.callback_url_base.as_deref().and_then(|url| Url::parse(url).ok()),
            format,
            signer,
        })
    }

    /// Whether the tenant has a callback.
    pub(super) fn has_callback(&self) -> bool {
        self.base.is_some()
    }

    /// Where events of a type go.
    pub(super) fn url(&self, event_type: &str) -> Option<Url> {
        self.base.as_ref().map(|base| endpoint_url(base, &self.format, event_type))
    }

    /// Makes and signs the request of an attempt that begins at `at`.
    pub(super) fn sign(
        &self,
        event: KeptEvent<'_>,
        at: Timestamp,
        traceparent: Option<&str>,
    ) -> Result<AttemptRequest, UnsendableId> {
        let signer = match &self.signer {
            Signer::Bloonio(key) => AttemptSigner::Bloonio { tenant_id: self.tenant_id, key },
            Signer::Standard(keys) => AttemptSigner::Standard(keys),
        };
        AttemptRequest::sign(event, signer, at, traceparent)
    }
}

/// The key of a secret's text.
fn webhook_key(text: &[u8]) -> Result<WebhookKey, UseCaseError> {
    let secret = std::str::from_utf8(text).ok().and_then(TenantSecret::read);
    let secret = secret.ok_or_else(|| UseCaseError::Broken("a tenant secret is not of its form".to_owned()))?;
    Ok(WebhookKey::new(secret.to_bytes().as_slice()))
}
