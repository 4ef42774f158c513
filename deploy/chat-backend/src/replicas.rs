//! What the replicas of one PostgreSQL database tell each other, by `NOTIFY` (`store/signals.rs`). The database alone holds conversations: what is told only says
//! where there may be something to read. On SQLite there is one replica, and nothing is told.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use wire::{TenantId, frames::Role};

use crate::{
    inbox_frames::Onlooking,
    store::{Dialect, Store, StoreError, Transaction, say_with},
};

/// What waits to be told, at most. What comes on top is dropped: no call waits for a replica to hear that somebody writes.
const MOST_WAITING: usize = 8192;

/// What is told in one statement, at most.
const BATCH: usize = 256;

/// The way to tell the other replicas. A clone shares it.
#[derive(Clone, Debug)]
pub(crate) struct Replicas(Option<Teller>);

#[derive(Clone, Debug)]
struct Teller {
    /// This replica's number, made when it starts.
    replica: u64,
    waiting: mpsc::Sender<String>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(crate) enum Told {
    /// A conversation was changed, and that is committed.
    Changed { tenant_id: TenantId, conversation_id: String },
    /// A conversation of this visitor began, and that is committed.
    Began { tenant_id: TenantId, visitor_user_id: String },
    /// Somebody writes in a conversation: those operators who look at it are shown that.
    Typing { tenant_id: TenantId, place: Place, role: Role, operator: Option<Onlooking>, to_visitor: bool },
    /// An operator's seat looks at a conversation from now on, or at none.
    Looking { tenant_id: TenantId, seat: u64, look: Option<Look> },
    /// A replica has its first seat of this tenant, or may have missed something of it: the others say who looks at what.
    WhoLooks { tenant_id: TenantId },
    /// A replica is there. Who looked through one that says nothing for a while looks no longer.
    Alive,
}

/// A conversation, and the queue it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) conversation_id: String,
    pub(crate) routing_key: Option<String>,
}

/// Who looks at what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) place: Place,
    pub(crate) operator: Onlooking,
}

/// What is told, and by whom.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) replica: u64,
    #[serde(flatten)]
    pub(crate) told: Told,
}

/// What is told, on its way. `None` where nothing is told.
pub(crate) struct Outgoing(mpsc::Receiver<String>);

impl Replicas {
    /// For a store: on SQLite a way that leads nowhere.
    pub(crate) fn of(store: &Store) -> (Self, Option<Outgoing>) {
        match store.dialect() {
            Dialect::Sqlite => (Self(None), None),
            Dialect::Postgres => {
                let (waiting, outgoing) = mpsc::channel(MOST_WAITING);
                (Self(Some(Teller { replica: fastrand::u64(..), waiting })), Some(Outgoing(outgoing)))
            }
        }
    }

    /// This replica's number; 0 where there is one alone.
    pub(crate) fn number(&self) -> u64 {
        self.0.as_ref().map_or(0, |teller| teller.replica)
    }

    /// Tells it once the transaction commits, and only then: so no commit is missed, whatever becomes of this replica.
    pub(crate) async fn tell_with(&self, transaction: &Transaction, told: &Told) -> Result<(), StoreError> {
        let Some(teller) = &self.0 else { return Ok(()) };
        say_with(transaction, teller.seal(told.clone())).await
    }

    /// Tells it soon. Where the database is away it is lost.
    pub(crate) fn tell(&self, told: Told) {
        let Some(teller) = &self.0 else { return };
        if teller.waiting.try_send(teller.seal(told)).is_err() {
            tracing::warn!("the other replicas are not told of something: too much waits to be told");
        }
    }
}

impl Teller {
    fn seal(&self, told: Told) -> String {
        json!(Envelope { replica: self.replica, told }).to_string()
    }
}

impl Outgoing {
    /// Tells what waits, as soon as something does.
    pub(crate) async fn tell_waiting(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut payloads = Vec::new();
        if self.0.recv_many(&mut payloads, BATCH).await == 0 {
            // Every sender is gone: the backend has ended.
            return std::future::pending().await;
        }
        store.say(&payloads).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was_meant_and_fits_into_a_notification() {
        let tenant_id = TenantId::generate();
        let long = "\u{1}".repeat(320);
        let place = Place { conversation_id: "c".repeat(36), routing_key: Some(long.clone()) };
        let operator = Onlooking { operator_id: long.clone(), display_name: long };
        for told in [
            Told::Changed { tenant_id, conversation_id: "c".to_owned() },
            Told::Began { tenant_id, visitor_user_id: "\u{1}".repeat(255) },
            Told::Typing {
                tenant_id,
                place: place.clone(),
                role: Role::Agent,
                operator: Some(operator.clone()),
                to_visitor: true,
            },
            Told::Looking { tenant_id, seat: u64::MAX, look: Some(Look { place, operator }) },
            Told::Looking { tenant_id, seat: 1, look: None },
            Told::WhoLooks { tenant_id },
            Told::Alive,
        ] {
            let sealed = json!(Envelope { replica: u64::MAX, told: told.clone() }).to_string();
            assert!(sealed.len() < 8000, "{}", sealed.len());
            let read: Envelope = serde_json::from_str(&sealed).expect("it is read");
            assert_eq!((read.replica, read.told), (u64::MAX, told));
        }
    }
}
