//! What an operator calls, over all its tokens and pages.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::gcra::{Rates, whole_seconds};
use crate::limits::limit::{Exceeded, Limit};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct OperatorRates {
    per_min: NonZeroU32,
    operators: Rates<Uuid>,
}

impl OperatorRates {
    pub(crate) fn new(per_min: NonZeroU32) -> Self {
        Self { per_min, operators: Rates::per(MINUTE) }
    }

    /// Spends one call of an operator's.
    ///
    /// # Errors
    /// [`Limit::OperatorCalls`].
    pub(crate) fn spend(&self, operator: Uuid, now: Instant) -> Result<(), Exceeded> {
        let spent = self.operators.spend(operator, 1, self.per_min, now);
        spent.map(drop).map_err(|wait| Exceeded { limit: Limit::OperatorCalls, retry_after_s: whole_seconds(wait) })
    }

    pub(crate) fn sweep(&self) {
        self.operators.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operator_takes_nothing_from_another() {
        let (rates, now) = (OperatorRates::new(NonZeroU32::new(3).expect("not zero")), Instant::now());
        let (busy, other) = (Uuid::new_v4(), Uuid::new_v4());
        let admitted = (0..5).filter(|_| rates.spend(busy, now).is_ok()).count();
        assert_eq!(admitted, 3);
        assert!(rates.spend(other, now).is_ok());
        assert!(rates.spend(busy, now + Duration::from_secs(20)).is_ok(), "a third of a minute refills one");
    }
}
