//! The OpenAPI document: generated from the handlers, so that it cannot say something else than they do.

use std::{borrow::Cow, collections::HashSet};

use service::Failure;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder, Schema,
        path::{Operation, Parameter, ParameterIn},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use wire::ErrorCode;

use super::{
    dto::{NewTenant, TenantPatch},
    events::{WantedReplay, WantedTest},
    publishing::NewEvents,
    routes::{
        account_key_routes, admin_key_routes, developer_routes, event_routes, log_routes, publishing_routes,
        signing_key_routes, tenant_routes,
    },
    scopes,
    widgets::CustomizationPatch,
};
use crate::domain::{
    account_key::NewAccountKey,
    admin_key::{Needed, NewAdminKey},
    bot::NewBot,
    widget::NewBotKey,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: admin API",
        description = "Provision, configure, rotate and suspend tenants. Every change is true on every gateway before the call returns.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "this admin service")),
    tags(
        (name = "tenants"),
        (name = "signing keys"),
        (name = "admin keys"),
        (name = "account keys"),
        (name = "audit"),
        (name = "events"),
        (name = "internal"),
        (name = "bots"),
        (name = "widgets")
    ),
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
        let key = ApiKeyValue::with_description(
            "X-Admin-Key",
            "An admin key: one of the service's ADMIN_API_KEY, or one made by POST /api/v1/create/admin-key, with the scope of the call.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("admin_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        let signature = ApiKeyValue::with_description(
            "X-Relay-Signature",
            "HMAC#2 under one of the service's ADMIN_RELAY_SECRETS, with the actor `backend` (PROTOCOL.md, section 7).",
        );
        components.add_security_scheme("relay_signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
        components.add_security_scheme("account_key", SecurityScheme::Http(account_key));
    }
}

/// The OpenAPI 3.1 document of the REST facade.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(tenant_routes().into_openapi());
    document.merge(log_routes().into_openapi());
    document.merge(event_routes().into_openapi());
    document.merge(publishing_routes().into_openapi());
    document.merge(admin_key_routes().into_openapi());
    document.merge(account_key_routes().into_openapi());
    document.merge(signing_key_routes().into_openapi());
    document.merge(developer_routes().into_openapi());
    WhatEveryCallAnswers.modify(&mut document);
    WhatAnswersAlwaysHave.modify(&mut document);
    document
}

/// Adds what any call may be refused with, by what the call needs: before its handler has it, and by what lies behind the handler. A
/// handler's own attributes name only its own refusals.
struct WhatEveryCallAnswers;

impl Modify for WhatEveryCallAnswers {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let reads = item.get.iter_mut().map(|operation| (operation, false));
            let writes = [&mut item.post, &mut item.put, &mut item.delete].into_iter().flatten();
            for (operation, is_write) in reads.chain(writes.map(|operation| (operation, true))) {
                add_refusals(path, operation, is_write);
            }
        }
    }
}

fn add_refusals(path: &str, operation: &mut Operation, is_write: bool) {
    if operation.request_body.is_some() {
        add(operation, ErrorCode::MalformedJson, "");
        add(operation, ErrorCode::BodyTooLarge, "");
        add(operation, ErrorCode::ValidationFailed, "; nothing was written");
        add(operation, ErrorCode::RequestTimeout, "");
        add(operation, ErrorCode::UnsupportedMediaType, "");
    } else if operation.parameters.iter().flatten().any(is_query) {
        add(operation, ErrorCode::ValidationFailed, "");
    }
    add(operation, ErrorCode::MalformedRequest, "");
    // A call that names no security takes the admin key, and guessing that is slowed.
    if operation.security.is_none() {
        add(operation, ErrorCode::InvalidAdminKey, "");
        let needed = match scopes::needed(path) {
            Needed::Scope(scope) => format!(": the call needs the scope `{scope}`"),
            Needed::Root | Needed::AnyKey => ": the call needs a root key".to_owned(),
        };
        add(operation, ErrorCode::MissingScope, &needed);
        add(operation, ErrorCode::RateLimited, ": too many wrong admin keys from this address");
    } else if operation.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "internal")) {
        add(operation, ErrorCode::InvalidRelaySignature, "");
    } else {
        add(operation, ErrorCode::InvalidAccountKey, "");
        add(operation, ErrorCode::MissingAbility, "");
        add(operation, ErrorCode::TenantSuspended, "");
    }
    add(operation, ErrorCode::StoreUnavailable, "");
    add(operation, ErrorCode::Internal, "");
    if is_write {
        add(operation, ErrorCode::Conflict, "");
        add(operation, ErrorCode::OutcomeUnknown, "");
    }
}

fn is_query(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query)
}

/// Adds a code to the answer of its status, and what there is to say about it.
fn add(operation: &mut Operation, code: ErrorCode, about: &str) {
    let status = code.statuses().0.as_u16().to_string();
    let name = format!("`{}`", code.as_str());
    let schema = Ref::from_schema_name(<Failure as ToSchema>::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let answer = operation
        .responses
        .responses
        .entry(status)
        .or_insert_with(|| ResponseBuilder::new().content("application/json", content).build().into());
    if let RefOr::T(answer) = answer
        && !answer.description.contains(&name)
    {
        let separator = if answer.description.is_empty() { "" } else { "; " };
        answer.description.push_str(&format!("{separator}{name}{about}"));
    }
}

/// An answer always has every field, `null` where there is no value. The derived schema would mark such fields as optional, so they are
/// made `required` here.
struct WhatAnswersAlwaysHave;

/// The answers with fields that are absent where they have nothing to say.
const MAY_BE_PARTIAL: [&str; 2] = ["Failure", "DeliveredEvent"];

impl Modify for WhatAnswersAlwaysHave {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let taken: HashSet<String> = [
            NewTenant::name(),
            TenantPatch::name(),
            NewAccountKey::name(),
            NewAdminKey::name(),
            NewBot::name(),
            NewBotKey::name(),
        ]
        .into_iter()
        .chain([CustomizationPatch::name(), NewEvents::name(), WantedReplay::name(), WantedTest::name()])
        .chain(MAY_BE_PARTIAL.map(Cow::from))
        .map(Cow::into_owned)
        .collect();
        let components = document.components.get_or_insert_default();
        for (_, schema) in components.schemas.iter_mut().filter(|(name, _)| !taken.contains(*name)) {
            require_all(schema);
        }
    }
}

fn require_all(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.required = object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(parts)) => parts.items.iter_mut().for_each(require_all),
        _ => {}
    }
}
