//! Following the history: reading what changed, when this replica or another one changed something, and from time to time.

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::state::{Inner, bounded};
use crate::store::StoreError;

impl Inner {
    /// Reads the history as it grows: when this replica changed something, when another one notifies of a change, and from time to
    /// time, because a notification can be lost.
    pub(super) async fn follow(&self) {
        // Trouble is logged once, not on every look.
        let mut blind = false;
        loop {
            let _ = timeout(self.look_every(), self.feed.woken.notified()).await;
            match bounded(self.look()).await {
                Ok(()) => blind = false,
                Err(error) if !std::mem::replace(&mut blind, true) => {
                    tracing::warn!(%error, "what changed cannot be read: changes wait for leases to run out");
                }
                Err(_) => {}
            }
            self.progress.send_replace(());
        }
    }

    /// Hears when another replica has changed or reported something.
    pub(super) async fn listen(&self) {
        let mut deaf = false;
        loop {
            match bounded(self.store.signals()).await {
                Ok(mut signals) => {
                    deaf = false;
                    // Look now: a notification may have been sent before this listened.
                    self.feed.wake();
                    while signals.next().await.is_some() {
                        self.feed.wake();
                    }
                }
                Err(error) if !std::mem::replace(&mut deaf, true) => {
                    tracing::warn!(%error, "no notifications from the database: looking from time to time");
                }
                Err(_) => {}
            }
            tokio::time::sleep(self.look_every()).await;
        }
    }

    /// Reads what changed since the last look, and which other replicas are registered.
    async fn look(&self) -> Result<(), StoreError> {
        let reading = self.feed.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let position = self.feed.recent().through;
        let (changes, through) = self.changes_after(Some(position)).await?;
        if self.feed.append(changes, through) {
            let revision = through.revision;
            tracing::warn!(revision, "much has changed, or the history is another one: every gateway starts over");
            self.leases().begin_another_history();
        }
        self.look_at_others(through.revision).await?;
        // Store this last: a change that waits for this reading relies on both steps above.
        self.feed.ended.store(reading, Ordering::SeqCst);
        Ok(())
    }
}
