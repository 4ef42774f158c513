//! What a visitor says of a conversation that is resolved. PROTOCOL.md, sections 5.5 and 5.6.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::WireTime;

/// What a visitor says of a conversation that is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Rating {
    /// From 1, the worst, to 5.
    #[schema(minimum = 1, maximum = 5)]
    pub score: u8,
    /// What the visitor says of it.
    #[schema(required)]
    pub comment: Option<String>,
    /// RFC 3339, in UTC, to the millisecond.
    #[cfg_attr(test, ts(type = "string"))]
    #[schema(value_type = String, format = DateTime)]
    pub rated_at: WireTime,
}
