//! A gateway inside the test, between two fakes: an admin service over real gRPC, and a backend over real HTTP that
//! checks HMAC#2 and answers only what a test told it to.

mod admin;
mod answers;
mod backend;
mod fixture;
mod net;
mod sockets;
mod tokens;

pub(crate) use admin::{EVENT_ID, EXPIRED_CURSOR, event_body};
pub(crate) use answers::{ok, refusal};
pub(crate) use backend::BackendSocket;
pub(crate) use fixture::{Fixture, LEASE_MS, tenant};
pub(crate) use net::{loopback, nobody};
pub(crate) use sockets::{another, connect, talk};
pub(crate) use tokens::{operator_token, visitor_token};
