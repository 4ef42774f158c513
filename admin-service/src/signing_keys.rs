//! The keys that sign tokens: made, rotated with an overlap, retired, and published.
//!
//! Keys are read from the database for each token that is issued and each key set that is answered, so no replica signs or publishes
//! by an older state. Only what was opened is kept, since opening costs more than reading.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use jiff::Timestamp;
use jsonwebtoken::EncodingKey;
use serde::Serialize;
use uuid::Uuid;
use wire::{TenantId, time::now};
use zeroize::Zeroizing;

use crate::{
    domain::{
        audit::{Action, AuditEntry, Caller, Subject},
        signing_key::{KeyState, SealedSigningKey, signing_at},
    },
    errors::UseCaseError,
    propagation::{Changed, Propagation},
    sealing::{MasterKeys, SealContext},
    store::{AtRevision, SigningKeyStore},
    webhook_key::WebhookSigningKey,
};

pub(crate) const PRIVATE_COLUMN: &str = "signing_key.private";

/// Keys that are not retired. Every reader of the key set holds all of them.
const MOST_KEYS: usize = 8;

/// The keys. Cloning shares them.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    store: Arc<dyn SigningKeyStore>,
    master_keys: MasterKeys,
    /// Published beside the keys of tokens: it signs webhooks.
    webhook_key: WebhookSigningKey,
    opened: Arc<Mutex<HashMap<Uuid, Opened>>>,
}

/// What came of opening a row. It is opened once, however often it is read.
#[derive(Clone)]
struct Opened {
    public: Vec<u8>,
    sealed_private: Vec<u8>,
    /// `None` where it does not open.
    key: Option<Arc<EncodingKey>>,
}

/// The key that signs now.
pub(crate) struct Signer {
    /// The `kid`.
    pub(crate) id: Uuid,
    pub(crate) key: Arc<EncodingKey>,
}

/// A key and what it is good for now.
pub(crate) struct Listed {
    pub(crate) key: SealedSigningKey,
    pub(crate) state: KeyState,
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: String,
    x: String,
}

#[derive(Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

impl SigningKeys {
    /// Finds the keys, or makes the first where this is the first start.
    pub(crate) async fn open(
        store: Arc<dyn SigningKeyStore>,
        master_keys: MasterKeys,
        webhook_key: WebhookSigningKey,
    ) -> Result<Self, UseCaseError> {
        let this = Self { store, master_keys, webhook_key, opened: Arc::default() };
        if this.store.signing_keys().await?.is_empty() {
            this.store.ensure_signing_key(this.make(now())).await?;
        }
        this.signer().await?;
        Ok(this)
    }

    /// The key that signs now.
    pub(crate) async fn signer(&self) -> Result<Signer, UseCaseError> {
        let usable = self.usable().await?;
        let signing = signing_at(usable.iter().map(|(key, _)| key), now()).map(|key| key.id);
        let found = usable.into_iter().find(|(key, _)| Some(key.id) == signing);
        let (key, opened) = found
            .ok_or_else(|| UseCaseError::Signing("no signing key opens under the configured master_keys".to_owned()))?;
        Ok(Signer { id: key.id, key: opened })
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517): those that tokens may be signed with, newest first, and then the one that
    /// signs webhooks.
    pub(crate) async fn jwks(&self) -> Result<String, UseCaseError> {
        let jwk = |kid: String, x: String| Jwk { kty: "OKP", crv: "Ed25519", alg: "EdDSA", r#use: "sig", kid, x };
        let of_tokens = self.usable().await?;
        let of_tokens = of_tokens.iter().map(|(key, _)| jwk(key.id.to_string(), public_text(key)));
        let of_webhooks = jwk(self.webhook_key.id(), URL_SAFE_NO_PAD.encode(self.webhook_key.public_bytes()));
        let set = Jwks { keys: of_tokens.chain([of_webhooks]).collect() };
        serde_json::to_string(&set).map_err(|error| UseCaseError::Signing(error.to_string()))
    }

    /// Every key there ever was, newest first.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, UseCaseError> {
        let keys = self.store.all_signing_keys().await?;
        let at = now();
        let readable: Vec<_> = keys.iter().filter(|key| self.opened(key).is_some()).collect();
        let signing = signing_at(readable.iter().copied(), at).map(|key| key.id);
        let state = |key: &SealedSigningKey| match key.retired_at {
            Some(_) => KeyState::Retired,
            None if !readable.iter().any(|readable| readable.id == key.id) => KeyState::Unreadable,
            None if Some(key.id) == signing => KeyState::Signs,
            None if key.signs_from > at => KeyState::Next,
            None => KeyState::Verifies,
        };
        let states: Vec<_> = keys.iter().map(state).collect();
        Ok(keys.into_iter().zip(states).map(|(key, state)| Listed { key, state }).collect())
    }

    /// Makes a key that signs after `delay`. Every gateway knows it when this returns. Tokens of the earlier keys stay valid. An earlier
    /// key that has not begun to sign is retired: otherwise it would take over later.
    pub(crate) async fn rotate(
        &self,
        propagation: &Propagation,
        caller: &Caller,
        delay: Duration,
    ) -> Result<Changed<Listed>, UseCaseError> {
        let made = self.make(now() + delay);
        let audit = AuditEntry::new(TenantId::DEPLOYMENT, caller, Action::RotateSigningKey, [] as [&str; 0]);
        let audit = audit.about(Subject::SigningKey(made.id));
        let store = Arc::clone(&self.store);
        let change = async move {
            let AtRevision { revision, .. } = store.add_signing_key(made.clone(), MOST_KEYS, audit).await?;
            Ok(AtRevision { value: made, revision })
        };
        let changed = propagation.commit_and_propagate(change).await?;
        let state = if changed.value.signs_from > now() { KeyState::Next } else { KeyState::Signs };
        Ok(changed.map(|key| Listed { key, state }))
    }

    /// Retires a key. From the moment this returns no gateway accepts a token that it signed, and sockets that were opened with one
    /// are closed. A repeated call waits for the gateways that have not acknowledged the retirement yet.
    pub(crate) async fn retire(
        &self,
        propagation: &Propagation,
        caller: &Caller,
        id: Uuid,
    ) -> Result<Changed<Listed>, UseCaseError> {
        let open: Vec<Uuid> = self.usable().await?.iter().map(|(key, _)| key.id).collect();
        let audit = AuditEntry::new(TenantId::DEPLOYMENT, caller, Action::RetireSigningKey, ["retired_at"]);
        let audit = audit.about(Subject::SigningKey(id));
        let store = Arc::clone(&self.store);
        let retiring = async move { store.retire_signing_key(id, &open, audit).await };
        let changed = propagation.commit_and_propagate(retiring).await?;
        Ok(changed.map(|key| Listed { key, state: KeyState::Retired }))
    }

    /// The keys that are not retired and open, newest first. What was opened of others is forgotten.
    async fn usable(&self) -> Result<Vec<(SealedSigningKey, Arc<EncodingKey>)>, UseCaseError> {
        let keys = self.store.signing_keys().await?;
        let is_kept = |id: &Uuid| keys.iter().any(|key| key.id == *id);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| is_kept(id));
        Ok(keys.into_iter().filter_map(|key| self.opened(&key).map(|opened| (key, opened))).collect())
    }

    /// The opened key of a row that is not retired; `None` where it does not open.
    fn opened(&self, key: &SealedSigningKey) -> Option<Arc<EncodingKey>> {
        if key.retired_at.is_some() {
            return None;
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = opened.get(&key.id)
            && (&kept.public, &kept.sealed_private) == (&key.public, &key.sealed_private)
        {
            return kept.key.clone();
        }
        let found = Opened {
            public: key.public.clone(),
            sealed_private: key.sealed_private.clone(),
            key: open_key(&self.master_keys, key).map(Arc::new),
        };
        opened.insert(key.id, found.clone());
        found.key
    }

    fn make(&self, signs_from: Timestamp) -> SealedSigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).expect("the system has randomness");
        let id = Uuid::now_v7();
        SealedSigningKey {
            id,
            public: SigningKey::from_bytes(&seed).verifying_key().to_bytes().to_vec(),
            sealed_private: self.master_keys.seal(SealContext { row: id, column: PRIVATE_COLUMN }, seed.as_slice()),
            created_at: now(),
            signs_from,
            retired_at: None,
        }
    }
}

/// The 32 public bytes as base64url, as in a key set.
pub(crate) fn public_text(key: &SealedSigningKey) -> String {
    URL_SAFE_NO_PAD.encode(&key.public)
}

/// Opens a key, and makes sure that its public half belongs to it. `None` for any other row: somebody who can write to the database and
/// has no master key must not be able to publish a key of their own. (They can put back an old row of ours that was retired since.)
fn open_key(master_keys: &MasterKeys, key: &SealedSigningKey) -> Option<EncodingKey> {
    let context = SealContext { row: key.id, column: PRIVATE_COLUMN };
    let opened = match master_keys.open(context, &key.sealed_private) {
        Ok(seed) => {
            <[u8; 32]>::try_from(seed.as_slice()).map(Zeroizing::new).map_err(|_| "it has not 32 bytes".to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    let encoded = opened.and_then(|seed| {
        let opened = SigningKey::from_bytes(&seed);
        if opened.verifying_key().as_bytes().as_slice() != key.public {
            return Err("its public half is another key's".to_owned());
        }
        opened.to_pkcs8_der().map(|der| EncodingKey::from_ed_der(der.as_bytes())).map_err(|error| error.to_string())
    });
    match encoded {
        Ok(encoded) => Some(encoded),
        Err(reason) => {
            tracing::error!(key_id = %key.id, reason, "a signing key is left out: it neither signs nor is published");
            None
        }
    }
}
