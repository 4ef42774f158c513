//! What the handlers share.

use std::{sync::Arc, time::Duration};

use service::{body::BodyBounds, passed_on::ClientProof};

use super::tickets::Tickets;
use crate::{
    admin::AdminClient,
    backend::{Backend, Upstream},
    config::{AttachmentConfig, Exposed, List, Network},
    directory::{PreviousUses, TenantDirectory},
    limits::Limits,
    metrics::GatewayMetrics,
    signing_keys::SigningKeys,
    sockets::{Operator, Sockets, Visitor},
};

/// What the handlers share.
pub(crate) struct Gateway<D: TenantDirectory> {
    pub(crate) directory: D,
    pub(crate) previous_uses: Arc<PreviousUses>,
    pub(crate) admin: AdminClient,
    pub(crate) backend: Arc<Backend>,
    pub(crate) signing_keys: SigningKeys<D>,
    pub(crate) sockets: Arc<Sockets<Visitor<D>>>,
    pub(crate) operator_sockets: Arc<Sockets<Operator<D>>>,
    pub(crate) tickets: Tickets,
    /// The REST facade, for the paths that are passed through.
    pub(crate) admin_rest: Upstream,
    /// What names a client to the REST facade.
    pub(crate) client_proof: ClientProof,
    pub(crate) exposed: Exposed,
    pub(crate) limits: Arc<Limits>,
    /// Query parameters that are part of what a signature is good once for.
    pub(crate) replay_parameters: Vec<String>,
    /// How long a signed call may wait for the relay.
    pub(crate) call_deadline: Duration,
    pub(crate) body: BodyBounds,
    pub(crate) attachments: AttachmentConfig,
    pub(crate) trusted_proxies: List<Network>,
    pub(crate) metrics: GatewayMetrics,
}
