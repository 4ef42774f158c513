//! What the OpenAPI document says beside its paths: what the relay sends, and the headers of HMAC#2.

use service::Failure;
use utoipa::{
    Modify, OpenApi, PartialSchema as _, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};
use wire::operator::OPERATOR_PARAMETER;

/// The document without its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: what a chat backend answers",
        description = "The relay forwards every verified call under /api/v1/relay/<path> to <backend base>/<path>, signed \
                       with HMAC#2: X-Relay-Tenant-Id, X-Relay-Timestamp (Unix ms), X-Relay-Actor (tenant, \
                       visitor:<session> or operator:<id>) and X-Relay-Signature = \
                       hex(hmac_sha256(relay_secret, \"{timestamp}\\n{METHOD}\\n{path?query}\\n{tenant_id}\\n{actor}\\n{sha256_hex(body)}\")). \
                       The path in it is the one the backend receives, and begins with the path of the relay's chat_backend_url: with \
                       the base https://chat.example/v2, a call of /api/v1/relay/add/message?conversation_id=x is signed as \
                       /v2/add/message?conversation_id=x. A proxy that takes a prefix off the path breaks the signature. \
                       A backend must refuse anything whose signature is wrong or whose timestamp is more than 30 s from \
                       its own clock, and must show each tenant only its own. It refuses them with 401 and the header \
                       `X-Relay-Refused: signature`: the gateway then answers its caller 502 `backend_refused_relay` and \
                       logs an error, for no caller can mend that. The gateway takes a 401 without the header in the same \
                       way; a backend that answers 401 to the caller itself says `X-Relay-Refused: caller`, and the \
                       answer is passed on. At its start a gateway sends GET /fetch/conversations?limit=1 for the tenant \
                       00000000-0000-0000-0000-000000000000, which does not exist, to learn whether its signature is accepted.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "http://127.0.0.1:7814", description = "chat-relay backend's default")),
    components(schemas(Failure))
)]
pub(crate) struct Document;

/// Adds what every call has in common: the headers of HMAC#2, and the refusal of a wrong signature; for operators' calls, who acts.
pub(crate) struct SignedByTheRelay;

impl Modify for SignedByTheRelay {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
                let parameters = operation.parameters.get_or_insert_default();
                if path.starts_with("/operator/") {
                    let description = "Who acts, as the relay says it";
                    parameters.push(required(OPERATOR_PARAMETER, ParameterIn::Query, description));
                }
                parameters.extend(HEADERS.map(|(name, description)| required(name, ParameterIn::Header, description)));
                operation.responses.responses.insert("401".to_owned(), refusal().into());
            }
        }
    }
}

fn required(name: &str, place: ParameterIn, description: &str) -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(String::schema()))
        .build()
        .into()
}

fn refusal() -> Response {
    let failure = Ref::from_schema_name(<Failure as ToSchema>::name());
    ResponseBuilder::new()
        .description("`invalid_relay_signature`")
        .content("application/json", ContentBuilder::new().schema(Some(failure)).build())
        .build()
}

const HEADERS: [(&str, &str); 4] = [
    ("X-Relay-Tenant-Id", "The tenant the call is for: a UUID"),
    ("X-Relay-Timestamp", "Unix milliseconds, decimal"),
    ("X-Relay-Actor", "`tenant`, `visitor:<session>` or `operator:<id>`"),
    ("X-Relay-Signature", "HMAC#2, 64 hexadecimal digits"),
];
