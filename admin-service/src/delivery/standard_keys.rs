//! What signs in the Standard Webhooks format: `v1` (HMAC-SHA-256) and `v1a` (Ed25519), over `id.timestamp.body`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The bytes of a tenant's secret, keyed for `v1`.
#[derive(Clone)]
pub(crate) struct WebhookKey(Hmac<Sha256>);

impl WebhookKey {
    /// Keys the secret's bytes, which can be wiped afterwards.
    #[must_use]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length"))
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

/// A tenant's keys in this format.
#[derive(Clone)]
pub(crate) struct StandardKeys {
    /// The current secret's first. In the overlap after a rotation both sign.
    pub(crate) shared: Vec<WebhookKey>,
    /// A key of its own, whose public half the tenant can read.
    pub(crate) own: SigningKey,
}

impl StandardKeys {
    /// `webhook-signature`: every signature, separated by spaces.
    #[must_use]
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let shared = self.shared.iter().map(|key| {
            let mac = key.0.clone().chain_update(&signed).finalize().into_bytes();
            format!("v1,{}", STANDARD.encode(mac))
        });
        let own = format!("v1a,{}", STANDARD.encode(self.own.sign(&signed).to_bytes()));
        shared.chain([own]).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for StandardKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StandardKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_agree_with_the_published_library_and_a_plain_ed25519() {
        // The public `standardwebhooks` libraries test themselves with these.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let keys = StandardKeys {
            shared: vec![WebhookKey::new(&secret), WebhookKey::new(&[7; 32])],
            own: SigningKey::from_bytes(&[9; 32]),
        };
        let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(
            signature,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= \
             v1,YO/ulmd+VFtlnbodv7yLOOsS6RlBZ48h++gXZrGOpZo= \
             v1a,03gkYlpahhMthGAtTTwC9vW82McpsIzzNS9N5imrCEcYptblB7WvlENSVkuUt+RsZKw2gHLjjOk9DTtiAg0gDA=="
        );
        assert_eq!(format!("{keys:?} {:?}", keys.shared), "StandardKeys(..) [WebhookKey(..), WebhookKey(..)]");
    }
}
