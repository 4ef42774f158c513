//! Whether the chat backend accepts what the relay signs (HMAC#2). Where it does not, the platform is set up wrongly: callers
//! get a 502, never a 401, and the log says what to mend. Contract, end of section 4.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use shared::{
    ErrorCode, TenantId,
    signature::{
        BodyDigest,
        relay_headers::{REFUSED, REFUSED_CALLER},
    },
    time::{now, now_unix_ms},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Backend, Relayed, UpstreamError};

/// One of several backends that refuses while the others accept changes the state with each call: said no more often than this.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How long the check at start waits before it tries again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether this answer refuses HMAC#2. The backend authenticates the relay alone, so a 401 does, unless the backend says that
/// it is meant for the caller; any other refusal does where the backend says so.
pub(super) fn refuses_relay(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers.get(REFUSED) {
        Some(refused) if refused == REFUSED_CALLER => false,
        Some(_) => status.is_client_error(),
        None => status == StatusCode::UNAUTHORIZED,
    }
}

/// Whether the last answer accepted the relay's signature, and what the log was told of it.
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

    /// Takes an exchange's outcome, and logs a change of state once, however many calls meet it.
    pub(super) fn note(&self, outcome: Result<StatusCode, &UpstreamError>) {
        match outcome {
            Err(UpstreamError::RefusedRelay(cause)) => self.refused(cause),
            // A 5xx may be a proxy's, which has verified nothing.
            Ok(status) if !status.is_server_error() => self.accepted(),
            _ => {}
        }
    }

    fn refused(&self, cause: &str) {
        self.refused.store(true, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.refused.store(false, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_current {
            said.is_current = false;
            tracing::info!("the chat backend accepts this gateway's signature again");
        }
    }
}

impl Backend {
    /// Sends one signed call that changes nothing, again and again until the backend has answered and accepted it, so that a
    /// wrong secret is in the log before a tenant meets it. Ends when `stopping` is cancelled.
    pub(crate) async fn check_signature(&self, stopping: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut has_warned = false;
        loop {
            let call = Relayed {
                method: &Method::GET,
                rest: "fetch/conversations",
                query: Some("limit=1"),
                headers: &mut HeaderMap::new(),
                body: Bytes::new(),
                digest: &BodyDigest::of(b""),
                // No tenant has it: the backend finds nothing.
                tenant_id: TenantId::from(Uuid::nil()),
                actor: "tenant",
                at_ms: now_unix_ms(),
                deadline: Instant::now() + self.upstream.header_timeout(),
            };
            let answered = tokio::select! {
                () = stopping.cancelled() => return,
                answered = self.relay(call) => answered,
            };
            let why = match answered {
                Ok(answer) if answer.status().is_server_error() => format!("it answered {}", answer.status()),
                Ok(_) => return tracing::info!("the chat backend accepts this gateway's signature"),
                // Said where it was noted.
                Err(error) if error.code() == ErrorCode::BackendRefusedRelay => String::new(),
                Err(error) => error.cause().unwrap_or_default().to_owned(),
            };
            if !why.is_empty() && !has_warned {
                has_warned = true;
                tracing::warn!(
                    cause = why,
                    "the chat backend has not answered a signed call yet: it is tried again until it does"
                );
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if tokio::time::timeout(jittered, stopping.cancelled()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use shared::signature::relay_headers::REFUSED_SIGNATURE;

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
    fn a_proxys_error_proves_nothing_of_the_signature() {
        let acceptance = Acceptance::default();
        acceptance.note(Err(&UpstreamError::RefusedRelay(String::new())));
        for undecided in [Ok(StatusCode::BAD_GATEWAY), Err(&UpstreamError::Broken(String::new()))] {
            acceptance.note(undecided);
            assert!(acceptance.is_refused());
        }
        acceptance.note(Ok(StatusCode::NOT_FOUND));
        assert!(!acceptance.is_refused());
    }
}
