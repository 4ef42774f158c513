//! One attempt's headers and body, in both formats. The body is the same on every attempt; the signature is made afresh.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use wire::{
    TenantId,
    signature::{BodyDigest, TenantKey},
    time::WireTime,
};

use super::standard_keys::StandardKeys;

const X_BLOONIO_TENANT_ID: HeaderName = HeaderName::from_static("x-bloonio-tenant-id");
const X_BLOONIO_TIMESTAMP: HeaderName = HeaderName::from_static("x-bloonio-timestamp");
const X_BLOONIO_SIGNATURE: HeaderName = HeaderName::from_static("x-bloonio-signature");
const X_BLOONIO_EVENT_ID: HeaderName = HeaderName::from_static("x-bloonio-event-id");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("chat-relay/", env!("CARGO_PKG_VERSION")));

/// An event as it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptEvent<'a> {
    /// Its id: 1 to 128 letters, digits and `_.:-`.
    pub(crate) id: &'a str,
    /// Such as `message_received`.
    pub(crate) event_type: &'a str,
    /// When it happened.
    pub(crate) occurred_at: Timestamp,
    /// The delivered body: a JSON object.
    pub(crate) body: &'a Bytes,
}

/// What signs an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AttemptSigner<'a> {
    /// HMAC#1 under the tenant's current secret.
    Bloonio {
        /// The tenant.
        tenant_id: TenantId,
        /// Its current secret.
        key: &'a TenantKey,
    },
    /// Standard Webhooks 1.0.
    Standard(&'a StandardKeys),
}

/// What is sent: a POST. Where to, its connection knows.
#[derive(Clone, Debug)]
pub(crate) struct AttemptRequest {
    /// All headers but those of the connection.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Bytes,
}

/// The event's id cannot be sent. Publishing takes no such id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event's id {0:?} cannot be a header")]
pub(crate) struct UnsendableId(String);

impl AttemptRequest {
    /// Makes and signs the request of an attempt that begins at `at`. A `traceparent` that cannot be a header is left out.
    ///
    /// # Errors
    /// [`UnsendableId`].
    pub(crate) fn sign(
        event: KeptEvent<'_>,
        signer: AttemptSigner<'_>,
        at: Timestamp,
        traceparent: Option<&str>,
    ) -> Result<Self, UnsendableId> {
        let id = HeaderValue::from_str(event.id).map_err(|_| UnsendableId(event.id.to_owned()))?;
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(traceparent) = traceparent.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(TRACEPARENT, traceparent);
        }
        let body = match signer {
            AttemptSigner::Bloonio { tenant_id, key } => {
                let timestamp = at.as_millisecond().to_string();
                let signature = key.sign(&timestamp, &BodyDigest::of(event.body)).to_hex();
                headers.insert(X_BLOONIO_TENANT_ID, ascii(&tenant_id.to_string()));
                headers.insert(X_BLOONIO_TIMESTAMP, ascii(&timestamp));
                headers.insert(X_BLOONIO_SIGNATURE, ascii(&signature));
                headers.insert(X_BLOONIO_EVENT_ID, id);
                event.body.clone()
            }
            AttemptSigner::Standard(keys) => {
                let body = standard_body(event);
                let signature = keys.sign(event.id, at, &body);
                headers.insert(WEBHOOK_ID, id);
                headers.insert(WEBHOOK_TIMESTAMP, at.as_second().into());
                headers.insert(WEBHOOK_SIGNATURE, ascii(&signature));
                body
            }
        };
        Ok(Self { headers, body })
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, letters and signs of ASCII")
}

/// `{"type", "timestamp", "data"}`, where `data` is the kept body, byte for byte.
fn standard_body(event: KeptEvent<'_>) -> Bytes {
    let event_type = serde_json::Value::from(event.event_type);
    let head = format!(r#"{{"type":{event_type},"timestamp":"{}","data":"#, WireTime::from(event.occurred_at));
    [head.as_bytes(), event.body, b"}"].concat().into()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::delivery::standard_keys::WebhookKey;

    const BODY: &[u8] = br#"{"event_type":"message_received","event_id":"evt_1","extra":{}}"#;

    fn request(signer: AttemptSigner<'_>, id: &str, traceparent: Option<&str>) -> Result<AttemptRequest, UnsendableId> {
        let event = KeptEvent {
            id,
            event_type: "message_received",
            occurred_at: "2026-11-26T10:00:00Z".parse().expect("a time"),
            body: &Bytes::from_static(BODY),
        };
        AttemptRequest::sign(
            event,
            signer,
            Timestamp::from_millisecond(1_718_960_000_123).expect("a time"),
            traceparent,
        )
    }

    fn lines(request: &AttemptRequest) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        request.headers.iter().map(line).collect()
    }

    #[test]
    fn bloonio_requests_carry_hmac1_and_the_kept_body() {
        let key = TenantKey::new(b"sk_a-secret-of-the-usual-length-00");
        let tenant_id = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f".parse().expect("an id");
        let request = request(AttemptSigner::Bloonio { tenant_id, key: &key }, "evt_1", Some("00-ab-cd-01"));
        let request = request.expect("signed");
        assert_eq!(request.body, BODY);
        assert_eq!(
            lines(&request),
            [
                "content-type: application/json",
                concat!("user-agent: chat-relay/", env!("CARGO_PKG_VERSION")),
                "traceparent: 00-ab-cd-01",
                "x-bloonio-tenant-id: 019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
                "x-bloonio-timestamp: 1718960000123",
                "x-bloonio-signature: 0808f7ea2382274c11ade0ea5ccbfa16b005c1bc81da7af87af61c0a1a1c0c3d",
                "x-bloonio-event-id: evt_1",
            ]
        );
    }

    fn keys() -> StandardKeys {
        StandardKeys { current: WebhookKey::new(&[7; 32]), previous: None, own: SigningKey::from_bytes(&[9; 32]) }
    }

    #[test]
    fn standard_requests_wrap_the_kept_body_and_sign_what_is_sent() {
        let keys = keys();
        let request = request(AttemptSigner::Standard(&keys), "evt_1", None).expect("signed");
        let body = r#"{"type":"message_received","timestamp":"2026-11-26T10:00:00.000Z","data":{"event_type":"message_received","event_id":"evt_1","extra":{}}}"#;
        assert_eq!(request.body, body);
        assert_eq!(
            lines(&request),
            [
                "content-type: application/json",
                concat!("user-agent: chat-relay/", env!("CARGO_PKG_VERSION")),
                "webhook-id: evt_1",
                "webhook-timestamp: 1718960000",
                "webhook-signature: v1,BLpYXxQR1iYHlhr+k1dtKZjIoEQArBZ0gRqloL+iy3Q= \
                 v1a,e1ArxP3zss5203WvTa7ZjYPaTFpOOnhgaehADp3orJ/5XEp+IKRW5bDHgYEVZ7zdP1zvmHsBDhugCC+S4SgPDQ==",
            ]
        );
    }

    #[test]
    fn what_cannot_be_a_header_is_no_header() {
        let keys = keys();
        let signer = AttemptSigner::Standard(&keys);
        assert!(request(signer, "evt\r\nx: y", None).is_err());
        let request = request(signer, "evt_1", Some("00\r\nx: y")).expect("signed");
        assert!(!request.headers.contains_key(TRACEPARENT));
    }
}
