//! What each failure of a use case means to a caller: the one place where domain errors meet error codes.

use service::ApiError;
use wire::{ErrorCode, FieldError, origin::Origin};

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
    /// No account key was given.
    #[error("no account key")]
    NoAccountKey,
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
    /// No such signing key.
    #[error("no such signing key")]
    SigningKeyNotFound,
    /// The key that signs tokens now is not retired.
    #[error("the key that signs")]
    SigningKeyInUse,
    /// There are as many of these as there may be.
    #[error("no more than {most} {what}")]
    LimitReached {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// This tenant has no such widget key.
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
            UseCaseError::TenantNotFound => Self::new(ErrorCode::TenantNotFound, "No tenant has this tenant_id.")
                .advise("GET /api/v1/fetch/tenants lists them.", "TenantAdmin.ListTenants lists them."),
            UseCaseError::OperatorNotFound => Self::operator_not_found(),
            UseCaseError::NoAccountKey => Self::new(ErrorCode::InvalidAccountKey, "No account key was sent.").advise(
                "Send `Authorization: Bearer <account key>`, once.",
                "Send the metadata `authorization: Bearer <account key>`, once.",
            ),
            UseCaseError::InvalidAccountKey => Self::new(
                ErrorCode::InvalidAccountKey,
                "The account key that was sent is not valid: it is mistyped, expired or revoked. Ask the platform's operator \
                 for another.",
            ),
            UseCaseError::MissingAbility(ability) => {
                Self::new(ErrorCode::MissingAbility, format!("Missing ability: {ability}"))
            }
            UseCaseError::AccountKeyNotFound => {
                Self::new(ErrorCode::AccountKeyNotFound, "This tenant has no such account key.").advise(
                    "GET /api/v1/fetch/account-keys lists them.",
                    "Account keys are made and listed over REST.",
                )
            }
            UseCaseError::BotNotFound => Self::new(ErrorCode::BotNotFound, "This tenant has no such bot.")
                .advise("GET /api/v1/bots lists them.", "Bots are made and listed over REST."),
            UseCaseError::WidgetKeyNotFound => {
                Self::new(ErrorCode::WidgetKeyNotFound, "This tenant has no such widget key.").advise(
                    "GET /api/v1/widgets/keys?bot_id= lists a bot's.",
                    "Widget keys are made and listed over REST.",
                )
            }
            UseCaseError::TenantsOwnKey => {
                Self::new(ErrorCode::Conflict, "This is the tenant's own widget key, which is not revoked.").advise(
                    "An operator replaces it by POST /api/v1/rotate/widget-key.",
                    "TenantAdmin.RotateWidgetKey replaces it.",
                )
            }
            UseCaseError::SigningKeyNotFound => Self::new(ErrorCode::SigningKeyNotFound, "There is no such signing key.")
                .advise("GET /api/v1/fetch/signing-keys lists them.", "Signing keys are listed over REST."),
            UseCaseError::SigningKeyInUse => {
                Self::new(ErrorCode::SigningKeyInUse, "This key signs tokens now, so it cannot be retired yet.").advise(
                    "POST /api/v1/rotate/signing-key?signs_after_seconds=0 makes one that signs at once; then retire this one.",
                    "Signing keys are rotated over REST.",
                )
            }
            UseCaseError::LimitReached { what, most } => {
                Self::new(ErrorCode::LimitReached, format!("There may be at most {most} {what}."))
            }
            UseCaseError::TenantSuspended => Self::new(
                ErrorCode::TenantSuspended,
                "This tenant is suspended. Ask the platform's operator to reactivate it.",
            ),
            UseCaseError::InvalidWidgetKey => Self::invalid_widget_key(),
            UseCaseError::OriginNotAllowed(origin) => Self::origin_not_allowed(origin),
            UseCaseError::SessionOver => Self::invalid_visitor_token(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each variant names the one after it, so that a new variant does not compile until it stands here too.
    fn after(error: Option<&UseCaseError>) -> Option<UseCaseError> {
        use UseCaseError as E;
        let cause = || "sqlx: relation is missing".to_owned();
        Some(match error {
            None => E::TenantNotFound,
            Some(E::TenantNotFound) => E::OperatorNotFound,
            Some(E::OperatorNotFound) => E::NoAccountKey,
            Some(E::NoAccountKey) => E::InvalidAccountKey,
            Some(E::InvalidAccountKey) => E::MissingAbility(Ability::WidgetsRead),
            Some(E::MissingAbility(_)) => E::AccountKeyNotFound,
            Some(E::AccountKeyNotFound) => E::BotNotFound,
            Some(E::BotNotFound) => E::WidgetKeyNotFound,
            Some(E::WidgetKeyNotFound) => E::TenantsOwnKey,
            Some(E::TenantsOwnKey) => E::SigningKeyNotFound,
            Some(E::SigningKeyNotFound) => E::SigningKeyInUse,
            Some(E::SigningKeyInUse) => E::LimitReached { what: "bots", most: 3 },
            Some(E::LimitReached { .. }) => E::InvalidWidgetKey,
            Some(E::InvalidWidgetKey) => E::OriginNotAllowed("https://a.com".parse().expect("an origin")),
            Some(E::OriginNotAllowed(_)) => E::SessionOver,
            Some(E::SessionOver) => E::TenantSuspended,
            Some(E::TenantSuspended) => E::Invalid(vec![FieldError { field: "a".into(), message: "is wrong".into() }]),
            Some(E::Invalid(_)) => E::Store(StoreError::NotFound),
            Some(E::Store(store)) => match store {
                StoreError::NotFound => E::Store(StoreError::InUse),
                StoreError::InUse => E::Store(StoreError::Unauthorized),
                StoreError::Unauthorized => E::Store(StoreError::Full),
                StoreError::Full => E::Store(StoreError::Conflict),
                StoreError::Conflict => E::Store(StoreError::Unavailable(cause())),
                StoreError::Unavailable(_) => E::Store(StoreError::NoChanges(cause())),
                StoreError::NoChanges(_) => E::Store(StoreError::Unknown(cause())),
                StoreError::Unknown(_) => E::Store(StoreError::Broken(cause())),
                StoreError::Broken(_) => E::Sealed(SealError::Malformed("tenants.secret")),
            },
            Some(E::Sealed(_)) => E::Signing(cause()),
            Some(E::Signing(_)) => return None,
        })
    }

    #[test]
    fn no_grpc_message_names_a_rest_path() {
        let mut walked = 0;
        let mut next = after(None);
        while let Some(error) = next {
            next = after(Some(&error));
            walked += 1;
            let name = format!("{error:?}");
            let error = ApiError::from(error);
            let http = String::from_utf8(error.body("r")).expect("utf-8");
            let status = tonic::Status::from(error);
            for rest in ["/api/v1", "GET ", "POST ", "X-Admin-Key"] {
                assert!(!status.message().contains(rest), "{name}: {}", status.message());
            }
            for service in ["TenantAdmin", "Identity.", "Visitors.", "metadata"] {
                assert!(!http.contains(service), "{name}: {http}");
            }
        }
        assert!(walked >= 27, "{walked}");
    }
}
