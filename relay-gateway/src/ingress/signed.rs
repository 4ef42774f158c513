//! The signed lane: every step of a signed call, cheapest refusal first. Contract, section 4.
//!
//! Headers and window cost nothing; the tenant costs a lookup; the body costs its transfer and a hash; only then is the
//! signature known, and only a verified call may spend memory (replay) or its tenant's budget (rate).

use std::net::IpAddr;

use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Response, header, request::Parts};
use hyper::body::Incoming;
use shared::{ApiError, ErrorCode, body, request_id::RequestId, time::now_unix_ms};

use super::{
    Body, Gateway,
    client_address::behind_proxies,
    owned::{self, Owned},
};
use crate::{
    backend::Relayed,
    directory::TenantDirectory,
    domain::{
        admission::{self, SignedCall},
        rate::Allowance,
    },
    metrics::GatewayMetrics,
};

/// What precedes the part of the path that the backend sees.
pub(super) const PREFIX: &str = "/api/v1/relay/";

/// The lane's name in metrics and spans.
pub(super) const ROUTE: &str = "/api/v1/relay/{*rest}";

/// Kept by the chat backend, but what it holds is the relay's to check.
const CONTACT_TICKET: &str = "create/contact-ticket";

const RELAYED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Where a call goes once it is verified.
enum Target<'a> {
    /// Answered here.
    Owned(Owned),
    /// Everything else: to the chat backend, once the body has passed a check.
    Backend { rest: &'a str, check: fn(&[u8]) -> Result<(), ApiError> },
}

/// A refusal, with what the tenant has left where the call had spent some.
struct Refusal {
    error: ApiError,
    allow: Option<&'static str>,
    allowance: Option<Allowance>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, allow: None, allowance: None }
    }
}

/// Answers a call. Its head stays where it is, for a future that is moved has to be copied; what is sent on is taken out of it.
pub(super) fn relay<D: TenantDirectory>(
    gateway: &Gateway<D>,
    head: &mut Parts,
    body: Incoming,
    peer: IpAddr,
    request_id: &RequestId,
) -> impl Future<Output = Response<Body>> {
    admit_and_answer(gateway, head, body, peer, request_id)
        .map(|answered| answered.unwrap_or_else(|refusal| refusal.answer(&gateway.metrics)))
}

async fn admit_and_answer<D: TenantDirectory>(
    gateway: &Gateway<D>,
    head: &mut Parts,
    body: Incoming,
    peer: IpAddr,
    request_id: &RequestId,
) -> Result<Response<Body>, Refusal> {
    let client = behind_proxies(peer, &head.headers, &gateway.trusted_proxies);
    gateway.floods.admit(client)?;
    let target = target(&head.method, head.uri.path())?;

    let call = SignedCall::take(&mut head.headers)?;
    call.check_window(now_unix_ms())?;
    let unproven = gateway.floods.unproven(client);
    let tenant = match gateway.directory.lookup(call.tenant_id, request_id).await {
        Ok(known) => known.tenant,
        Err(error) => {
            unproven.forgive();
            return Err(error.into());
        }
    };
    let (body, digest) = body::read(&head.headers, body, gateway.body).await?;
    // Once more: a body may be held back until the replay guard has forgotten what this call is a copy of.
    let now_ms = now_unix_ms();
    call.check_window(now_ms)?;
    let tenant = call.verify(tenant.as_deref(), &digest, body.len())?;
    unproven.forgive();
    if tenant.suspended {
        return Err(admission::suspended().into());
    }
    // Reading again is no replay, but what was signed for reading must not come back as a write. The price: of a read and
    // a write without a body, signed in one millisecond, the later write is refused and must be signed anew.
    let first = gateway.replays.admit(&call.signature, call.timestamp_ms, now_ms);
    if !matches!(head.method, Method::GET | Method::HEAD) {
        first?;
    }
    let allowance = gateway
        .rates
        .admit(tenant, now_ms)
        .map_err(|(error, allowance)| Refusal { allowance: Some(allowance), ..error.into() })?;

    let answer = match target {
        Target::Owned(owned) => {
            let answer = owned::answer(owned, &gateway.admin, tenant.id, request_id, &body);
            // Boxed, so that the calls that are sent on do not carry about what these take.
            Box::pin(answer).await.map(|answer| answer.map(Body::Made))
        }
        Target::Backend { rest, check } => match check(&body) {
            Ok(()) => {
                let call = Relayed {
                    method: &head.method,
                    rest,
                    query: head.uri.query(),
                    headers: &mut head.headers,
                    body,
                    digest: &digest,
                    tenant_id: tenant.id,
                    actor: "tenant",
                    at_ms: now_ms,
                };
                gateway.backend.relay(call).await.map(|answer| answer.map(Body::Streamed))
            }
            Err(error) => Err(error),
        },
    };
    let mut response = answer.map_err(|error| Refusal { allowance: Some(allowance), ..error.into() })?;
    allowance.write(response.headers_mut());
    Ok(response)
}

impl Refusal {
    fn answer(self, metrics: &GatewayMetrics) -> Response<Body> {
        let Self { error, allow, allowance } = self;
        metrics.refused(error.code());
        let mut response = error.into_response().map(Body::Made);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(allowance) = allowance {
            allowance.write(response.headers_mut());
        }
        response
    }
}

fn target<'a>(method: &Method, path: &'a str) -> Result<Target<'a>, Refusal> {
    let rest = path.strip_prefix(PREFIX).unwrap_or_default();
    if rest.is_empty() || has_dot_segment(rest) {
        return Err(ApiError::new(ErrorCode::NotFound, "There is nothing at this path.").into());
    }
    let (target, allow) = match Owned::at(rest) {
        Some(owned) => (Target::Owned(owned), owned.allow()),
        None if rest == CONTACT_TICKET => (Target::Backend { rest, check: owned::check_contact_ticket }, "POST"),
        None => (Target::Backend { rest, check: |_| Ok(()) }, RELAYED_METHODS),
    };
    if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Ok(target);
    }
    let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path takes {allow}."));
    Err(Refusal { allow: Some(allow), ..error.into() })
}

/// `.` and `..`, however written and whatever parameters follow, would leave the backend's base path on some servers.
fn has_dot_segment(rest: &str) -> bool {
    if !rest.contains(['.', '%']) {
        return false;
    }
    let plain =
        rest.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\").replace("%3b", ";");
    plain
        .split(['/', '\\'])
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: Method, path: &str) -> Option<ErrorCode> {
        target(&method, path).err().map(|refusal| refusal.error.code())
    }

    #[test]
    fn nothing_leaves_the_backends_base_path() {
        for hostile in [
            "",
            ".",
            "..",
            "../admin",
            "a/../b",
            "a/%2e%2e/b",
            "a/.%2E",
            "a%2f..%2fb",
            "..%2fa",
            "%2e%2e%2fa",
            "a%2f%2e%2e%2fb",
            "..;x/a",
            "a\\..\\b",
            "a%5c..",
            "./a",
        ] {
            assert_eq!(code(Method::GET, &format!("{PREFIX}{hostile}")), Some(ErrorCode::NotFound), "{hostile}");
        }
        for harmless in ["fetch/messages", "a..b/c", "foo..%2fbar", "a/...", "a%2Fb", ".well-known"] {
            assert_eq!(code(Method::GET, &format!("{PREFIX}{harmless}")), None, "{harmless}");
        }
    }

    #[test]
    fn wrong_methods_are_refused_with_the_right_ones() {
        assert_eq!(code(Method::OPTIONS, "/api/v1/relay/add/message"), Some(ErrorCode::MethodNotAllowed));
        assert_eq!(code(Method::TRACE, "/api/v1/relay/add/message"), Some(ErrorCode::MethodNotAllowed));
        assert_eq!(code(Method::DELETE, "/api/v1/relay/add/message"), None);
        let refusal = target(&Method::GET, "/api/v1/relay/provision/operator").err().expect("refused");
        assert_eq!(refusal.allow, Some("POST"));
        assert_eq!(code(Method::POST, "/api/v1/relay/fetch/tenant-info"), Some(ErrorCode::MethodNotAllowed));
    }
}
