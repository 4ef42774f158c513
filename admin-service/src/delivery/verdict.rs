//! What becomes of an event after an attempt (PROTOCOL.md, section 7). Pure: its caller knows the time and rolls the dice.

use std::time::Duration;

use super::{failed::AttemptFailed, outcome::Outcome};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_hours(12);
/// How old an event may get.
const OLDEST: Duration = Duration::from_hours(75);
/// The bounds of what a receiver may ask for with `Retry-After`.
const SHORTEST_REQUESTED: Duration = Duration::from_secs(1);
const LONGEST_REQUESTED: Duration = Duration::from_hours(1);
/// How many times `contact_submitted` is tried: most receivers do not know it.
const BEST_EFFORT_ATTEMPTS: u32 = 3;

/// What is known of an event besides the attempt's outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// Whether a receiver may ignore events of this type.
    pub(crate) is_best_effort: bool,
    /// The attempts so far, this one included.
    pub(crate) attempts: u32,
    /// The time since the event.
    pub(crate) age: Duration,
    /// The first pause.
    pub(crate) retry_base: Duration,
    /// From 0 to 1: where in its bounds the pause is.
    pub(crate) random: f64,
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is not tried again by itself.
    Parked(String),
    /// It is tried again.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why it was not delivered.
        reason: String,
    },
    /// The receiver wants no events: this one and all others are held.
    StopEndpoint(String),
}

impl Verdict {
    /// Judges an attempt.
    #[must_use]
    pub(crate) fn of(outcome: &Outcome, tried: &Tried) -> Self {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(AttemptFailed::Unsendable) => return Self::Parked(AttemptFailed::Unsendable.to_string()),
            Err(failed) => return tried.retry(failed.to_string(), None),
        };
        let status = answer.status;
        let says = |words: &str| format!("the receiver answered {status}: {words}");
        match status {
            200..=299 => Self::Delivered,
            400 | 422 => Self::Parked(says("it refuses this event")),
            404 | 405 => Self::Parked(says("it does not know this event")),
            // A receiver that says so of an event that it need not know goes on with the others.
            410 if tried.is_best_effort => Self::Parked(says("it does not want this event")),
            410 => Self::StopEndpoint(says("it wants no more events")),
            401 => tried.retry(says("it does not accept the signature"), None),
            429 => tried.retry(says("it gets too many requests"), answer.retry_after),
            503 => tried.retry(says("it cannot take events now"), answer.retry_after),
            300..=399 => tried.retry(says("redirects are not followed"), None),
            _ => tried.retry(format!("the receiver answered {status}"), None),
        }
    }

    /// Whether the receiver counts as failing after this attempt.
    #[must_use]
    pub(crate) fn counts_as_failing(&self, is_best_effort: bool) -> bool {
        *self != Self::Delivered && !is_best_effort
    }
}

impl Tried {
    fn retry(&self, reason: String, requested: Option<Duration>) -> Verdict {
        if self.is_best_effort && self.attempts >= BEST_EFFORT_ATTEMPTS {
            return Verdict::Parked(format!("not delivered in {BEST_EFFORT_ATTEMPTS} attempts: {reason}"));
        }
        let Some(left) = OLDEST.checked_sub(self.age).filter(|left| !left.is_zero()) else {
            return Verdict::Parked(format!("not delivered within {} hours: {reason}", OLDEST.as_secs() / 3600));
        };
        let after = match requested {
            Some(pause) => pause.clamp(SHORTEST_REQUESTED, LONGEST_REQUESTED),
            // The last attempt is at the end of the event's time.
            None => self.pause().min(left),
        };
        Verdict::Retry { after, reason }
    }

    /// The base, four times as long after each attempt, 20 % shorter to 20 % longer, and never above its bound: there it is up to
    /// 20 % shorter, so that events do not come together again.
    fn pause(&self) -> Duration {
        let nominal = self.retry_base.saturating_mul(4_u32.saturating_pow(self.attempts.saturating_sub(1)));
        let lowest = nominal.min(LONGEST_PAUSE) * 4 / 5;
        let highest = (nominal.min(LONGEST_PAUSE) * 6 / 5).min(LONGEST_PAUSE);
        lowest + (highest - lowest).mul_f64(self.random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
