//! Calls that are signed with a relay secret (HMAC#2, PROTOCOL.md, section 4.11): chat backends take them from the relay, and the admin
//! service takes them from chat backends.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, request::Parts};
use wire::{
    TenantId,
    signature::{RelayKeys, RelayedCall, Signature, WINDOW_MS, relay_headers},
    time::now_unix_ms,
};

use crate::{
    body::{self, BodyBounds},
    error::ApiError,
};

/// What a signature vouches for.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The tenant that the call is for.
    pub tenant_id: TenantId,
    /// Who acts: `tenant`, `visitor:<session>`, `operator:<id>` or `backend`.
    pub actor: String,
    /// The body.
    pub body: Bytes,
}

/// Why a call is not taken.
#[derive(Debug)]
pub enum NotRelayed {
    /// No relay secret made its signature. The text is for a log: a caller is not told what was wrong.
    Signature(&'static str),
    /// Its body could not be read.
    Body(ApiError),
}

/// Verifies a call and reads its body. Whatever can be refused without the body is refused before the body is read.
///
/// # Errors
/// [`NotRelayed`].
pub async fn verify<B>(
    keys: &RelayKeys,
    bounds: BodyBounds,
    request: Request<B>,
) -> Result<(Parts, Relayed), NotRelayed>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let (parts, body) = request.into_parts();
    let head = Head::read(&parts.headers)?;
    let (bytes, digest) = body::read(&parts.headers, body, bounds, &mut ()).await.map_err(NotRelayed::Body)?;
    if !keys.verify(&head.call(&parts), &digest, &head.signature) {
        return Err(NOT_ITS_SIGNATURE);
    }
    let relayed = Relayed { tenant_id: head.tenant_id, actor: head.actor.to_owned(), body: bytes };
    Ok((parts, relayed))
}

/// Verifies a call whose body is not signed, and leaves the body unread. [`Relayed::body`] is empty.
///
/// # Errors
/// [`NotRelayed::Signature`].
pub fn verify_without_body(keys: &RelayKeys, parts: &Parts) -> Result<Relayed, NotRelayed> {
    let head = Head::read(&parts.headers)?;
    if !keys.verify_without_body(&head.call(parts), &head.signature) {
        return Err(NOT_ITS_SIGNATURE);
    }
    Ok(Relayed { tenant_id: head.tenant_id, actor: head.actor.to_owned(), body: Bytes::new() })
}

const NOT_ITS_SIGNATURE: NotRelayed = NotRelayed::Signature("the signature does not match");

/// What the headers of a call say of its signature.
struct Head<'a> {
    timestamp: &'a str,
    tenant_text: &'a str,
    tenant_id: TenantId,
    actor: &'a str,
    signature: Signature,
}

impl<'a> Head<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, NotRelayed> {
        let timestamp = single(headers, &relay_headers::TIMESTAMP)?;
        let signed_at: i64 = timestamp.parse().map_err(|_| NotRelayed::Signature("a timestamp that is no number"))?;
        if signed_at.saturating_sub(now_unix_ms()).unsigned_abs() > WINDOW_MS.unsigned_abs() {
            return Err(NotRelayed::Signature("the timestamp is out of the window: check both clocks"));
        }
        let tenant_text = single(headers, &relay_headers::TENANT_ID)?;
        let tenant_id = tenant_text.parse().map_err(|_| NotRelayed::Signature("a tenant id that is no UUID"))?;
        let actor = single(headers, &relay_headers::ACTOR)?;
        let signature = Signature::from_hex(single(headers, &relay_headers::SIGNATURE)?.as_bytes())
            .ok_or(NotRelayed::Signature("a signature that is not 64 hexadecimal digits"))?;
        Ok(Self { timestamp, tenant_text, tenant_id, actor, signature })
    }

    fn call(&self, parts: &'a Parts) -> RelayedCall<'a> {
        RelayedCall {
            timestamp: self.timestamp,
            method: parts.method.as_str(),
            path_and_query: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            tenant_id: self.tenant_text,
            actor: self.actor,
        }
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, NotRelayed> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(http::HeaderValue::to_str), values.next()) {
        (Some(Ok(text)), None) => Ok(text),
        _ => Err(NotRelayed::Signature("a header is missing, repeated or unreadable")),
    }
}
