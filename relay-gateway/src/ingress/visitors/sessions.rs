//! How a session begins, and what a widget draws itself from.

use std::time::Instant;

use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use service::{
    ApiError, Success,
    body::{self, BodyBounds, json_object},
    query::Query,
};
use wire::{
    ErrorCode, TenantId,
    fields::Fields,
    frames::limits::{LOCALE_CHARS, ROUTING_KEY_CHARS, SESSION_METADATA_BYTES},
    origin::Origin,
};

use super::call::Call;
use crate::{
    admin::NewSession,
    directory::TenantDirectory,
    domain::widget_access::{Widget, WidgetAccess},
    ingress::{cors::RequestOrigin, shapes::visitors::BegunSession},
};

/// Bytes a body may have: its fields at their longest, written with escapes.
const BODY_LIMIT: usize = 64 * 1024;

impl<D: TenantDirectory> Call<'_, D> {
    pub(super) async fn create_session(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        body::check_not_encoded(&self.parts.headers)?;
        let bounds = BodyBounds { limit: self.gateway.body.limit.min(BODY_LIMIT), ..self.gateway.body };
        let mut held = self.gateway.limits.hold_body(self.client);
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
        let limits = &self.gateway.limits;
        limits.begin_session(widget.key_id, widget.sessions_per_hour, self.client, Instant::now()).await?;
        let session = NewSession {
            widget_public_key: key,
            origin,
            locale: locale.clone(),
            metadata,
            routing_key,
            mode: mode.to_owned(),
        };
        let opened = self.gateway.admin.open_session(tenant_id, session, &self.request_id).await?;
        let data = BegunSession {
            session_id: opened.session_id,
            visitor_token: opened.token.token,
            expires_at: opened.token.expires_at,
            widget_config: self.config(widget, &locale),
        };
        Ok(Success::created(data, "Session begun. Connect to /api/v1/ws/widget with the visitor_token as a subprotocol: bearer.<visitor_token>.")
            .into_response())
    }

    pub(super) async fn fetch_config(&mut self) -> Result<Response, ApiError> {
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

fn opened(access: &WidgetAccess) -> Result<&Widget, ApiError> {
    access.widget.as_ref().ok_or_else(|| ApiError::internal("the widget key was admitted, but its widget is missing"))
}
