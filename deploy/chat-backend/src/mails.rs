//! What calls know of mail: whether any is sent, and how to tell the mailer that an answer waits to be read.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use wire::time::{after_unix_ms, now_unix_ms};

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
        mails::look_at(rows, conversation_id, after_unix_ms(now_unix_ms(), after)).await
    }
}
