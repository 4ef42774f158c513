//! HMAC#1 (tenant to relay) and HMAC#2 (relay to chat backend): PROTOCOL.md, section 4.
//!
//! Owns the signed strings and constant-time comparison. Knows nothing of headers, clocks or tenants.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How far a signed time may be from the receiver's, either way, inclusive. Milliseconds.
pub const WINDOW_MS: i64 = 30_000;

/// A body's SHA-256, and its lower-case hexadecimal text, which is what gets signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyDigest([u8; 64]);

impl BodyDigest {
    /// The digest of a whole body; of the empty string where there is none.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self::from_hasher(Sha256::new_with_prefix(body))
    }

    /// The digest of what a hasher was fed as the body arrived.
    #[must_use]
    pub fn from_hasher(hasher: Sha256) -> Self {
        let mut text = [0; 64];
        hex::encode_to_slice(hasher.finalize(), &mut text).expect("32 bytes are 64 digits");
        Self(text)
    }

    /// Its 64 hexadecimal digits.
    #[must_use]
    pub fn as_hex(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// A signature: 32 bytes, 64 hexadecimal digits on the wire.
#[derive(Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        // The decoder would take a `0x` before the digits.
        if text.len() != Self::DIGITS {
            return None;
        }
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// How many hexadecimal digits it has.
    pub const DIGITS: usize = 64;

    /// Its 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The same, written into `digits`.
    pub fn write_hex(self, digits: &mut [u8; Self::DIGITS]) -> &str {
        hex::encode_to_str(self.0, digits).expect("32 bytes are 64 digits")
    }

    /// Its bytes. A verified one is as good as random to anybody without the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A keyed HMAC-SHA-256 state. Made once per secret and cloned per signature, which saves two of the hash's blocks.
#[derive(Clone)]
struct Key(Hmac<Sha256>);

impl Key {
    fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    fn sign<const N: usize>(&self, parts: [&[u8]; N]) -> Signature {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        Signature(mac.finalize().into_bytes().into())
    }
}

/// A tenant's secret, keyed for HMAC#1.
#[derive(Clone)]
pub struct TenantKey(Key);

impl TenantKey {
    /// Keys a secret. The secret's text can be wiped afterwards.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Key::new(secret))
    }

    /// Signs `"{timestamp}.{sha256_hex(body)}"`. `timestamp` is the decimal text as sent.
    #[must_use]
    pub fn sign(&self, timestamp: &str, body: &BodyDigest) -> Signature {
        self.0.sign([timestamp.as_bytes(), b".", &body.0])
    }

    /// Whether `signature` is this key's, in constant time.
    #[must_use]
    pub fn verify(&self, timestamp: &str, body: &BodyDigest, signature: &Signature) -> bool {
        self.sign(timestamp, body).matches(signature)
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(..)")
    }
}

/// The text HMAC#1 signs, for people who debug their own signing.
#[must_use]
pub fn signing_string(timestamp: &str, body: &BodyDigest) -> String {
    format!("{timestamp}.{}", body.as_hex())
}

/// The secret shared with the chat backend, keyed for HMAC#2.
#[derive(Clone)]
pub struct RelayKey(Key);

/// What stands in the place of the body's digest where the body is not signed. No digest looks like it.
const UNSIGNED_PAYLOAD: &[u8] = b"UNSIGNED-PAYLOAD";

/// What HMAC#2 vouches for.
#[derive(Clone, Copy, Debug)]
pub struct RelayedCall<'a> {
    /// Unix milliseconds, decimal, as sent in `X-Relay-Timestamp`.
    pub timestamp: &'a str,
    /// The method, upper-case.
    pub method: &'a str,
    /// Path and query exactly as on the request line.
    pub path_and_query: &'a str,
    /// The tenant, as sent in `X-Relay-Tenant-Id`.
    pub tenant_id: &'a str,
    /// `tenant`, `visitor:<session>` or `operator:<id>`, as sent in `X-Relay-Actor`.
    pub actor: &'a str,
}

impl RelayKey {
    /// Keys the relay secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Key::new(secret))
    }

    /// Signs the call's fields and its body's digest, a line each.
    #[must_use]
    pub fn sign(&self, call: &RelayedCall<'_>, body: &BodyDigest) -> Signature {
        self.sign_with(call, &body.0)
    }

    /// Signs the call's fields, and says that the body is not signed: an upload's, which is sent on as it arrives.
    #[must_use]
    pub fn sign_without_body(&self, call: &RelayedCall<'_>) -> Signature {
        self.sign_with(call, UNSIGNED_PAYLOAD)
    }

    fn sign_with(&self, call: &RelayedCall<'_>, digest: &[u8]) -> Signature {
        let line = b"\n".as_slice();
        self.0.sign([
            call.timestamp.as_bytes(),
            line,
            call.method.as_bytes(),
            line,
            call.path_and_query.as_bytes(),
            line,
            call.tenant_id.as_bytes(),
            line,
            call.actor.as_bytes(),
            line,
            digest,
        ])
    }

    /// Whether `signature` is this key's, in constant time.
    #[must_use]
    pub fn verify(&self, call: &RelayedCall<'_>, body: &BodyDigest, signature: &Signature) -> bool {
        self.sign(call, body).matches(signature)
    }

    /// Whether `signature` is this key's over a call whose body is not signed, in constant time.
    #[must_use]
    pub fn verify_without_body(&self, call: &RelayedCall<'_>, signature: &Signature) -> bool {
        self.sign_without_body(call).matches(signature)
    }
}

impl fmt::Debug for RelayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayKey(..)")
    }
}

/// Every relay secret that is accepted, so that it can be changed without a refused call.
#[derive(Clone, Debug)]
pub struct RelayKeys(Arc<[RelayKey]>);

impl FromIterator<RelayKey> for RelayKeys {
    fn from_iter<I: IntoIterator<Item = RelayKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl RelayKeys {
    /// Whether `signature` is one of these keys'. Every key is tried, so that the time tells nothing of the list.
    #[must_use]
    pub fn verify(&self, call: &RelayedCall<'_>, body: &BodyDigest, signature: &Signature) -> bool {
        self.0.iter().fold(false, |verified, key| key.verify(call, body, signature) | verified)
    }

    /// The same for a call whose body is not signed.
    #[must_use]
    pub fn verify_without_body(&self, call: &RelayedCall<'_>, signature: &Signature) -> bool {
        self.0.iter().fold(false, |verified, key| key.verify_without_body(call, signature) | verified)
    }
}

/// The relay's headers towards the chat backend.
pub mod relay_headers {
    use http::{HeaderName, HeaderValue};

    /// The tenant the call is for.
    pub const TENANT_ID: HeaderName = HeaderName::from_static("x-relay-tenant-id");
    /// Unix milliseconds.
    pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-relay-timestamp");
    /// Who acts: `tenant`, `visitor:<session>` or `operator:<id>`.
    pub const ACTOR: HeaderName = HeaderName::from_static("x-relay-actor");
    /// HMAC#2.
    pub const SIGNATURE: HeaderName = HeaderName::from_static("x-relay-signature");
    /// On an answer: what the chat backend refused. [`REFUSED_SIGNATURE`] or [`REFUSED_CALLER`].
    pub const REFUSED: HeaderName = HeaderName::from_static("x-relay-refused");
    /// The backend refused HMAC#2. A 401 without [`REFUSED`] means the same.
    pub const REFUSED_SIGNATURE: HeaderValue = HeaderValue::from_static("signature");
    /// The backend verified HMAC#2, and its 401 is meant for the relay's caller.
    pub const REFUSED_CALLER: HeaderValue = HeaderValue::from_static("caller");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the published Python client's own signer; `tests/python/test_vectors.py` checks them against it.
    #[derive(serde::Deserialize)]
    struct Vector {
        secret: String,
        timestamp: String,
        body: String,
        signature: String,
    }

    #[test]
    fn hmac1_agrees_with_the_published_client() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../../tests/vectors/hmac1.json")).expect("vectors are JSON");
        assert!(vectors.len() >= 5);
        for vector in vectors {
            let key = TenantKey::new(vector.secret.as_bytes());
            let digest = BodyDigest::of(vector.body.as_bytes());
            assert_eq!(key.sign(&vector.timestamp, &digest).to_hex(), vector.signature);
            let signature = Signature::from_hex(vector.signature.as_bytes()).expect("64 digits");
            assert!(key.verify(&vector.timestamp, &digest, &signature));
            assert!(!key.verify(&format!("{}0", vector.timestamp), &digest, &signature));
            assert!(!key.verify(&vector.timestamp, &BodyDigest::of(b"tampered"), &signature));
        }
    }

    /// A case of this project's own, computed with Python's `hmac` (see `tests/vectors/README.md`).
    #[test]
    fn hmac2_signs_every_field_on_a_line_of_its_own() {
        let key = RelayKey::new(b"relay-secret-for-the-vector-0001");
        let call = RelayedCall {
            timestamp: "1718960000000",
            method: "POST",
            path_and_query: "/add/message?conversation_id=c1",
            tenant_id: "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
            actor: "tenant",
        };
        let body = BodyDigest::of(br#"{"content":"hi"}"#);
        let signature = key.sign(&call, &body);
        assert_eq!(signature.to_hex(), "a1615cc8d1ab7622c3e767bc1b72bad70b58e1387234d051e434e8a1402c8485");
        for broken in [
            RelayedCall { timestamp: "1718960000001", ..call },
            RelayedCall { method: "PUT", ..call },
            RelayedCall { path_and_query: "/add/message", ..call },
            RelayedCall { tenant_id: "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0e", ..call },
            RelayedCall { actor: "visitor:vs_1", ..call },
        ] {
            assert!(!key.verify(&broken, &body, &signature), "{broken:?}");
        }
        assert!(!key.verify(&call, &BodyDigest::of(b""), &signature));
        let other = RelayKey::new(b"another-relay-secret-of-the-list");
        let signed_by_other = other.sign(&call, &body);
        for (keys, verified) in [
            (vec![key.clone(), other.clone()], (true, true)),
            (vec![other, key.clone()], (true, true)),
            (vec![key], (true, false)),
            (vec![], (false, false)),
        ] {
            let keys: RelayKeys = keys.into_iter().collect();
            let found = (keys.verify(&call, &body, &signature), keys.verify(&call, &body, &signed_by_other));
            assert_eq!(found, verified);
        }
    }

    #[test]
    fn keys_do_not_print_themselves() {
        assert_eq!(format!("{:?}", TenantKey::new(b"sk_hush")), "TenantKey(..)");
        assert_eq!(format!("{:?}", RelayKey::new(b"hush")), "RelayKey(..)");
    }
}
