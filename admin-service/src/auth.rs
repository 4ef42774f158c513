//! Authenticates callers: operators by an admin key, and gateways by the service token. The root keys are here; the use case
//! `admin_keys.rs` finds the others. Reads the bearer token of every caller; the use case `account_keys.rs` checks those that are
//! account keys. REST and gRPC both come here. It knows no routes and no methods;
//! [`crate::refusals`] says what a refused caller is answered.

mod bearer;
mod gate;
mod guesses;
mod refused;
mod root_keys;
mod service_tokens;

pub(crate) use bearer::bearer;
pub(crate) use gate::OperatorGate;
pub(crate) use refused::AdminKeyRefused;
pub(crate) use root_keys::{RootKeys, X_ADMIN_KEY};
pub(crate) use service_tokens::ServiceTokens;
