//! Tenants, credentials, account keys, admin keys, bots, widgets, visitors, operators, events, audit and access log: pure, with time passed in. No HTTP, no gRPC, no database.

pub mod access;
pub mod account_key;
pub mod admin_key;
pub mod audit;
pub mod bot;
pub(crate) mod callback_ports;
pub mod credentials;
pub mod event;
pub mod operator;
mod public_suffix;
pub mod refusal;
pub mod settings;
pub mod signing_key;
pub mod tenant;
mod value;
pub mod visitor;
pub mod widget;
