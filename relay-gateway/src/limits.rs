//! Everything that counts: failures, replays, rates, sessions, open connections and sockets, bytes that are waited for.
//!
//! [`Limits`] is the one port: its verbs say what happened, and their answers hold what must be given back. `now` is passed in, what is
//! counted is bounded, and `Limits::sweep` is the one place that forgets. A limit of five admits five, however many come at once.
//! `ingress/exceeded.rs` says what a caller is told; this folder knows neither HTTP nor sockets nor tenants' state.

mod bounds;
mod fleet;
mod limit;
mod local;
mod port;
mod signature_use;
mod signed_calls;

pub use bounds::{LimitsConfig, MemoryConfig, SocketBounds};
pub(crate) use fleet::Fleet;
pub use fleet::{FleetConfig, RedisAddress};
pub use limit::{Allowance, Exceeded, Lane, Limit, Now, PERIOD_S, SocketLimit};
pub use local::TenantRate;
pub(crate) use local::{FailureGuard, HeldBytes, SocketPlace};
pub use port::Limits;
pub use signature_use::{SignedUse, Target, Use};
pub use signed_calls::{AdmittedCall, NotAdmitted};
