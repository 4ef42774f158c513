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
mod propagation;
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
pub(super) use signals::{NotListening, is_lent_session, listener};
pub(crate) use verify::verify;
