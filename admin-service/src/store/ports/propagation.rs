//! The port to the history of changes, and to the replicas that spread them.

use async_trait::async_trait;
use coherence::{Changes, replica::Registration};
use futures_util::stream::BoxStream;
use uuid::Uuid;
use wire::TenantId;

use crate::store::error::StoreError;

/// A point in the directory's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The revision; 0 before the first change.
    pub revision: u64,
    /// The id that this revision's change has in this database. A database restored from a backup continues with other ids.
    pub mark: Uuid,
}

/// A replica that may have granted leases, and how far it has spread changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its registration.
    pub registration: Registration<Uuid>,
    /// The longest lease it grants, in milliseconds.
    pub lease_ms: u64,
    /// How far it has spread changes.
    pub done: Done,
    /// It has stopped: `done` names every gateway that may hold one of its leases.
    pub is_retired: bool,
}

/// Up to where a replica has spread changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Everything up to this revision is true on every gateway it has leased to.
    pub revision: u64,
    /// The revision up to which each of them has acknowledged; [`u64::MAX`] if it has given its lease up. An acknowledgement holds
    /// for all leases of the gateway, whichever replica granted them.
    pub acknowledged: Vec<(Uuid, u64)>,
}

/// The history of changes, and the replicas that spread them.
#[async_trait]
pub trait PropagationStore: Send + Sync {
    /// What changed after a position, and the position then. Where there is none, where it is not in this database's
    /// history, or where there is more than `most`: a start-over.
    async fn changes_after(
        &self,
        position: Option<Position>,
        most: u64,
    ) -> Result<(Changes<TenantId>, Position), StoreError>;

    /// Writes a registration, or renews it.
    async fn register(&self, registration: Registration<Uuid>, lease_ms: u64) -> Result<(), StoreError>;

    /// Removes a registration, unless it has been renewed since.
    async fn unregister(&self, registration: Registration<Uuid>) -> Result<(), StoreError>;

    /// Whether other replicas can have this database open.
    fn is_shared(&self) -> bool;

    /// Every replica that is registered.
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError>;

    /// Writes how far a replica has spread changes, and tells the others. Answers whether it is registered still.
    async fn report_done(&self, incarnation: Uuid, done: &Done) -> Result<bool, StoreError>;

    /// Writes a replica's last word: it grants nothing any more, and its leases end with this registration.
    async fn retire(&self, registration: Registration<Uuid>, done: &Done) -> Result<(), StoreError>;

    /// An item whenever another replica may have changed or reported something. One can be lost, so look from time to time
    /// besides. Ends where the connection is lost for good.
    async fn signals(&self) -> Result<BoxStream<'static, ()>, StoreError>;
}
