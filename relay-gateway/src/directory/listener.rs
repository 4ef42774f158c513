//! The port by which the directory tells others of changes.

use std::pin::Pin;

use coherence::Changes;
use wire::TenantId;

/// Holds something open on behalf of tenants that a change may forbid.
pub(crate) trait ChangeListener: Send + Sync {
    /// Closes what the changes forbid. The changes are acknowledged once this returns, and no lease is renewed before.
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}
