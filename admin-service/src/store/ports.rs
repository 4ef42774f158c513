//! What use cases need of a database: a port a file. [`super::SeaStore`] implements them all.

mod account_keys;
mod admin_keys;
mod bots;
mod events;
mod logs;
mod operators;
mod propagation;
mod signing_keys;
mod tenants;
mod visitors;
mod widgets;

pub use account_keys::AccountKeyStore;
pub use admin_keys::AdminKeyStore;
pub use bots::BotStore;
pub use events::{
    AttemptRecord, AttemptResult, Claim, DueEvent, EventFilter, EventStore, EventsAfter, Failing, NextStep,
    OutboxStore, Publication, PublishError, Recorded, Replayed, Waiting,
};
pub use logs::LogStore;
pub use operators::OperatorStore;
pub use propagation::{Done, Position, PropagationStore, Replica};
pub use signing_keys::SigningKeyStore;
pub use tenants::{KeyedTenant, PreviousUse, Replacement, TenantStore};
pub use visitors::{Identified, KnownVisitor, VisitorStore, Vouched};
pub use widgets::{StoredAppearance, WidgetStore};
