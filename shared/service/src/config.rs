//! Typed configuration from layered sources: embedded defaults < file < environment < flags.
//!
//! The embedded `config.default.toml` is the documentation: its comments become the help text of its flags.
//! Every problem is reported in one run.

mod error;
mod help;
mod keys;
mod misspelt;
mod programs;
mod secrets;
mod settings;
mod sources;
mod spec;
mod weak;

pub use error::{ConfigError, EXIT_CONFIG};
pub use programs::IN_ONE_PROCESS;
pub use secrets::{SecretList, check_secret};
pub use settings::{Read, Settings};
pub use sources::Sources;
pub use spec::{Part, Spec};

#[cfg(test)]
mod tests;
