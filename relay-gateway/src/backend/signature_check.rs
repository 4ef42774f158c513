//! The check at start: whether the chat backend accepts this gateway's signature (HMAC#2). PROTOCOL.md, section 4.12.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{ErrorCode, TenantId, signature::BodyDigest, time::now_unix_ms};

use super::chat_backend::{Backend, Relayed};

/// How long the check at start waits before it tries again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Backend {
    /// Sends one signed call that changes nothing, again and again until the backend has answered it with a 2xx, so that a wrong
    /// secret or a wrong URL is in the log before a tenant meets it. Ends when `stopping` is cancelled.
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
                Ok(answer) if answer.status().is_success() => {
                    return tracing::info!("the chat backend accepts this gateway's signature");
                }
                Ok(answer) => format!("it answered {}", answer.status()),
                // `Acceptance::refused` has logged it already.
                Err(error) if error.code() == ErrorCode::BackendRefusedRelay => String::new(),
                Err(error) => error.cause().unwrap_or_default().to_owned(),
            };
            if !why.is_empty() && !has_warned {
                has_warned = true;
                tracing::warn!(
                    cause = why,
                    "the chat backend has not answered `GET fetch/conversations` with a 2xx yet: it is asked again until it does. Check \
                     that chat_backend_url is the chat backend's"
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
