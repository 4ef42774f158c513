//! The operator lane: a tenant's own people, who answer its visitors. PROTOCOL.md, section 8.
//!
//! An operator proves itself by a token that the admin service signed ([`caller`]). The gateway answers what concerns the token and the
//! membership ([`own`]); everything else goes to the chat backend under HMAC#2, as the actor `operator:<id>`.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, Method, header, request::Parts};
use percent_encoding::percent_decode_str;
use service::{
    ApiError, Failure,
    body::{self, BodyBounds},
};
use uuid::Uuid;
use wire::{
    ErrorCode,
    fields::Fields,
    operator::{ASSIGNEE_PARAMETER, ActingOperator, OPERATOR_PARAMETER},
    request_id::RequestId,
    time::now_unix_ms,
};

mod caller;
pub(super) mod own;
pub(super) mod uploads;

use caller::{Caller, authenticate, told};
use own::OwnEndpoint;

use super::{
    body::Body,
    messages,
    request::{client_address, request_id},
    shapes::operators::TAG,
    state::Gateway,
    target::Path,
};
use crate::{backend::Relayed, directory::TenantDirectory};

/// What precedes the part of the path that the backend sees below `operator/`.
pub(super) const PREFIX: &str = "/api/v1/operator/";

/// The chat backend answers these two paths, but the gateway checks first: the attachments, and that the colleague is an operator.
const ADD_MESSAGE: &str = "add/message";
const ASSIGN: &str = "assign/conversation";

const RELAYED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Everything else goes to the chat backend.
///
/// `/api/v1/operator/<rest>` becomes `<backend base>/operator/<rest>`, with the method, query and body of the call, under HMAC#2 as the
/// actor `operator:<id>`. The query has `relay_operator` beside: who the operator is, and which queues the operator sees (PROTOCOL.md,
/// section 8). `GET <backend>/openapi.json` documents what the reference backend answers.
#[utoipa::path(
    post, path = "/api/v1/operator/{rest}", tag = TAG,
    params(("rest" = String, Path, description = "One or more segments, such as `claim/conversation`")),
    responses(
        (status = "default", description = "The chat backend's own answer"),
        (status = 403, description = "`feature_disabled`: attachments, where the tenant takes none", body = Failure),
        (status = 502, description = "`backend_bad_response`, `backend_refused_relay`", body = Failure),
        (status = 503, description = "`backend_unreachable`", body = Failure),
        (status = 504, description = "`backend_timeout`: the call may have arrived", body = Failure),
    )
)]
pub(super) async fn pass_through<D: TenantDirectory>(gateway: State<Arc<Gateway<D>>>, request: Request) -> Response {
    answer(gateway, request).await
}

/// As the POST of this path; without a body.
#[utoipa::path(
    get, path = "/api/v1/operator/{rest}", tag = TAG,
    params(("rest" = String, Path, description = "One or more segments, such as `fetch/conversations`")),
    responses(
        (status = "default", description = "The chat backend's own answer"),
        (status = 502, description = "`backend_bad_response`, `backend_refused_relay`", body = Failure),
        (status = 503, description = "`backend_unreachable`", body = Failure),
        (status = 504, description = "`backend_timeout`", body = Failure),
    )
)]
pub(super) async fn pass_through_read<D: TenantDirectory>(
    gateway: State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(gateway, request).await
}

/// Answers a call of the lane.
pub(super) async fn answer<D: TenantDirectory>(State(gateway): State<Arc<Gateway<D>>>, request: Request) -> Response {
    let answered = admit_and_answer(&gateway, request).await;
    answered.unwrap_or_else(|refusal| {
        gateway.metrics.refused(refusal.error.code());
        let mut response = refusal.error.into_response();
        if let Some(allow) = refusal.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    })
}

/// A refusal; for a wrong method, with the right ones.
struct Refusal {
    error: ApiError,
    allow: Option<&'static str>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, allow: None }
    }
}

async fn admit_and_answer<D: TenantDirectory>(gateway: &Gateway<D>, request: Request) -> Result<Response, Refusal> {
    let client = client_address(&request, &gateway.trusted_proxies);
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.extensions);
    let caller = authenticate(gateway, &parts, client, &request_id).await?;
    gateway.limits.admit_operator_call(caller.token.operator_id, Instant::now()).map_err(ApiError::from)?;
    let rest = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let own = OwnEndpoint::at(&rest);
    let allow = own.map_or(RELAYED_METHODS, OwnEndpoint::allow);
    if !allow.split(", ").any(|allowed| allowed == parts.method.as_str()) {
        let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path takes {allow}."));
        return Err(Refusal { error, allow: Some(allow) });
    }
    match own {
        Some(own) => Ok(own.answer(gateway, &caller, parts.uri.query(), &request_id).await?),
        None => {
            let mut held = gateway.limits.hold_body(client);
            held.proven();
            let bounds = BodyBounds { limit: gateway.body.limit, ..gateway.body };
            let (body, digest) = body::read(&parts.headers, body, bounds, &mut held).await?;
            Ok(forward(gateway, &caller, parts, &rest, (body, digest)).await?)
        }
    }
}

/// Sends a call to the chat backend, with what the backend must know of the operator.
async fn forward<D: TenantDirectory>(
    gateway: &Gateway<D>,
    caller: &Caller,
    mut parts: Parts,
    rest: &str,
    (body, digest): (bytes::Bytes, wire::signature::BodyDigest),
) -> Result<Response, ApiError> {
    let path = Path::read(rest, parts.uri.query())?;
    if path.is(ADD_MESSAGE) && parts.method == Method::POST {
        body::check_not_encoded(&parts.headers)?;
        messages::check_attachments(&body, &caller.tenant)?;
    }
    let mut query = query_with(parts.uri.query(), &caller.acting())?;
    if path.is(ASSIGN) && parts.method == Method::POST {
        body::check_not_encoded(&parts.headers)?;
        let assignee = find_assignee(gateway, caller, &body, &request_id(&parts.extensions)).await?;
        query.push_str(&format!("&{ASSIGNEE_PARAMETER}={}", assignee.to_parameter()));
    }
    // The token is between the operator and the relay.
    parts.headers.remove(header::AUTHORIZATION);
    parts.headers.remove(header::COOKIE);
    let (method, below) = (parts.method, format!("operator/{rest}"));
    let actor = format!("operator:{}", caller.token.operator_id);
    let call = Relayed {
        method: &method,
        rest: &below,
        query: Some(&query),
        headers: &mut parts.headers,
        body,
        digest: &digest,
        tenant_id: caller.tenant.id,
        actor: &actor,
        at_ms: now_unix_ms(),
        deadline: Instant::now() + gateway.call_deadline,
    };
    let answer = gateway.backend.relay(call).await?;
    Ok(answer.map(|body| axum::body::Body::new(Body::Streamed(body))))
}

/// The colleague that a conversation is to be assigned to.
///
/// # Errors
/// `operator_not_found` where the tenant has no such operator, or not any more.
async fn find_assignee<D: TenantDirectory>(
    gateway: &Gateway<D>,
    caller: &Caller,
    body: &[u8],
    request_id: &RequestId,
) -> Result<ActingOperator, ApiError> {
    let mut fields = Fields::new(body::json_object(body)?);
    let id = fields.text("operator_id", 36).parse::<Uuid>();
    if id.is_err() {
        fields.require("operator_id", "must be an operator's id");
    }
    fields.finish()?;
    let id = id.map_err(ApiError::internal)?;
    let membership = gateway.directory.membership(&caller.tenant, id, request_id).await?;
    let membership = membership.filter(|membership| !membership.is_revoked);
    let not_found =
        || ApiError::new(ErrorCode::OperatorNotFound, "This tenant has no active operator with this operator_id.");
    Ok(told(&*membership.ok_or_else(not_found)?))
}

/// The call's query with the relay's own parameter.
///
/// # Errors
/// A 422 where the caller gives a parameter of the relay's: a backend could take it for the relay's word.
fn query_with(query: Option<&str>, operator: &ActingOperator) -> Result<String, ApiError> {
    let query = query.unwrap_or_default();
    // Some servers split at semicolons too.
    for pair in query.split(['&', ';']) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let name = percent_decode_str(name).decode_utf8_lossy().replace('+', " ");
        let is_ours = |ours: &&str| name.trim().eq_ignore_ascii_case(ours);
        if let Some(ours) = [OPERATOR_PARAMETER, ASSIGNEE_PARAMETER].into_iter().find(is_ours) {
            return Err(ApiError::field(ours, "is the relay's own: leave it out"));
        }
    }
    let separator = if query.is_empty() { "" } else { "&" };
    Ok(format!("{query}{separator}{OPERATOR_PARAMETER}={}", operator.to_parameter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_relay_says_who_acts() {
        let operator = ActingOperator { display_name: "Ada".to_owned(), avatar_url: None, routing_keys: Vec::new() };
        let ours = format!("{OPERATOR_PARAMETER}={}", operator.to_parameter());
        assert_eq!(query_with(None, &operator).expect("made"), ours);
        assert_eq!(query_with(Some("queue=mine"), &operator).expect("made"), format!("queue=mine&{ours}"));
        for forged in [
            "relay_operator=e30",
            "a=b&relay%5Foperator=e30",
            "a=b;RELAY_operator=e30",
            "relay_operator",
            "+relay_operator=e30",
            "relay_assignee=e30",
        ] {
            let refused = query_with(Some(forged), &operator).expect_err("refused");
            assert_eq!(refused.code(), ErrorCode::ValidationFailed, "{forged}");
        }
    }
}
