//! What each refusal means to a caller: its code, its message, and its advice in the words of both edges. This is the one place where
//! errors of use cases meet error codes.

use service::{ApiError, EdgeWords};
use wire::{ErrorCode, FieldError};

use crate::{
    advice::Advice,
    auth::AdminKeyRefused,
    domain::{admin_key::Needed, refusal::RefusedField},
    errors::UseCaseError,
    grpc, rest,
    store::Limited,
};

fn advised(code: ErrorCode, message: &'static str, advice: Advice) -> ApiError {
    ApiError::new(code, message).advise(rest::advice::text(advice), grpc::advice::text(advice))
}

const fn limited(what: Limited) -> &'static str {
    match what {
        Limited::AdminKeys => "admin keys that are neither revoked nor expired",
        Limited::AccountKeys => "account keys for a tenant that are neither revoked nor expired",
        Limited::Bots => "bots for a tenant",
        Limited::WidgetKeys => "widget keys for a bot that are not revoked",
        Limited::SigningKeys => "signing keys that are not retired",
        Limited::Seats => "active operators for a tenant",
    }
}

impl From<AdminKeyRefused> for ApiError {
    fn from(refused: AdminKeyRefused) -> Self {
        match refused {
            AdminKeyRefused::Missing => {
                advised(ErrorCode::InvalidAdminKey, "No admin key was sent.", Advice::SendAdminKey)
            }
            AdminKeyRefused::Wrong | AdminKeyRefused::Over => {
                advised(ErrorCode::InvalidAdminKey, "The admin key that was sent is wrong.", Advice::CheckAdminKey)
            }
            AdminKeyRefused::TooMany { retry_after_seconds: left } => Self::new(
                ErrorCode::RateLimited,
                format!("Too many wrong admin keys came from this address. Check the key, and come back in {left} s."),
            )
            .retry_after_seconds(left),
            AdminKeyRefused::MissingScope { needed: Needed::Scope(scope), .. } => Self::new(
                ErrorCode::MissingScope,
                format!("Missing scope: {scope}. Send an admin key that has it, or a root key."),
            ),
            AdminKeyRefused::MissingScope { needed: Needed::Root | Needed::AnyKey, .. } => Self::new(
                ErrorCode::MissingScope,
                "This call needs a root key: one of the admin service's ADMIN_API_KEY. No scope stands for it.",
            ),
            AdminKeyRefused::NotChecked(UseCaseError::Unavailable(cause)) => Self::new(
                ErrorCode::StoreUnavailable,
                "The admin key could not be checked, since the database does not answer. Nothing was done: send the call again.",
            )
            .retry_after_seconds(1)
            .caused_by(cause),
            AdminKeyRefused::NotChecked(error) => Self::from(error),
        }
    }
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::TenantNotFound => {
                advised(ErrorCode::TenantNotFound, "No tenant has this tenant_id.", Advice::ListTenants)
            }
            UseCaseError::OperatorNotFound => Self::operator_not_found(),
            UseCaseError::NoAccountKey => {
                advised(ErrorCode::InvalidAccountKey, "No account key was sent.", Advice::SendAccountKey)
            }
            UseCaseError::InvalidAccountKey => Self::new(
                ErrorCode::InvalidAccountKey,
                "The account key that was sent is not valid: it is mistyped, expired or revoked. Ask the platform's operator \
                 for another.",
            ),
            UseCaseError::MissingAbility(ability) => {
                Self::new(ErrorCode::MissingAbility, format!("Missing ability: {ability}"))
            }
            UseCaseError::AccountKeyNotFound => advised(
                ErrorCode::AccountKeyNotFound,
                "This tenant has no such account key.",
                Advice::ListAccountKeys,
            ),
            UseCaseError::AdminKeyNotFound => {
                advised(ErrorCode::AdminKeyNotFound, "There is no such admin key.", Advice::ListAdminKeys)
            }
            UseCaseError::AdminKeyOver => Self::new(
                ErrorCode::InvalidAdminKey,
                "The admin key was revoked or expired while the call was under way. Nothing was changed.",
            ),
            UseCaseError::BotNotFound => {
                advised(ErrorCode::BotNotFound, "This tenant has no such bot.", Advice::ListBots)
            }
            UseCaseError::WidgetKeyNotFound => {
                advised(ErrorCode::WidgetKeyNotFound, "This tenant has no such widget key.", Advice::ListWidgetKeys)
            }
            UseCaseError::TenantsOwnKey => advised(
                ErrorCode::Conflict,
                "This is the tenant's own widget key, which is not revoked.",
                Advice::RotateWidgetKey,
            ),
            UseCaseError::SigningKeyNotFound => {
                advised(ErrorCode::SigningKeyNotFound, "There is no such signing key.", Advice::ListSigningKeys)
            }
            UseCaseError::SigningKeyInUse => advised(
                ErrorCode::SigningKeyInUse,
                "This key signs tokens now, so it cannot be retired yet.",
                Advice::RotateSigningKey,
            ),
            UseCaseError::EventNotFound => {
                advised(ErrorCode::EventNotFound, "This tenant has no such event.", Advice::ListEvents)
            }
            UseCaseError::NoEndpoint => advised(
                ErrorCode::NoEndpoint,
                "This tenant has no callback_url_base, so nothing can be sent.",
                Advice::SetCallback,
            ),
            UseCaseError::EventIdReused(event_id) => Self::new(
                ErrorCode::EventIdReused,
                format!("The event_id {event_id} was used for another event. Nothing was written: give each event its own."),
            ),
            UseCaseError::CursorExpired { first_seq } => Self::new(
                ErrorCode::CursorExpired,
                format!(
                    "Events after this cursor are no longer kept. The oldest that is kept has the number {first_seq}: go on with the \
                     cursor {}.",
                    first_seq.saturating_sub(1)
                ),
            ),
            UseCaseError::LimitReached { what: Limited::Seats, most } => Self::new(
                ErrorCode::SeatLimitReached,
                format!(
                    "All {most} seats of this tenant are taken. Revoke an operator who needs none, or ask the platform's operator to \
                     raise agent_seats."
                ),
            ),
            UseCaseError::LimitReached { what, most } => {
                Self::new(ErrorCode::LimitReached, format!("There may be at most {most} {}.", limited(what)))
            }
            UseCaseError::TenantSuspended => Self::new(
                ErrorCode::TenantSuspended,
                "This tenant is suspended. Ask the platform's operator to reactivate it.",
            ),
            UseCaseError::InvalidWidgetKey => Self::invalid_widget_key(),
            UseCaseError::OriginNotAllowed(origin) => Self::origin_not_allowed(origin),
            UseCaseError::SessionOver => Self::invalid_visitor_token(),
            UseCaseError::IdentityOver => Self::invalid_identity_token(),
            UseCaseError::OperatorTokenSuperseded => Self::operator_token_superseded(),
            UseCaseError::Invalid(fields) => Self::refused_fields(fields.into_iter().map(refused_field)),
            UseCaseError::Conflict => {
                Self::new(ErrorCode::Conflict, "Others kept changing this tenant. Fetch it and try again.")
            }
            UseCaseError::Unavailable(cause) => Self::new(
                ErrorCode::StoreUnavailable,
                "The database does not answer. Nothing was confirmed: fetch the tenant before you repeat a change.",
            )
            .retry_after_seconds(1)
            .caused_by(cause),
            UseCaseError::NoChanges(cause) => Self::new(
                ErrorCode::StoreUnavailable,
                "The database takes no changes right now: its disk is full or failing, or it may only be read. Nothing was \
                 changed: send the call again later.",
            )
            .retry_after_seconds(5)
            .caused_by(cause),
            UseCaseError::OutcomeUnknown(cause) => Self::new(
                ErrorCode::OutcomeUnknown,
                "The database's answer was lost: the change may have been made, or not. Look before you repeat it.",
            )
            .caused_by(cause),
            UseCaseError::Broken(cause) | UseCaseError::Signing(cause) => Self::internal(cause),
            UseCaseError::Sealed(error) => Self::internal(error),
        }
    }
}

fn refused_field(RefusedField { field, refusal }: RefusedField) -> (FieldError, Option<EdgeWords>) {
    let in_words = |hint| EdgeWords { http: rest::advice::instead(hint), grpc: grpc::advice::instead(hint) };
    (FieldError { field, message: refusal.message }, refusal.hint.map(in_words))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            account_key::Ability,
            admin_key::Scope,
            refusal::{Hint, Refusal},
        },
        sealing::SealError,
        store::{InUse, Missing, StoreError},
    };

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
            Some(E::AccountKeyNotFound) => E::AdminKeyNotFound,
            Some(E::AdminKeyNotFound) => E::AdminKeyOver,
            Some(E::AdminKeyOver) => E::BotNotFound,
            Some(E::BotNotFound) => E::WidgetKeyNotFound,
            Some(E::WidgetKeyNotFound) => E::TenantsOwnKey,
            Some(E::TenantsOwnKey) => E::SigningKeyNotFound,
            Some(E::SigningKeyNotFound) => E::EventNotFound,
            Some(E::EventNotFound) => E::NoEndpoint,
            Some(E::NoEndpoint) => E::EventIdReused("e-1".to_owned()),
            Some(E::EventIdReused(_)) => E::CursorExpired { first_seq: 8 },
            Some(E::CursorExpired { .. }) => E::SigningKeyInUse,
            Some(E::SigningKeyInUse) => E::LimitReached { what: Limited::Bots, most: 3 },
            Some(E::LimitReached { .. }) => E::InvalidWidgetKey,
            Some(E::InvalidWidgetKey) => E::OriginNotAllowed("https://a.com".parse().expect("an origin")),
            Some(E::OriginNotAllowed(_)) => E::SessionOver,
            Some(E::SessionOver) => E::IdentityOver,
            Some(E::IdentityOver) => E::OperatorTokenSuperseded,
            Some(E::OperatorTokenSuperseded) => E::TenantSuspended,
            Some(E::TenantSuspended) => E::Invalid(vec![RefusedField::new("a", "is wrong")]),
            Some(E::Invalid(_)) => E::Conflict,
            Some(E::Conflict) => E::Unavailable(cause()),
            Some(E::Unavailable(_)) => E::NoChanges(cause()),
            Some(E::NoChanges(_)) => E::OutcomeUnknown(cause()),
            Some(E::OutcomeUnknown(_)) => E::Broken(cause()),
            Some(E::Broken(_)) => E::Sealed(SealError::Malformed("tenants.secret")),
            Some(E::Sealed(_)) => E::Signing(cause()),
            Some(E::Signing(_)) => return None,
        })
    }

    /// Every refusal: of use cases, of each limit, of fields with each hint, and of admin keys.
    fn every_refusal() -> Vec<(String, ApiError)> {
        let mut errors = Vec::new();
        while let Some(error) = after(errors.last()) {
            errors.push(error);
        }
        let limits = [
            Limited::AdminKeys,
            Limited::AccountKeys,
            Limited::Bots,
            Limited::WidgetKeys,
            Limited::SigningKeys,
            Limited::Seats,
        ];
        errors.extend(limits.map(|what| UseCaseError::LimitReached { what, most: 3 }));
        let hints = [
            Hint::RotateSecret,
            Hint::RotateWidgetKey,
            Hint::SetStatus,
            Hint::ListBots,
            Hint::ReadReference,
            Hint::LeaveOut,
        ];
        errors.extend(hints.map(|hint| {
            let refusal = Refusal { message: "is refused".to_owned(), hint: Some(hint) };
            UseCaseError::Invalid(vec![RefusedField::new("a", refusal)])
        }));
        let of_admin_keys = [
            AdminKeyRefused::Missing,
            AdminKeyRefused::Wrong,
            AdminKeyRefused::Over,
            AdminKeyRefused::MissingScope { key: Uuid::nil(), needed: Needed::Root },
            AdminKeyRefused::MissingScope { key: Uuid::nil(), needed: Needed::Scope(Scope::AuditRead) },
            AdminKeyRefused::TooMany { retry_after_seconds: 3 },
            AdminKeyRefused::NotChecked(UseCaseError::Conflict),
            AdminKeyRefused::NotChecked(UseCaseError::Unavailable("gone".to_owned())),
        ];
        let of_use_cases = errors.into_iter().map(|error| (format!("{error:?}"), error.into()));
        of_use_cases.chain(of_admin_keys.map(|refused| (format!("{refused:?}"), refused.into()))).collect()
    }

    #[test]
    fn no_grpc_message_names_a_rest_path() {
        let refusals = every_refusal();
        assert!(refusals.len() >= 37, "{}", refusals.len());
        for (name, error) in refusals {
            let http = String::from_utf8(error.body("r")).expect("utf-8");
            let status = tonic::Status::from(error);
            let over_grpc = ApiError::from_status(&status).expect("one of ours");
            let fields: Vec<_> = over_grpc.errors().iter().map(|error| error.message.clone()).collect();
            let said = format!("{} {}", status.message(), fields.join(" "));
            for rest in ["/api/v1", "/docs", "GET ", "POST ", "X-Admin-Key"] {
                assert!(!said.contains(rest), "{name}: {said}");
            }
            for service in ["TenantAdmin", "Identity.", "Visitors.", "metadata", "TenantSettings", "RotateTenantSecret"]
            {
                assert!(!http.contains(service), "{name}: {http}");
            }
        }
    }

    /// An error of the store reaches the caller as what it is about.
    #[test]
    fn what_is_missing_is_named_and_never_taken_for_a_tenant() {
        for (error, code) in [
            (StoreError::NotFound(Missing::Tenant), ErrorCode::TenantNotFound),
            (StoreError::NotFound(Missing::AccountKey), ErrorCode::AccountKeyNotFound),
            (StoreError::NotFound(Missing::Operator), ErrorCode::OperatorNotFound),
            (StoreError::NotFound(Missing::Bot), ErrorCode::BotNotFound),
            (StoreError::NotFound(Missing::WidgetKey), ErrorCode::WidgetKeyNotFound),
            (StoreError::NotFound(Missing::SigningKey), ErrorCode::SigningKeyNotFound),
            (StoreError::NotFound(Missing::Event), ErrorCode::EventNotFound),
            (StoreError::InUse(InUse::SigningKey), ErrorCode::SigningKeyInUse),
            (StoreError::InUse(InUse::TenantsWidgetKey), ErrorCode::Conflict),
            (StoreError::Full { what: Limited::Bots, most: 1 }, ErrorCode::LimitReached),
            (StoreError::Full { what: Limited::Seats, most: 1 }, ErrorCode::SeatLimitReached),
        ] {
            assert_eq!(ApiError::from(UseCaseError::from(error)).code(), code);
        }
    }
}
