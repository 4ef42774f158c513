//! What visitors say of the bot's answers.

use sea_orm::{ConnectionTrait, FromQueryResult};
use wire::frames::Feedback;

use crate::store::{OfTenant, StoreError, Transaction};

/// What a visitor said of a message.
#[derive(FromQueryResult)]
struct Row {
    id: String,
    feedback: String,
}

/// Keeps what the visitor says of a message, in the place of what was said before. The conversation must have been read to be changed.
pub(crate) async fn set(
    rows: &OfTenant<'_, Transaction>,
    conversation_id: &str,
    (message_id, feedback): (&str, Feedback),
) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET feedback_count = feedback_count + 1 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [conversation_id.into()]).await?;
    let sql = "UPDATE message SET feedback = $4,
                   feedback_number = (SELECT feedback_count FROM conversation WHERE tenant_id = $1 AND id = $2)
               WHERE tenant_id = $1 AND conversation_id = $2 AND id = $3";
    rows.execute(sql, [conversation_id.into(), message_id.into(), feedback.as_str().into()]).await
}

/// What was said of a conversation's messages after the conversation's feedback had this count, in the order in which it was said.
pub(crate) async fn since(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    count: i64,
) -> Result<Vec<(String, Feedback)>, StoreError> {
    let sql = "SELECT id, feedback FROM message WHERE tenant_id = $1 AND conversation_id = $2 AND feedback_number > $3
               ORDER BY feedback_number";
    let found: Vec<Row> = rows.all(sql, [conversation_id.into(), count.into()]).await?;
    Ok(found.into_iter().filter_map(|Row { id, feedback }| Some((id, Feedback::from_wire(&feedback)?))).collect())
}
