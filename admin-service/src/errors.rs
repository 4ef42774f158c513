//! Why a use case did not do what its caller wanted, as one closed enum. It knows no status codes, paths or methods: [`crate::refusals`]
//! gives each error its code, and each edge adds its own advice.

use wire::{FieldError, origin::Origin};

use crate::{
    domain::{account_key::Ability, refusal::RefusedField},
    sealing::SealError,
    store::{InUse, Limited, Missing, StoreError},
};

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
    /// No such admin key.
    #[error("no such admin key")]
    AdminKeyNotFound,
    /// The caller's admin key was revoked or has ended while the call was under way.
    #[error("an admin key that is over")]
    AdminKeyOver,
    /// No such bot.
    #[error("no such bot")]
    BotNotFound,
    /// No such widget key.
    #[error("no such widget key")]
    WidgetKeyNotFound,
    /// The tenant's own widget key is not revoked.
    #[error("the tenant's own widget key")]
    TenantsOwnKey,
    /// The tenant has no such event.
    #[error("no such event")]
    EventNotFound,
    /// The tenant has no callback.
    #[error("the tenant has no callback")]
    NoEndpoint,
    /// An event with this id and another content was published before.
    #[error("event id {0} was used for another event")]
    EventIdReused(String),
    /// Events after a cursor are no longer kept.
    #[error("the oldest event is number {first_seq}")]
    CursorExpired {
        /// The oldest number that is kept.
        first_seq: u64,
    },
    /// No such signing key.
    #[error("no such signing key")]
    SigningKeyNotFound,
    /// The key that signs tokens now is not retired.
    #[error("the key that signs")]
    SigningKeyInUse,
    /// There are as many of these as there may be.
    #[error("no more than {most}: {what:?}")]
    LimitReached {
        /// What there is too much of.
        what: Limited,
        /// How many there may be.
        most: usize,
    },
    /// This tenant has no such widget key.
    #[error("no valid widget key")]
    InvalidWidgetKey,
    /// The tenant and the key let no page of this origin in.
    #[error("{0} is not allowed")]
    OriginNotAllowed(Origin),
    /// The operator's token names a membership that was changed or revoked.
    #[error("an operator's token that is over")]
    OperatorTokenSuperseded,
    /// There is no such session, or not any more.
    #[error("no such session")]
    SessionOver,
    /// The minted token that says who a visitor is has ended or was revoked.
    #[error("a minted token that is over")]
    IdentityOver,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// Fields were refused; nothing was written.
    #[error("refused fields")]
    Invalid(Vec<RefusedField>),
    /// Other changes of the tenant were committed each time this one was tried.
    #[error("others kept changing it")]
    Conflict,
    /// The database does not answer.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database takes no changes. Nothing was changed.
    #[error("the database takes no changes: {0}")]
    NoChanges(String),
    /// The change may have been committed, or not.
    #[error("it is not known whether it was committed: {0}")]
    OutcomeUnknown(String),
    /// What is stored cannot be read, or a statement is wrong.
    #[error("{0}")]
    Broken(String),
    /// A secret at rest does not open.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// A token could not be signed.
    #[error("signing: {0}")]
    Signing(String),
}

impl UseCaseError {
    /// Refused fields whose messages are the same at every edge.
    pub(crate) fn invalid(refused: Vec<FieldError>) -> Self {
        Self::Invalid(refused.into_iter().map(RefusedField::from).collect())
    }
}

impl From<StoreError> for UseCaseError {
    /// Every error of the store is named, so that none is taken for another.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(Missing::Tenant) => Self::TenantNotFound,
            StoreError::NotFound(Missing::AccountKey) => Self::AccountKeyNotFound,
            StoreError::NotFound(Missing::AdminKey) => Self::AdminKeyNotFound,
            StoreError::NotFound(Missing::Operator) => Self::OperatorNotFound,
            StoreError::NotFound(Missing::Bot) => Self::BotNotFound,
            StoreError::NotFound(Missing::WidgetKey) => Self::WidgetKeyNotFound,
            StoreError::NotFound(Missing::SigningKey) => Self::SigningKeyNotFound,
            StoreError::NotFound(Missing::Event) => Self::EventNotFound,
            StoreError::InUse(InUse::SigningKey) => Self::SigningKeyInUse,
            StoreError::InUse(InUse::TenantsWidgetKey) => Self::TenantsOwnKey,
            StoreError::Full { what, most } => Self::LimitReached { what, most },
            StoreError::Unauthorized => Self::InvalidAccountKey,
            StoreError::AdminKeyOver => Self::AdminKeyOver,
            StoreError::Conflict => Self::Conflict,
            StoreError::Unavailable(cause) => Self::Unavailable(cause),
            StoreError::NoChanges(cause) => Self::NoChanges(cause),
            StoreError::Unknown(cause) => Self::OutcomeUnknown(cause),
            StoreError::Broken(cause) => Self::Broken(cause),
        }
    }
}
