//! Bodies and answers of what the relay answers itself on the signed lane. A body is read field by field, so that every refused field
//! is named.

use serde::Serialize;
use service::{ApiError, body::json_object};
use utoipa::ToSchema;
use wire::{fields::Fields, time::WireTime};

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
