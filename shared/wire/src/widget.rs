//! What a widget draws itself from, as the admin service keeps it and gateways pass it on.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a widget draws itself from.
#[derive(Debug, Serialize, ToSchema)]
pub struct WidgetLook {
    /// The bot of the widget key.
    pub bot_id: Uuid,
    /// The tenant's name.
    pub tenant_name: String,
    /// As `GET /api/v1/widgets/customization` has it.
    #[schema(value_type = Object)]
    pub customization: Value,
    /// The tenant's.
    pub branding: Branding,
    /// Whether visitors may send files.
    pub file_upload_enabled: bool,
}

/// A tenant's branding.
#[derive(Debug, Serialize, ToSchema)]
pub struct Branding {
    /// The name that visitors read.
    #[schema(required)]
    pub display_name: Option<String>,
    /// Its logo.
    #[schema(required)]
    pub logo_url: Option<String>,
    /// Its color.
    #[schema(required, pattern = "^#[0-9A-Fa-f]{6}$")]
    pub primary_color: Option<String>,
}
