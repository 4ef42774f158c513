//! What the gRPC services are made of.

use service::config::SecretList;

use super::edge::RpcMetrics;
use crate::{
    auth::OperatorGate, directory::Directory, events::Events, logs::Logs, operators::Operators,
    propagation::Propagation, signing_keys::SigningKeys, tenants::Tenants, tokens::Tokens, visitors::Visitors,
};

/// What the services are made of.
pub(crate) struct Services {
    pub(crate) tenants: Tenants,
    pub(crate) directory: Directory,
    pub(crate) operators: Operators,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) tokens: Tokens,
    pub(crate) visitors: Visitors,
    pub(crate) propagation: Propagation,
    pub(crate) logs: Logs,
    pub(crate) gate: OperatorGate,
    pub(crate) events: Events,
    pub(crate) service_tokens: SecretList,
    /// What chat backends may publish with, beside the admin key.
    pub(crate) events_token: Option<SecretList>,
    pub(crate) metrics: RpcMetrics,
}
