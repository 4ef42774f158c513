//! The gate for operators, the same over REST and gRPC.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{admin_keys::AdminKeys, guesses::Guesses, refused::AdminKeyRefused};
use crate::{
    domain::access::{AccessEntry, AccessKind},
    logs::Logs,
};

/// Lets in callers with an admin key. Guessing is slowed, and each failure leaves its row in the access log.
#[derive(Clone)]
pub(crate) struct OperatorGate {
    keys: AdminKeys,
    guesses: Guesses,
    logs: Logs,
}

impl OperatorGate {
    pub(crate) fn new(keys: AdminKeys, logs: Logs) -> Self {
        Self { keys, guesses: Guesses::new(), logs }
    }

    /// The actor that `given` stands for, where it is one of the keys.
    ///
    /// # Errors
    /// [`AdminKeyRefused`].
    pub(crate) fn admit(
        &self,
        given: Option<&[u8]>,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Result<Arc<str>, AdminKeyRefused> {
        let now = Instant::now();
        let authenticated = match address {
            Some(address) => self.guesses.check(address, now).and_then(|()| self.keys.authenticate(given)),
            None => self.keys.authenticate(given),
        };
        if authenticated.is_err() {
            if let Some(address) = address.filter(|_| given.is_some()) {
                self.guesses.count(address, now);
            }
            let kind = AccessKind::RefuseOperator;
            let entry = AccessEntry { kind, tenant_id: None, actor: "unknown", subject: String::new(), address };
            self.logs.note(entry, request_id);
        }
        authenticated
    }
}
