//! The OpenAPI document: generated from the handlers, so that it cannot say something else than they do.

use shared::Failure;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{account_key_routes, developer_routes, log_routes, tenant_routes};

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
    modifiers(&KeySchemes)
)]
struct Document;

struct KeySchemes;

impl Modify for KeySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let account_key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An account key, made by POST /api/v1/create/account-key."))
            .build();
        let key = ApiKeyValue::with_description("X-Admin-Key", "The operators' key: the service's ADMIN_API_KEY.");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        components.add_security_scheme("account_key", SecurityScheme::Http(account_key));
    }
}

/// The OpenAPI 3.1 document of the REST facade.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(tenant_routes().into_openapi());
    document.merge(log_routes().into_openapi());
    document.merge(account_key_routes().into_openapi());
    document.merge(developer_routes().into_openapi());
    document
}
