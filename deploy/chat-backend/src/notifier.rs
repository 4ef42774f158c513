//! Wakes the sockets of a conversation when something was written. The messages are in the database alone: a signal only says that
//! there may be something to read, so a lost signal loses no message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use wire::TenantId;

/// The conversations that sockets listen to. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConversationNotifier(Arc<Mutex<HashMap<String, watch::Sender<u64>>>>);

/// The name under which a socket listens for a visitor's first conversation.
pub(crate) fn of_visitor(tenant_id: TenantId, visitor_user_id: &str) -> String {
    format!("{tenant_id}/{visitor_user_id}")
}

/// What a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Something may have been committed.
    Changed,
    /// A person writes.
    Writing,
}

/// Hears when there may be something new in one conversation.
pub(crate) struct Listener {
    notifier: ConversationNotifier,
    conversation_id: String,
    signals: watch::Receiver<u64>,
    /// How often a person had written when the listener last heard.
    written: u64,
}

impl ConversationNotifier {
    fn conversations(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen. Read the conversation after this call: the listener then hears of whatever the reading missed.
    pub(crate) fn listen(&self, conversation_id: &str) -> Listener {
        let mut conversations = self.conversations();
        let sender = conversations.entry(conversation_id.to_owned()).or_insert_with(|| watch::channel(0).0);
        let signals = sender.subscribe();
        let written = *signals.borrow();
        Listener { notifier: self.clone(), conversation_id: conversation_id.to_owned(), signals, written }
    }

    /// Wakes the listeners: something was committed.
    pub(crate) fn changed(&self, conversation_id: &str) {
        if let Some(sender) = self.conversations().get(conversation_id) {
            sender.send_modify(|_| {});
        }
    }

    /// Wakes every listener: something may have been missed.
    pub(crate) fn wake_everyone(&self) {
        for sender in self.conversations().values() {
            sender.send_modify(|_| {});
        }
    }

    /// Tells the listeners that a person writes.
    pub(crate) fn writing(&self, conversation_id: &str) {
        if let Some(sender) = self.conversations().get(conversation_id) {
            sender.send_modify(|written| *written += 1);
        }
    }
}

impl Listener {
    /// Returns when something may have been committed, or a person has written, since the last time. Where both came, it says that a person
    /// writes: look into the database in either case.
    pub(crate) async fn changed(&mut self) -> Signal {
        // The sender lives as long as there is a listener.
        let _ = self.signals.changed().await;
        let written = *self.signals.borrow_and_update();
        if std::mem::replace(&mut self.written, written) == written { Signal::Changed } else { Signal::Writing }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut conversations = self.notifier.conversations();
        if conversations.get(&self.conversation_id).is_some_and(|sender| sender.receiver_count() <= 1) {
            conversations.remove(&self.conversation_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listeners_hear_and_leave_nothing_behind() {
        let notifier = ConversationNotifier::default();
        let (mut one, mut other) = (notifier.listen("c"), notifier.listen("c"));
        notifier.changed("c");
        notifier.changed("d");
        assert_eq!((one.changed().await, other.changed().await), (Signal::Changed, Signal::Changed));
        notifier.writing("c");
        assert_eq!((one.changed().await, other.changed().await), (Signal::Writing, Signal::Writing));
        drop(one);
        notifier.changed("c");
        assert_eq!(other.changed().await, Signal::Changed);
        drop(other);
        assert!(notifier.conversations().is_empty());
    }
}
