//! The body of every failure (PROTOCOL.md, section 2).

use serde::Serialize;
use utoipa::ToSchema;
use wire::FieldError;

/// Every failure's body.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// `false`.
    pub(crate) success: bool,
    /// The HTTP status, again.
    pub(crate) status_code: u16,
    /// Stable: branch on this.
    #[schema(example = "validation_failed")]
    pub(crate) error_code: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// Quote it when you report the failure.
    pub(crate) request_id: String,
    /// The refused fields, where `error_code` is `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
    /// What was received, where a signature was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) received: Option<serde_json::Value>,
    /// Who has the conversation, where `error_code` is `already_claimed`: `operator_id` and `display_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) operator: Option<serde_json::Value>,
}
