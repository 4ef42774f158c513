//! What the database's failures mean to a caller.

use database::Trouble;
use sea_orm::DbErr;
use service::ApiError;
use wire::ErrorCode;

/// The database failed.
pub type StoreError = DbErr;

/// The answer to a caller whose call the database failed.
pub(crate) fn unavailable(error: StoreError) -> ApiError {
    match database::trouble(&error) {
        Trouble::NoChanges => ApiError::new(
            ErrorCode::StoreUnavailable,
            "The chat backend's database takes no changes right now: its disk is full or failing, or it may only be read. \
             Nothing was changed: send the call again later.",
        )
        .retry_after_seconds(5),
        Trouble::Away | Trouble::Refused => {
            ApiError::new(ErrorCode::StoreUnavailable, "The chat backend's database does not answer. Try again.")
                .retry_after_seconds(1)
        }
    }
    .caused_by(error)
}
