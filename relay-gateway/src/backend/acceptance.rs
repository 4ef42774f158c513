//! Whether the chat backend accepts what the relay signs (HMAC#2). Where it does not, the platform is set up wrongly: callers
//! get a 502, never a 401, and the log says what to mend. PROTOCOL.md, section 4.12.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use wire::{
    signature::relay_headers::{REFUSED, REFUSED_CALLER},
    time::now,
};

/// Where one of several backends refuses and the others accept, the state changes with each call. The log tells of it at most this
/// often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Whether this answer refuses HMAC#2. A 401 does, unless `X-Relay-Refused` says that it is meant for the caller. Any other 4xx does
/// only if `X-Relay-Refused` says so.
pub(super) fn refuses_relay(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers.get(REFUSED) {
        Some(refused) if refused == REFUSED_CALLER => false,
        Some(_) => status.is_client_error(),
        None => status == StatusCode::UNAUTHORIZED,
    }
}

/// Whether this answer shows that HMAC#2 was accepted: the backend did what was asked, or says that it refuses the caller. Any
/// other error may be a proxy's, or a wrong service's, which have verified nothing.
fn accepts_relay(status: StatusCode, headers: &HeaderMap) -> bool {
    let refuses_caller = || headers.get(REFUSED).is_some_and(|refused| refused == REFUSED_CALLER);
    status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS || (status.is_client_error() && refuses_caller())
}

/// Whether the backend accepted or refused the relay's signature in the last answer that shows it, and what was logged of it.
#[derive(Debug, Default)]
pub(super) struct Acceptance {
    refused: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// When a refusal was last logged.
    at: Option<Instant>,
    /// Whether the refusal that lasts was logged.
    is_current: bool,
}

impl Acceptance {
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes an answer that does not refuse the relay. A change of state is logged once, however many calls meet it.
    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        if accepts_relay(status, headers) {
            self.accepted();
        }
    }

    /// Takes an answer that [refuses the relay](refuses_relay).
    pub(super) fn refused(&self, cause: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: what is logged then never contradicts it.
        self.refused.store(true, Ordering::Relaxed);
        if said.is_current || said.at.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        *said = Said { at: Some(Instant::now()), is_current: true };
        tracing::error!(
            cause,
            our_time = %now(),
            "the chat backend refuses this gateway's signature (HMAC#2), and callers get a 502: give both the same relay secret \
             (relay_secret, in both their settings), and set both clocks, which may differ by 30 s"
        );
    }

    fn accepted(&self) {
        // Read first: the answers of a working backend must not write to one cache line from every core.
        if !self.is_refused() {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        self.refused.store(false, Ordering::Relaxed);
        if said.is_current {
            said.is_current = false;
            tracing::info!("the chat backend accepts this gateway's signature again");
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use wire::signature::relay_headers::REFUSED_SIGNATURE;

    use super::*;

    #[test]
    fn a_401_refuses_the_relay_unless_the_backend_says_whom_it_refuses() {
        let unknown = HeaderValue::from_static("else");
        for (status, refused, expected) in [
            (401, None, true),
            (401, Some(REFUSED_SIGNATURE), true),
            (401, Some(unknown), true),
            (401, Some(REFUSED_CALLER), false),
            (403, Some(REFUSED_SIGNATURE), true),
            (403, None, false),
            (200, Some(REFUSED_SIGNATURE), false),
            (500, Some(REFUSED_SIGNATURE), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(refused) = refused.clone() {
                headers.insert(REFUSED, refused);
            }
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(refuses_relay(status, &headers), expected, "{status} {refused:?}");
        }
    }

    #[test]
    fn only_what_a_backend_alone_answers_shows_that_it_accepts_the_signature() {
        for (status, refused, accepts) in [
            (200, None, true),
            (204, None, true),
            (101, None, true),
            (401, Some(REFUSED_CALLER), true),
            (403, Some(REFUSED_CALLER), true),
            (301, None, false),
            (403, None, false),
            (404, None, false),
            (413, None, false),
            (429, None, false),
            (502, None, false),
            (502, Some(REFUSED_CALLER), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(refused) = refused.clone() {
                headers.insert(REFUSED, refused);
            }
            let acceptance = Acceptance::default();
            acceptance.refused("it answered 401");
            acceptance.answered(StatusCode::from_u16(status).expect("a status"), &headers);
            assert_eq!(acceptance.is_refused(), !accepts, "{status} {refused:?}");
        }
    }

    /// A refusal and an acceptance may be noted at the same time. The refusal must not stay marked as logged once the backend accepts:
    /// otherwise the next refusal would not be logged.
    #[test]
    fn what_was_logged_never_contradicts_the_state() {
        for _ in 0..2000 {
            let acceptance = Acceptance::default();
            std::thread::scope(|scope| {
                scope.spawn(|| acceptance.refused("it answered 401"));
                while !acceptance.is_refused() {
                    std::hint::spin_loop();
                }
                acceptance.accepted();
            });
            let is_logged = acceptance.said.lock().expect("not poisoned").is_current;
            assert_eq!(acceptance.is_refused(), is_logged);
        }
    }
}
