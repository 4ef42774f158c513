//! Why the store did not do what a use case wanted. Each error names what it is about, so that a use case needs no catch-all.

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The row is used elsewhere, so it stays as it is.
    #[error("in use: {0:?}")]
    InUse(InUse),
    /// There is no such row, or it is another tenant's.
    #[error("not found: {0:?}")]
    NotFound(Missing),
    /// The account key of the caller was revoked or has ended, or its tenant was suspended, after the key was checked.
    #[error("the account key opens nothing any more")]
    Unauthorized,
    /// The admin key of the caller was revoked or has ended after it was checked.
    #[error("the admin key is no longer valid")]
    AdminKeyOver,
    /// There are as many as there may be.
    #[error("there may be at most {most}: {what:?}")]
    Full {
        /// What there is too much of.
        what: Limited,
        /// How many there may be.
        most: usize,
    },
    /// Another change was committed since the row was read.
    #[error("changed since it was read")]
    Conflict,
    /// The database is away, busy past its timeout, or shutting down. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database takes no changes: its disk is full or failing, or it may only be read. Nothing was changed.
    #[error("the database takes no changes: {0}")]
    NoChanges(String),
    /// The answer to a commit was lost: it may have been made, or not.
    #[error("it is not known whether it was committed: {0}")]
    Unknown(String),
    /// What is stored is not what was written, or a statement is wrong. Trying again will not help.
    #[error("{0}")]
    Broken(String),
}

/// What a statement looked for and did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A tenant.
    Tenant,
    /// A tenant's account key.
    AccountKey,
    /// An admin key.
    AdminKey,
    /// A tenant's operator.
    Operator,
    /// A tenant's bot.
    Bot,
    /// A tenant's widget key.
    WidgetKey,
    /// A key that signs tokens.
    SigningKey,
    /// A tenant's event.
    Event,
}

/// What stays, because it is used elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// The key that signs tokens now.
    SigningKey,
    /// The tenant's own widget key: the tenant's answers name it.
    TenantsWidgetKey,
}

/// What there may be a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Account keys of a tenant that are neither revoked nor expired.
    AccountKeys,
    /// Admin keys that are neither revoked nor expired.
    AdminKeys,
    /// Bots of a tenant.
    Bots,
    /// Widget keys of a bot that are not revoked.
    WidgetKeys,
    /// Signing keys that are not retired.
    SigningKeys,
    /// Operators of a tenant that are not revoked.
    Seats,
}
