//! How a session begins, and what a widget draws itself from.

use std::time::Instant;

use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use service::{
    ApiError, Success,
    body::{self, BodyBounds},
    query::Query,
};
use wire::{ErrorCode, TenantId, frames::limits::LOCALE_CHARS};

use super::call::Call;
use crate::{
    admin::NewSession,
    directory::TenantDirectory,
    domain::widget_access::{Widget, WidgetAccess},
    ingress::{cors::RequestOrigin, shapes::visitors as shapes, widget::launcher_texts},
};

/// Bytes a body may have: its fields at their longest, written with escapes.
const BODY_LIMIT: usize = 64 * 1024;

impl<D: TenantDirectory> Call<'_, D> {
    pub(super) async fn create_session(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        let given = shapes::NewSession::read(&self.small_body(body).await?)?;
        let shapes::NewSession { tenant_id, widget_public_key, origin, locale, metadata, routing_key, mode } = given;

        let access = self.admit(tenant_id, &widget_public_key).await?;
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
        limits.begin_session(tenant_id, widget.key_id, widget.sessions_per_hour, self.client, Instant::now()).await?;
        let session = NewSession {
            widget_public_key,
            origin,
            locale: locale.clone(),
            metadata,
            routing_key,
            mode: mode.to_owned(),
        };
        let opened = self.gateway.admin.open_session(tenant_id, session, &self.request_id).await?;
        let data = shapes::BegunSession {
            session_id: opened.session_id,
            visitor_token: opened.token.token,
            expires_at: opened.token.expires_at,
            widget_config: self.config(widget, locale),
        };
        Ok(Success::created(data, "Session begun. Connect to /api/v1/ws/widget with the visitor_token as a subprotocol: bearer.<visitor_token>.")
            .into_response())
    }

    /// A body of a few fields, whole.
    pub(super) async fn small_body(&self, body: axum::body::Body) -> Result<Bytes, ApiError> {
        body::check_not_encoded(&self.parts.headers)?;
        let bounds = BodyBounds { limit: self.gateway.body.limit.min(BODY_LIMIT), ..self.gateway.body };
        let mut held = self.gateway.limits.hold_body(self.client);
        let (body, _) = body::read(&self.parts.headers, body, bounds, &mut held).await?;
        Ok(body)
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
        let config = self.config(opened(&access)?, locale);
        Ok(Success::ok(config, "Widget configuration fetched.").into_response())
    }

    /// What a widget draws itself from.
    fn config(&self, widget: &Widget, locale: String) -> shapes::WidgetConfig {
        let look = widget.config();
        let greeting = look.get("customization").and_then(|look| look.get("greeting_text")).and_then(Value::as_str);
        let launcher_texts = launcher_texts(&locale, greeting);
        let is_online = self.gateway.backend.is_reachable();
        shapes::WidgetConfig { look, locale, launcher_texts, is_online }
    }
}

pub(super) fn opened(access: &WidgetAccess) -> Result<&Widget, ApiError> {
    access.widget.as_ref().ok_or_else(|| ApiError::internal("the widget key was admitted, but its widget is missing"))
}
