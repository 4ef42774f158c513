//! The store over SQLite and PostgreSQL, by sea-orm: a file for each port, and what they share. A change goes through [`change`],
//! which alone takes revisions and writes the audit log.

mod account_keys;
mod admin_keys;
mod authority;
mod bots;
mod chain;
mod change;
mod connection;
mod directory;
mod events;
mod identities;
mod logs;
mod operators;
mod outboxes;
mod paging;
mod previous_secret;
mod propagation;
mod rewrap;
mod sessions;
mod signals;
mod signing_keys;
mod tenants;
mod uses;
mod values;
mod verify;
mod visitors;
mod widgets;

pub(super) use connection::Kept;
pub use connection::SeaStore;
pub(crate) use rewrap::{
    ResealedRow, SealedRow, TenantSecretOf, chained_access, chained_audit, replace_secrets, replace_signing_keys,
    replace_tenants, sealed_secrets, sealed_signing_keys, sealed_tenants,
};
pub(super) use signals::{NotListening, is_lent_session, listener};
pub(crate) use verify::verify;
