//! The history of changes, which is the audit log, and the replicas that spread them.

use std::time::Duration;

use async_trait::async_trait;
use coherence::{Changes, replica::Registration};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseBackend, QueryOrder as _, QuerySelect as _, prelude::*,
    sea_query::OnConflict, sqlx::postgres::PgListener,
};
use tokio::time::timeout;
use wire::TenantId;

use super::{SeaStore, broken_row, revision_from_row, translate};
use crate::{
    domain::audit::Action,
    store::{
        Done, Position, PropagationStore, Replica, StoreError,
        entity::{audit_log, replica},
    },
};

/// The PostgreSQL channel by which replicas wake each other. What happened is in the tables.
const CHANNEL: &str = "chat_relay_changes";

/// Tells the other replicas to look, once the transaction it is part of commits. SQLite has no others.
pub(super) async fn signal(connection: &impl ConnectionTrait) -> Result<(), StoreError> {
    if connection.get_database_backend() == DatabaseBackend::Postgres {
        connection.execute_unprepared(&format!("NOTIFY {CHANNEL}")).await.map_err(translate)?;
    }
    Ok(())
}

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
    Ok(Position { revision: revision_from_row(*revision)?, mark: *mark })
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

fn as_stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl TryFrom<replica::Model> for Replica {
    type Error = StoreError;

    fn try_from(row: replica::Model) -> Result<Self, StoreError> {
        Ok(Self {
            registration: Registration {
                incarnation: row.incarnation,
                renewal: revision_from_row(row.renewal)?,
                period_ms: revision_from_row(row.period_ms)?,
            },
            lease_ms: revision_from_row(row.lease_ms)?,
            done: Done {
                revision: revision_from_row(row.done_revision)?,
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
    /// Writes `row` with how far changes have come, where the replica is registered: who is not has nothing to say.
    async fn write_done(&self, incarnation: Uuid, row: replica::ActiveModel, done: &Done) -> Result<bool, StoreError> {
        let row = replica::ActiveModel {
            done_revision: Set(as_stored(done.revision)),
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

/// Why there is nobody to hear notifications.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum NotListening {
    /// A notification that was sent did not come.
    #[error("LISTEN hears no NOTIFY")]
    Deaf,
    /// The database's error.
    #[error(transparent)]
    Database(#[from] sea_orm::SqlxError),
}

/// Whether a pooler gave a new client the session of another one: the name of its first prepared statement is taken (42P05), or the
/// statement that it has just prepared is missing (26000).
pub(in crate::store) fn is_lent_session(error: &sea_orm::SqlxError) -> bool {
    let sea_orm::SqlxError::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == "42P05" || code == "26000")
}

/// How long a notification may take to come back.
const ECHO_WITHIN: Duration = Duration::from_secs(5);

/// Listens for what other replicas say, and has heard itself: behind a pooler that gives each transaction another session nothing
/// is heard, and nothing says so.
pub(in crate::store) async fn listener(connection: &DatabaseConnection) -> Result<PgListener, NotListening> {
    let pool = connection.get_postgres_connection_pool();
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let word = Uuid::new_v4().to_string();
    let told = sea_orm::sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&word).execute(pool).await;
    match told {
        // A pooler has lent the session that listens to the connection that notifies.
        Err(sea_orm::SqlxError::Protocol(_)) => return Err(NotListening::Deaf),
        // Or the session of an earlier client, with its prepared statements.
        Err(error) if is_lent_session(&error) => return Err(NotListening::Deaf),
        told => told?,
    };
    let echo = async {
        while listener.recv().await?.payload() != word {}
        Ok::<_, NotListening>(())
    };
    timeout(ECHO_WITHIN, echo).await.unwrap_or(Err(NotListening::Deaf))?;
    Ok(listener)
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
            .filter(audit_log::Column::Revision.gte(as_stored(after.revision)))
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
            renewal: Set(as_stored(registration.renewal)),
            period_ms: Set(as_stored(registration.period_ms)),
            lease_ms: Set(as_stored(lease_ms)),
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
            .filter(replica::Column::Renewal.eq(as_stored(registration.renewal)))
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
            renewal: Set(as_stored(registration.renewal)),
            period_ms: Set(as_stored(registration.period_ms)),
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
