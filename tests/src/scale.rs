//! How large the runs of crashes, races and scale are: `tests/run --long` runs them at full size, and the gate runs a tenth.

/// Set by `tests/run --long`.
const LONG: &str = "E2E_LONG";

/// `full` in a long run, and a tenth of it otherwise.
#[must_use]
pub fn of(full: usize) -> usize {
    if std::env::var_os(LONG).is_some() { full } else { full / 10 }
}
