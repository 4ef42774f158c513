//! The visitor lane: sessions, their tokens, and what a widget draws itself from. Public, and checked by origin: PROTOCOL.md,
//! section 5.
//!
//! Who fails here has proved nothing and has cost a lookup, so failures are counted by address; beginning a session proves
//! nothing either, and is counted apart.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, Method, request::Parts};
use proto::visitors::v1::{OpenSessionRequest, visitors_client::VisitorsClient};
use serde_json::{Map, Value, json};
use service::{
    ApiError, Envelope, Failure, Success,
    body::{self, BodyBounds, json_object},
    edge::ConcernedTenant,
    fields::Fields,
    query::Query,
};
use wire::{
    ErrorCode, TenantId,
    frames::limits::{LOCALE_CHARS, ROUTING_KEY_CHARS, SESSION_METADATA_BYTES},
    origin::Origin,
    request_id::RequestId,
};

use super::{
    Gateway, client_address,
    cors::{self, RequestOrigin},
    document::{BegunSession, EndedSession, NewSession, RefreshedToken, WidgetConfig},
    request_id, time,
};
use crate::{
    directory::TenantDirectory,
    domain::{
        tenant::TenantState,
        widget_access::{AccessDenied, Widget, WidgetAccess, is_key},
    },
    limits::failures::FailureGuard,
};

mod tokens;

/// Bytes a body may have: what follows, written with escapes.
const BODY_LIMIT: usize = 64 * 1024;

/// Begin a visitor's session, from a page that is allowed.
#[utoipa::path(
    post, path = "/api/v1/create/visitor-session", tag = "visitors", request_body = NewSession,
    responses(
        (status = 201, description = "Begun", body = Envelope<BegunSession>),
        (status = 400, description = "`malformed_json`", body = Failure),
        (status = 401, description = "`invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`: of the key, or of the address", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn create_session<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.create_session(body).await).await
}

/// What a widget draws itself from.
#[utoipa::path(
    get, path = "/api/v1/fetch/widget-config", tag = "visitors",
    params(
        ("tenant_id" = Uuid, Query),
        ("widget_public_key" = String, Query),
        ("locale" = Option<String>, Query, description = "`fr` unless said otherwise"),
    ),
    responses(
        (status = 200, description = "The configuration", body = Envelope<WidgetConfig>),
        (status = 401, description = "`invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn fetch_config<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "GET", async |call, _| call.fetch_config().await).await
}

/// Another token for a session, by one that may have ended.
#[utoipa::path(
    post, path = "/api/v1/refresh/visitor-token", tag = "visitors", security(("visitor_token" = [])),
    responses(
        (status = 200, description = "Refreshed", body = Envelope<RefreshedToken>),
        (status = 401, description = "`invalid_visitor_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn refresh_token<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, _| call.refresh_token().await).await
}

/// End a visitor's session: its sockets are closed with 4401, and its tokens open and refresh nothing any more, on every gateway when
/// this returns. Ending it again is no error.
///
/// The visitor's token is all it takes, so a page that is being left can send it with `fetch` and `keepalive`. A token of
/// `mint/visitor-token` ends every token that was minted for its visitor, as `revoke/visitor` does.
#[utoipa::path(
    post, path = "/api/v1/end/visitor-session", tag = "visitors", security(("visitor_token" = [])),
    responses(
        (status = 200, description = "Ended", body = Envelope<EndedSession>),
        (status = 401, description = "`invalid_visitor_token`", body = Failure),
        (status = 403, description = "`origin_not_allowed`: the token is for pages of another origin", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`; `change_propagating`: ended, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn end_session<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, _| call.end_session().await).await
}

/// What stands around each: preflights, who is heard at all, and which pages may read the answer.
async fn answer<D: TenantDirectory>(
    gateway: &Gateway<D>,
    request: Request,
    method: &'static str,
    handle: impl AsyncFnOnce(&mut Call<'_, D>, axum::body::Body) -> Result<Response, ApiError>,
) -> Response {
    let client = client_address(&request, &gateway.trusted_proxies);
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.extensions);
    let mut call = Call { gateway, parts, request_id, client, readable_by: None, charged: None };
    if call.parts.method == Method::OPTIONS {
        let (response, is_proven) = call.preflight(method).await;
        if is_proven {
            call.disarm();
        } else if call.charged.is_none() {
            let _ = gateway.limits.visitor_failures.count(client, Instant::now());
        }
        return response;
    }
    match handle(&mut call, body).await {
        Ok(mut response) => {
            call.disarm();
            call.let_read(&mut response);
            response
        }
        // Neither is the caller's fault, or it is paid for where it is counted.
        Err(error) if error.code() == ErrorCode::RateLimited || error.code().statuses().0.is_server_error() => {
            call.disarm();
            call.refuse(error).await
        }
        Err(error) => {
            // A call that cost nothing is charged now that it has failed.
            if call.charged.is_none() {
                match gateway.limits.visitor_failures.charge(client, Instant::now()) {
                    Ok(charged) => call.charged = Some(charged),
                    Err(exceeded) => return call.refuse(exceeded.into()).await,
                }
            }
            call.refuse(error).await
        }
    }
}

/// One call, and who may read its answer.
struct Call<'a, D> {
    gateway: &'a Gateway<D>,
    parts: Parts,
    request_id: RequestId,
    client: IpAddr,
    readable_by: Option<HeaderValue>,
    /// Where the call has cost a look-up: what it was charged with until it proves something.
    charged: Option<FailureGuard>,
}

impl<D: TenantDirectory> Call<'_, D> {
    /// The call is good, or it is not its caller's fault that nobody knows.
    fn disarm(&mut self) {
        if let Some(charged) = self.charged.take() {
            charged.disarm();
        }
    }

    fn let_read(&self, response: &mut Response) {
        cors::vary(response.headers_mut());
        if let Some(origin) = &self.readable_by {
            cors::allow(response.headers_mut(), origin);
        }
    }

    /// Refuses the call so that the page learns why, where it may: what was refused before anybody was judged is judged by the
    /// tenant that the URL names, and that there is too much, or nobody to ask, is no secret.
    async fn refuse(mut self, error: ApiError) -> Response {
        self.gateway.metrics.refused(error.code());
        if let (None, RequestOrigin::Page(origin, text)) = (&self.readable_by, RequestOrigin::read(&self.parts.headers))
        {
            let may_read = match error.code() {
                ErrorCode::RateLimited | ErrorCode::DirectoryUnavailable | ErrorCode::Overloaded => true,
                ErrorCode::OriginNotAllowed => false,
                _ => match named(&self.parts) {
                    (Some(tenant_id), key) => {
                        let found = self.look_up(tenant_id, &key).await.ok().flatten();
                        found.is_some_and(|(_, access)| access.allows(&origin))
                    }
                    (None, _) => false,
                },
            };
            self.readable_by = may_read.then_some(text);
        }
        let mut response = error.into_response();
        self.let_read(&mut response);
        response
    }

    /// A preflight that names a tenant is answered by its own origins. One that does not cannot be judged yet: the page may
    /// ask, and whether it may read the answer is judged with the call. Says, too, whether it cost nothing or was allowed.
    async fn preflight(&mut self, method: &'static str) -> (Response, bool) {
        let RequestOrigin::Page(origin, text) = RequestOrigin::read(&self.parts.headers) else {
            return (cors::preflight(None, method), true);
        };
        let (tenant_id, key) = named(&self.parts);
        let Some(tenant_id) = tenant_id else { return (cors::preflight(Some(&text), method), true) };
        match self.look_up(tenant_id, &key).await {
            Ok(found) => {
                let allowed = found.is_some_and(|(_, access)| access.allows(&origin));
                (cors::preflight(allowed.then_some(&text), method), allowed)
            }
            Err(error) => (error.into_response(), true),
        }
    }

    /// What is known of a tenant and of what the key allows; `None` where there is no such tenant.
    async fn look_up(
        &mut self,
        tenant_id: TenantId,
        key: &str,
    ) -> Result<Option<(Arc<TenantState>, Arc<WidgetAccess>)>, ApiError> {
        ConcernedTenant::note(&self.parts.extensions, tenant_id);
        // The admin service is not asked about a text that cannot be a key: what the empty key allows is kept.
        let key = if is_key(key) { key } else { "" };
        let directory = &self.gateway.directory;
        let costs_nothing = directory
            .cached(tenant_id)
            .is_some_and(|known| known.tenant.is_none_or(|tenant| directory.has_widget_access(&tenant, key)));
        if !costs_nothing && self.charged.is_none() {
            self.charged = Some(self.gateway.limits.visitor_failures.charge(self.client, Instant::now())?);
        }
        let known = directory.lookup(tenant_id, &self.request_id).await?;
        let Some(tenant) = known.tenant else { return Ok(None) };
        let access = directory.widget_access(&tenant, key, &self.request_id).await?;
        Ok(Some((tenant, access)))
    }

    /// What the key opens for a page that is allowed: the order of the refusals is from what anybody may know
    /// to what only the tenant's pages may.
    async fn admit(&mut self, tenant_id: TenantId, key: &str) -> Result<Arc<WidgetAccess>, ApiError> {
        let found = self.look_up(tenant_id, key).await?;
        let (tenant, access) = found.ok_or_else(ApiError::invalid_widget_key)?;
        match RequestOrigin::read(&self.parts.headers) {
            RequestOrigin::Absent => {}
            RequestOrigin::Page(origin, text) if access.allows(&origin) => self.readable_by = Some(text),
            // Whether the key is right is not for pages that are not allowed to learn.
            RequestOrigin::Page(origin, _) => return Err(ApiError::origin_not_allowed(origin)),
            RequestOrigin::Opaque => return Err(ApiError::origin_not_allowed("no origin")),
        }
        match access.open(&tenant).map(drop) {
            Ok(()) => Ok(access),
            Err(AccessDenied::Key) => Err(ApiError::invalid_widget_key()),
            Err(AccessDenied::Suspended) => Err(crate::errors::suspended()),
        }
    }

    async fn create_session(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        body::check_not_encoded(&self.parts.headers)?;
        let bounds = BodyBounds { limit: self.gateway.body.limit.min(BODY_LIMIT), ..self.gateway.body };
        let mut held = self.gateway.limits.memory.hold(self.client);
        let (body, _) = body::read(&self.parts.headers, body, bounds, &mut held).await?;
        let mut fields = Fields::new(json_object(&body)?);
        let tenant_id = fields.text("tenant_id", 36).parse::<TenantId>();
        if let Err(error) = &tenant_id {
            fields.require("tenant_id", error.to_string());
        }
        let key = fields.text("widget_public_key", 64);
        let origin = fields.text("origin", 300).parse::<Origin>();
        if let Err(error) = &origin {
            fields.require("origin", error.to_string());
        }
        let locale = fields.optional_text("locale", LOCALE_CHARS).unwrap_or_else(|| "fr".to_owned());
        let metadata = fields.object("metadata", SESSION_METADATA_BYTES);
        let routing_key = fields.optional_text("routing_key", ROUTING_KEY_CHARS);
        let mode = fields.choice("mode", &["bot", "human"], "bot");
        fields.finish()?;
        let (Ok(tenant_id), Ok(origin)) = (tenant_id, origin) else {
            return Err(ApiError::internal("a field was neither read nor refused"));
        };

        let access = self.admit(tenant_id, &key).await?;
        if let RequestOrigin::Page(asker, _) = RequestOrigin::read(&self.parts.headers)
            && asker != origin
        {
            let message = format!("The page's Origin is {asker}, and the body says {origin}: send location.origin.");
            return Err(ApiError::new(ErrorCode::OriginNotAllowed, message));
        }
        if !access.allows(&origin) {
            return Err(ApiError::origin_not_allowed(origin));
        }
        let widget = opened(&access)?;
        let sessions = &self.gateway.limits.sessions;
        sessions.begin(widget.key_id, widget.sessions_per_hour, self.client, Instant::now())?;
        let message = OpenSessionRequest {
            tenant_id: tenant_id.as_uuid().as_bytes().to_vec(),
            widget_public_key: key,
            origin: origin.to_string(),
            locale: locale.clone(),
            metadata_json: Value::Object(metadata).to_string(),
            routing_key,
            mode: mode.to_owned(),
        };
        let method = "chatrelay.visitors.v1.Visitors/OpenSession";
        let answer = self.gateway.admin.call(method, &self.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).open_session(request).await
        });
        let answer = answer.await?;
        let data = json!({
            "session_id": answer.session_id,
            "visitor_token": answer.token,
            "expires_at": time(answer.expires_at)?,
            "widget_config": self.config(widget, &locale),
        });
        Ok(Success::created(data, "Session begun. Connect to /api/v1/ws/widget with the visitor_token as a subprotocol: bearer.<visitor_token>.")
            .into_response())
    }

    async fn fetch_config(&mut self) -> Result<Response, ApiError> {
        let mut query = Query::parse(self.parts.uri.query());
        let tenant_id = query.required::<TenantId>("tenant_id");
        let key = query.required::<String>("widget_public_key");
        let locale = query.optional::<String>("locale").unwrap_or_else(|| "fr".to_owned());
        query.finish()?;
        let (Some(tenant_id), Some(key)) = (tenant_id, key) else {
            return Err(ApiError::internal("a required parameter was neither read nor refused"));
        };
        if locale.chars().count() > LOCALE_CHARS {
            return Err(ApiError::field("locale", format!("must have at most {LOCALE_CHARS} characters")));
        }
        let access = self.admit(tenant_id, &key).await?;
        let config = self.config(opened(&access)?, &locale);
        Ok(Success::ok(config, "Widget configuration fetched.").into_response())
    }

    /// What a widget draws itself from.
    fn config(&self, widget: &Widget, locale: &str) -> Map<String, Value> {
        let mut config = widget.config();
        config.insert("locale".to_owned(), locale.into());
        config.insert("is_online".to_owned(), self.gateway.backend.is_reachable().into());
        config
    }
}

/// The tenant and widget key that a URL names.
fn named(parts: &Parts) -> (Option<TenantId>, String) {
    let mut query = Query::parse(parts.uri.query());
    (query.optional("tenant_id"), query.optional("widget_public_key").unwrap_or_default())
}

fn opened(access: &WidgetAccess) -> Result<&Widget, ApiError> {
    access.widget.as_ref().ok_or_else(|| ApiError::internal("the widget key was admitted, but its widget is missing"))
}
