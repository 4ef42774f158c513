//! The port to the database: what use cases need kept. One verb is one transaction.
//!
//! `sea` implements it over SQLite and PostgreSQL. Every change takes the directory's next revision inside its own
//! transaction, in commit order, and writes its audit row there too.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::{credentials::WidgetKey, tenant::Tenant};

mod connect;
mod entity;
mod migration;
mod ports;
mod sea;

pub(crate) use connect::connect_to_read;
pub use connect::{ConnectError, connect};
pub use ports::{
    AccountKeyStore, BotStore, Done, KnownVisitor, LogStore, OperatorStore, Position, PropagationStore, Replica,
    SigningKeyStore, StoredAppearance, TenantStore, VisitorStore, WidgetStore,
};
pub use sea::SeaStore;
pub(crate) use sea::verify;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was to be removed is in use.
    #[error("in use")]
    InUse,
    /// No such row for this tenant.
    #[error("not found")]
    NotFound,
    /// The account key that asks was revoked, has ended, or its tenant was suspended, since it was looked at.
    #[error("the account key opens nothing any more")]
    Unauthorized,
    /// There are as many as there may be.
    #[error("no more may be made")]
    Full,
    /// Somebody else changed it since it was read.
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

/// A tenant with what only the directory may see.
#[derive(Clone, Debug)]
pub struct KeyedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its sealed secret.
    pub sealed_secret: Vec<u8>,
}

/// An answer and the directory's revision it was read at.
#[derive(Clone, Debug)]
pub struct AtRevision<T> {
    /// The answer.
    pub value: T,
    /// The revision.
    pub revision: u64,
}

/// A secret or key that takes another's place.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// A new sealed secret; with it, tokens that were issued before may end.
    Secret {
        /// Sealed.
        sealed: Vec<u8>,
        /// Whether this ends the visitors' minted tokens and the operators' tokens that were issued before.
        revokes_issued: bool,
    },
    /// A new widget key.
    WidgetKey(WidgetKey),
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After skipping so many rows. Costs what it skips.
    Offset(u64),
    /// Below this id. Costs the same however deep.
    After(Uuid),
}

/// A page of rows, newest first.
#[derive(Clone, Debug)]
pub struct Page<T, Key = Uuid> {
    /// The rows.
    pub items: Vec<T>,
    /// What to go on below; `None` on the last page.
    pub next: Option<Key>,
}

/// `now` as the database keeps it.
fn stored_time(at: Timestamp) -> i64 {
    at.as_millisecond()
}
