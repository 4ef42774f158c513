//! The two logs. Each change writes its own row of the audit log. Events that change nothing (issued tokens, wrong keys, secrets that
//! were read) wait in memory and are written to the access log in batches, so that no call waits for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use crate::{
    domain::{
        access::{AccessEntry, AccessKind, RecordedAccess},
        audit::RecordedAudit,
    },
    errors::UseCaseError,
    store::{LogStore, Page},
};

/// How long rows of the access log are kept.
const ACCESS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Rows that wait to be written. Strangers make some of them, so there is an end to it.
const MOST_WAITING: usize = 10_000;

/// Rows of one transaction.
const BATCH: usize = 1_000;

const MINUTE_MS: i64 = 60_000;

/// The logs. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Logs {
    store: Arc<dyn LogStore>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    /// By what happened and in which minute.
    rows: HashMap<(AccessEntry, i64), Seen>,
    /// What found no room.
    not_recorded: u64,
    /// Whether the last write failed. A run of failures is logged once.
    has_failed: bool,
}

struct Seen {
    count: u64,
    request_id: String,
    first: Timestamp,
}

impl Waiting {
    fn note(&mut self, entry: AccessEntry, seen: Seen) {
        let key = (entry, seen.first.as_millisecond().div_euclid(MINUTE_MS));
        if let Some(row) = self.rows.get_mut(&key) {
            row.count += seen.count;
        } else if self.rows.len() < MOST_WAITING {
            self.rows.insert(key, seen);
        } else {
            self.not_recorded += seen.count;
        }
    }

    /// Takes some rows, the oldest first.
    fn take(&mut self) -> Vec<(AccessEntry, Seen)> {
        let mut rows: Vec<_> = self.rows.drain().map(|((entry, _), seen)| (entry, seen)).collect();
        rows.sort_by_key(|(_, seen)| seen.first);
        for (entry, seen) in rows.split_off(rows.len().min(BATCH)) {
            self.note(entry, seen);
        }
        if self.not_recorded > 0 {
            let kind = AccessKind::NotRecorded;
            let entry =
                AccessEntry { kind, tenant_id: None, actor: "admin-service", subject: String::new(), address: None };
            let count = std::mem::take(&mut self.not_recorded);
            rows.push((entry, Seen { count, request_id: String::new(), first: now() }));
        }
        rows
    }
}

fn recorded((entry, seen): &(AccessEntry, Seen)) -> RecordedAccess {
    RecordedAccess {
        kind: entry.kind.as_str().to_owned(),
        tenant_id: entry.tenant_id,
        actor: entry.actor.to_owned(),
        subject: entry.subject.clone(),
        address: entry.address.map(|address| address.to_canonical().to_string()).unwrap_or_default(),
        request_id: seen.request_id.clone(),
        count: seen.count,
        // As the database keeps it.
        occurred_at: from_unix_ms(seen.first.as_millisecond()),
    }
}

impl Logs {
    pub(crate) fn new(store: Arc<dyn LogStore>) -> Self {
        Self { store, waiting: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what has happened just now. It is written soon; a process that is killed loses what it had not written.
    pub(crate) fn note(&self, entry: AccessEntry, request_id: &str) {
        // A stranger's text: no longer than the column.
        let request_id = request_id.chars().filter(char::is_ascii_graphic).take(64).collect();
        self.waiting().note(entry, Seen { count: 1, request_id, first: now() });
    }

    /// Writes the entries that wait. If a write fails, they wait on. If the answer to a commit is lost, its rows may be written twice.
    pub(crate) async fn write_waiting(&self) {
        loop {
            let rows = self.waiting().take();
            if rows.is_empty() {
                return;
            }
            let batch: Vec<RecordedAccess> = rows.iter().map(recorded).collect();
            let written = self.store.write_access(&batch).await;
            let mut waiting = self.waiting();
            if let Err(error) = written {
                if !std::mem::replace(&mut waiting.has_failed, true) {
                    tracing::warn!(%error, rows = rows.len(), "the access log was not written: it will be");
                }
                for (entry, seen) in rows {
                    if entry.kind == AccessKind::NotRecorded {
                        waiting.not_recorded += seen.count;
                    } else {
                        waiting.note(entry, seen);
                    }
                }
                return;
            }
            waiting.has_failed = false;
        }
    }

    /// Removes rows of the access log that are old enough, in small steps.
    pub(crate) async fn prune(&self) {
        let before = now() - ACCESS_KEPT;
        loop {
            match self.store.prune_access(before).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "old rows of the access log were not removed");
                    return;
                }
            }
        }
    }

    /// Logs the head of each log. Somebody who deletes a log's newest rows cannot change a head that was logged elsewhere.
    pub(crate) async fn tell_heads(&self) {
        match self.store.log_heads().await {
            Ok(heads) => {
                for (log, head) in heads {
                    tracing::info!(target: "audit", log = log.as_str(), rows = head.number, %head, "the log has come so far");
                }
            }
            Err(error) => tracing::warn!(%error, "the heads of the logs cannot be read"),
        }
    }

    /// A page of the audit log, newest first.
    pub(crate) async fn audit(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAudit, u64>, UseCaseError> {
        Ok(self.store.audit_log(tenant_id, after, limit).await?)
    }

    /// A page of the access log, newest first: with what has happened until now.
    pub(crate) async fn access(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAccess, u64>, UseCaseError> {
        self.write_waiting().await;
        Ok(self.store.access_log(tenant_id, after, limit).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: u8) -> AccessEntry {
        AccessEntry {
            kind: AccessKind::RefuseOperator,
            tenant_id: None,
            actor: "unknown",
            subject: String::new(),
            address: Some([192, 0, 2, address].into()),
        }
    }

    fn at(ms: i64) -> Seen {
        Seen { count: 1, request_id: format!("r{ms}"), first: from_unix_ms(ms) }
    }

    #[test]
    fn an_address_and_a_minute_are_one_row_with_a_count() {
        let mut waiting = Waiting::default();
        for (address, ms) in [(1, 60_001), (1, 60_002), (2, 60_003), (1, 119_999), (1, 120_000)] {
            waiting.note(entry(address), at(ms));
        }
        let rows: Vec<_> = waiting.take().iter().map(recorded).collect();
        let told: Vec<_> = rows.iter().map(|row| (row.address.as_str(), row.count, row.request_id.as_str())).collect();
        assert_eq!(told, [("192.0.2.1", 3, "r60001"), ("192.0.2.2", 1, "r60003"), ("192.0.2.1", 1, "r120000")]);
        assert!(waiting.take().is_empty());
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut waiting = Waiting::default();
        for minute in 0..i64::try_from(MOST_WAITING).expect("small") + 7 {
            waiting.note(entry(1), at(minute * MINUTE_MS));
        }
        let first = waiting.take();
        assert_eq!(first.len(), BATCH + 1);
        let told = first.last().map(|(entry, seen)| (entry.kind, seen.count));
        assert_eq!(told, Some((AccessKind::NotRecorded, 7)));
        let mut rows = first.len();
        loop {
            match waiting.take().len() {
                0 => break,
                more => rows += more,
            }
        }
        assert_eq!(rows, MOST_WAITING + 1, "each once");
    }
}
