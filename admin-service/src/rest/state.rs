//! What the REST facade is made of.

use std::sync::Arc;

use axum::Router;
use service::edge::ClientAddresses;
use url::Url;
use wire::signature::RelayKeys;

use super::{developers::Developers, signing_keys::Keys};
use crate::{admin_keys::AdminKeys, auth::OperatorGate, events::Events, logs::Logs, tenants::Tenants};

/// What the REST facade is made of.
pub(crate) struct Services {
    pub(crate) tenants: Tenants,
    pub(crate) logs: Logs,
    pub(crate) events: Events,
    pub(crate) webhook_public_key: WebhookPublicKey,
    /// What publications may be signed with.
    pub(crate) relay_keys: RelayKeys,
    pub(crate) developers: Developers,
    pub(crate) admin_keys: AdminKeys,
    pub(crate) keys: Keys,
    pub(crate) gate: OperatorGate,
    pub(crate) clients: ClientAddresses,
    pub(crate) relay_url: RelayUrl,
    pub(crate) probes: Router,
}

/// Where tenants and browsers reach the relay, without a trailing slash.
#[derive(Clone)]
pub(crate) struct RelayUrl(pub(super) Arc<str>);

impl RelayUrl {
    pub(crate) fn new(url: &Url) -> Self {
        Self(url.as_str().trim_end_matches('/').into())
    }
}

/// What verifies `v1a` of Standard Webhooks: `whpk_` and base64.
#[derive(Clone)]
pub(crate) struct WebhookPublicKey(pub(crate) Arc<str>);
