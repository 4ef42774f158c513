//! The newest stretch of the history, in memory: read once, pushed to every gateway that watches.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::StreamExt as _;
use shared::{
    TenantId,
    coherence::{Changes, Revision},
};
use tokio::sync::{Notify, watch};

use super::Inner;
use crate::store::Position;

/// More changes than this at once are not told one by one: dropping everything is cheaper.
pub(super) const MOST_CHANGES: u64 = 10_000;

/// Stretches kept for watchers that are not quick. Those that fall further behind start over.
const KEPT: usize = 1024;

pub(super) struct Feed {
    recent: Mutex<Recent>,
    /// Up to where the history has been read.
    known: watch::Sender<Revision>,
    woken: Notify,
}

struct Recent {
    /// Everything after this is in `stretches`.
    from: Revision,
    stretches: VecDeque<Stretch>,
    through: Position,
}

struct Stretch {
    through: Revision,
    keys: Vec<TenantId>,
}

impl Feed {
    pub(super) fn starting_at(through: Position) -> Self {
        Self {
            recent: Mutex::new(Recent { from: through.revision, stretches: VecDeque::new(), through }),
            known: watch::Sender::new(through.revision),
            woken: Notify::new(),
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the history read on, soon.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Moves with every stretch that is read.
    pub(super) fn known(&self) -> watch::Receiver<Revision> {
        self.known.subscribe()
    }

    /// What has been read after `sent`, and the position then; `None` where nothing has.
    pub(super) fn since(&self, sent: Revision) -> Option<(Changes<TenantId>, Position)> {
        let recent = self.recent();
        let through = recent.through;
        if through.revision <= sent {
            return None;
        }
        if sent < recent.from {
            return Some((Changes { after: 0, through: through.revision, keys: None }, through));
        }
        let news = recent.stretches.iter().filter(|stretch| stretch.through > sent);
        let keys: BTreeSet<TenantId> = news.flat_map(|stretch| &stretch.keys).copied().collect();
        let keys = Some(keys.into_iter().collect());
        Some((Changes { after: sent, through: through.revision, keys }, through))
    }

    fn append(&self, changes: Changes<TenantId>, through: Position) {
        let mut recent = self.recent();
        match changes.keys {
            Some(_) if changes.through == recent.through.revision => return,
            Some(keys) => {
                recent.stretches.push_back(Stretch { through: changes.through, keys });
                if recent.stretches.len() > KEPT
                    && let Some(oldest) = recent.stretches.pop_front()
                {
                    recent.from = oldest.through;
                }
            }
            None => {
                recent.stretches.clear();
                recent.from = changes.through;
            }
        }
        recent.through = through;
        self.known.send_replace(through.revision);
    }
}

impl Inner {
    /// Reads the history as it grows: when this replica changed something, when another says that it did, and from time
    /// to time, because that saying can be lost.
    pub(super) async fn follow(&self) {
        let mut signals = futures_util::stream::empty().boxed();
        loop {
            let heard = tokio::select! {
                () = self.feed.woken.notified() => true,
                signal = signals.next() => signal.is_some(),
                () = tokio::time::sleep(self.look_every()) => true,
            };
            if !heard {
                match self.store.signals().await {
                    Ok(anew) => signals = anew,
                    Err(error) => {
                        tracing::warn!(%error, "no notifications from the database: looking from time to time");
                        tokio::time::sleep(self.look_every()).await;
                    }
                }
            }
            let position = self.feed.recent().through;
            match self.changes_after(Some(position)).await {
                Ok((changes, through)) => self.feed.append(changes, through),
                Err(error) => tracing::warn!(%error, "the history cannot be read"),
            }
            self.look_at_others().await;
            self.progress.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(revision: u64) -> Position {
        Position { revision, mark: Uuid::from_u128(revision.into()) }
    }

    fn append(feed: &Feed, after: u64, through: u64, keys: Option<Vec<TenantId>>) {
        feed.append(Changes { after, through, keys }, at(through));
    }

    #[test]
    fn who_is_behind_is_told_all_of_it_and_who_is_too_far_behind_starts_over() {
        let feed = Feed::starting_at(at(5));
        let tenants: Vec<TenantId> = (0..3).map(|_| TenantId::generate()).collect();
        append(&feed, 5, 6, Some(vec![tenants[0]]));
        append(&feed, 6, 8, Some(vec![tenants[1], tenants[0]]));
        append(&feed, 8, 8, Some(Vec::new()));
        let since = |sent| feed.since(sent).map(|(changes, _)| (changes.after, changes.through, changes.keys));
        let mut both = vec![tenants[0], tenants[1]];
        both.sort_unstable();
        assert_eq!(since(5), Some((5, 8, Some(both.clone()))));
        assert_eq!(since(6), Some((6, 8, Some(both))));
        assert_eq!((since(8), since(9)), (None, None));
        assert_eq!(since(4), Some((0, 8, None)));
        let last = 8 + KEPT as u64;
        for revision in 9..=last {
            append(&feed, revision - 1, revision, Some(vec![tenants[2]]));
        }
        assert_eq!((since(7), since(8)), (Some((0, last, None)), Some((8, last, Some(vec![tenants[2]])))));
        append(&feed, 0, 3, None);
        append(&feed, 3, 4, Some(Vec::new()));
        assert_eq!((since(2), since(3)), (Some((0, 4, None)), Some((3, 4, Some(Vec::new())))), "another history");
    }
}
