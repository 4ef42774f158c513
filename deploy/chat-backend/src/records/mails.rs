//! How far answers were mailed to a visitor who was away, and when the mailer looks again.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use wire::{TenantId, time::now_unix_ms};

use crate::store::{OfTenant, Store, StoreError, Transaction};

/// How far a conversation's answers were mailed. Times are Unix milliseconds.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Mailing {
    /// When the mailer looks at it.
    pub(crate) mail_due_at: Option<i64>,
    /// The last message of the mail that is being sent.
    pub(crate) mailing_up_to: Option<String>,
    /// How often that mail was tried.
    pub(crate) mail_attempts: i32,
    /// The last message that was mailed, or given up.
    pub(crate) mailed_up_to: String,
}

/// Keeps the visitor's address for answers.
pub(crate) async fn set_email(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    email: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET answers_email = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), email.into(), now_unix_ms().into()]).await
}

/// Notes that the mailer must look at a conversation at this time. An earlier time that is noted already stays.
pub(crate) async fn look_at(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    due_at: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET mail_due_at = coalesce(mail_due_at, $3) WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), due_at.into()]).await
}

/// The conversations that the mailer must look at, of every tenant, the longest due first.
pub(crate) async fn due(store: &Store, now: i64, limit: u64) -> Result<Vec<(TenantId, String)>, StoreError> {
    #[derive(FromQueryResult)]
    struct Due {
        tenant_id: String,
        id: String,
    }
    let sql = "SELECT tenant_id, id FROM conversation WHERE mail_due_at <= $1 ORDER BY mail_due_at LIMIT $2";
    let backend = store.across_tenants().get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [now.into(), limit.into()]);
    let found = Due::find_by_statement(statement).all(store.across_tenants()).await?;
    Ok(found.into_iter().filter_map(|due| Some((due.tenant_id.parse().ok()?, due.id))).collect())
}

/// How far a conversation's answers were mailed, in a transaction that has the conversation's lock.
pub(crate) async fn find(
    rows: &OfTenant<'_, Transaction>,
    conversation_id: &str,
) -> Result<Option<Mailing>, StoreError> {
    let sql = "SELECT mail_due_at, mailing_up_to, mail_attempts, mailed_up_to FROM conversation
               WHERE tenant_id = $1 AND id = $2";
    rows.one(sql, [conversation_id.into()]).await
}

/// Notes that the mail whose last message is `up_to` is being sent. [`due`] does not find the conversation before `until`.
pub(crate) async fn begin(
    rows: &OfTenant<'_, Transaction>,
    conversation_id: &str,
    (up_to, attempts, until): (&str, i32, i64),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET mailing_up_to = $3, mail_attempts = $4, mail_due_at = $5
               WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), up_to.into(), attempts.into(), until.into()]).await
}

/// Notes that nothing up to this message is left to mail, and when the mailer must look again; never where there is no time.
pub(crate) async fn done(
    rows: &OfTenant<'_, Transaction>,
    conversation_id: &str,
    (up_to, next_due_at): (&str, Option<i64>),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET mailing_up_to = NULL, mail_attempts = 0, mailed_up_to = $3, mail_due_at = $4
               WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), up_to.into(), next_due_at.into()]).await
}

/// Notes when the mailer must look again; never where there is no time.
pub(crate) async fn put_off(
    rows: &OfTenant<'_, Transaction>,
    conversation_id: &str,
    due_at: Option<i64>,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET mail_due_at = $3 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into(), due_at.into()]).await
}
