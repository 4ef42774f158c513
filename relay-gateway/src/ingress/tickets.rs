//! Tickets for operators' sockets, each good once.

use std::time::Duration;

use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::domain::{
    ticket::{LIFETIME_MS, TicketKeys},
    token::OperatorToken,
};

/// Used tickets that are remembered, for as long as they could be used again. Beyond this number some are forgotten.
const MOST_USED: u64 = 1_000_000;

/// Issues tickets and takes each once. A gateway remembers only the tickets that were used at itself.
pub(crate) struct Tickets {
    keys: TicketKeys,
    used: Cache<Uuid, ()>,
}

impl Tickets {
    pub(crate) fn new<'s>(relay_secrets: impl IntoIterator<Item = &'s SecretString>) -> Self {
        let keys = TicketKeys::new(relay_secrets.into_iter().map(|secret| secret.expose_secret().as_bytes()));
        let lifetime = Duration::from_millis(LIFETIME_MS.unsigned_abs());
        Self { keys, used: Cache::builder().max_capacity(MOST_USED).time_to_live(lifetime * 2).build() }
    }

    /// Makes a ticket, and says when it ends, in Unix milliseconds.
    pub(super) fn issue(&self, token: &OperatorToken, now_unix_ms: i64) -> (String, i64) {
        self.keys.issue(token, now_unix_ms)
    }

    /// What a ticket stands for. It is used then.
    pub(super) fn take(&self, text: &str, now_unix_ms: i64) -> Option<OperatorToken> {
        let ticket = self.keys.verify(text, now_unix_ms)?;
        self.used.entry(ticket.id).or_insert(()).is_fresh().then_some(ticket.token)
    }
}
