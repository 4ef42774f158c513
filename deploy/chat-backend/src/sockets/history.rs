//! The messages of one `welcome`, or of one answer to `history`: as many as fit.

use sea_orm::ConnectionTrait;
use serde_json::json;
use service::ApiError;
use wire::frames::{Message, limits::HISTORY_BYTES};

use crate::{
    records::messages,
    store::{OfTenant, unavailable},
};

/// The newest messages whose JSON has at most `most` bytes together. The newest one is kept even if it alone is longer.
fn newest_within(mut messages: Vec<Message>, most: usize) -> Vec<Message> {
    let mut bytes = 0;
    let fitting = messages.iter().rev().take_while(|message| {
        bytes += json!(message).to_string().len();
        bytes <= most
    });
    let kept = fitting.count().max(1).min(messages.len());
    messages.split_off(messages.len() - kept)
}

/// The newest messages before the message `before`, oldest first, and whether nothing was said before these. An empty `before` stands for
/// the end of the conversation. At most `limit` messages are read, and fewer are kept where they have more than [`HISTORY_BYTES`].
pub(super) async fn newest_before(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    before: &str,
    limit: u64,
) -> Result<(Vec<Message>, bool), ApiError> {
    // One message more is read than is sent: it tells whether there are more.
    let mut found = messages::before(rows, conversation_id, (before, None), limit + 1).await.map_err(unavailable)?;
    let is_more = found.len() as u64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let read = found.len();
    let kept = newest_within(found.into_iter().rev().map(Message::from).collect(), HISTORY_BYTES);
    let complete = !is_more && kept.len() == read;
    Ok((kept, complete))
}
