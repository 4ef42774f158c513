//! Who listens to a conversation right now. What was said is in the database, and only there: a listener is told that there is
//! something to read, so nothing is lost with a signal that is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use wire::TenantId;

/// The conversations that somebody listens to. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConversationNotifier(Arc<Mutex<HashMap<String, watch::Sender<()>>>>);

/// What the conversations of a visitor are listened to under, before there is one.
pub(crate) fn of_visitor(tenant_id: TenantId, visitor_user_id: &str) -> String {
    format!("{tenant_id}/{visitor_user_id}")
}

/// Hears when there may be something new in one conversation.
pub(crate) struct Listener {
    notifier: ConversationNotifier,
    conversation_id: String,
    signals: watch::Receiver<()>,
}

impl ConversationNotifier {
    fn conversations(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen. Read the conversation after this: what comes in between is then heard of.
    pub(crate) fn listen(&self, conversation_id: &str) -> Listener {
        let mut conversations = self.conversations();
        let sender = conversations.entry(conversation_id.to_owned()).or_insert_with(|| watch::channel(()).0);
        let signals = sender.subscribe();
        Listener { notifier: self.clone(), conversation_id: conversation_id.to_owned(), signals }
    }

    /// Says that something was committed.
    pub(crate) fn changed(&self, conversation_id: &str) {
        if let Some(sender) = self.conversations().get(conversation_id) {
            sender.send_replace(());
        }
    }
}

impl Listener {
    /// Returns when something may have been committed since the last time.
    pub(crate) async fn changed(&mut self) {
        // The sender lives for as long as anybody listens.
        let _ = self.signals.changed().await;
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
    async fn who_listens_hears_and_who_has_left_leaves_nothing() {
        let notifier = ConversationNotifier::default();
        let (mut one, mut other) = (notifier.listen("c"), notifier.listen("c"));
        notifier.changed("c");
        notifier.changed("d");
        one.changed().await;
        other.changed().await;
        drop(one);
        notifier.changed("c");
        other.changed().await;
        drop(other);
        assert!(notifier.conversations().is_empty());
    }
}
