//! What gateways ask: a tenant's state with the key it signs with, as of a revision.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;
use wire::{TenantId, time::now};
use zeroize::Zeroizing;

use crate::{
    domain::{credentials::TenantSecret, tenant::Tenant},
    errors::UseCaseError,
    sealing::{MasterKeys, SealContext},
    store::{AtRevision, TenantStore},
    tenants::SECRET_COLUMN,
};

#[derive(Clone)]
pub(crate) struct Directory {
    store: Arc<dyn TenantStore>,
    master_keys: MasterKeys,
    /// A sealed random secret. It is opened for an unknown tenant, so that the answer takes as long as for a known one.
    nobody: Vec<u8>,
}

/// The seal context of `Directory`'s random secret.
const NOBODY: SealContext = SealContext { row: Uuid::nil(), column: SECRET_COLUMN };

/// A tenant and the bytes it signs with, wiped when dropped.
pub(crate) struct OpenedTenant {
    pub(crate) tenant: Tenant,
    pub(crate) hmac_key: Zeroizing<Vec<u8>>,
    /// The bytes before a rotation with overlap, until their end.
    pub(crate) previous: Option<PreviousKey>,
}

/// A secret that is accepted beside the current one.
pub(crate) struct PreviousKey {
    pub(crate) hmac_key: Zeroizing<Vec<u8>>,
    pub(crate) rotated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Directory {
    pub(crate) fn new(store: Arc<dyn TenantStore>, master_keys: MasterKeys) -> Self {
        let nobody = master_keys.seal(NOBODY, TenantSecret::generate().expose().as_bytes());
        Self { store, master_keys, nobody }
    }

    pub(crate) async fn tenant(&self, id: TenantId) -> Result<AtRevision<Option<OpenedTenant>>, UseCaseError> {
        let AtRevision { value, revision } = self.store.find_keyed(id).await?;
        if value.is_none() {
            self.master_keys.open(NOBODY, &self.nobody)?;
        }
        let value = value
            .map(|keyed| {
                // The previous secret was sealed while it was the current one, so its context is the same.
                let context = SealContext { row: id.as_uuid(), column: SECRET_COLUMN };
                let hmac_key = self.master_keys.open(context, &keyed.sealed_secret)?;
                let previous = match (keyed.tenant.previous_secret_at(now()), &keyed.sealed_previous) {
                    (Some(previous), Some(sealed)) => Some(PreviousKey {
                        hmac_key: self.master_keys.open(context, sealed)?,
                        rotated_at: previous.rotated_at,
                        expires_at: previous.expires_at,
                    }),
                    _ => None,
                };
                Ok::<_, UseCaseError>(OpenedTenant { tenant: keyed.tenant, hmac_key, previous })
            })
            .transpose()?;
        Ok(AtRevision { value, revision })
    }
}
