//! HMAC#1 admission: what a signed call carries, the window, the signature. Contract, section 4.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};
use serde_json::json;
use service::ApiError;
use wire::{
    ErrorCode, TenantId,
    signature::{BodyDigest, Signature, TenantKey, WINDOW_MS, signing_string},
    time::WireTime,
};

use super::tenant::TenantState;

pub const TENANT_ID: HeaderName = HeaderName::from_static("x-bloonio-tenant-id");
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-bloonio-timestamp");
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-bloonio-signature");

/// Stands in for the key of a tenant that does not exist, so that it takes as long to refuse as one that does.
static NOBODY: LazyLock<TenantKey> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the system has randomness");
    TenantKey::new(&key)
});

/// The tenant that a call names, whether or not it proves to be that tenant's.
#[must_use]
pub fn named_tenant(headers: &HeaderMap) -> Option<TenantId> {
    headers.get(TENANT_ID)?.to_str().ok()?.parse().ok()
}

/// The three headers of a signed call, each well formed.
pub struct SignedCall {
    pub tenant_id: TenantId,
    /// The decimal text as sent: it is what was signed.
    timestamp: HeaderValue,
    pub timestamp_ms: i64,
    pub signature: Signature,
}

impl SignedCall {
    /// Takes them out of a call's headers: they prove the caller to the relay, and are nothing to the chat backend.
    ///
    /// # Errors
    /// [`ErrorCode::MissingSignatureHeaders`], [`ErrorCode::MalformedSignatureHeaders`].
    pub fn take(headers: &mut HeaderMap) -> Result<Self, ApiError> {
        let [tenant_id, timestamp, signature] =
            [TENANT_ID, TIMESTAMP, SIGNATURE].map(|name| take_single(headers, name));
        let missing: Vec<_> = [
            (&tenant_id, "X-Bloonio-Tenant-Id"),
            (&timestamp, "X-Bloonio-Timestamp"),
            (&signature, "X-Bloonio-Signature"),
        ]
        .into_iter()
        .filter_map(|(header, name)| matches!(header, Given::Absent).then_some(name))
        .collect();
        if !missing.is_empty() {
            return Err(ApiError::new(
                ErrorCode::MissingSignatureHeaders,
                format!("Sign the call: it lacks {}.", missing.join(", ")),
            ));
        }
        let tenant_id = tenant_id
            .once()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| malformed("X-Bloonio-Tenant-Id must be the tenant's UUID, once."))?;
        let timestamp_ms = timestamp
            .once()
            .filter(|text| is_decimal(text))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| malformed("X-Bloonio-Timestamp must be Unix milliseconds in decimal digits, once."))?;
        let signature = signature
            .once()
            .and_then(|text| Signature::from_hex(text.as_bytes()))
            .ok_or_else(|| malformed("X-Bloonio-Signature must be 64 hexadecimal digits, once."))?;
        let Given::Once(timestamp) = timestamp else { unreachable!("it was read") };
        Ok(Self { tenant_id, timestamp, timestamp_ms, signature })
    }

    fn timestamp(&self) -> &str {
        self.timestamp.to_str().expect("it is digits")
    }

    /// Whether the call was signed within the window around `now_ms`.
    ///
    /// # Errors
    /// [`ErrorCode::TimestampOutOfWindow`], with the relay's time and the difference.
    pub fn check_window(&self, now_ms: i64) -> Result<(), ApiError> {
        let ahead = self.timestamp_ms.saturating_sub(now_ms);
        if (-WINDOW_MS..=WINDOW_MS).contains(&ahead) {
            return Ok(());
        }
        let (difference, side) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
        Err(ApiError::new(
            ErrorCode::TimestampOutOfWindow,
            format!(
                "X-Bloonio-Timestamp is {difference} ms {side} the relay, whose time is {now_ms} ({}). It may differ by \
                 {WINDOW_MS} ms: sign with the current time in Unix milliseconds, and check your clock.",
                WireTime::from_unix_ms(now_ms)
            ),
        ))
    }

    /// Whether the tenant signed this body. An unknown tenant and a wrong signature are one answer, and take one time
    /// here; the admin service and the directory see to theirs.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidSignature`] with what was received.
    pub fn verify<'t>(
        &self,
        tenant: Option<&'t TenantState>,
        body: &BodyDigest,
        body_bytes: usize,
    ) -> Result<&'t TenantState, ApiError> {
        let key = tenant.map_or(&*NOBODY, |tenant| &tenant.key);
        let right = key.verify(self.timestamp(), body, &self.signature);
        let Some(tenant) = tenant.filter(|_| right) else {
            return Err(ApiError::new(
                ErrorCode::InvalidSignature,
                "The signature does not match. X-Bloonio-Signature is hex(hmac_sha256(tenant_secret, signing_string)): \
                 compare `received` with what your code signed, then the tenant id and secret you use.",
            )
            .received(json!({
                "timestamp": self.timestamp(),
                "body_bytes": body_bytes,
                "body_sha256": body.as_hex(),
                "signing_string": signing_string(self.timestamp(), body),
            })));
        };
        Ok(tenant)
    }
}

/// The answer to a suspended tenant, once its signature is proven.
pub(crate) fn suspended() -> ApiError {
    ApiError::new(ErrorCode::TenantSuspended, "This tenant is suspended. Ask the platform's operator to reactivate it.")
}

/// The answer to a signature that was used before.
pub(crate) fn replayed() -> ApiError {
    ApiError::new(
        ErrorCode::ReplayedRequest,
        "This signature was already used. A signature with a body is good once for each method, path and conversation_id (128 at \
         most); one without a body is good once. To send a call again, sign it with a later time.",
    )
}

enum Given {
    Absent,
    /// With a text that is visible ASCII.
    Once(HeaderValue),
    Unusable,
}

impl Given {
    fn once(&self) -> Option<&str> {
        match self {
            Self::Once(value) => value.to_str().ok(),
            Self::Absent | Self::Unusable => None,
        }
    }
}

fn take_single(headers: &mut HeaderMap, name: HeaderName) -> Given {
    let Entry::Occupied(given) = headers.entry(name) else { return Given::Absent };
    let (_, mut values) = given.remove_entry_mult();
    match (values.next(), values.next()) {
        (Some(value), None) if value.is_empty() => Given::Absent,
        (Some(value), None) if value.to_str().is_ok() => Given::Once(value),
        _ => Given::Unusable,
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn malformed(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::MalformedSignatureHeaders, message)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::tenant::Generation;

    const NOW: i64 = 1_718_960_000_000;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
        }
        headers
    }

    fn tenant(secret: &[u8]) -> TenantState {
        TenantState {
            id: TenantId::generate(),
            suspended: false,
            key: TenantKey::new(secret),
            rate_limit_per_min: NonZeroU32::MIN,
            rate: Default::default(),
            file_upload_enabled: true,
            token_generation: 0,
            visitor_revocations: 0,
            sessions_ended: 0,
            generation: Generation::next(),
        }
    }

    fn code<T>(result: Result<T, ApiError>) -> Option<ErrorCode> {
        result.err().map(|error| error.code())
    }

    fn signed(secret: &[u8], timestamp: &str, body: &[u8]) -> HeaderMap {
        let signature = TenantKey::new(secret).sign(timestamp, &BodyDigest::of(body)).to_hex();
        headers(&[
            ("x-bloonio-tenant-id", "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f"),
            ("x-bloonio-timestamp", timestamp),
            ("x-bloonio-signature", &signature),
        ])
    }

    #[test]
    fn each_header_is_needed_once_and_well_formed() {
        let good = [
            ("x-bloonio-tenant-id", "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f"),
            ("x-bloonio-timestamp", "1718960000000"),
            ("x-bloonio-signature", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ];
        assert_eq!(code(SignedCall::take(&mut headers(&good))), None);
        for index in 0..good.len() {
            let mut without = good.to_vec();
            without.remove(index);
            assert_eq!(code(SignedCall::take(&mut headers(&without))), Some(ErrorCode::MissingSignatureHeaders));
            let mut twice = good.to_vec();
            twice.push(good[index]);
            assert_eq!(code(SignedCall::take(&mut headers(&twice))), Some(ErrorCode::MalformedSignatureHeaders));
            let wrong: &[&str] = match index {
                0 => &["x", "019e4ae71a2b7c3d8e4f5a6b7c8d9e0f", "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0g"],
                1 => &["-1", "+1", "1e3", "1718960000000.0", " 1", "0x1", "99999999999999999999", "é"],
                _ => &[
                    "aa",
                    "g",
                    "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ],
            };
            for text in wrong {
                let mut broken = good.to_vec();
                broken[index].1 = text;
                assert_eq!(
                    code(SignedCall::take(&mut headers(&broken))),
                    Some(ErrorCode::MalformedSignatureHeaders),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn the_window_is_thirty_seconds_either_way_inclusive() {
        for (offset, inside) in [(0, true), (30_000, true), (-30_000, true), (30_001, false), (-30_001, false)] {
            let mut headers = signed(b"k", &(NOW + offset).to_string(), b"");
            let call = SignedCall::take(&mut headers).expect("well formed");
            assert_eq!(call.check_window(NOW).is_ok(), inside, "{offset}");
        }
        for extreme in ["0", "9223372036854775807"] {
            let mut headers = signed(b"k", extreme, b"");
            let call = SignedCall::take(&mut headers).expect("well formed");
            assert_eq!(code(call.check_window(NOW)), Some(ErrorCode::TimestampOutOfWindow));
        }
        let mut headers = signed(b"k", &(NOW - 31_000).to_string(), b"");
        let error =
            SignedCall::take(&mut headers).expect("well formed").check_window(NOW).expect_err("stale").to_string();
        assert!(error.contains("31000 ms behind") && error.contains(&NOW.to_string()), "{error}");
    }

    #[test]
    fn unknown_and_wrong_are_one_answer_that_explains_itself() {
        let mut headers = signed(b"right", "1718960000000", b"body");
        let call = SignedCall::take(&mut headers).expect("well formed");
        let digest = BodyDigest::of(b"body");
        let (right, wrong) = (tenant(b"right"), tenant(b"wrong"));
        assert!(call.verify(Some(&right), &digest, 4).is_ok());
        assert_eq!(code(call.verify(Some(&right), &BodyDigest::of(b"tampered"), 8)), Some(ErrorCode::InvalidSignature));
        let unknown = call.verify(None, &digest, 4).expect_err("unknown").body("r");
        let mismatch = call.verify(Some(&wrong), &digest, 4).expect_err("wrong").body("r");
        assert_eq!(unknown, mismatch);
        let text = String::from_utf8(unknown).expect("utf-8");
        assert!(text.contains(&format!("1718960000000.{}", digest.as_hex())) && text.contains("\"body_bytes\":4"));
        assert!(!text.contains(&TenantKey::new(b"wrong").sign("1718960000000", &digest).to_hex()));
    }
}
