//! Delivers events to tenants' callbacks: which addresses may be reached, one signed attempt, and what becomes of the event.
//!
//! An attempt has two steps, with the caller's look at its lease between both: `exchange::prepare` makes the connection, and
//! `exchange::Prepared::send` writes the request and reads the answer. Nothing here knows the database or a tenant's state.

#![cfg_attr(not(test), expect(dead_code, reason = "the worker comes next"))]

mod address;
mod address_ranges;
mod connection;
mod deadline;
mod endpoint_url;
mod exchange;
mod failed;
mod outcome;
mod ports;
mod refused;
mod request;
mod resolver;
mod retry_after;
mod standard_keys;
mod tls;
mod tls_failed;
mod verdict;

#[cfg(test)]
mod test_certificates;
#[cfg(test)]
mod test_receiver;
