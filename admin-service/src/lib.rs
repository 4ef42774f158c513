//! The admin service: owns tenants and their secrets, and is the only thing with a database.
//!
//! One way through: [`server`] → `rest` or `grpc` → a use case (`tenants`, `account_keys`, `admin_keys`, `bots`, `widgets`, `visitors`, `operators`,
//! `tokens`, `directory`) → `domain`. What a use case needs from outside it names as a port in `store`; only [`server`] knows both sides.

mod account_keys;
mod admin_keys;
mod advice;
mod auth;
mod bell;
mod bots;
pub mod config;
mod delivery;
mod directory;
mod domain;
mod errors;
mod events;
mod grpc;
mod last_used;
pub mod log_chain;
mod logs;
mod operators;
mod paging;
mod propagation;
mod refusals;
mod rest;
pub mod rewrap;
pub mod sealing;
pub mod server;
mod signing_keys;
pub mod store;
mod tenants;
mod tokens;
pub mod verify_audit;
mod visitors;
mod webhook_key;
mod widgets;

pub use domain::{
    access, account_key, admin_key, audit, bot, credentials, event, operator, refusal, settings, signing_key, tenant,
    visitor, widget,
};
pub use rest::openapi;
pub use sealing::MasterKeys;
