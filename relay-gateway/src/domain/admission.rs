//! HMAC#1 admission: what a signed call carries, the window, the signature. PROTOCOL.md, section 4.

use std::sync::LazyLock;

use http::HeaderValue;
use wire::{
    TenantId,
    signature::{BodyDigest, Signature, TenantKey, WINDOW_MS, signing_string},
};

use super::tenant::{PreviousKey, TenantState};

/// The key for tenants that do not exist. The gateway verifies with it too, so a refusal takes as long as for a tenant that exists.
static NOBODY: LazyLock<TenantKey> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the system has randomness");
    TenantKey::new(&key)
});

/// A signature header, as it was sent.
#[derive(Debug)]
pub enum Given {
    /// Not at all, or empty.
    Absent,
    /// Once, with a text that is visible ASCII.
    Once(HeaderValue),
    /// Repeated, or no visible ASCII.
    Unusable,
}

/// Why a signed call is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The call lacks these headers.
    Missing(Vec<&'static str>),
    /// The header is repeated, or not of its form.
    Malformed {
        header: &'static str,
        /// What its value must be.
        must_be: &'static str,
    },
    /// The call was signed too long ago, or too far ahead of the relay's time.
    OutOfWindow {
        /// Milliseconds from the relay's time to the call's; negative where the call's is behind.
        ahead_ms: i64,
        /// The relay's time, Unix milliseconds.
        now_ms: i64,
    },
    /// The tenant is unknown, or did not sign this body.
    WrongSignature(Received),
}

/// What was received, for the caller to compare with what it signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub timestamp: String,
    pub body_bytes: usize,
    pub body_sha256: String,
    pub signing_string: String,
}

/// Which of a tenant's secrets signed a call.
#[derive(Debug)]
pub enum SignedWith<'t> {
    Current,
    /// The one before a rotation with overlap.
    Previous(&'t PreviousKey),
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
    /// The names of the headers, as callers write them, in the order in which [`SignedCall::read`] takes them.
    pub const HEADERS: [&str; 3] = ["X-Bloonio-Tenant-Id", "X-Bloonio-Timestamp", "X-Bloonio-Signature"];

    /// Reads the three headers.
    ///
    /// # Errors
    /// [`Rejection::Missing`], [`Rejection::Malformed`].
    pub fn read(given: [Given; 3]) -> Result<Self, Rejection> {
        let missing: Vec<_> = given
            .iter()
            .zip(Self::HEADERS)
            .filter_map(|(header, name)| matches!(header, Given::Absent).then_some(name))
            .collect();
        if !missing.is_empty() {
            return Err(Rejection::Missing(missing));
        }
        let malformed = |index: usize, must_be| Rejection::Malformed { header: Self::HEADERS[index], must_be };
        let [tenant_id, timestamp, signature] = given;
        let tenant_id = tenant_id.once().and_then(|text| text.parse().ok());
        let tenant_id = tenant_id.ok_or_else(|| malformed(0, "the tenant's UUID"))?;
        let timestamp_ms = timestamp.once().filter(|text| is_decimal(text)).and_then(|text| text.parse().ok());
        let (Given::Once(timestamp), Some(timestamp_ms)) = (timestamp, timestamp_ms) else {
            return Err(malformed(1, "Unix milliseconds in decimal digits"));
        };
        let signature = signature.once().and_then(|text| Signature::from_hex(text.as_bytes()));
        let signature = signature.ok_or_else(|| malformed(2, "64 hexadecimal digits"))?;
        Ok(Self { tenant_id, timestamp, timestamp_ms, signature })
    }

    fn timestamp(&self) -> &str {
        self.timestamp.to_str().expect("it is digits")
    }

    /// Whether the call was signed within the window around `now_ms`.
    ///
    /// # Errors
    /// [`Rejection::OutOfWindow`].
    pub fn check_window(&self, now_ms: i64) -> Result<(), Rejection> {
        let ahead_ms = self.timestamp_ms.saturating_sub(now_ms);
        if (-WINDOW_MS..=WINDOW_MS).contains(&ahead_ms) {
            Ok(())
        } else {
            Err(Rejection::OutOfWindow { ahead_ms, now_ms })
        }
    }

    /// Whether the tenant signed this body, and with which of its secrets. `boot_ms` tells the milliseconds since the machine started; it is
    /// asked only where the current secret did not sign. For an unknown tenant and for a wrong signature this function gives the same
    /// answer after the same time: two keys are tried, whatever keys the tenant has. How long a look-up takes is decided in the directory
    /// and the admin service.
    ///
    /// # Errors
    /// [`Rejection::WrongSignature`].
    pub fn verify<'t>(
        &self,
        tenant: Option<&'t TenantState>,
        body: &BodyDigest,
        body_bytes: usize,
        boot_ms: impl FnOnce() -> u64,
    ) -> Result<(&'t TenantState, SignedWith<'t>), Rejection> {
        let is_of = |key: &TenantKey| key.verify(self.timestamp(), body, &self.signature);
        let is_right = is_of(tenant.map_or(&*NOBODY, |tenant| &tenant.key));
        if let Some(tenant) = tenant.filter(|_| is_right) {
            return Ok((tenant, SignedWith::Current));
        }
        let now = boot_ms();
        let overlap = tenant.and_then(|tenant| tenant.previous.as_deref().map(|previous| (tenant, previous)));
        let overlap = overlap.filter(|(_, previous)| now < previous.until_boot_ms);
        let is_right = is_of(overlap.map_or(&*NOBODY, |(_, previous)| &previous.key));
        if let Some((tenant, previous)) = overlap.filter(|_| is_right) {
            return Ok((tenant, SignedWith::Previous(previous)));
        }
        Err(Rejection::WrongSignature(Received {
            timestamp: self.timestamp().to_owned(),
            body_bytes,
            body_sha256: body.as_hex().to_owned(),
            signing_string: signing_string(self.timestamp(), body),
        }))
    }
}

impl Given {
    fn once(&self) -> Option<&str> {
        match self {
            Self::Once(value) => value.to_str().ok(),
            Self::Absent | Self::Unusable => None,
        }
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, sync::atomic::AtomicI64};

    use super::*;
    use crate::domain::tenant::Generation;

    const NOW: i64 = 1_718_960_000_000;

    fn tenant(secret: &[u8]) -> TenantState {
        TenantState {
            id: TenantId::generate(),
            suspended: false,
            key: TenantKey::new(secret),
            previous: None,
            rate_limit_per_min: NonZeroU32::MIN,
            file_upload_enabled: true,
            storage_gb_quota: 0,
            token_generation: 0,
            visitor_revocations: 0,
            sessions_ended: 0,
            operators_changed: 0,
            generation: Generation::next(),
        }
    }

    fn given(fields: [&str; 3]) -> [Given; 3] {
        fields.map(|text| Given::Once(HeaderValue::from_str(text).expect("a header value")))
    }

    fn signed(secret: &[u8], timestamp: &str, body: &[u8]) -> SignedCall {
        let signature = TenantKey::new(secret).sign(timestamp, &BodyDigest::of(body)).to_hex();
        SignedCall::read(given(["019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", timestamp, &signature])).expect("well formed")
    }

    #[test]
    fn each_header_is_needed_once_and_well_formed() {
        const GOOD: [&str; 3] = [
            "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
            "1718960000000",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        let rejected = |given| SignedCall::read(given).err();
        assert_eq!(rejected(given(GOOD)), None);
        for (index, header) in SignedCall::HEADERS.into_iter().enumerate() {
            let is_malformed = |rejection: Option<Rejection>| matches!(rejection, Some(Rejection::Malformed { header: named, .. }) if named == header);
            let mut without = given(GOOD);
            without[index] = Given::Absent;
            assert_eq!(rejected(without), Some(Rejection::Missing(vec![header])));
            let mut twice = given(GOOD);
            twice[index] = Given::Unusable;
            assert!(is_malformed(rejected(twice)));
            let wrong: &[&str] = match index {
                0 => &["x", "019e4ae71a2b7c3d8e4f5a6b7c8d9e0f", "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0g"],
                1 => &["-1", "+1", "1e3", "1718960000000.0", " 1", "0x1", "99999999999999999999"],
                _ => &[
                    "aa",
                    "g",
                    "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ],
            };
            for text in wrong {
                let mut broken = GOOD;
                broken[index] = text;
                assert!(is_malformed(rejected(given(broken))), "{text}");
            }
        }
        assert_eq!(
            rejected([Given::Absent, Given::Unusable, Given::Absent]),
            Some(Rejection::Missing(vec!["X-Bloonio-Tenant-Id", "X-Bloonio-Signature"]))
        );
    }

    #[test]
    fn the_window_is_thirty_seconds_either_way_inclusive() {
        for (offset, inside) in [(0, true), (30_000, true), (-30_000, true), (30_001, false), (-30_001, false)] {
            let call = signed(b"k", &(NOW + offset).to_string(), b"");
            assert_eq!(call.check_window(NOW).is_ok(), inside, "{offset}");
        }
        for extreme in ["0", "9223372036854775807"] {
            assert!(signed(b"k", extreme, b"").check_window(NOW).is_err());
        }
        let stale = signed(b"k", &(NOW - 31_000).to_string(), b"").check_window(NOW);
        assert_eq!(stale, Err(Rejection::OutOfWindow { ahead_ms: -31_000, now_ms: NOW }));
    }

    #[test]
    fn unknown_and_wrong_are_one_answer_that_explains_itself() {
        let call = signed(b"right", "1718960000000", b"body");
        let digest = BodyDigest::of(b"body");
        let (right, wrong) = (tenant(b"right"), tenant(b"wrong"));
        let verify = |tenant, digest, bytes| call.verify(tenant, digest, bytes, || 0);
        assert!(verify(Some(&right), &digest, 4).is_ok());
        let tampered = BodyDigest::of(b"tampered");
        assert!(verify(Some(&right), &tampered, 8).is_err());
        let unknown = verify(None, &digest, 4).err();
        assert_eq!(unknown, verify(Some(&wrong), &digest, 4).err());
        let received = Received {
            timestamp: "1718960000000".into(),
            body_bytes: 4,
            body_sha256: digest.as_hex().into(),
            signing_string: format!("1718960000000.{}", digest.as_hex()),
        };
        assert_eq!(unknown, Some(Rejection::WrongSignature(received)));
    }

    #[test]
    fn a_previous_secret_is_accepted_until_its_end() {
        let rotated = TenantState {
            previous: Some(Box::new(PreviousKey {
                key: TenantKey::new(b"old"),
                until_boot_ms: 1000,
                rotated_at_ms: 0,
                noted_at_ms: AtomicI64::new(0),
            })),
            ..tenant(b"new")
        };
        let with = |secret: &[u8], boot_ms| {
            let call = signed(secret, "1718960000000", b"");
            let verified = call.verify(Some(&rotated), &BodyDigest::of(b""), 0, || boot_ms);
            verified.ok().map(|(_, with)| matches!(with, SignedWith::Previous(_)))
        };
        assert_eq!([with(b"new", 0), with(b"old", 999)], [Some(false), Some(true)]);
        assert_eq!([with(b"old", 1000), with(b"older", 0)], [None, None]);
        assert_eq!(with(b"new", 2000), Some(false));
    }
}
