//! The admin service, as the gateway asks it: a typed method for each call, grouped by service.
//!
//! Wire types end here. The methods take and answer the gateway's own types, so no file outside this folder names `proto::`
//! (`tests/tests/architecture.rs` of the workspace checks it). What an answer means to a caller is for the modules that ask.

mod backoff;
mod directory;
mod errors;
mod events;
mod identity;
mod operators;
mod tls;
mod transport;
mod visitors;
mod watch;
mod wire_time;

pub(crate) use backoff::Backoff;
pub(crate) use directory::{PreviousUse, TenantInfo};
pub(crate) use events::{Attempt, Event, Replay};
pub(crate) use identity::NewVisitorToken;
pub(crate) use operators::{NewOperator, OldToken, Operator, OperatorName};
pub(crate) use transport::{AdminClient, InvalidAdmin};
pub(crate) use visitors::{Ended, EndingToken, Identity, NewSession, Revoked, Session, SessionToken, Vouched};
pub(crate) use watch::{Position, Update, Watch, WatchError};
