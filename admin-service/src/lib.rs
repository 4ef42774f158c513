//! The admin service: owns tenants and their secrets, and is the only thing with a database.
//!
//! One way through: [`server`] → `rest` or `grpc` → a use case (`tenants`, `operators`, `tokens`, `directory`) →
//! `domain`. What a use case needs from outside it names as a port in `store`; only [`server`] knows both sides.

pub mod config;
mod directory;
mod domain;
mod errors;
mod grpc;
mod operators;
mod propagation;
mod rest;
pub mod sealing;
pub mod server;
pub mod store;
mod tenants;
mod tokens;

pub use domain::{audit, credentials, operator, settings, signing_key, tenant};
pub use rest::openapi;
