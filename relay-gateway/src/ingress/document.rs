//! The OpenAPI document of the public lanes: the signed one, the visitors' and the operators'. It is generated from the handlers, so that the two
//! cannot differ.

use service::Failure;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    attachments, inbox, operator_socket, operators as operator_lane, relay_endpoints, relay_events, socket, visitors,
    widget,
};

mod operators;
mod refusals;
mod signed;

use operators::OperatorCalls;
use signed::SignedCalls;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: the gateway",
        description = "Three lanes. The signed lane (/api/v1/relay/*) is what a tenant's backend calls, under HMAC#1: three headers \
                       that the security schemes describe. The relay answers some of its paths itself and passes the others to the \
                       chat backend. \
                       The visitor lane is what a tenant's pages call: public, and checked by origin. A browser may read an answer where the tenant's \
                       allowed_origins, or the widget key's allowed_domains, allow its page; preflights are answered by the \
                       tenant_id and widget_public_key in the URL. \
                       The operator lane (/api/v1/operator/*) is what a tenant's own people call, by an operator's token: the relay answers \
                       what concerns the token, and passes the rest to the chat backend, whose document has it. \
                       Every failure has an error_code: deploy/docs/errors.md lists all of them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "this gateway")),
    paths(
        visitors::create_session, visitors::fetch_config, visitors::refresh_token, visitors::end_session, visitors::identify, visitors::send_frame, visitors::poll_frames, visitors::upload, attachments::fetch, socket::upgrade,
        widget::script, widget::chat, widget::texts,
        relay_endpoints::provision_operator, relay_endpoints::operator_token, relay_endpoints::revoke_operator, relay_endpoints::fetch_operators, relay_endpoints::visitor_token, relay_endpoints::revoke_visitor, relay_endpoints::tenant_info,
        relay_events::fetch_events, relay_events::fetch_event, relay_events::replay_event, relay_events::replay_events,
        relay_events::send_test_event, relay_events::start_endpoint,
        operator_lane::own::fetch_me, operator_lane::own::refresh_token, operator_lane::own::create_socket_ticket, operator_lane::own::fetch_operators, operator_lane::uploads::upload, inbox::page, operator_socket::upgrade, operator_lane::pass_through, operator_lane::pass_through_read,
        signed::create_contact_ticket, signed::pass_through, signed::pass_through_read
    ),
    components(schemas(Failure)),
    modifiers(&Tokens, &SignedCalls, &OperatorCalls)
)]
struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (scheme, description) in [
            ("visitor_token", "The visitor_token of a session, ended or not."),
            ("operator_token", "An operator's token, from POST /api/v1/relay/fetch/operator-token."),
        ] {
            let token = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(description))
                .build();
            components.add_security_scheme(scheme, SecurityScheme::Http(token));
        }
    }
}

/// The OpenAPI 3.1 document of the signed, the visitor and the operator lane.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}
