//! The gate for operators and internal services, the same over REST and gRPC.

use std::{net::IpAddr, time::Instant};

use super::{guesses::Guesses, refused::AdminKeyRefused, root_keys::RootKeys};
use crate::{
    admin_keys::AdminKeys,
    domain::{
        access::{AccessEntry, AccessKind},
        admin_key::Needed,
        audit::Caller,
    },
    logs::Logs,
};

/// Lets in callers whose admin key may make the call. Guessing is slowed, and each failure leaves its row in the access log.
#[derive(Clone)]
pub(crate) struct OperatorGate {
    root_keys: RootKeys,
    keys: AdminKeys,
    guesses: Guesses,
    logs: Logs,
}

impl OperatorGate {
    pub(crate) fn new(root_keys: RootKeys, keys: AdminKeys, logs: Logs) -> Self {
        Self { root_keys, keys, guesses: Guesses::new(), logs }
    }

    /// The caller that `given` stands for, where it is an admin key that may make a call which needs `needed`.
    ///
    /// # Errors
    /// [`AdminKeyRefused`].
    pub(crate) async fn admit(
        &self,
        given: Option<&[u8]>,
        address: Option<IpAddr>,
        request_id: String,
        needed: Needed,
    ) -> Result<Caller, AdminKeyRefused> {
        let now = Instant::now();
        let admitted = match address.map_or(Ok(()), |address| self.guesses.check(address, now)) {
            Ok(()) => self.authenticate(given, &request_id, needed).await,
            Err(refused) => Err(refused),
        };
        if let Err(refused) = &admitted {
            self.note_refusal(refused, given.is_some(), address, &request_id);
        }
        admitted
    }

    /// Counts a guess, and leaves a row in the access log.
    fn note_refusal(&self, refused: &AdminKeyRefused, was_sent: bool, address: Option<IpAddr>, request_id: &str) {
        let (actor, subject) = match refused {
            AdminKeyRefused::NotChecked(_) => return,
            AdminKeyRefused::MissingScope { key, .. } => ("admin_key", format!("admin_key:{key}")),
            _ => ("unknown", String::new()),
        };
        // A revoked or expired key is no guess. A script that still sends it must not lock out the other callers of its address.
        if let AdminKeyRefused::Wrong | AdminKeyRefused::TooMany { .. } = refused
            && let Some(address) = address.filter(|_| was_sent)
        {
            self.guesses.count(address, Instant::now());
        }
        let kind = AccessKind::RefuseOperator;
        self.logs.note(AccessEntry { kind, tenant_id: None, actor, subject, address }, request_id);
    }

    async fn authenticate(
        &self,
        given: Option<&[u8]>,
        request_id: &str,
        needed: Needed,
    ) -> Result<Caller, AdminKeyRefused> {
        let request_id = request_id.to_owned();
        let given = given.filter(|key| !key.is_empty()).ok_or(AdminKeyRefused::Missing)?;
        if let Some(actor) = self.root_keys.find(given) {
            return Ok(Caller { actor: actor.to_string(), request_id, admin_key: None });
        }
        let text = std::str::from_utf8(given).map_err(|_| AdminKeyRefused::Wrong)?;
        let found = self.keys.find(text).await.map_err(AdminKeyRefused::NotChecked)?;
        let (key, is_valid) = found.ok_or(AdminKeyRefused::Wrong)?;
        if !is_valid {
            return Err(AdminKeyRefused::Over);
        }
        if !key.allows(needed) {
            return Err(AdminKeyRefused::MissingScope { key: key.id, needed });
        }
        Ok(Caller { actor: format!("admin_key:{}", key.id), request_id, admin_key: Some(key.id) })
    }
}
