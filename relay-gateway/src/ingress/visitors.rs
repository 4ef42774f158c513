//! The visitor lane: sessions, their tokens, and what a widget draws itself from. Public, and checked by origin: contract,
//! section 5.
//!
//! Who fails here has proved nothing and has cost a lookup, so failures are counted by address; beginning a session proves
//! nothing either, and is counted apart.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use jiff::Timestamp;
use proto::visitors::v1::{OpenSessionRequest, RefreshTokenRequest, visitors_client::VisitorsClient};
use serde_json::{Map, Value, json};
use shared::{
    ApiError, ErrorCode, Success, TenantId,
    body::{self, json_object},
    fields::Fields,
    origin::Origin,
    query::Query,
    request_id::RequestId,
};

use super::{
    Gateway, client_address,
    cors::{self, Sender},
    request_id,
};
use crate::{
    directory::TenantDirectory,
    domain::{
        door::{Door, Widget},
        tenant::TenantState,
    },
};

/// Bytes of JSON that a page may say of itself and its visitor.
const LARGEST_METADATA: usize = 4096;
const LONGEST_LOCALE: usize = 35;

pub(super) async fn create_session<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.create_session(body).await).await
}

pub(super) async fn fetch_config<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "GET", async |call, _| call.fetch_config().await).await
}

pub(super) async fn refresh_token<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, _| call.refresh_token().await).await
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
    let mut call = Call { gateway, parts, request_id, readable_by: None };
    if let Err(error) = gateway.visitor_floods.admit(client, Instant::now()) {
        gateway.metrics.refused(error.code());
        return error.into_response();
    }
    if call.parts.method == Method::OPTIONS {
        return call.preflight(method).await;
    }
    let unproven = gateway.visitor_floods.unproven(client);
    let answered = handle(&mut call, body).await;
    let mut response = match answered {
        Ok(response) => {
            unproven.forgive();
            response
        }
        Err(error) => {
            gateway.metrics.refused(error.code());
            if error.code() == ErrorCode::DirectoryUnavailable {
                unproven.forgive();
            }
            error.into_response()
        }
    };
    cors::vary(response.headers_mut());
    if let Some(origin) = &call.readable_by {
        cors::allow(response.headers_mut(), origin);
    }
    response
}

/// One call, and who may read its answer.
struct Call<'a, D> {
    gateway: &'a Gateway<D>,
    parts: Parts,
    request_id: RequestId,
    readable_by: Option<HeaderValue>,
}

impl<D: TenantDirectory> Call<'_, D> {
    /// A preflight that names a tenant is answered by its own origins. One that does not cannot be judged yet: the page may
    /// ask, and whether it may read the answer is judged with the call.
    async fn preflight(&self, method: &'static str) -> Response {
        let Sender::Page(origin, text) = Sender::read(&self.parts.headers) else {
            return cors::preflight(None, method);
        };
        let (tenant_id, key) = named(&self.parts);
        let Some(tenant_id) = tenant_id else { return cors::preflight(Some(&text), method) };
        let allowed = match self.look_up(tenant_id, &key).await {
            Ok(Some((_, door))) => door.allows(&origin),
            Ok(None) => false,
            Err(error) => return error.into_response(),
        };
        cors::preflight(allowed.then_some(&text), method)
    }

    /// What is known of a tenant and of its door as the key opens it; `None` where there is no such tenant.
    async fn look_up(&self, tenant_id: TenantId, key: &str) -> Result<Option<(Arc<TenantState>, Arc<Door>)>, ApiError> {
        let known = self.gateway.directory.lookup(tenant_id, &self.request_id).await?;
        let Some(tenant) = known.tenant else { return Ok(None) };
        let door = self.gateway.directory.door(&tenant, key, &self.request_id).await?;
        Ok(Some((tenant, door)))
    }

    /// The door, where the key opens it, to a page that is allowed: the order of the refusals is from what anybody may know
    /// to what only the tenant's pages may.
    async fn admit(&mut self, tenant_id: TenantId, key: &str) -> Result<Arc<Door>, ApiError> {
        let invalid = || {
            ApiError::new(
                ErrorCode::InvalidWidgetKey,
                "This tenant has no such widget key, or it was rotated or revoked: paste the current embed code.",
            )
        };
        let (tenant, door) = self.look_up(tenant_id, key).await?.ok_or_else(invalid)?;
        match Sender::read(&self.parts.headers) {
            Sender::Unnamed => {}
            Sender::Page(origin, text) if door.allows(&origin) => self.readable_by = Some(text),
            // Whether the key is right is not for pages that are not allowed to learn.
            Sender::Page(origin, _) => return Err(not_allowed(&origin.to_string())),
            Sender::Nameless => return Err(not_allowed("null")),
        }
        if door.widget.is_none() {
            return Err(invalid());
        }
        if tenant.suspended {
            return Err(crate::domain::admission::suspended());
        }
        Ok(door)
    }

    async fn create_session(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        let (body, _) = body::read(&self.parts.headers, body, self.gateway.body).await?;
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
        let locale = fields.optional_text("locale", LONGEST_LOCALE).unwrap_or_else(|| "fr".to_owned());
        let metadata = fields.object("metadata", LARGEST_METADATA);
        let routing_key = fields.optional_text("routing_key", 100);
        let mode = fields.choice("mode", &["bot", "human"], "bot");
        fields.finish()?;
        let (Ok(tenant_id), Ok(origin)) = (tenant_id, origin) else {
            return Err(ApiError::internal("a field was neither read nor refused"));
        };

        let door = self.admit(tenant_id, &key).await?;
        if let Sender::Page(sender, _) = Sender::read(&self.parts.headers)
            && sender != origin
        {
            let message = format!("The page's Origin is {sender}, and the body says {origin}: send location.origin.");
            return Err(ApiError::new(ErrorCode::OriginNotAllowed, message));
        }
        if !door.allows(&origin) {
            return Err(not_allowed(&origin.to_string()));
        }
        let widget = opened(&door)?;
        let client = super::client_of(&self.parts, &self.gateway.trusted_proxies);
        self.gateway.session_floods.admit(client, Instant::now())?;
        self.gateway.session_rates.admit(widget.key_id, widget.sessions_per_hour)?;
        self.gateway.session_floods.refused(client, Instant::now());
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
        Ok(Success::created(data, "Session begun. Connect to /api/v1/ws/widget?token= with the visitor_token.")
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
        if locale.chars().count() > LONGEST_LOCALE {
            return Err(ApiError::field("locale", format!("must have at most {LONGEST_LOCALE} characters")));
        }
        let door = self.admit(tenant_id, &key).await?;
        let config = self.config(opened(&door)?, &locale);
        Ok(Success::ok(config, "Widget configuration fetched.").into_response())
    }

    async fn refresh_token(&mut self) -> Result<Response, ApiError> {
        let invalid = || {
            ApiError::new(
                ErrorCode::InvalidVisitorToken,
                "Send `Authorization: Bearer <visitor_token>` with a token of this relay's, ended or not; where its session is \
                 over, POST /api/v1/create/visitor-session begins another.",
            )
        };
        let text = bearer(&self.parts.headers).ok_or_else(invalid)?;
        let verified = self.gateway.signing_keys.verify(text).await?;
        let token = match verified {
            Some(token) => token,
            None => {
                // The page is told why, where it names a tenant that lets it in.
                if let (Some(tenant_id), key) = named(&self.parts) {
                    self.admit(tenant_id, &key).await?;
                }
                return Err(invalid());
            }
        };
        let door = self.admit(token.tenant_id, &token.widget_key).await?;
        if let Sender::Page(sender, _) = Sender::read(&self.parts.headers)
            && sender != token.origin
        {
            let message = format!("The token is for pages of {}, and this page's Origin is {sender}.", token.origin);
            return Err(ApiError::new(ErrorCode::OriginNotAllowed, message));
        }
        if !door.allows(&token.origin) {
            return Err(not_allowed(&token.origin.to_string()));
        }
        let message = RefreshTokenRequest {
            tenant_id: token.tenant_id.as_uuid().as_bytes().to_vec(),
            session_id: token.session.to_string(),
            widget_public_key: token.widget_key,
            origin: token.origin.to_string(),
        };
        let method = "chatrelay.visitors.v1.Visitors/RefreshToken";
        let answer = self.gateway.admin.call(method, &self.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).refresh_token(request).await
        });
        let answer = answer.await?;
        let data = json!({
            "session_id": token.session.to_string(),
            "visitor_token": answer.token,
            "expires_at": time(answer.expires_at)?,
        });
        Ok(Success::ok(data, "Token refreshed.").into_response())
    }

    /// What a widget draws itself from.
    fn config(&self, widget: &Widget, locale: &str) -> Map<String, Value> {
        let mut config = widget.config.clone();
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

fn opened(door: &Door) -> Result<&Widget, ApiError> {
    door.widget.as_ref().ok_or_else(|| ApiError::internal("a door that was admitted by is not open"))
}

fn not_allowed(origin: &str) -> ApiError {
    // A page's own text, and not worth echoing whole.
    let origin: String = origin.chars().take(300).collect();
    let message = format!(
        "Pages of {origin} are not allowed: add it to the tenant's allowed_origins, or its host to the widget key's \
         allowed_domains."
    );
    ApiError::new(ErrorCode::OriginNotAllowed, message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, text) = given.next()?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && given.next().is_none()).then_some(text)
}

fn time(at: Option<prost_types::Timestamp>) -> Result<Timestamp, ApiError> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .ok_or_else(|| ApiError::internal("the admin service sent no time"))
}
