//! What each call of operators needs of its admin key, by its path.

use crate::domain::admin_key::{
    Needed,
    Scope::{AuditRead, EventsRead, EventsWrite, KeysRead, KeysWrite, SecretsRotate, TenantsRead, TenantsWrite},
};

/// What a call of this path needs. A path that is not named here takes a root key alone: a new call is closed until somebody decides.
pub(super) fn needed(path: &str) -> Needed {
    let scope = match path.strip_prefix("/api/v1/").unwrap_or_default() {
        "fetch/tenant" | "fetch/tenants" => TenantsRead,
        "provision/tenant" | "update/tenant" | "suspend/tenant" | "reactivate/tenant" => TenantsWrite,
        "rotate/tenant-secret" | "revoke/previous-secret" | "rotate/widget-key" => SecretsRotate,
        "fetch/account-keys" | "fetch/signing-keys" => KeysRead,
        "create/account-key" | "revoke/account-key" | "rotate/signing-key" | "retire/signing-key" => KeysWrite,
        "fetch/audit-log" | "fetch/access-log" => AuditRead,
        "fetch/events" | "fetch/event" => EventsRead,
        "replay/event" | "replay/events" | "send/test-event" | "start/endpoint" => EventsWrite,
        _ => return Needed::Root,
    };
    Needed::Scope(scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::openapi;

    #[test]
    fn every_call_of_operators_has_its_scope_but_those_of_admin_keys() {
        let for_root: Vec<_> = openapi()
            .paths
            .paths
            .into_iter()
            .filter(|(_, item)| item.get.iter().chain(&item.post).any(|operation| operation.security.is_none()))
            .map(|(path, _)| path)
            .filter(|path| needed(path) == Needed::Root)
            .collect();
        assert_eq!(for_root, ["/api/v1/create/admin-key", "/api/v1/fetch/admin-keys", "/api/v1/revoke/admin-key"]);
    }
}
