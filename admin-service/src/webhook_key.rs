//! The deployment's own key for webhooks: it signs `v1a` of Standard Webhooks, and receivers verify it with its public half.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    errors::UseCaseError,
    sealing::{MasterKeys, SealContext},
    store::SigningKeyStore,
};

/// The secret's name among the deployment's.
pub(crate) const NAME: &str = "webhook_key";
pub(crate) const CONTEXT: SealContext = SealContext { row: Uuid::nil(), column: "deployment.webhook_key" };

/// The key. Cloning shares nothing that could change: it is made once for a deployment.
#[derive(Clone)]
pub(crate) struct WebhookSigningKey(SigningKey);

impl WebhookSigningKey {
    /// Finds the key, or makes it where this is the first start.
    pub(crate) async fn open(store: Arc<dyn SigningKeyStore>, master_keys: &MasterKeys) -> Result<Self, UseCaseError> {
        let mut fresh = Zeroizing::new([0; 32]);
        getrandom::fill(fresh.as_mut()).expect("the system has randomness");
        let sealed = store.ensure_secret(NAME, master_keys.seal(CONTEXT, fresh.as_slice())).await?;
        let seed = master_keys.open(CONTEXT, &sealed)?;
        let seed: &[u8; 32] = seed
            .as_slice()
            .try_into()
            .map_err(|_| UseCaseError::Broken("the webhook key has not 32 bytes".to_owned()))?;
        Ok(Self(SigningKey::from_bytes(seed)))
    }

    /// The key itself.
    pub(crate) fn signing_key(&self) -> SigningKey {
        self.0.clone()
    }

    /// Its public half as Standard Webhooks writes it: `whpk_` and base64.
    pub(crate) fn public_text(&self) -> String {
        format!("whpk_{}", STANDARD.encode(self.0.verifying_key().as_bytes()))
    }

    /// The 32 bytes of its public half.
    pub(crate) fn public_bytes(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Its id in the key set. It begins with `wh_`, so that no reader takes it for a key of tokens.
    pub(crate) fn id(&self) -> String {
        format!("wh_{}", hex::encode(&Sha256::digest(self.public_bytes())[..8]))
    }
}
