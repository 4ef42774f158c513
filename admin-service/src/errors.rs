//! What each failure of a use case means to a caller: the one place where domain errors meet error codes.

use shared::{ApiError, ErrorCode, FieldError, origin::Origin};

use crate::{domain::account_key::Ability, sealing::SealError, store::StoreError};

/// Why a use case did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// No such tenant.
    #[error("no such tenant")]
    TenantNotFound,
    /// No operator with this email.
    #[error("no such operator")]
    OperatorNotFound,
    /// No valid account key was given.
    #[error("no valid account key")]
    InvalidAccountKey,
    /// The account key may not do this.
    #[error("missing ability: {0}")]
    MissingAbility(Ability),
    /// No such account key.
    #[error("no such account key")]
    AccountKeyNotFound,
    /// No such bot.
    #[error("no such bot")]
    BotNotFound,
    /// No such widget key.
    #[error("no such widget key")]
    WidgetKeyNotFound,
    /// The tenant's own widget key is not revoked.
    #[error("the tenant's own widget key")]
    TenantsOwnKey,
    /// There are as many of these as there may be.
    #[error("no more than {most} {what}")]
    LimitReached {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// No such widget key opens this tenant's door.
    #[error("no valid widget key")]
    InvalidWidgetKey,
    /// The tenant and the key let no page of this origin in.
    #[error("{0} is not allowed")]
    OriginNotAllowed(Origin),
    /// There is no such session, or not any more.
    #[error("no such session")]
    SessionOver,
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
            StoreError::Unauthorized => Self::InvalidAccountKey,
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
            UseCaseError::InvalidAccountKey => Self::new(
                ErrorCode::InvalidAccountKey,
                "Send `Authorization: Bearer <account key>` with a key that is neither expired nor revoked.",
            ),
            UseCaseError::MissingAbility(ability) => {
                Self::new(ErrorCode::MissingAbility, format!("Missing ability: {ability}"))
            }
            UseCaseError::AccountKeyNotFound => Self::new(
                ErrorCode::AccountKeyNotFound,
                "This tenant has no such account key. GET /api/v1/fetch/account-keys lists them.",
            ),
            UseCaseError::BotNotFound => {
                Self::new(ErrorCode::BotNotFound, "This tenant has no such bot. GET /api/v1/bots lists them.")
            }
            UseCaseError::WidgetKeyNotFound => Self::new(
                ErrorCode::WidgetKeyNotFound,
                "This tenant has no such widget key. GET /api/v1/widgets/keys?bot_id= lists a bot's.",
            ),
            UseCaseError::TenantsOwnKey => Self::new(
                ErrorCode::Conflict,
                "This is the tenant's own widget key, which is not revoked: an operator replaces it by \
                 POST /api/v1/rotate/widget-key.",
            ),
            UseCaseError::LimitReached { what, most } => {
                Self::new(ErrorCode::LimitReached, format!("There may be at most {most} {what}."))
            }
            UseCaseError::TenantSuspended => Self::new(
                ErrorCode::TenantSuspended,
                "This tenant is suspended. Ask the platform's operator to reactivate it.",
            ),
            UseCaseError::InvalidWidgetKey => Self::invalid_widget_key(),
            UseCaseError::OriginNotAllowed(origin) => Self::origin_not_allowed(origin),
            UseCaseError::SessionOver => Self::new(
                ErrorCode::InvalidVisitorToken,
                "This visitor's session is over: POST /api/v1/create/visitor-session begins another.",
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
            UseCaseError::Store(StoreError::NoChanges(cause)) => Self::new(
                ErrorCode::StoreUnavailable,
                "The database takes no changes right now: its disk is full or failing, or it may only be read. Nothing was \
                 changed: send the call again later.",
            )
            .retry_after_seconds(5)
            .caused_by(cause),
            UseCaseError::Store(StoreError::Unknown(cause)) => Self::new(
                ErrorCode::OutcomeUnknown,
                "The database's answer was lost: the change may have been made, or not. Look before you repeat it.",
            )
            .caused_by(cause),
            UseCaseError::Store(error) => Self::internal(error),
            UseCaseError::Sealed(error) => Self::internal(error),
            UseCaseError::Signing(cause) => Self::internal(cause),
        }
    }
}
