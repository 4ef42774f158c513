//! Answers of the operator lane.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{TenantId, time::WireTime};

use crate::admin;

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

/// An operator of the same tenant, as a colleague sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Colleague {
    #[schema(value_type = Uuid)]
    pub(crate) operator_id: String,
    /// The name that visitors read.
    pub(crate) display_name: String,
    #[schema(required)]
    pub(crate) avatar_url: Option<String>,
    /// The queues the operator sees; none: all of the tenant.
    pub(crate) routing_keys: Vec<String>,
}

impl From<admin::Operator> for Colleague {
    fn from(operator: admin::Operator) -> Self {
        let admin::Operator { operator_id, display_name, avatar_url, routing_keys, .. } = operator;
        Self { operator_id, display_name, avatar_url, routing_keys }
    }
}

/// A page of the tenant's active operators.
#[derive(Serialize, ToSchema)]
pub(crate) struct ColleaguePage {
    pub(crate) items: Vec<Colleague>,
    /// Pass it as `cursor` for the next page; `null` on the last.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}
