//! Mails to visitors who were away, as calls use them: they note that an answer waits to be read, and the mailer does the rest.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use wire::time::now_unix_ms;

use super::{
    records::mails,
    store::{OfTenant, StoreError},
};

/// How long an answer may be unread before it is mailed; `None` where no mail is sent, and nothing is noted for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mails(Option<Duration>);

impl Mails {
    /// Mails that are sent.
    pub(crate) const fn sent_after(after: Duration) -> Self {
        Self(Some(after))
    }

    /// Whether any mail is sent.
    pub(crate) const fn are_sent(self) -> bool {
        self.0.is_some()
    }

    /// Notes that an answer may wait to be read, as one part of the transaction that writes it.
    pub(crate) async fn note(
        self,
        rows: &OfTenant<'_, impl ConnectionTrait>,
        conversation_id: &str,
    ) -> Result<(), StoreError> {
        let Some(after) = self.0 else { return Ok(()) };
        mails::look_at(rows, conversation_id, now_unix_ms() + millis(after)).await
    }
}

/// A duration, to be added to Unix milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
