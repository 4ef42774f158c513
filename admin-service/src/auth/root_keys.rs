//! The root keys: those of the configuration. They may do everything on the admin surface.

use std::sync::Arc;

use http::HeaderName;
use secrecy::ExposeSecret as _;
use service::config::SecretList;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The header with an admin key; internal services send it as gRPC metadata.
pub(crate) const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");

/// The root keys: compared in constant time, each named by a prefix of its hash.
#[derive(Clone)]
pub(crate) struct RootKeys(Arc<[RootKey]>);

struct RootKey {
    digest: [u8; 32],
    actor: Arc<str>,
}

impl RootKeys {
    pub(crate) fn new(keys: &SecretList) -> Self {
        let named = keys.accepted().map(|key| {
            let digest: [u8; 32] = Sha256::digest(key.expose_secret()).into();
            // Hashed once more, so that the audit log holds no part of what a guess could be checked against cheaply.
            let name = hex::encode(&Sha256::digest([b"chat-relay admin key id: ".as_slice(), &digest].concat())[..4]);
            RootKey { digest, actor: format!("admin_key:{name}").into() }
        });
        Self(named.collect())
    }

    /// The actor that `given` stands for, where it is one of the keys.
    pub(super) fn find(&self, given: &[u8]) -> Option<Arc<str>> {
        // Digests have one length, so the comparison tells nothing of the key's. It ends at no match: the time tells nothing of how
        // many keys there are before it.
        let digest: [u8; 32] = Sha256::digest(given).into();
        let mut caller = None;
        for key in &*self.0 {
            if bool::from(key.digest.ct_eq(&digest)) {
                caller = Some(&key.actor);
            }
        }
        caller.map(Arc::clone)
    }
}
