//! The bearer tokens of gateways.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use service::config::SecretList;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// The bearer tokens of gateways, compared in constant time.
#[derive(Clone)]
pub(crate) struct ServiceTokens(Arc<[[u8; 32]]>);

impl ServiceTokens {
    pub(crate) fn new(tokens: &SecretList) -> Self {
        Self(tokens.accepted().map(|token| Sha256::digest(token.expose_secret()).into()).collect())
    }

    /// Whether `given` is one of the tokens.
    pub(crate) fn accept(&self, given: Option<&str>) -> bool {
        let digest: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        // Every token is compared, so that the time tells nothing of the list.
        let known = self.0.iter().fold(Choice::from(0), |known, token| known | token.ct_eq(&digest));
        given.is_some() && bool::from(known)
    }
}
