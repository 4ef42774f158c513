//! How values are stored: times in milliseconds, unsigned numbers as signed ones.

use jiff::Timestamp;

use crate::store::error::StoreError;

/// A time as the database keeps it.
pub(super) fn stored_time(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// A number as the database keeps it. A number that is too large for that becomes the largest, which is beyond any row.
pub(super) fn stored_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative, from its row.
pub(super) fn number_from_row(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Broken(format!("a negative number: {number}")))
}

/// A row that the service cannot have written.
pub(super) fn broken_row(table: &'static str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("{table}: {what}"))
}
