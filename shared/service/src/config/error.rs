//! What a program prints if its configuration is wrong, or if it is asked for help.

use std::{fmt, process::ExitCode};

/// `EX_USAGE`: the process was started wrongly, and starting it again will not help.
pub const EXIT_CONFIG: u8 = 64;

/// Why a program will not start.
#[derive(Debug, Clone)]
pub enum ConfigError {
    /// `--help` or `--version` was asked for, or a flag is unknown: what to print, and the exit code.
    Usage(String, u8),
    /// Everything that is wrong, a line each.
    Problems(Vec<String>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text, _) => f.write_str(text),
            Self::Problems(problems) => {
                writeln!(f, "the configuration has {} problem(s):", problems.len())?;
                problems.iter().try_for_each(|problem| writeln!(f, "  - {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Prints it where it belongs and says how the process should end.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(text, 0) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Self::Usage(text, code) => {
                eprint!("{text}");
                ExitCode::from(*code)
            }
            Self::Problems(_) => {
                eprint!("{self}");
                ExitCode::from(EXIT_CONFIG)
            }
        }
    }
}
