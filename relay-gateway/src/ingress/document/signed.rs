//! The signed lane's part of the OpenAPI document: what goes to the chat backend, and what every call of the lane has in common:
//! three signature headers, and the refusals.

#![expect(dead_code, reason = "the functions carry the documentation of paths that the chat backend answers")]

use utoipa::{
    Modify,
    openapi::{
        Required,
        path::{Operation, ParameterBuilder, ParameterIn},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use wire::contact_form::NewContactTicket;

use super::refusals::refuse;
use crate::ingress::{shapes::signed::TAG, signed::PREFIX};

/// A contact form, which the relay checks before the chat backend makes a ticket of it.
#[utoipa::path(
    post, path = "/api/v1/relay/create/contact-ticket", tag = TAG, request_body = NewContactTicket,
    responses((status = 201, description = "The chat backend's answer: its document has the ticket", body = Object))
)]
pub(super) fn create_contact_ticket() {}

/// Everything else goes to the chat backend.
///
/// `/api/v1/relay/<rest>` becomes `<backend base><rest>` with query, body, content type and trace context unchanged; the signature
/// headers and hop-by-hop headers are removed and HMAC#2 is added; the answer streams back as the backend gives it. GET, HEAD, POST,
/// PUT, PATCH and DELETE pass. `GET <backend>/openapi.json` documents what the reference backend answers.
#[utoipa::path(
    post, path = "/api/v1/relay/{rest}", tag = TAG,
    params(("rest" = String, Path, description = "One or more segments. None may be `.` or `..`, however it is escaped")),
    responses((status = "default", description = "The chat backend's own answer"))
)]
pub(super) fn pass_through() {}

/// As the POST of this path; without a body.
#[utoipa::path(
    get, path = "/api/v1/relay/{rest}", tag = TAG,
    params(("rest" = String, Path, description = "One or more segments. None may be `.` or `..`, however it is escaped")),
    responses((status = "default", description = "The chat backend's own answer"))
)]
pub(super) fn pass_through_read() {}

/// Adds what every signed call has in common.
pub(super) struct SignedCalls;

const SCHEMES: [(&str, &str, &str); 3] = [
    ("signature_tenant", "X-Bloonio-Tenant-Id", "The tenant's id: a UUID."),
    ("signature_timestamp", "X-Bloonio-Timestamp", "Unix milliseconds, decimal, within 30 s of the relay's clock."),
    (
        "signature",
        "X-Bloonio-Signature",
        "hex(hmac_sha256(tenant_secret, \"{timestamp}.{sha256_hex(body)}\")), where the body is the empty string if there is none. \
         A signature is good once: with a body, once for each method, path and conversation_id.",
    ),
];

/// What the lane refuses whatever the path is: status and codes.
const REFUSALS: [(&str, &str); 15] = [
    (
        "400",
        "`malformed_request`: the request could not be read, or its path holds control characters; `malformed_json` where the \
             relay reads the body",
    ),
    (
        "401",
        "`missing_signature_headers`, `malformed_signature_headers`, `timestamp_out_of_window`, `invalid_signature` (an unknown \
             tenant too; `received` says what the relay received)",
    ),
    ("403", "`tenant_suspended`; `feature_disabled`: attachments, where the tenant takes none"),
    ("404", "`not_found`: a path that leaves `/api/v1/relay/`, or is below `/api/v1/relay/internal`"),
    ("405", "`method_not_allowed`; `Allow` lists the methods"),
    ("408", "`request_timeout`: the body stopped coming"),
    ("409", "`replayed_request`: the same signed request came before"),
    ("413", "`body_too_large`"),
    ("415", "`unsupported_media_type`: a body with an encoding, where the relay reads it"),
    (
        "422",
        "`validation_failed`: `errors` names each field; also a query parameter that a signature is bound to, given twice",
    ),
    (
        "429",
        "`rate_limited`, with `Retry-After` and the `RateLimit` fields: the tenant's rate, or too many failed calls of an address",
    ),
    ("500", "`internal_error`"),
    ("502", "`backend_bad_response`: the call may have arrived"),
    (
        "503",
        "`directory_unavailable`, `overloaded`, `backend_unreachable`, with `Retry-After` where it is known: nothing was sent on",
    ),
    ("504", "`backend_timeout`: the call may have arrived"),
];

impl Modify for SignedCalls {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (scheme, header, description) in SCHEMES {
            let key = ApiKeyValue::with_description(header, description);
            components.add_security_scheme(scheme, SecurityScheme::ApiKey(ApiKey::Header(key)));
        }
        for (path, item) in &mut document.paths.paths {
            if path.starts_with(PREFIX) {
                [&mut item.get, &mut item.post].into_iter().flatten().for_each(sign);
            }
        }
    }
}

/// Adds headers and refusals to one call.
fn sign(operation: &mut Operation) {
    let requirement = SCHEMES
        .into_iter()
        .fold(SecurityRequirement::default(), |all, (scheme, ..)| all.add::<_, [&str; 0], &str>(scheme, []));
    operation.security = Some(vec![requirement]);
    let request_id = ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Kept, and answered: 1 to 64 letters, digits, `.`, `_` and `-`"))
        .schema(Some(<String as utoipa::PartialSchema>::schema()))
        .build();
    operation.parameters.get_or_insert_default().push(request_id.into());
    refuse(operation, &REFUSALS);
}
