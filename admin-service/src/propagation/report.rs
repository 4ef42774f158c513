//! What a change has made, and how it reached the gateways.

use std::time::Duration;

/// How a change reached the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PropagationReport {
    /// Gateways that could have used what was true before.
    pub(crate) gateways: u32,
    /// Those of them that acknowledged. The others' leases have run out.
    pub(crate) acknowledged: u32,
    /// From the commit until it was true everywhere.
    pub(crate) waited: Duration,
}

/// What a change has made, true on every gateway.
pub(crate) struct Changed<T> {
    /// What the change made.
    pub(crate) value: T,
    /// How it reached them.
    pub(crate) report: PropagationReport,
}

impl<T> Changed<T> {
    /// Changes the value and keeps the report.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Changed<U> {
        Changed { value: map(self.value), report: self.report }
    }
}
