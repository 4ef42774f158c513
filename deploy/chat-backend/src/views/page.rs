//! Pages of rows, and the parameters that choose one.

use serde::Serialize;
use service::{ApiError, query::Query};
use utoipa::ToSchema;

/// A page of rows.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
}

/// Rows of a page, at most.
const MOST_ROWS: u64 = 500;

/// `?limit=` and `?offset=`. The published client passes any number as limit, so a limit above the highest counts as the highest.
pub(crate) fn page(query: &mut Query, default: u64) -> (u64, u64) {
    let limit = query.number("limit", 1..=u64::MAX, default).min(MOST_ROWS);
    (limit, query.number("offset", 0..=1_000_000, 0))
}

/// A required parameter, once [`Query::finish`] found nothing to refuse.
pub(crate) fn given<T>(parameter: Option<T>) -> Result<T, ApiError> {
    parameter.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))
}
