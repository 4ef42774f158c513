//! The OpenAPI document: generated from the handlers, so that it cannot say something else than they do.

use shared::Failure;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, SecurityScheme},
};

use super::protected_routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: admin API",
        description = "Provision, configure, rotate and suspend tenants. Every change is true on every gateway before the call returns.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "this admin service")),
    components(schemas(Failure)),
    security(("admin_key" = [])),
    modifiers(&AdminKeyScheme)
)]
struct Document;

struct AdminKeyScheme;

impl Modify for AdminKeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description("X-Admin-Key", "The operators' key: the service's ADMIN_API_KEY.");
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("admin_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

/// The OpenAPI 3.1 document of the REST facade.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(protected_routes().into_openapi());
    document
}
