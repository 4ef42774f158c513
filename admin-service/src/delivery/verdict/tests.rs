use super::*;
use crate::delivery::{failed::AttemptFailed, outcome::Answer, refused::Refused};

const TRIED: Tried = Tried {
    is_best_effort: false,
    attempts: 1,
    age: Duration::from_secs(10),
    retry_base: Duration::from_secs(5),
    random: 0.5,
};
const CONTACT: Tried = Tried { is_best_effort: true, ..TRIED };

fn answer(status: u16, retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(Duration::from_secs);
    Ok(Answer { status, retry_after, body: String::new() })
}

fn after(outcome: &Outcome, tried: &Tried) -> Option<Duration> {
    match Verdict::of(outcome, tried) {
        Verdict::Retry { after, .. } => Some(after),
        _ => None,
    }
}

/// The verdict in one word.
fn word(outcome: &Outcome, tried: &Tried) -> &'static str {
    match Verdict::of(outcome, tried) {
        Verdict::Delivered => "delivered",
        Verdict::Parked(_) => "parked",
        Verdict::Retry { .. } => "retry",
        Verdict::StopEndpoint(_) => "stop",
    }
}

#[test]
fn every_status_has_the_verdict_of_the_contract() {
    for status in 100..=999 {
        let expected = match status {
            200..=299 => "delivered",
            400 | 404 | 405 | 422 => "parked",
            410 => "stop",
            _ => "retry",
        };
        assert_eq!(word(&answer(status, None), &TRIED), expected, "{status}");
        assert_eq!(word(&answer(status, Some(7)), &TRIED), expected, "{status} with Retry-After");
    }
}

#[test]
fn verdicts_are_told_in_words() {
    let told = |outcome: &Outcome, tried: &Tried| match Verdict::of(outcome, tried) {
        Verdict::Delivered => String::new(),
        Verdict::Parked(reason) | Verdict::StopEndpoint(reason) | Verdict::Retry { reason, .. } => reason,
    };
    let old = Tried { age: OLDEST, ..TRIED };
    for (outcome, tried, words) in [
        (answer(401, None), TRIED, "the receiver answered 401: it does not accept the signature"),
        (answer(404, None), TRIED, "the receiver answered 404: it does not know this event"),
        (answer(422, None), TRIED, "the receiver answered 422: it refuses this event"),
        (answer(410, None), TRIED, "the receiver answered 410: it wants no more events"),
        (answer(307, None), TRIED, "the receiver answered 307: redirects are not followed"),
        (answer(500, None), TRIED, "the receiver answered 500"),
        (Err(AttemptFailed::ConnectionRefused), TRIED, "connection refused"),
        (Err(AttemptFailed::ConnectionRefused), old, "not delivered within 75 hours: connection refused"),
        (
            Err(AttemptFailed::NoSuchName),
            Tried { attempts: 3, ..CONTACT },
            "not delivered in 3 attempts: DNS: no such name",
        ),
    ] {
        assert_eq!(told(&outcome, &tried), words);
    }
}

#[test]
fn failed_attempts_are_retried_even_where_an_address_was_refused() {
    for failed in [AttemptFailed::NotHttp, AttemptFailed::Refused(Refused::NoHost), AttemptFailed::Closed] {
        assert_eq!(word(&Err(failed), &TRIED), "retry");
    }
}

#[test]
fn pauses_grow_fourfold_up_to_twelve_hours() {
    let pauses: Vec<u64> = (1..=12)
        .map(|attempts| after(&answer(500, None), &Tried { attempts, ..TRIED }).expect("a retry").as_secs())
        .collect();
    let longest = 12 * 3600 * 9 / 10;
    assert_eq!(pauses, [5, 20, 80, 320, 1280, 5120, 20480, longest, longest, longest, longest, longest]);
    for attempts in [100, u32::MAX] {
        let pause = after(&answer(500, None), &Tried { attempts, retry_base: Duration::MAX, random: 1.0, ..TRIED });
        assert_eq!(pause, Some(LONGEST_PAUSE), "{attempts}");
    }
}

#[test]
fn pauses_vary_by_a_fifth_within_their_bound() {
    let mut dice = fastrand::Rng::with_seed(14);
    for _ in 0..10_000 {
        let attempts = dice.u32(1..=20);
        let base_ms = dice.u64(1..=60_000);
        let tried = Tried { attempts, retry_base: Duration::from_millis(base_ms), random: dice.f64(), ..TRIED };
        let nominal_ms = (base_ms as f64 * 4_f64.powi(attempts as i32 - 1)).min(12.0 * 3_600_000.0);
        let pause = after(&answer(500, None), &tried).expect("a retry");
        let pause_ms = pause.as_secs_f64() * 1000.0;
        assert!(pause <= LONGEST_PAUSE, "{tried:?}: {pause:?}");
        assert!(pause_ms >= nominal_ms * 0.8 - 0.01 && pause_ms <= nominal_ms * 1.2 + 0.01, "{tried:?}: {pause:?}");
    }
}

#[test]
fn the_last_attempt_is_75_hours_after_the_event() {
    let at = |age| after(&answer(500, None), &Tried { attempts: 9, age, ..TRIED });
    assert_eq!(at(Duration::from_hours(74)), Some(Duration::from_hours(1)));
    assert_eq!(at(OLDEST - Duration::from_millis(1)), Some(Duration::from_millis(1)));
    assert_eq!(at(OLDEST), None);
    assert_eq!(at(Duration::MAX), None);
    // Waited for one after the other, pauses end there, however the dice fall.
    for random in [0.0, 0.3, 1.0] {
        let (mut age, mut attempts) = (Duration::ZERO, 1);
        while let Some(pause) = after(&answer(500, None), &Tried { attempts, age, random, ..TRIED }) {
            age += pause;
            attempts += 1;
        }
        assert_eq!(age, OLDEST);
        assert!((12..=18).contains(&attempts), "{attempts} attempts");
    }
}

#[test]
fn retry_after_is_obeyed_within_its_bounds_where_it_means_something() {
    for (status, retry_after, seconds) in [
        (429, Some(120), 120),
        (503, Some(120), 120),
        (503, Some(0), 1),
        (429, Some(u64::MAX), 3600),
        (429, None, 5),
        (503, None, 5),
        (500, Some(120), 5),
        (401, Some(120), 5),
        (302, Some(120), 5),
    ] {
        let pause = after(&answer(status, retry_after), &TRIED);
        assert_eq!(pause, Some(Duration::from_secs(seconds)), "{status} {retry_after:?}");
    }
    assert_eq!(word(&answer(429, Some(1)), &Tried { age: OLDEST, ..TRIED }), "parked");
}

#[test]
fn contact_forms_are_tried_three_times_and_never_count_against_the_receiver() {
    for (attempts, expected) in [(1, "retry"), (2, "retry"), (3, "parked"), (4, "parked")] {
        for outcome in [answer(500, None), answer(429, Some(1)), Err(AttemptFailed::Closed)] {
            assert_eq!(word(&outcome, &Tried { attempts, ..CONTACT }), expected, "{attempts}: {outcome:?}");
        }
    }
    assert_eq!(word(&answer(410, None), &CONTACT), "parked", "a receiver goes on with the events it knows");
    assert_eq!(word(&answer(204, None), &CONTACT), "delivered");
    for outcome in [answer(404, None), answer(410, None), answer(500, None), Err(AttemptFailed::Closed)] {
        for (tried, counts) in [(CONTACT, false), (TRIED, true)] {
            let verdict = Verdict::of(&outcome, &tried);
            assert_eq!(verdict.counts_as_failing(tried.is_best_effort), counts, "{outcome:?}");
        }
    }
    assert!(!Verdict::of(&answer(200, None), &TRIED).counts_as_failing(TRIED.is_best_effort));
}

#[test]
fn a_fault_of_the_relays_own_is_tried_again_and_an_event_that_cannot_be_sent_is_not() {
    assert_eq!(word(&Err(AttemptFailed::Panicked), &TRIED), "retry");
    let old = Tried { age: OLDEST, ..TRIED };
    assert_eq!(word(&Err(AttemptFailed::Panicked), &old), "parked");
    assert_eq!(word(&Err(AttemptFailed::Unsendable), &TRIED), "parked");
}
