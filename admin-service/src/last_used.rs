//! When keys were last used, to the minute: kept in memory and written in batches, for no call must wait for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use shared::time::from_unix_ms;
use uuid::Uuid;

const MINUTE_MS: i64 = 60_000;

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Mutex<HashMap<Uuid, Timestamp>>);

impl LastUsed {
    pub(crate) fn note(&self, key: Uuid, at: Timestamp) {
        let minute = from_unix_ms(at.as_millisecond() / MINUTE_MS * MINUTE_MS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, minute);
    }

    /// Takes them all, in one order at every replica, so that two that write at once do not wait for each other.
    pub(crate) fn take(&self) -> Vec<(Uuid, Timestamp)> {
        let mut used: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        used.sort_unstable_by_key(|(id, _)| *id);
        used
    }
}
