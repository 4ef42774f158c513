//! When keys were last used, to the minute: kept in memory and written in batches, for no call must wait for it.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use uuid::Uuid;
use wire::time::from_unix_ms;

const MINUTE_MS: i64 = 60_000;

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Mutex<HashMap<Uuid, Timestamp>>);

impl LastUsed {
    pub(crate) fn note(&self, key: Uuid, at: Timestamp) {
        let minute = from_unix_ms(at.as_millisecond() / MINUTE_MS * MINUTE_MS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, minute);
    }

    /// Writes them all. Where that fails, they are written the next time.
    pub(crate) async fn write<E: Display>(
        &self,
        of: &'static str,
        write: impl AsyncFnOnce(&[(Uuid, Timestamp)]) -> Result<(), E>,
    ) {
        let used = self.take();
        if !used.is_empty()
            && let Err(error) = write(&used).await
        {
            tracing::warn!(%error, of, "could not write when keys were last used: trying again in some seconds");
            self.put_back(used);
        }
    }

    /// Takes back what could not be written; later uses stand.
    fn put_back(&self, used: Vec<(Uuid, Timestamp)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, at) in used {
            kept.entry(key).or_insert(at);
        }
    }

    /// Takes them all, in one order at every replica, so that two that write at once do not wait for each other.
    fn take(&self) -> Vec<(Uuid, Timestamp)> {
        let mut used: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        used.sort_unstable_by_key(|(id, _)| *id);
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_written_later_unless_there_is_newer() {
        let used = LastUsed::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        used.note(one, from_unix_ms(61_234));
        used.note(other, from_unix_ms(1));
        let taken = used.take();
        assert!(used.take().is_empty());
        used.note(one, from_unix_ms(200_000));
        used.put_back(taken);
        let mut expected = [(one, from_unix_ms(180_000)), (other, from_unix_ms(0))];
        expected.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(used.take(), expected, "to the minute");
    }
}
