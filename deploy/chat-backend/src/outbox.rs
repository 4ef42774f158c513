//! The outbox as calls use it: they note what happened in their own transaction, and wake the publisher once it is committed.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;
use tokio::sync::Notify;

use super::{
    events::{Event, Usage},
    records::outbox::{self, Kind},
    store::{OfTenant, StoreError},
};

/// The outbox. A clone shares it.
///
/// Without `events_url` nothing would ever delete the rows, so none are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Option<Arc<Notify>>);

impl Outbox {
    /// One that is collected.
    pub(crate) fn collected() -> Self {
        Self(Some(Arc::default()))
    }

    /// Writes an event, as one part of the transaction that it tells of.
    pub(crate) async fn note(
        &self,
        rows: &OfTenant<'_, impl ConnectionTrait>,
        event: &Event,
    ) -> Result<(), StoreError> {
        self.write(rows, Kind::Event, &event.event_id, event).await
    }

    /// Writes that a message counts towards the tenant's quota, as one part of the message's transaction.
    pub(crate) async fn count(
        &self,
        rows: &OfTenant<'_, impl ConnectionTrait>,
        usage: &Usage,
    ) -> Result<(), StoreError> {
        self.write(rows, Kind::Usage, &usage.message_id, usage).await
    }

    async fn write(
        &self,
        rows: &OfTenant<'_, impl ConnectionTrait>,
        kind: Kind,
        id: &str,
        said: &impl Serialize,
    ) -> Result<(), StoreError> {
        if self.0.is_none() {
            return Ok(());
        }
        let body = serde_json::to_string(said).map_err(|error| DbErr::Json(error.to_string()))?;
        outbox::insert(rows, kind, id, &body).await
    }

    /// Wakes the publisher: something was committed.
    pub(crate) fn wake(&self) {
        if let Some(notify) = &self.0 {
            notify.notify_one();
        }
    }

    /// Returns when something was committed since the last time.
    pub(crate) async fn woken(&self) {
        match &self.0 {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }
}
