//! Bodies and answers of the visitor lane. A body is read field by field, so that every refused field is named.

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use service::{ApiError, body::json_object};
use utoipa::ToSchema;
use wire::{
    TenantId,
    fields::Fields,
    frames::{
        Mode,
        limits::{EMAIL_CHARS, LOCALE_CHARS, ROUTING_KEY_CHARS, SESSION_METADATA_BYTES, VISITOR_NAME_CHARS},
    },
    origin::Origin,
    time::WireTime,
    widget::WidgetLook,
};

/// Characters of an `identity_token`. Minted tokens have at most some 5000: those of a visitor's id and an e-mail address's hash, of 255
/// characters each.
const IDENTITY_TOKEN_CHARS: usize = 16 * 1024;

/// What begins a session.
#[derive(ToSchema)]
pub(crate) struct NewSession {
    #[schema(value_type = Uuid)]
    pub(crate) tenant_id: TenantId,
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    pub(crate) widget_public_key: String,
    /// The page's: `location.origin`. Where the call has an `Origin` header, they must agree.
    #[schema(value_type = String, pattern = "^[A-Za-z][A-Za-z0-9+.-]*://[^/]+$", example = "https://shop.demo.com")]
    pub(crate) origin: Origin,
    #[schema(required = false, nullable, default = "fr", max_length = 35)]
    pub(crate) locale: String,
    /// What the page says of itself and its visitor. At most 4 KiB.
    #[schema(required = false, nullable, value_type = Object)]
    pub(crate) metadata: Map<String, Value>,
    #[schema(max_length = 100)]
    pub(crate) routing_key: Option<String>,
    /// Who answers first: `bot` or `human`.
    #[schema(required = false, nullable, default = "bot", pattern = "^(bot|human)$")]
    pub(crate) mode: &'static str,
}

impl NewSession {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let tenant_id = fields.text("tenant_id", 36).parse::<TenantId>();
        if let Err(error) = &tenant_id {
            fields.require("tenant_id", error.to_string());
        }
        let widget_public_key = fields.text("widget_public_key", 64);
        let origin = fields.text("origin", 300).parse::<Origin>();
        if let Err(error) = &origin {
            fields.require("origin", error.to_string());
        }
        let locale = fields.optional_text("locale", LOCALE_CHARS).unwrap_or_else(|| "fr".to_owned());
        let metadata = fields.object("metadata", SESSION_METADATA_BYTES);
        let routing_key = fields.optional_text("routing_key", ROUTING_KEY_CHARS);
        let mode = fields.choice("mode", Mode::TEXTS, Mode::Bot.as_str());
        fields.finish()?;
        let (Ok(tenant_id), Ok(origin)) = (tenant_id, origin) else {
            return Err(ApiError::internal("a field was neither read nor refused"));
        };
        Ok(Self { tenant_id, widget_public_key, origin, locale, metadata, routing_key, mode })
    }
}

/// Who a visitor is.
#[derive(ToSchema)]
pub(crate) struct IdentifiedVisitor {
    /// A token that the tenant's backend got from `mint/visitor-token`.
    pub(crate) identity_token: String,
    /// What operators are shown.
    #[schema(max_length = 200)]
    pub(crate) name: Option<String>,
    /// What operators are shown; nobody has checked that it is the visitor's.
    #[schema(max_length = 254)]
    pub(crate) email: Option<String>,
}

impl IdentifiedVisitor {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let read = Self {
            identity_token: fields.text("identity_token", IDENTITY_TOKEN_CHARS),
            name: fields.optional_text("name", VISITOR_NAME_CHARS),
            email: fields.optional_text("email", EMAIL_CHARS),
        };
        fields.finish()?;
        Ok(read)
    }
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
    pub(crate) widget_config: WidgetConfig,
}

/// Another token, for the same session or for the one that follows it.
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

/// What became of a frame.
#[derive(Serialize, ToSchema)]
pub(crate) struct SentFrame {
    /// The frame that answers it; `null` where frames of its type are not answered.
    #[schema(value_type = Option<Object>)]
    pub(crate) frame: Option<Box<RawValue>>,
}

/// What was heard.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolledFrames {
    /// As they come over a socket, in their order.
    #[schema(value_type = Vec<Object>)]
    pub(crate) frames: Vec<Box<RawValue>>,
    /// The `after` of the next poll: the id of the newest message, or empty where there is none.
    pub(crate) after: String,
}

/// What the launcher says.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct LauncherTexts {
    /// The language that they are in: `en` where there are none of the locale's.
    #[schema(value_type = String)]
    pub(crate) language: &'static str,
    /// `rtl` where the locale is written from right to left, and `ltr` elsewhere.
    #[schema(value_type = String, pattern = "^(ltr|rtl)$")]
    pub(crate) direction: &'static str,
    pub(crate) open_chat: String,
    pub(crate) dismiss_greeting: String,
    /// The tenant's own `customization.greeting_text`, or the default in this language.
    pub(crate) greeting: String,
}

/// What a widget draws itself from.
#[derive(Serialize, ToSchema)]
pub(crate) struct WidgetConfig {
    /// As the admin service keeps it.
    #[serde(flatten)]
    #[schema(value_type = WidgetLook)]
    pub(crate) look: Map<String, Value>,
    pub(crate) locale: String,
    /// What the launcher says, in the language of `locale`.
    pub(crate) launcher_texts: LauncherTexts,
    /// Whether the chat backend could be reached when it was last tried.
    pub(crate) is_online: bool,
}
