//! Answers of the operator lane.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{TenantId, time::WireTime};

/// The lane's tag.
pub(crate) const TAG: &str = "operators";

/// The operator of a token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    pub(crate) operator_id: Uuid,
    #[schema(value_type = Uuid)]
    pub(crate) tenant_id: TenantId,
    pub(crate) email: String,
    /// The name that visitors read.
    pub(crate) display_name: String,
    #[schema(required)]
    pub(crate) avatar_url: Option<String>,
    /// The queues the operator sees; none: all of the tenant.
    pub(crate) routing_keys: Vec<String>,
    /// When the token ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) token_expires_at: WireTime,
}

/// Another token for the same operator.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefreshedOperatorToken {
    pub(crate) operator_token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
}

/// What opens a socket once.
#[derive(Serialize, ToSchema)]
pub(crate) struct SocketTicket {
    pub(crate) ticket: String,
    /// 30 s later, or when the token ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
}
