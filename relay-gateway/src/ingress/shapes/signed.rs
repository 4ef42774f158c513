//! Bodies and answers of what the relay answers itself on the signed lane. A body is read field by field, so that every refused field
//! is named.

use serde::Serialize;
use service::{ApiError, body::json_object};
use utoipa::ToSchema;
use wire::{fields::Fields, time::WireTime};

use crate::admin;

/// The lane's tag.
pub(crate) const TAG: &str = "signed";

/// Who answers for a tenant. Sending it again refreshes the operator with this email.
#[derive(ToSchema)]
pub(crate) struct NewOperator {
    #[schema(max_length = 254, pattern = r"^[^\s@]+@[^\s@]+$", example = "merchant@acme.com")]
    pub(crate) email: String,
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) display_name: String,
    /// The queues the operator sees. Absent or null: an existing operator keeps its own; empty: all of the tenant.
    #[schema(max_items = 100)]
    pub(crate) routing_keys: Option<Vec<String>>,
    /// https.
    #[schema(min_length = 1, max_length = 2048)]
    pub(crate) avatar_url: Option<String>,
}

impl NewOperator {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let read = Self {
            email: fields.text("email", 254),
            display_name: fields.text("display_name", 200),
            routing_keys: fields.optional_texts("routing_keys", 100, 100),
            avatar_url: fields.optional_text("avatar_url", 2048),
        };
        fields.finish()?;
        Ok(read)
    }
}

/// An operator of the tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Operator)]
pub(crate) struct OperatorView {
    #[schema(value_type = Uuid)]
    operator_id: String,
    #[schema(value_type = Uuid)]
    tenant_id: String,
    email: String,
    display_name: String,
    /// The queues the operator sees; none: all of the tenant.
    routing_keys: Vec<String>,
    #[schema(required)]
    avatar_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    /// `null`: the operator is active.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<WireTime>,
}

impl From<admin::Operator> for OperatorView {
    fn from(operator: admin::Operator) -> Self {
        let admin::Operator {
            operator_id,
            tenant_id,
            email,
            display_name,
            routing_keys,
            avatar_url,
            created_at,
            updated_at,
            revoked_at,
        } = operator;
        Self {
            operator_id,
            tenant_id,
            email,
            display_name,
            routing_keys,
            avatar_url,
            created_at,
            updated_at,
            revoked_at,
        }
    }
}

/// An operator that was made or refreshed.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProvisionedOperator {
    #[serde(flatten)]
    pub(crate) operator: OperatorView,
    /// Whether this call made it.
    pub(crate) created: bool,
}

/// A page of the tenant's operators.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatorPage {
    pub(crate) items: Vec<OperatorView>,
    /// Pass it as `cursor` for the next page; `null` on the last.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// How many operators are active.
    pub(crate) active: u64,
    /// How many may be (`agent_seats`); 0: as many as the tenant likes.
    pub(crate) seats: u64,
}

/// Which operator to revoke: by one of the two.
#[derive(ToSchema)]
pub(crate) struct RevokedName {
    #[schema(max_length = 254, pattern = r"^[^\s@]+@[^\s@]+$")]
    pub(crate) email: Option<String>,
    #[schema(value_type = Option<Uuid>)]
    pub(crate) operator_id: Option<String>,
}

impl RevokedName {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let read =
            Self { email: fields.optional_text("email", 254), operator_id: fields.optional_text("operator_id", 36) };
        match (&read.email, &read.operator_id) {
            (None, None) => fields.require("email", "is required, or operator_id in its place"),
            (Some(_), Some(_)) => {
                fields.refuse("operator_id", "names the operator, and so does email: send one of them")
            }
            _ => {}
        }
        fields.finish()?;
        Ok(read)
    }
}

/// Which operator a token is for.
#[derive(ToSchema)]
pub(crate) struct NamedOperator {
    #[schema(max_length = 254, pattern = r"^[^\s@]+@[^\s@]+$")]
    pub(crate) email: String,
}

impl NamedOperator {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let email = fields.text("email", 254);
        fields.finish()?;
        Ok(Self { email })
    }
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
pub(crate) struct NewVisitorToken {
    /// The tenant's own name for the visitor: at most 255 bytes without control characters.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) visitor_user_id: String,
    /// Such as `sha256:<hex>`.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) visitor_email_hash: Option<String>,
    #[schema(required = false, nullable, minimum = 60, maximum = 86400, default = 3600)]
    pub(crate) ttl_seconds: u32,
}

impl NewVisitorToken {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let read = Self {
            visitor_user_id: fields.text("visitor_user_id", 255),
            visitor_email_hash: fields.optional_text("visitor_email_hash", 255),
            ttl_seconds: fields.number("ttl_seconds", 60..=86_400, 3_600),
        };
        fields.finish()?;
        Ok(read)
    }
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
pub(crate) struct NamedVisitor {
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) visitor_user_id: String,
}

impl NamedVisitor {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(json_object(body)?);
        let visitor_user_id = fields.text("visitor_user_id", 255);
        fields.finish()?;
        Ok(Self { visitor_user_id })
    }
}

/// A visitor whose minted tokens and sockets are over, on every gateway.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedVisitor {
    pub(crate) visitor_user_id: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) revoked_at: WireTime,
}
