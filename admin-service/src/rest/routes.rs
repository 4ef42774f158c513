//! Which paths there are, by what their handlers need. The router and the OpenAPI document are both made from these.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    account_keys, admin_keys, audit, bots,
    developers::Developers,
    events, publishing,
    signing_keys::{self, Keys},
    tenants, widgets,
};
use crate::{account_keys::AccountKeys, admin_keys::AdminKeys, events::Events, logs::Logs, tenants::Tenants};

/// For operators, who send a root key.
pub(super) fn admin_key_routes() -> OpenApiRouter<AdminKeys> {
    OpenApiRouter::new()
        .routes(routes!(admin_keys::create_admin_key))
        .routes(routes!(admin_keys::fetch_admin_keys))
        .routes(routes!(admin_keys::revoke_admin_key))
}

/// For operators, who send an admin key.
pub(super) fn account_key_routes() -> OpenApiRouter<AccountKeys> {
    OpenApiRouter::new()
        .routes(routes!(account_keys::create_account_key))
        .routes(routes!(account_keys::fetch_account_keys))
        .routes(routes!(account_keys::revoke_account_key))
}

/// For operators, who send an admin key.
pub(super) fn signing_key_routes() -> OpenApiRouter<Keys> {
    OpenApiRouter::new()
        .routes(routes!(signing_keys::rotate_signing_key))
        .routes(routes!(signing_keys::fetch_signing_keys))
        .routes(routes!(signing_keys::retire_signing_key))
}

/// For a tenant's developers, who send an account key.
pub(super) fn developer_routes() -> OpenApiRouter<Developers> {
    OpenApiRouter::new()
        .routes(routes!(bots::list_bots, bots::create_bot))
        .routes(routes!(widgets::list_widget_keys, widgets::create_widget_key))
        .routes(routes!(widgets::revoke_widget_key))
        .routes(routes!(widgets::get_customization, widgets::put_customization))
        .routes(routes!(widgets::get_embed_code))
}

/// For operators, who send an admin key.
pub(super) fn tenant_routes() -> OpenApiRouter<Tenants> {
    OpenApiRouter::new()
        .routes(routes!(tenants::provision_tenant))
        .routes(routes!(tenants::update_tenant))
        .routes(routes!(tenants::rotate_tenant_secret))
        .routes(routes!(tenants::revoke_previous_secret))
        .routes(routes!(tenants::rotate_widget_key))
        .routes(routes!(tenants::suspend_tenant))
        .routes(routes!(tenants::reactivate_tenant))
        .routes(routes!(tenants::fetch_tenant))
        .routes(routes!(tenants::fetch_tenants))
}

/// For operators, who send an admin key.
pub(super) fn log_routes() -> OpenApiRouter<Logs> {
    OpenApiRouter::new().routes(routes!(audit::fetch_audit_log)).routes(routes!(audit::fetch_access_log))
}

/// For operators, who send an admin key.
pub(super) fn event_routes() -> OpenApiRouter<Events> {
    OpenApiRouter::new()
        .routes(routes!(events::fetch_events))
        .routes(routes!(events::fetch_event))
        .routes(routes!(events::replay_event))
        .routes(routes!(events::replay_events))
        .routes(routes!(events::send_test_event))
        .routes(routes!(events::start_endpoint))
}

/// For chat backends, which sign with the relay secret.
pub(super) fn publishing_routes() -> OpenApiRouter<Events> {
    OpenApiRouter::new().routes(routes!(publishing::publish_events))
}
