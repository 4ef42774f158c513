//! The signed lane: every step of a signed call, cheapest refusal first. PROTOCOL.md, section 4.
//!
//! The headers and the window cost nothing to check. A tenant that is not cached costs a look-up. The body costs its transfer and a
//! hash, and only with the body can the gateway verify the signature. A verified call reserves its signature, then spends its
//! tenant's rate, then goes out. If the gateway refuses the call after that, its signature becomes free again.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Response, header, request::Parts};
use service::{
    ApiError,
    body::{self, BodyBounds},
    edge::check_framing,
    serve::RequestBody,
};
use tokio::time::timeout;
use wire::{
    ErrorCode,
    request_id::RequestId,
    time::{now_unix_ms, since_boot_ms},
};

use super::{
    admin_call::AdminCall,
    body::Body,
    client_address::behind_proxies,
    exceeded::write_allowance,
    messages,
    relay_endpoints::{self, RelayEndpoint, Sent},
    signature_headers,
    state::Gateway,
    target::Path,
};
use crate::{
    backend::Relayed,
    directory::{Known, TenantDirectory},
    domain::{
        admission::{SignedCall, SignedWith},
        tenant::TenantState,
    },
    errors,
    limits::{Allowance, FailureGuard, Lane, NotAdmitted, Now, SignedUse, TenantRate, Use},
    metrics::GatewayMetrics,
};

/// What precedes the part of the path that the backend sees.
pub(super) const PREFIX: &str = "/api/v1/relay/";

/// The lane's name in metrics and spans.
pub(super) const ROUTE: &str = "/api/v1/relay/{*rest}";

/// The chat backend answers these two paths, but the gateway checks their bodies first.
const CONTACT_TICKET: &str = "create/contact-ticket";
const ADD_MESSAGE: &str = "add/message";

/// The gateway forwards no path below this, to any backend: such paths are for the platform's own services.
const INTERNAL: &str = "internal";

const RELAYED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Where a call goes once it is verified.
enum Target<'a> {
    /// Answered here.
    RelayEndpoint(RelayEndpoint),
    /// Everything else: to the chat backend, once the body has passed a check.
    Backend { rest: &'a str, check: Option<Check>, body_limit: usize },
}

/// Refuses a body that the chat backend, or those who read its messages, could not take.
type Check = fn(&[u8], &TenantState) -> Result<(), ApiError>;

impl Target<'_> {
    /// Bytes a body may have here: few where honest bodies are small.
    fn body_limit(&self) -> usize {
        match self {
            Self::RelayEndpoint(_) => relay_endpoints::BODY_LIMIT,
            Self::Backend { body_limit, .. } => *body_limit,
        }
    }

    /// Whether the gateway reads the body. Then it must refuse an encoded body: what it cannot read, it cannot check.
    fn reads_body(&self) -> bool {
        !matches!(self, Self::Backend { check: None, .. })
    }
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

impl From<NotAdmitted> for Refusal {
    fn from(not_admitted: NotAdmitted) -> Self {
        match not_admitted {
            NotAdmitted::Replayed => errors::replayed().into(),
            NotAdmitted::RateSpent(exceeded, allowance) => {
                Self { allowance: Some(allowance), ..ApiError::from(exceeded).into() }
            }
        }
    }
}

/// Answers a call. Takes the head by `&mut`, to keep the future small; what is sent on is taken out of it.
pub(super) fn relay<D: TenantDirectory>(
    gateway: &Gateway<D>,
    head: &mut Parts,
    body: RequestBody,
    peer: IpAddr,
    request_id: &RequestId,
) -> impl Future<Output = Response<Body>> {
    admit_and_answer(gateway, head, body, peer, request_id)
        .map(|answered| answered.unwrap_or_else(|refusal| refusal.answer(&gateway.metrics)))
}

async fn admit_and_answer<D: TenantDirectory>(
    gateway: &Gateway<D>,
    head: &mut Parts,
    body: RequestBody,
    peer: IpAddr,
    request_id: &RequestId,
) -> Result<Response<Body>, Refusal> {
    check_framing(head.version, &head.headers)?;
    let client = behind_proxies(peer, &head.headers, &gateway.trusted_proxies);
    let (target, path) = target(&head.method, head.uri.path(), head.uri.query())?;
    let limits = &gateway.limits;

    let call = SignedCall::read(signature_headers::take(&mut head.headers)).map_err(ApiError::from)?;
    call.check_window(now_unix_ms()).map_err(ApiError::from)?;
    let (tenant, charged, waited) = match gateway.directory.cached(call.tenant_id) {
        Some(known) => (known.tenant, None, Duration::ZERO),
        // Boxed, so that calls of cached tenants do not carry about what asking takes.
        None => Box::pin(look_up(gateway, &call, client, request_id)).await?,
    };
    let mut held = limits.hold_body(client);
    let bounds = BodyBounds { limit: gateway.body.limit.min(target.body_limit()), ..gateway.body };
    let (body, digest) = match body::read(&head.headers, body, bounds, &mut held).await {
        Ok(read) => read,
        Err(error) => {
            if let Some(charged) = charged.filter(|_| error.code() == ErrorCode::Overloaded) {
                charged.disarm();
            }
            return Err(error.into());
        }
    };
    // Check the window again. An attacker may send the body of a replayed call so slowly that the replay guard has forgotten the
    // original call.
    let (now_ms, now) = (now_unix_ms(), Instant::now());
    call.check_window(now_ms).map_err(ApiError::from)?;
    let tenant = match call.verify(tenant.as_deref(), &digest, body.len(), since_boot_ms) {
        Ok((tenant, SignedWith::Current)) => tenant,
        Ok((tenant, SignedWith::Previous(previous))) => {
            gateway.previous_uses.note(tenant.id, previous, now_ms);
            tenant
        }
        Err(rejection) => {
            // A call that was charged when it began stays charged.
            if charged.is_none() {
                limits.count_failure(Lane::Signed, client, now).map_err(ApiError::from)?;
            }
            return Err(ApiError::from(rejection).into());
        }
    };
    if let Some(charged) = charged {
        charged.disarm();
    }
    held.proven();
    if tenant.suspended {
        return Err(errors::suspended().into());
    }
    let used = match head.method {
        Method::GET | Method::HEAD => Use::Read,
        _ if body.is_empty() => Use::Once,
        _ => Use::Write(path.target(&head.method, head.uri.query(), &gateway.replay_parameters)?),
    };
    let used = SignedUse { signature: &call.signature, timestamp_ms: call.timestamp_ms, used };
    let rate = TenantRate { id: tenant.id, per_min: tenant.rate_limit_per_min };
    let mut admitted = limits.admit_signed_call(used, rate, Now { at: now, unix_ms: now_ms }).await?;
    let allowance = admitted.allowance;

    // What the directory took before the body came is part of what a caller has waited for the relay.
    let deadline = now + gateway.call_deadline.saturating_sub(waited);
    let answer = match check(&target, &body, head, tenant) {
        Err(error) => Err(error),
        Ok(()) => match target {
            Target::RelayEndpoint(endpoint) => {
                // Boxed, so that the calls that are sent on do not carry about what these take.
                let sent = Sent { query: head.uri.query(), body: &body };
                let call = AdminCall { admin: &gateway.admin, tenant, request_id, deadline };
                let answer = relay_endpoints::answer(endpoint, &call, sent);
                // Spend the signature before asking the admin service: if the caller disconnects half-way, the drop must not free it.
                admitted.spend();
                let answer = Box::pin(answer).await;
                if matches!(&answer, Err(error) if is_refusal(error.code())) {
                    admitted.give_back();
                }
                answer.map(|answer| answer.map(Body::Made))
            }
            Target::Backend { rest, .. } => {
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
                    deadline,
                };
                admitted.spend();
                let answer = gateway.backend.relay(call).await;
                if matches!(&answer, Err(error) if is_refusal(error.code())) {
                    admitted.give_back();
                }
                answer.map(|answer| answer.map(Body::Streamed))
            }
        },
    };
    let mut response = answer.map_err(|error| Refusal { allowance: Some(allowance), ..error.into() })?;
    write_allowance(allowance, response.headers_mut());
    Ok(response)
}

/// Whether this error means that the relay refused the call, or that nothing of it was sent. The same signature may then come again.
fn is_refusal(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::RateLimited
            | E::BodyTooLarge
            | E::ValidationFailed
            | E::MalformedJson
            | E::MalformedRequest
            | E::UnsupportedMediaType
            | E::FeatureDisabled
            | E::DirectoryUnavailable
            | E::ChangePropagating
            | E::StoreUnavailable
            | E::Overloaded
            | E::BackendUnreachable
    )
}

/// Asks the admin service for a tenant that is not cached. The look-up is charged to the caller's address until the call is verified.
async fn look_up<D: TenantDirectory>(
    gateway: &Gateway<D>,
    call: &SignedCall,
    client: IpAddr,
    request_id: &RequestId,
) -> Result<(Option<std::sync::Arc<TenantState>>, Option<FailureGuard>, Duration), ApiError> {
    let started = Instant::now();
    let charged = gateway.limits.charge_failure(Lane::Signed, client, started)?;
    let asked = timeout(gateway.call_deadline, gateway.directory.lookup(call.tenant_id, request_id)).await;
    let asked = asked.unwrap_or_else(|_| Err(crate::directory::unavailable("no answer within call_deadline_ms")));
    match asked {
        Ok(Known { tenant, .. }) => Ok((tenant, Some(charged), started.elapsed())),
        Err(error) => {
            charged.disarm();
            Err(error)
        }
    }
}

/// What is looked at before a call goes anywhere.
fn check(target: &Target<'_>, body: &[u8], head: &Parts, tenant: &TenantState) -> Result<(), ApiError> {
    if target.reads_body() {
        body::check_not_encoded(&head.headers)?;
    }
    match target {
        Target::RelayEndpoint(_) => Ok(()),
        Target::Backend { check, .. } => check.map_or(Ok(()), |check| check(body, tenant)),
    }
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
            write_allowance(allowance, response.headers_mut());
        }
        response
    }
}

fn target<'a>(method: &Method, path: &'a str, query: Option<&str>) -> Result<(Target<'a>, Path<'a>), Refusal> {
    let rest = path.strip_prefix(PREFIX).unwrap_or_default();
    let path = Path::read(rest, query)?;
    let (target, allow) = match RelayEndpoint::at(rest) {
        Some(endpoint) => (Target::RelayEndpoint(endpoint), endpoint.allow()),
        None if path.begins_with(INTERNAL) => {
            return Err(ApiError::new(ErrorCode::NotFound, "There is nothing at this path.").into());
        }
        None if path.is(CONTACT_TICKET) => {
            let body_limit = relay_endpoints::CONTACT_TICKET_LIMIT;
            (
                Target::Backend {
                    rest,
                    check: Some(|body, _| relay_endpoints::check_contact_ticket(body)),
                    body_limit,
                },
                "POST",
            )
        }
        None if path.is(ADD_MESSAGE) => (
            Target::Backend { rest, check: Some(messages::check_attachments), body_limit: usize::MAX },
            RELAYED_METHODS,
        ),
        None => (Target::Backend { rest, check: None, body_limit: usize::MAX }, RELAYED_METHODS),
    };
    if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Ok((target, path));
    }
    let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path takes {allow}."));
    Err(Refusal { allow: Some(allow), ..error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: Method, path: &str) -> Option<ErrorCode> {
        target(&method, path, None).err().map(|refusal| refusal.error.code())
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
            "a/%252e%252e/b",
            "a/%25252e./b",
            "internal",
            "internal/publish/events",
            "Internal/publish/events",
            "/internal/publish/events",
            "%69nternal/publish/events",
            "internal%2Fpublish%2Fevents",
            "internal;x/publish/events",
            "internal\\publish\\events",
            "a%252f..%252fb",
        ] {
            assert_eq!(code(Method::GET, &format!("{PREFIX}{hostile}")), Some(ErrorCode::NotFound), "{hostile}");
        }
        for harmless in
            ["fetch/messages", "a..b/c", "foo..%2fbar", "a/...", "a%2Fb", ".well-known", "internals", "a/internal"]
        {
            assert_eq!(code(Method::GET, &format!("{PREFIX}{harmless}")), None, "{harmless}");
        }
        for control in ["a%00", "a%0d%0aset-cookie:x", "a%250a", "%7f", "a%1Fb"] {
            assert_eq!(
                code(Method::GET, &format!("{PREFIX}{control}")),
                Some(ErrorCode::MalformedRequest),
                "{control}"
            );
        }
    }

    #[test]
    fn wrong_methods_are_refused_with_the_right_ones() {
        assert_eq!(code(Method::OPTIONS, "/api/v1/relay/add/message"), Some(ErrorCode::MethodNotAllowed));
        assert_eq!(code(Method::TRACE, "/api/v1/relay/add/message"), Some(ErrorCode::MethodNotAllowed));
        assert_eq!(code(Method::DELETE, "/api/v1/relay/add/message"), None);
        let refusal = target(&Method::GET, "/api/v1/relay/provision/operator", None).err().expect("refused");
        assert_eq!(refusal.allow, Some("POST"));
        assert_eq!(code(Method::POST, "/api/v1/relay/fetch/tenant-info"), Some(ErrorCode::MethodNotAllowed));
    }
}
