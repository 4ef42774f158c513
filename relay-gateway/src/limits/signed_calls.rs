//! A verified signed call: its signature is reserved, and then its tenant's rate is spent, by this gateway or by the fleet.

use super::{
    fleet::{Admission, Fleet, Hold},
    limit::{Allowance, Exceeded, Now},
    local::{ReplayGuard, Replayed, Reservation, TenantRate, TenantRates},
    signature_use::SignedUse,
};

/// A call that is admitted. Dropped before [`AdmittedCall::spend`], it gives its signature back, so that the same bytes may come again.
/// The tenant's rate stays spent.
#[must_use = "dropping it gives the signature back"]
pub struct AdmittedCall<'a> {
    reservation: Reservation<'a>,
    /// The same, in the fleet's count.
    hold: Option<Hold>,
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
pub(super) struct SignedCalls {
    replays: ReplayGuard,
    tenants: TenantRates,
}

impl SignedCalls {
    /// Reserves the signature, and then spends one call of the tenant's rate.
    pub(super) fn admit(
        &self,
        call: &SignedUse<'_>,
        tenant: TenantRate,
        now: Now,
    ) -> Result<AdmittedCall<'_>, NotAdmitted> {
        let reservation = self
            .replays
            .reserve(call.signature, call.timestamp_ms, call.used, now.unix_ms)
            .map_err(|Replayed| NotAdmitted::Replayed)?;
        match self.tenants.spend(tenant, 1, now.at) {
            Ok(allowance) => Ok(AdmittedCall { reservation, hold: None, allowance }),
            Err((exceeded, allowance)) => Err(NotAdmitted::RateSpent(exceeded, allowance)),
        }
    }

    /// The same, by the fleet's count. A signature that this gateway has seen is refused without asking. Where the fleet's count says
    /// nothing, this gateway admits its share of the rate.
    pub(super) async fn admit_in<'a>(
        &'a self,
        fleet: &'a Fleet,
        call: &SignedUse<'_>,
        tenant: TenantRate,
        now: Now,
    ) -> Result<AdmittedCall<'a>, NotAdmitted> {
        let reserved = self.replays.reserve(call.signature, call.timestamp_ms, call.used, now.unix_ms);
        let reservation = reserved.map_err(|Replayed| NotAdmitted::Replayed)?;
        match fleet.admit(call, tenant, now).await {
            Admission::Admitted(allowance, hold) => {
                self.tenants.mirror(tenant, allowance.remaining, now.at);
                Ok(AdmittedCall { reservation, hold: Some(hold), allowance })
            }
            Admission::Replayed => Err(NotAdmitted::Replayed),
            Admission::RateSpent(exceeded, allowance) => {
                self.tenants.mirror(tenant, 0, now.at);
                Err(NotAdmitted::RateSpent(exceeded, allowance))
            }
            Admission::Unknown(hold) => match self.tenants.spend(tenant, fleet.gateways(), now.at) {
                Ok(allowance) => Ok(AdmittedCall { reservation, hold, allowance }),
                Err((exceeded, allowance)) => Err(NotAdmitted::RateSpent(exceeded, allowance)),
            },
        }
    }

    pub(super) fn sweep(&self) {
        self.tenants.sweep();
    }
}

impl AdmittedCall<'_> {
    /// The call goes out: the signature stays taken.
    pub fn spend(&mut self) {
        self.reservation.spend();
        if let Some(hold) = &mut self.hold {
            hold.spend();
        }
    }

    /// Nothing of the call went out after all: the same bytes may come again.
    pub fn give_back(self) {
        self.reservation.give_back();
        if let Some(hold) = self.hold {
            hold.give_back();
        }
    }
}
