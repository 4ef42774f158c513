//! What each failure of a use case means to a caller: the one place where domain errors meet error codes.

use shared::{ApiError, ErrorCode, FieldError};

use crate::{sealing::SealError, store::StoreError};

/// Why a use case did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// No such tenant.
    #[error("no such tenant")]
    TenantNotFound,
    /// No operator with this email.
    #[error("no such operator")]
    OperatorNotFound,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// Fields were refused; nothing was written.
    #[error("refused fields")]
    Invalid(Vec<FieldError>),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// A secret at rest does not open.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// A token could not be signed.
    #[error("signing: {0}")]
    Signing(String),
}

impl From<StoreError> for UseCaseError {
    /// Every verb of the tenant store that can miss is about a tenant.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::TenantNotFound,
            error => Self::Store(error),
        }
    }
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::TenantNotFound => Self::new(
                ErrorCode::TenantNotFound,
                "No tenant has this tenant_id. GET /api/v1/fetch/tenants lists them.",
            ),
            UseCaseError::OperatorNotFound => Self::new(
                ErrorCode::OperatorNotFound,
                "This tenant has no operator with this email. POST /api/v1/relay/provision/operator makes one.",
            ),
            UseCaseError::TenantSuspended => Self::new(
                ErrorCode::TenantSuspended,
                "This tenant is suspended. Ask the platform's operator to reactivate it.",
            ),
            UseCaseError::Invalid(errors) => Self::validation(errors),
            UseCaseError::Store(StoreError::Conflict) => {
                Self::new(ErrorCode::Conflict, "Others kept changing this tenant. Fetch it and try again.")
            }
            UseCaseError::Store(StoreError::Unavailable(cause)) => Self::new(
                ErrorCode::StoreUnavailable,
                "The database does not answer. Nothing was confirmed: fetch the tenant before you repeat a change.",
            )
            .retry_after_seconds(1)
            .caused_by(cause),
            UseCaseError::Store(error) => Self::internal(error),
            UseCaseError::Sealed(error) => Self::internal(error),
            UseCaseError::Signing(cause) => Self::internal(cause),
        }
    }
}
