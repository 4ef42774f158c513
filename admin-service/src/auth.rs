//! Who is calling: operators by an admin key, gateways by the service token, tenants' developers by an account key. REST and gRPC both
//! read their callers' credentials here. It knows no routes and no methods, and what to answer is [`crate::refusals`]' business.

mod admin_keys;
mod bearer;
mod gate;
mod guesses;
mod refused;
mod service_tokens;

pub(crate) use admin_keys::{AdminKeys, X_ADMIN_KEY};
pub(crate) use bearer::bearer;
pub(crate) use gate::OperatorGate;
pub(crate) use refused::AdminKeyRefused;
pub(crate) use service_tokens::ServiceTokens;
