//! What signs in the Standard Webhooks format: `v1` (HMAC-SHA-256) and `v1a` (Ed25519), over `id.timestamp.body`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
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

/// A key that signs until its end.
#[derive(Clone, Debug)]
pub(crate) struct EndingKey {
    pub(crate) key: WebhookKey,
    pub(crate) ends_at: Timestamp,
}

/// A tenant's keys in this format.
#[derive(Clone)]
pub(crate) struct StandardKeys {
    /// The key of the current secret.
    pub(crate) current: WebhookKey,
    /// The key of the secret before a rotation with overlap. Until its end both sign.
    pub(crate) previous: Option<EndingKey>,
    /// A key of its own, whose public half the tenant can read.
    pub(crate) own: SigningKey,
}

impl StandardKeys {
    /// `webhook-signature` of an attempt that begins at `at`: every signature, separated by spaces.
    #[must_use]
    pub(super) fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let signed = [id.as_bytes(), b".", at.as_second().to_string().as_bytes(), b".", body].concat();
        let previous = self.previous.iter().filter(|previous| at < previous.ends_at).map(|previous| &previous.key);
        let shared = [&self.current].into_iter().chain(previous).map(|key| {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn signatures_agree_with_the_published_library_and_a_plain_ed25519() {
        // The public `standardwebhooks` libraries test themselves with these.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let at = Timestamp::from_second(1_614_265_330).expect("a time");
        let ending = |ends_at| EndingKey { key: WebhookKey::new(&[7; 32]), ends_at };
        let keys = |previous| StandardKeys {
            current: WebhookKey::new(&secret),
            previous,
            own: SigningKey::from_bytes(&[9; 32]),
        };
        let sign = |keys: StandardKeys| keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        let current = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let previous = "v1,YO/ulmd+VFtlnbodv7yLOOsS6RlBZ48h++gXZrGOpZo=";
        let own = "v1a,03gkYlpahhMthGAtTTwC9vW82McpsIzzNS9N5imrCEcYptblB7WvlENSVkuUt+RsZKw2gHLjjOk9DTtiAg0gDA==";
        let soon = at + Duration::from_millis(1);
        assert_eq!(sign(keys(Some(ending(soon)))), format!("{current} {previous} {own}"));
        assert_eq!(sign(keys(Some(ending(at)))), format!("{current} {own}"), "the overlap has ended");
        let shown = format!("{:?} {:?}", keys(None), ending(at).key);
        assert_eq!(shown, "StandardKeys(..) WebhookKey(..)");
    }
}
