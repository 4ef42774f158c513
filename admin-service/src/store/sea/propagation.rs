//! The history of changes, which is the audit log, and the replicas that propagate them.

use async_trait::async_trait;
use coherence::{Changes, replica::Registration};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseBackend, QueryOrder as _, QuerySelect as _, prelude::*,
    sea_query::OnConflict,
};
use wire::TenantId;

use super::{
    connection::{SeaStore, translate},
    signals::{NotListening, listener, signal},
    values::{broken_row, number_from_row, stored_number},
};
use crate::{
    domain::audit::Action,
    store::{
        entity::{audit_log, replica},
        error::StoreError,
        ports::{Done, Position, PropagationStore, Replica},
    },
};

/// A row of the history: revision, tenant, mark, action.
type Event = (i64, Uuid, Uuid, String);

fn history() -> Select<audit_log::Entity> {
    audit_log::Entity::find().select_only().columns([
        audit_log::Column::Revision,
        audit_log::Column::TenantId,
        audit_log::Column::Id,
        audit_log::Column::Action,
    ])
}

fn position((revision, _, mark, _): &Event) -> Result<Position, StoreError> {
    Ok(Position { revision: number_from_row(*revision)?, mark: *mark })
}

/// Whether a gateway may have cached what this changed.
fn concerns_gateways((.., action): &Event) -> bool {
    !Action::CONCERN_NO_GATEWAY.contains(&action.as_str())
}

/// A gateway, and up to where it has acknowledged.
fn acknowledgement(bytes: &[u8]) -> Option<(Uuid, u64)> {
    let (id, revision) = bytes.split_at_checked(16)?;
    Some((Uuid::from_slice(id).ok()?, u64::from_be_bytes(revision.try_into().ok()?)))
}

impl TryFrom<replica::Model> for Replica {
    type Error = StoreError;

    fn try_from(row: replica::Model) -> Result<Self, StoreError> {
        Ok(Self {
            registration: Registration {
                incarnation: row.incarnation,
                renewal: number_from_row(row.renewal)?,
                period_ms: number_from_row(row.period_ms)?,
            },
            lease_ms: number_from_row(row.lease_ms)?,
            done: Done {
                revision: number_from_row(row.done_revision)?,
                acknowledged: row
                    .acknowledged
                    .chunks(24)
                    .map(acknowledgement)
                    .collect::<Option<_>>()
                    .ok_or_else(|| broken_row("replica.acknowledged", "not 24 bytes a gateway"))?,
            },
            is_retired: row.retired,
        })
    }
}

impl SeaStore {
    /// Everything may have changed.
    async fn start_over(&self) -> Result<(Changes<TenantId>, Position), StoreError> {
        let newest = history().order_by_desc(audit_log::Column::Revision).limit(1).into_tuple::<Event>();
        let newest = newest.one(&self.connection).await.map_err(translate)?;
        let through = newest.as_ref().map(position).transpose()?.unwrap_or_default();
        Ok((Changes { after: 0, through: through.revision, keys: None }, through))
    }
}

fn written(acknowledged: &[(Uuid, u64)]) -> Vec<u8> {
    acknowledged
        .iter()
        .flat_map(|(id, revision)| [id.as_bytes().as_slice(), &revision.to_be_bytes()].concat())
        .collect()
}

impl SeaStore {
    /// Writes `row` with how far changes have come, where the replica is registered. No row of another replica is written.
    async fn write_done(&self, incarnation: Uuid, row: replica::ActiveModel, done: &Done) -> Result<bool, StoreError> {
        let row = replica::ActiveModel {
            done_revision: Set(stored_number(done.revision)),
            acknowledged: Set(written(&done.acknowledged)),
            ..row
        };
        let updated = replica::Entity::update_many()
            .set(row)
            .filter(replica::Column::Incarnation.eq(incarnation))
            .exec(&self.connection)
            .await
            .map_err(translate)?;
        signal(&self.connection).await?;
        Ok(updated.rows_affected > 0)
    }
}

#[async_trait]
impl PropagationStore for SeaStore {
    async fn changes_after(
        &self,
        after: Option<Position>,
        most: u64,
    ) -> Result<(Changes<TenantId>, Position), StoreError> {
        let Some(after) = after else { return self.start_over().await };
        // One statement, so that what is seen of the history is of one moment. It begins with the position itself, whose
        // mark says whether this is the history it was taken from.
        let events: Vec<Event> = history()
            .filter(audit_log::Column::Revision.gte(stored_number(after.revision)))
            .order_by_asc(audit_log::Column::Revision)
            .limit(most.saturating_add(2))
            .into_tuple()
            .all(&self.connection)
            .await
            .map_err(translate)?;
        let news = match events.split_first() {
            // Before the first change: all of the history, where its beginning is still there.
            None if after.revision == 0 => &[],
            Some((first, _)) if after.revision == 0 && first.0 == 1 => events.as_slice(),
            Some((first, news)) if position(first)? == after => news,
            _ => return self.start_over().await,
        };
        if u64::try_from(news.len()).is_ok_and(|length| length > most) {
            return self.start_over().await;
        }
        let through = news.last().map(position).transpose()?.unwrap_or(after);
        let mut keys: Vec<TenantId> =
            news.iter().filter(|event| concerns_gateways(event)).map(|(_, tenant, ..)| (*tenant).into()).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok((Changes { after: after.revision, through: through.revision, keys: Some(keys) }, through))
    }

    async fn register(&self, registration: Registration<Uuid>, lease_ms: u64) -> Result<(), StoreError> {
        use replica::Column;
        let row = replica::ActiveModel {
            incarnation: Set(registration.incarnation),
            renewal: Set(stored_number(registration.renewal)),
            period_ms: Set(stored_number(registration.period_ms)),
            lease_ms: Set(stored_number(lease_ms)),
            done_revision: Set(0),
            acknowledged: Set(Vec::new()),
            retired: Set(false),
        };
        let renewed = OnConflict::column(Column::Incarnation)
            .update_columns([Column::Renewal, Column::PeriodMs, Column::LeaseMs])
            .to_owned();
        replica::Entity::insert(row)
            .on_conflict(renewed)
            .exec_without_returning(&self.connection)
            .await
            .map_err(translate)?;
        Ok(())
    }

    async fn unregister(&self, registration: Registration<Uuid>) -> Result<(), StoreError> {
        replica::Entity::delete_many()
            .filter(replica::Column::Incarnation.eq(registration.incarnation))
            .filter(replica::Column::Renewal.eq(stored_number(registration.renewal)))
            .exec(&self.connection)
            .await
            .map_err(translate)?;
        signal(&self.connection).await
    }

    fn is_shared(&self) -> bool {
        self.connection.get_database_backend() == DatabaseBackend::Postgres
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let rows = replica::Entity::find().all(&self.connection).await.map_err(translate)?;
        rows.into_iter().map(Replica::try_from).collect()
    }

    async fn report_done(&self, incarnation: Uuid, done: &Done) -> Result<bool, StoreError> {
        self.write_done(incarnation, Default::default(), done).await
    }

    async fn retire(&self, registration: Registration<Uuid>, done: &Done) -> Result<(), StoreError> {
        let row = replica::ActiveModel {
            renewal: Set(stored_number(registration.renewal)),
            period_ms: Set(stored_number(registration.period_ms)),
            retired: Set(true),
            ..Default::default()
        };
        self.write_done(registration.incarnation, row, done).await.map(|_| ())
    }

    async fn signals(&self) -> Result<BoxStream<'static, ()>, StoreError> {
        if !self.is_shared() {
            return Ok(stream::pending().boxed());
        }
        // The connection that listens is no pool's: where the server is another now, it is made anew.
        let doubted = self.guard.doubted();
        let listener = listener(self.connection.inner()).await.map_err(|error| {
            if matches!(error, NotListening::Deaf) {
                tracing::error!(
                    "LISTEN hears no NOTIFY: is there a connection pooler? Name the server's own URL in database_url"
                );
            }
            StoreError::Unavailable(error.to_string())
        })?;
        // A connection that was lost and made anew is an item too: what was missed meanwhile has to be looked for.
        let signals =
            stream::unfold(
                listener,
                |mut listener| async move { listener.try_recv().await.ok().map(|_| ((), listener)) },
            );
        Ok(signals.take_until(Box::pin(doubted)).boxed())
    }
}
