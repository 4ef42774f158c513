//! The OpenAPI document of both public lanes, the signed one and the visitors'. It is generated from the handlers, so that the two
//! cannot differ.

use serde_json::{Map, Value};
use service::Failure;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use uuid::Uuid;

use super::{relay_endpoints, socket, visitors, widget};

pub(super) mod relay;

use relay::SignedCalls;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: the gateway",
        description = "Two lanes. The signed lane (/api/v1/relay/*) is what a tenant's backend calls, under HMAC#1: three headers \
                       that the security schemes describe. The relay answers some of its paths itself and passes the others to the \
                       chat backend. \
                       The visitor lane is what a tenant's pages call: public, and checked by origin. A browser may read an answer where the tenant's \
                       allowed_origins, or the widget key's allowed_domains, allow its page; preflights are answered by the \
                       tenant_id and widget_public_key in the URL. \
                       Every failure has an error_code: deploy/docs/errors.md lists all of them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "this gateway")),
    paths(
        visitors::create_session, visitors::fetch_config, visitors::refresh_token, visitors::end_session, socket::upgrade,
        widget::script,
        relay_endpoints::provision_operator, relay_endpoints::operator_token, relay_endpoints::visitor_token, relay_endpoints::revoke_visitor, relay_endpoints::tenant_info,
        relay::create_contact_ticket, relay::pass_through, relay::pass_through_read
    ),
    components(schemas(Failure)),
    modifiers(&VisitorToken, &SignedCalls)
)]
struct Document;

struct VisitorToken;

impl Modify for VisitorToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The visitor_token of a session, ended or not."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("visitor_token", SecurityScheme::Http(token));
    }
}

/// What begins a session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(super) struct NewSession {
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
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is made of the admin service's answer")]
pub(super) struct BegunSession {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    session_id: String,
    /// For the socket, and to be refreshed. It lives about an hour, the session 30 days.
    visitor_token: String,
    #[schema(format = DateTime)]
    expires_at: String,
    widget_config: WidgetConfig,
}

/// Another token for the same session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is made of the admin service's answer")]
pub(super) struct RefreshedToken {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    session_id: String,
    visitor_token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A session that is over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is made of the admin service's answer")]
pub(super) struct EndedSession {
    #[schema(pattern = "^vs_[0-9a-f]{32}$")]
    session_id: String,
}

/// What a widget draws itself from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what the admin service keeps")]
pub(super) struct WidgetConfig {
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
pub(super) struct Branding {
    display_name: Option<String>,
    logo_url: Option<String>,
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$")]
    primary_color: Option<String>,
}

/// The OpenAPI 3.1 document of the signed lane and the visitor lane.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
