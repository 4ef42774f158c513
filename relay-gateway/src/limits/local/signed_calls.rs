//! A verified signed call: its signature is reserved, and then its tenant's rate is spent.

use wire::signature::Signature;

use super::{
    replays::{ReplayGuard, Replayed, Reservation},
    tenants::{TenantRate, TenantRates},
};
use crate::limits::{
    limit::{Allowance, Exceeded, Now},
    signature_use::Use,
};

/// A verified signature, and what it is used for.
pub struct SignedUse<'a> {
    pub signature: &'a Signature,
    /// When it was signed, within the window. Unix milliseconds.
    pub timestamp_ms: i64,
    pub used: Use,
}

/// A call that is admitted. Dropped before [`AdmittedCall::spend`], it gives its signature back, so that the same bytes may come again.
/// The tenant's rate stays spent.
#[must_use = "dropping it gives the signature back"]
pub struct AdmittedCall<'a> {
    reservation: Reservation<'a>,
    /// What the tenant has left.
    pub allowance: Allowance,
}

/// Why a call is not admitted. Its signature is as it was.
#[derive(Debug)]
pub enum NotAdmitted {
    /// The signature was used before, or another call has reserved it. No rate is spent.
    Replayed,
    /// The tenant's rate is spent; this is what it has left.
    RateSpent(Exceeded, Allowance),
}

/// The signatures that were used within the window, and the tenants' rates.
#[derive(Default)]
pub(crate) struct SignedCalls {
    replays: ReplayGuard,
    tenants: TenantRates,
}

impl SignedCalls {
    /// Reserves the signature, and then spends one call of the tenant's rate.
    pub(crate) fn admit(
        &self,
        call: &SignedUse<'_>,
        tenant: TenantRate,
        now: Now,
    ) -> Result<AdmittedCall<'_>, NotAdmitted> {
        let reservation = self
            .replays
            .reserve(call.signature, call.timestamp_ms, call.used, now.unix_ms)
            .map_err(|Replayed| NotAdmitted::Replayed)?;
        match self.tenants.spend(tenant, now.at) {
            Ok(allowance) => Ok(AdmittedCall { reservation, allowance }),
            Err((exceeded, allowance)) => Err(NotAdmitted::RateSpent(exceeded, allowance)),
        }
    }

    pub(crate) fn sweep(&self) {
        self.tenants.sweep();
    }
}

impl AdmittedCall<'_> {
    /// The call goes out: the signature stays taken.
    pub fn spend(&mut self) {
        self.reservation.spend();
    }

    /// Nothing of the call went out after all: the same bytes may come again.
    pub fn give_back(self) {
        self.reservation.give_back();
    }
}
