//! The database: what use cases need kept. One verb is one transaction.
//!
//! `ports` names the verbs, and `sea` implements them over SQLite and PostgreSQL. Every change takes the directory's next revision
//! inside its own transaction, in commit order, and writes its audit row there too.

mod connect;
mod entity;
mod error;
mod event_entity;
mod migration;
mod page;
mod ports;
mod revision;
mod sea;

pub use connect::{ConnectError, connect};
pub(crate) use connect::{Connection, connect_to_change, connect_to_read};
pub use error::{InUse, Limited, Missing, StoreError};
pub use page::{Page, PageStart};
pub use ports::{
    AccountKeyStore, AdminKeyStore, AttemptRecord, AttemptResult, BotStore, Claim, Done, DueEvent, EventFilter,
    EventStore, EventsAfter, Failing, Identified, KeyedTenant, KnownVisitor, LogStore, NextStep, OperatorStore,
    OutboxStore, Position, PreviousUse, PropagationStore, Publication, PublishError, Recorded, Replacement, Replayed,
    Replica, SigningKeyStore, StoredAppearance, TenantStore, VisitorStore, Vouched, Waiting, WidgetStore,
};
pub use revision::AtRevision;
pub use sea::SeaStore;
pub(crate) use sea::{
    ResealedRow, SealedRow, TenantSecretOf, chained_access, chained_audit, replace_secrets, replace_signing_keys,
    replace_tenants, sealed_secrets, sealed_signing_keys, sealed_tenants, verify,
};
