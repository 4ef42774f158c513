//! What the relay answers itself on the signed lane.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::time::WireTime;

/// The lane's tag.
pub(crate) const TAG: &str = "signed";

/// Who answers for a tenant. Sending it again refreshes the operator with this email.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NewOperator {
    #[schema(max_length = 254, pattern = r"^[^\s@]+@[^\s@]+$", example = "merchant@acme.com")]
    email: String,
    #[schema(min_length = 1, max_length = 200)]
    display_name: String,
    /// The queues the operator sees. Absent or null: an existing operator keeps its own; empty: all of the tenant.
    #[schema(max_items = 100)]
    routing_keys: Option<Vec<String>>,
    /// https.
    #[schema(min_length = 1, max_length = 2048)]
    avatar_url: Option<String>,
}

/// An operator.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProvisionedOperator {
    #[schema(value_type = Uuid)]
    pub(crate) operator_id: String,
    #[schema(value_type = Uuid)]
    pub(crate) tenant_id: String,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) routing_keys: Vec<String>,
    #[schema(required)]
    pub(crate) avatar_url: Option<String>,
    /// Whether this call made it.
    pub(crate) created: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: WireTime,
}

/// Which operator a token is for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NamedOperator {
    #[schema(max_length = 254, pattern = r"^[^\s@]+@[^\s@]+$")]
    email: String,
}

/// An operator's token: `deploy/docs/tokens.md` has its claims.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorToken {
    #[schema(value_type = Uuid)]
    pub(crate) operator_id: String,
    pub(crate) display_name: String,
    pub(crate) operator_token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
    #[schema(value_type = Uuid)]
    pub(crate) tenant_id: String,
    pub(crate) routing_keys: Vec<String>,
}

/// A visitor whom the tenant's backend knows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NewVisitorToken {
    /// The tenant's own name for the visitor: at most 255 bytes without control characters.
    #[schema(min_length = 1, max_length = 255)]
    visitor_user_id: String,
    /// Such as `sha256:<hex>`.
    #[schema(min_length = 1, max_length = 255)]
    visitor_email_hash: Option<String>,
    #[schema(minimum = 60, maximum = 86400, default = 3600)]
    ttl_seconds: Option<u32>,
}

/// A minted token: it opens `/api/v1/ws/widget`, and `deploy/docs/tokens.md` has its claims.
#[derive(Serialize, ToSchema)]
pub(crate) struct MintedToken {
    pub(crate) token: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: WireTime,
}

/// Whose minted tokens end.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NamedVisitor {
    #[schema(min_length = 1, max_length = 255)]
    visitor_user_id: String,
}

/// A visitor whose minted tokens and sockets are over, on every gateway.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedVisitor {
    pub(crate) visitor_user_id: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) revoked_at: WireTime,
}

/// A contact form. The relay checks it, and the chat backend makes a ticket of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what is read field by field")]
pub(crate) struct NewContactTicket {
    #[schema(min_length = 1, max_length = 254)]
    customer_email: String,
    #[schema(min_length = 1, max_length = 200)]
    customer_name: String,
    #[schema(min_length = 1, max_length = 500)]
    subject: String,
    #[schema(min_length = 1, max_length = 8000)]
    message: String,
    #[schema(min_length = 1, max_length = 200)]
    company: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    source: Option<String>,
    #[schema(min_length = 1, max_length = 35)]
    locale: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    routing_key: Option<String>,
    /// At most 16 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}
