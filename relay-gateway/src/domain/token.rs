//! Visitors' and operators' tokens: which key signed one, and what it opens. PROTOCOL.md, sections 5 and 8.
//!
//! A widget session's token is bound to session, widget key and origin. A minted token stands for a visitor that the tenant's
//! backend knows: it is bound to nothing but the tenant and the visitor's id, and it is over when either is revoked.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;
use wire::{SessionId, TenantId, origin::Origin};

/// The `aud` of a widget session's token, and of a minted one: no other token of the relay's passes for either.
const SESSION: &str = "chat-widget-session";
const MINTED: &str = "chat-widget";
/// The `aud` of an operator's token.
const OPERATOR: &str = "chat-backend";

/// Visitors' have some 600 characters, and an operator's has its routing keys: a hundred of a hundred characters, written with escapes.
/// What is longer is not worth a hash.
const LONGEST: usize = 64 * 1024;

/// Ids of keys that sign webhooks begin with this. Such a key is in the same key set, and signs no token.
const OF_WEBHOOKS: &str = "wh_";

/// The public keys that tokens are signed with, by their ids.
#[derive(Default)]
pub(crate) struct Keyring(HashMap<String, DecodingKey>);

/// The claims of a token whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VisitorToken {
    /// The `kid` of the key that signed it.
    pub(crate) key_id: String,
    pub(crate) tenant_id: TenantId,
    pub(crate) opens: Opens,
    /// Unix seconds.
    expires_at: i64,
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// A widget's session.
    Session {
        session: SessionId,
        /// The widget key's text.
        widget_key: String,
        /// The page's.
        origin: Origin,
        /// Its place among the session's tokens.
        generation: u64,
        /// Where the visitor is identified: the session is over where the tenant has a later generation.
        tenant_generation: Option<u64>,
    },
    /// The session of a visitor that the tenant's backend knows.
    Minted {
        visitor_user_id: String,
        /// It is over where the visitor, or the tenant, has a later one.
        generation: u64,
        tenant_generation: u64,
    },
}

/// The claims of an operator's token whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperatorToken {
    /// The `kid` of the key that signed it.
    pub(crate) key_id: String,
    pub(crate) tenant_id: TenantId,
    pub(crate) operator_id: Uuid,
    /// The version of the membership that it was issued for.
    pub(crate) membership_version: u64,
    /// The token is over if the tenant has a later generation.
    pub(crate) tenant_generation: u64,
    /// When the tenant's backend vouched for the operator: when the first token of the chain was issued. Unix seconds.
    pub(crate) first_issued_at: i64,
    /// Unix seconds.
    pub(super) expires_at: i64,
}

impl OperatorToken {
    /// Unix milliseconds.
    pub(crate) fn ends_at_ms(&self) -> i64 {
        self.expires_at.saturating_mul(1000)
    }

    /// Whether its time is over.
    pub(crate) fn has_ended(&self, now_unix_ms: i64) -> bool {
        self.ends_at_ms() <= now_unix_ms
    }
}

impl VisitorToken {
    /// Unix milliseconds.
    pub(crate) fn ends_at_ms(&self) -> i64 {
        self.expires_at.saturating_mul(1000)
    }

    /// Whether it has ended: then it only proves what session another may be asked for.
    pub(crate) fn has_ended(&self, now_unix_ms: i64) -> bool {
        self.ends_at_ms() <= now_unix_ms
    }
}

/// Why a text is not a token of this relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not of a token's form, its signature is wrong, or it was made for something else.
    Invalid,
    /// It names a key that is not in the ring: it may be a newer one.
    UnknownKey,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    exp: i64,
    tenant_id: TenantId,
    widget_key: Option<String>,
    origin: Option<String>,
    /// Tokens from before generations do not have it; they count as generation 0.
    #[serde(default)]
    generation: u64,
    tenant_generation: Option<u64>,
}

/// What an operator's token says. Tokens of earlier builds name neither the membership's version, which counts as 0, nor when the tenant
/// vouched for the operator, which was when they were issued.
#[derive(Deserialize)]
struct OperatorClaims {
    sub: Uuid,
    iat: i64,
    exp: i64,
    tenant_id: TenantId,
    #[serde(default)]
    membership_version: u64,
    #[serde(default)]
    tenant_generation: u64,
    auth_time: Option<i64>,
}

impl Claims {
    fn opens(self) -> Option<Opens> {
        Some(if self.aud == SESSION {
            Opens::Session {
                session: self.sub.parse().ok()?,
                widget_key: self.widget_key?,
                origin: self.origin?.parse().ok()?,
                generation: self.generation,
                tenant_generation: self.tenant_generation,
            }
        } else {
            let Self { sub, generation, .. } = self;
            let tenant_generation = self.tenant_generation.unwrap_or_default();
            Opens::Minted { visitor_user_id: Some(sub).filter(|sub| !sub.is_empty())?, generation, tenant_generation }
        })
    }
}

impl Keyring {
    /// Reads the keys of tokens in a JSON Web Key Set.
    pub(crate) fn read(jwks: &str) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_str(jwks)?;
        let keys = set.keys.iter().filter_map(|key| {
            let id = key.common.key_id.clone().filter(|id| !id.starts_with(OF_WEBHOOKS))?;
            Some((id, DecodingKey::from_jwk(key).ok()?))
        });
        Ok(Self(keys.collect()))
    }

    /// Whether the key of this `kid` is among them.
    pub(crate) fn holds(&self, key_id: &str) -> bool {
        self.0.contains_key(key_id)
    }

    /// Checks a visitor's token's signature and reads what it is bound to; the caller must check whether it has ended.
    pub(crate) fn verify(&self, token: &str) -> Result<VisitorToken, Refused> {
        let (key_id, claims) = self.decode::<Claims>(token, &[SESSION, MINTED])?;
        let (tenant_id, expires_at) = (claims.tenant_id, claims.exp);
        Ok(VisitorToken { key_id, tenant_id, opens: claims.opens().ok_or(Refused::Invalid)?, expires_at })
    }

    /// The same for an operator's token.
    pub(crate) fn verify_operator(&self, token: &str) -> Result<OperatorToken, Refused> {
        let (key_id, claims) = self.decode::<OperatorClaims>(token, &[OPERATOR])?;
        Ok(OperatorToken {
            key_id,
            tenant_id: claims.tenant_id,
            operator_id: claims.sub,
            membership_version: claims.membership_version,
            tenant_generation: claims.tenant_generation,
            first_issued_at: claims.auth_time.unwrap_or(claims.iat),
            expires_at: claims.exp,
        })
    }

    /// The `kid` of the key that signed a token, and the token's claims.
    fn decode<T: DeserializeOwned>(&self, token: &str, audiences: &[&str]) -> Result<(String, T), Refused> {
        if token.len() > LONGEST {
            return Err(Refused::Invalid);
        }
        let header = decode_header(token).map_err(|_| Refused::Invalid)?;
        // The algorithm is ours to choose, never the token's.
        if header.alg != Algorithm::EdDSA {
            return Err(Refused::Invalid);
        }
        let key_id = header.kid.ok_or(Refused::UnknownKey)?;
        let key = self.0.get(&key_id).ok_or(Refused::UnknownKey)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(audiences);
        validation.set_required_spec_claims(&["aud", "exp", "sub"]);
        validation.validate_exp = false;
        let claims = decode(token, key, &validation).map_err(|_| Refused::Invalid)?.claims;
        Ok((key_id, claims))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ed25519_dalek::{Signer as _, SigningKey};
    use serde_json::{Value, json};

    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn segment(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", segment(header), segment(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes());
        format!("{text}.{signature}")
    }

    fn ring(key: &SigningKey) -> Keyring {
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes());
        let key_of =
            |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id, "x": x});
        let keys = json!({"keys": [key_of("k1"), key_of("wh_1")]});
        Keyring::read(&keys.to_string()).expect("a key set")
    }

    fn claims(tenant: TenantId, session: SessionId) -> Value {
        json!({
            "iss": "chat-relay", "aud": SESSION, "sub": session.to_string(), "iat": NOW_MS / 1000,
            "exp": NOW_MS / 1000 + 3600, "tenant_id": tenant, "role": "visitor",
            "widget_key": "pk_1", "origin": "https://shop.demo.com"
        })
    }

    #[test]
    fn it_says_what_it_is_bound_to_and_when_it_ends() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (tenant, session) = (TenantId::generate(), SessionId::generate());
        let token = signed(&key, &json!({"alg": "EdDSA", "kid": "k1"}), &claims(tenant, session));
        let read = ring(&key).verify(&token).expect("verified");
        let origin = "https://shop.demo.com".parse().expect("an origin");
        assert_eq!(read.tenant_id, tenant);
        assert_eq!(
            read.opens,
            Opens::Session { session, widget_key: "pk_1".to_owned(), origin, generation: 0, tenant_generation: None }
        );
        assert!(!read.has_ended(NOW_MS + 3_599_999) && read.has_ended(NOW_MS + 3_600_000));
    }

    #[test]
    fn a_key_of_webhooks_signs_no_token() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let claims = claims(TenantId::generate(), SessionId::generate());
        let read =
            |id: &str| ring(&key).verify(&signed(&key, &json!({"alg": "EdDSA", "kid": id}), &claims)).map(|_| ());
        assert_eq!((read("k1"), read("wh_1")), (Ok(()), Err(Refused::UnknownKey)));
        assert!(!ring(&key).holds("wh_1"));
    }

    #[test]
    fn a_minted_token_opens_its_visitors_session_and_is_of_a_generation() {
        let (key, tenant) = (SigningKey::from_bytes(&[7; 32]), TenantId::generate());
        let ours = json!({"alg": "EdDSA", "kid": "k1"});
        let mut claims = json!({"aud": MINTED, "sub": "user-1", "exp": NOW_MS / 1000, "tenant_id": tenant});
        let opens = |claims: &Value| ring(&key).verify(&signed(&key, &ours, claims)).expect("verified").opens;
        let minted = |generation, tenant_generation| Opens::Minted {
            visitor_user_id: "user-1".to_owned(),
            generation,
            tenant_generation,
        };
        assert_eq!(opens(&claims), minted(0, 0), "of before there were generations");
        (claims["generation"], claims["tenant_generation"]) = (json!(3), json!(4));
        assert_eq!(opens(&claims), minted(3, 4));
    }

    #[test]
    fn whatever_else_is_signed_or_claimed_is_refused() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let ring = ring(&key);
        let ours = json!({"alg": "EdDSA", "kid": "k1"});
        let good = claims(TenantId::generate(), SessionId::generate());
        let with = |field: &str, value: Value| {
            let mut claims = good.clone();
            claims[field] = value;
            claims
        };
        let without = |field: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(field);
            claims
        };
        // A public key is public: an HMAC made with its bytes must not pass for a signature.
        let public = key.verifying_key().to_bytes();
        let hmac = jsonwebtoken::encode(
            &jsonwebtoken::Header { kid: Some("k1".to_owned()), ..jsonwebtoken::Header::new(Algorithm::HS256) },
            &good,
            &jsonwebtoken::EncodingKey::from_secret(&public),
        )
        .expect("encoded");
        let token = signed(&key, &ours, &good);
        let cut = token.rsplit_once('.').expect("three parts").0.to_owned();
        for (what, hostile) in [
            ("another's signature", signed(&other, &ours, &good)),
            ("an HMAC under the public key", hmac),
            ("alg none", format!("{}.{}.", segment(&json!({"alg": "none", "kid": "k1"})), segment(&good))),
            ("HS256 claimed over our signature", signed(&key, &json!({"alg": "HS256", "kid": "k1"}), &good)),
            ("ES256 claimed over our signature", signed(&key, &json!({"alg": "ES256", "kid": "k1"}), &good)),
            ("no signature", format!("{cut}.")),
            ("two parts", cut),
            ("an operator's", signed(&key, &ours, &with("aud", json!("chat-backend")))),
            (
                "a nameless visitor's",
                signed(
                    &key,
                    &ours,
                    &json!({
                        "aud": MINTED, "sub": "", "exp": NOW_MS, "tenant_id": TenantId::generate()
                    }),
                ),
            ),
            ("two audiences", signed(&key, &ours, &with("aud", json!([SESSION, MINTED])))),
            ("no audience", signed(&key, &ours, &without("aud"))),
            ("no end", signed(&key, &ours, &without("exp"))),
            ("no session", signed(&key, &ours, &with("sub", json!("user-1")))),
            ("no widget key", signed(&key, &ours, &without("widget_key"))),
            ("no origin", signed(&key, &ours, &with("origin", json!("nowhere")))),
            ("no tenant", signed(&key, &ours, &with("tenant_id", json!("t")))),
            ("too long", signed(&key, &ours, &with("padding", json!("x".repeat(LONGEST))))),
            ("nothing", String::new()),
            ("noise", "a.b.c".to_owned()),
        ] {
            assert_eq!(ring.verify(&hostile), Err(Refused::Invalid), "{what}");
        }
        for unknown in [json!({"alg": "EdDSA", "kid": "k2"}), json!({"alg": "EdDSA"})] {
            assert_eq!(ring.verify(&signed(&key, &unknown, &good)), Err(Refused::UnknownKey));
        }
        let mut altered = token.into_bytes();
        altered[40] ^= 1;
        assert!(ring.verify(&String::from_utf8_lossy(&altered)).is_err());
    }
}
