//! Tenants, credentials, operators and audit: pure, with time passed in. No HTTP, no gRPC, no database.

pub mod audit;
pub mod credentials;
pub mod operator;
pub mod settings;
pub mod signing_key;
pub mod tenant;
