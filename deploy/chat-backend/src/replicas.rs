//! What the replicas of one PostgreSQL database tell each other, by `NOTIFY` (`store/signals.rs`). The database holds the conversations: a
//! message only says where there may be something to read. On SQLite there is one replica, and nothing is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use wire::{TenantId, frames::Role};

use crate::{
    inbox_frames::Onlooking,
    store::{Dialect, Store, StoreError, Transaction, say_with},
};

/// PostgreSQL takes a notification of fewer bytes.
const NOTIFICATION_BYTES: usize = 8000;
/// Messages that may be queued. Further ones are dropped: no call waits until a replica hears that somebody writes.
const MOST_QUEUED: usize = 8192;
/// Messages that are sent in one statement, at most.
const BATCH: usize = 256;
/// How old a typing message may be when it is sent. After an outage nobody writes any more who wrote before it.
const TYPING_LASTS: Duration = Duration::from_secs(3);

/// Sends messages to the other replicas. A clone shares the queue.
#[derive(Clone, Debug)]
pub(crate) struct Replicas(Option<Queue>);

#[derive(Clone, Debug)]
struct Queue {
    /// This replica's number, drawn when it starts.
    replica: u64,
    sender: mpsc::Sender<Queued>,
    /// Whether a message was dropped since the last call of [`Replicas::take_lost`].
    is_lost: Arc<AtomicBool>,
}

/// A message in the queue.
#[derive(Debug)]
struct Queued {
    payload: String,
    is_typing: bool,
    since: Instant,
}

/// What replicas tell each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ReplicaMessage {
    /// A conversation was changed, and that is committed.
    Changed { tenant_id: TenantId, conversation_id: String },
    /// A conversation of this visitor began, and that is committed.
    Began { tenant_id: TenantId, visitor_user_id: String },
    /// The visitor has read up to a later message. Operators alone are shown that.
    Read { tenant_id: TenantId, conversation_id: String },
    /// Somebody writes in a conversation. Operators who look at it are shown that.
    Typing {
        tenant_id: TenantId,
        conversation: ConversationRef,
        role: Role,
        operator: Option<Onlooking>,
        /// Whether the visitor is shown that too.
        to_visitor: bool,
    },
    /// An operator's seat looks at a conversation from now on, or at none.
    Watching { tenant_id: TenantId, seat: u64, watching: Option<Watching> },
    /// The sender has its first seat of this tenant, or may have missed messages. The others send who looks at what.
    WhoWatches { tenant_id: TenantId },
    /// Some messages of the sender were lost. What its operators look at follows, and replaces what was known of them.
    Restarts,
    /// The sender is alive.
    Alive,
}

/// A conversation, and the queue it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConversationRef {
    pub(crate) conversation_id: String,
    pub(crate) routing_key: Option<String>,
}

/// What an operator looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watching {
    pub(crate) conversation: ConversationRef,
    pub(crate) operator: Onlooking,
}

/// A message and its sender.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) replica: u64,
    #[serde(flatten)]
    pub(crate) message: ReplicaMessage,
}

/// The queue's other end.
pub(crate) struct Outgoing(mpsc::Receiver<Queued>);

impl Replicas {
    /// Over a store: on SQLite one that sends nothing.
    pub(crate) fn of(store: &Store) -> (Self, Option<Outgoing>) {
        match store.dialect() {
            Dialect::Sqlite => (Self(None), None),
            Dialect::Postgres => {
                let (sender, outgoing) = mpsc::channel(MOST_QUEUED);
                let queue = Queue { replica: fastrand::u64(..), sender, is_lost: Arc::default() };
                (Self(Some(queue)), Some(Outgoing(outgoing)))
            }
        }
    }

    /// This replica's number; 0 where there is one alone.
    pub(crate) fn number(&self) -> u64 {
        self.0.as_ref().map_or(0, |queue| queue.replica)
    }

    /// Sends the message once the transaction commits, and only then: it is sent even if this replica dies right after the commit.
    pub(crate) async fn send_with(
        &self,
        transaction: &Transaction,
        message: &ReplicaMessage,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Some(queue) => say_with(transaction, queue.seal(message)).await,
            None => Ok(()),
        }
    }

    /// Queues the message. It is lost where the database cannot be reached.
    pub(crate) fn send(&self, message: &ReplicaMessage) {
        let Some(queue) = &self.0 else { return };
        let payload = queue.seal(message);
        if payload.len() >= NOTIFICATION_BYTES {
            // In a batch it would have the others refused with it.
            tracing::error!(bytes = payload.len(), "a message to the other replicas is too long: it is not sent");
            return;
        }
        let is_typing = matches!(message, ReplicaMessage::Typing { .. });
        if queue.sender.try_send(Queued { payload, is_typing, since: Instant::now() }).is_err() {
            self.lose();
        }
    }

    /// Notes that messages were lost.
    pub(crate) fn lose(&self) {
        if let Some(queue) = &self.0 {
            queue.is_lost.store(true, Ordering::Relaxed);
        }
    }

    /// Whether messages were lost since the last call.
    pub(crate) fn take_lost(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.is_lost.swap(false, Ordering::Relaxed))
    }
}

impl Queue {
    fn seal(&self, message: &ReplicaMessage) -> String {
        json!(Envelope { replica: self.replica, message: message.clone() }).to_string()
    }
}

impl Outgoing {
    /// Waits for messages, and takes as many as one statement may send.
    pub(crate) async fn next_batch(&mut self) -> Vec<String> {
        let mut queued = Vec::new();
        self.0.recv_many(&mut queued, BATCH).await;
        queued.retain(|queued| !queued.is_typing || queued.since.elapsed() < TYPING_LASTS);
        queued.into_iter().map(|queued| queued.payload).collect()
    }
}

#[cfg(test)]
mod tests {
    use wire::frames::limits::ROUTING_KEY_CHARS;

    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_fits_into_a_notification() {
        let tenant_id = TenantId::generate();
        let (long, key) = ("\u{1}".repeat(320), "\u{1}".repeat(ROUTING_KEY_CHARS));
        let conversation = ConversationRef { conversation_id: "c".repeat(36), routing_key: Some(key) };
        let operator = Onlooking { operator_id: long.clone(), display_name: long };
        for message in [
            ReplicaMessage::Changed { tenant_id, conversation_id: "c".to_owned() },
            ReplicaMessage::Began { tenant_id, visitor_user_id: "\u{1}".repeat(255) },
            ReplicaMessage::Typing {
                tenant_id,
                conversation: conversation.clone(),
                role: Role::Agent,
                operator: Some(operator.clone()),
                to_visitor: true,
            },
            ReplicaMessage::Watching { tenant_id, seat: u64::MAX, watching: Some(Watching { conversation, operator }) },
            ReplicaMessage::Watching { tenant_id, seat: 1, watching: None },
            ReplicaMessage::WhoWatches { tenant_id },
            ReplicaMessage::Read { tenant_id, conversation_id: "c".to_owned() },
            ReplicaMessage::Restarts,
            ReplicaMessage::Alive,
        ] {
            let sealed = json!(Envelope { replica: u64::MAX, message: message.clone() }).to_string();
            assert!(sealed.len() < NOTIFICATION_BYTES, "{}", sealed.len());
            let read: Envelope = serde_json::from_str(&sealed).expect("it is read");
            assert_eq!((read.replica, read.message), (u64::MAX, message));
        }
    }
}
