//! Bodies and answers of the visitor lane.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::time::WireTime;

/// What begins a session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NewSession {
    tenant_id: Uuid,
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    widget_public_key: String,
    /// The page's: `location.origin`. Where the call has an `Origin` header, they must agree.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9+.-]*://[^/]+$", example = "https://shop.demo.com")]
    origin: String,
    #[schema(default = "fr", max_length = 35)]
    locale: Option<String>,
    /// What the page says of itself and its visitor. At most 4 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    #[schema(max_length = 100)]
    routing_key: Option<String>,
    /// Who answers first: `bot` or `human`.
    #[schema(default = "bot", pattern = "^(bot|human)$")]
    mode: Option<String>,
}

/// A session's beginning.
#[derive(Serialize, ToSchema)]
pub(crate) struct BegunSession {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    pub(crate) session_id: String,
    /// For the socket, and to be refreshed. It lives about an hour, the session 30 days.
    pub(crate) visitor_token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
    #[schema(value_type = WidgetConfig)]
    pub(crate) widget_config: Map<String, Value>,
}

/// Another token for the same session.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefreshedToken {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    pub(crate) session_id: String,
    pub(crate) visitor_token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
}

/// A session that is over.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndedSession {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    pub(crate) session_id: String,
}

/// What a widget draws itself from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what the admin service keeps")]
pub(crate) struct WidgetConfig {
    bot_id: Uuid,
    tenant_name: String,
    locale: String,
    /// As `GET /api/v1/widgets/customization` has it.
    #[schema(value_type = Object)]
    customization: Map<String, Value>,
    branding: Branding,
    file_upload_enabled: bool,
    /// Whether the chat backend could be reached when it was last tried.
    is_online: bool,
}

/// The tenant's.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what the admin service keeps")]
pub(crate) struct Branding {
    display_name: Option<String>,
    logo_url: Option<String>,
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$")]
    primary_color: Option<String>,
}
