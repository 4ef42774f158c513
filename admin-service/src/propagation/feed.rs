//! The newest stretch of the history, in memory: read once, pushed to every gateway that watches.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use coherence::{Changes, Revision};
use tokio::sync::{Notify, watch};
use wire::TenantId;

use crate::store::Position;

/// More changes than this at once are not told one by one: dropping everything is cheaper.
pub(super) const MOST_CHANGES: u64 = 10_000;

/// Stretches kept for watchers that are not quick. Those that fall further behind start over.
const KEPT: usize = 1024;

pub(super) struct Feed {
    recent: Mutex<Recent>,
    /// Up to where the history has been read.
    known: watch::Sender<FeedPosition>,
    pub(super) woken: Notify,
    /// Readings begun, and the newest of those that have ended well.
    pub(super) begun: AtomicU64,
    pub(super) ended: AtomicU64,
}

/// A place in what this replica has read. A database that comes back with another history makes another era: revisions of two
/// eras are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FeedPosition {
    pub(super) era: u64,
    pub(super) revision: Revision,
}

/// A reading that has not begun yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading(u64);

pub(super) struct Recent {
    era: u64,
    /// Everything after this is in `stretches`.
    from: Revision,
    stretches: VecDeque<Stretch>,
    pub(super) through: Position,
}

struct Stretch {
    through: Revision,
    keys: Vec<TenantId>,
}

impl Feed {
    pub(super) fn starting_at(through: Position) -> Self {
        let recent = Recent { era: 0, from: through.revision, stretches: VecDeque::new(), through };
        Self {
            known: watch::Sender::new(FeedPosition { era: 0, revision: through.revision }),
            recent: Mutex::new(recent),
            woken: Notify::new(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the history read on, soon; answers which reading will have begun after this.
    pub(super) fn wake(&self) -> Reading {
        let next = self.begun.load(Ordering::SeqCst) + 1;
        self.woken.notify_one();
        Reading(next)
    }

    /// Whether a reading, or one after it, has ended well.
    pub(super) fn has_read(&self, reading: Reading) -> bool {
        self.ended.load(Ordering::SeqCst) >= reading.0
    }

    /// Moves with every stretch that is read.
    pub(super) fn known(&self) -> watch::Receiver<FeedPosition> {
        self.known.subscribe()
    }

    /// The era that is read now.
    pub(super) fn era(&self) -> u64 {
        self.recent().era
    }

    /// What has been read after `sent`, and the position then; `None` where nothing has.
    pub(super) fn since(&self, sent: FeedPosition) -> Option<(Changes<TenantId>, Position)> {
        let recent = self.recent();
        let through = recent.through;
        if sent.era != recent.era || sent.revision < recent.from {
            return Some((Changes { after: 0, through: through.revision, keys: None }, through));
        }
        if through.revision <= sent.revision {
            return None;
        }
        let news = recent.stretches.iter().filter(|stretch| stretch.through > sent.revision);
        let keys: BTreeSet<TenantId> = news.flat_map(|stretch| &stretch.keys).copied().collect();
        let keys = Some(keys.into_iter().collect());
        Some((Changes { after: sent.revision, through: through.revision, keys }, through))
    }

    /// Takes in what was read. Answers whether it begins another era.
    pub(super) fn append(&self, changes: Changes<TenantId>, through: Position) -> bool {
        let mut recent = self.recent();
        let starts_over = changes.keys.is_none();
        match changes.keys {
            Some(_) if changes.through == recent.through.revision => return false,
            Some(keys) => {
                recent.stretches.push_back(Stretch { through: changes.through, keys });
                if recent.stretches.len() > KEPT
                    && let Some(oldest) = recent.stretches.pop_front()
                {
                    recent.from = oldest.through;
                }
            }
            None => {
                recent.era += 1;
                recent.stretches.clear();
                recent.from = changes.through;
            }
        }
        recent.through = through;
        self.known.send_replace(FeedPosition { era: recent.era, revision: through.revision });
        starts_over
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(revision: u64) -> Position {
        Position { revision, mark: Uuid::from_u128(revision.into()) }
    }

    fn append(feed: &Feed, after: u64, through: u64, keys: Option<Vec<TenantId>>) -> bool {
        feed.append(Changes { after, through, keys }, at(through))
    }

    #[test]
    fn who_is_behind_is_told_all_of_it_and_who_is_too_far_behind_starts_over() {
        let feed = Feed::starting_at(at(5));
        let tenants: Vec<TenantId> = (0..3).map(|_| TenantId::generate()).collect();
        append(&feed, 5, 6, Some(vec![tenants[0]]));
        append(&feed, 6, 8, Some(vec![tenants[1], tenants[0]]));
        assert!(!append(&feed, 8, 8, Some(Vec::new())));
        let since = |era, revision| {
            feed.since(FeedPosition { era, revision })
                .map(|(changes, _)| (changes.after, changes.through, changes.keys))
        };
        let mut both = vec![tenants[0], tenants[1]];
        both.sort_unstable();
        assert_eq!(since(0, 5), Some((5, 8, Some(both.clone()))));
        assert_eq!(since(0, 6), Some((6, 8, Some(both))));
        assert_eq!((since(0, 8), since(0, 9)), (None, None));
        assert_eq!(since(0, 4), Some((0, 8, None)));
        let last = 8 + KEPT as u64;
        for revision in 9..=last {
            append(&feed, revision - 1, revision, Some(vec![tenants[2]]));
        }
        assert_eq!((since(0, 7), since(0, 8)), (Some((0, last, None)), Some((8, last, Some(vec![tenants[2]])))));
        assert!(append(&feed, 0, 3, None));
        append(&feed, 3, 4, Some(Vec::new()));
        assert_eq!((since(1, 2), since(1, 3)), (Some((0, 4, None)), Some((3, 4, Some(Vec::new())))));
        assert_eq!((since(0, 3), since(0, last)), (Some((0, 4, None)), Some((0, 4, None))), "another history");
    }

    #[test]
    fn a_reading_counts_that_began_after_it_was_asked_for() {
        let feed = Feed::starting_at(at(1));
        feed.begun.store(4, Ordering::SeqCst);
        let wanted = feed.wake();
        feed.ended.store(4, Ordering::SeqCst);
        assert!(!feed.has_read(wanted), "the one under way may have read before");
        feed.ended.store(5, Ordering::SeqCst);
        assert!(feed.has_read(wanted));
    }
}
