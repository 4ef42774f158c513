//! The queues of the inbox: which conversations an operator sees, in which order, and how many there are.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use serde_json::json;
use service::ApiError;
use wire::time::now_unix_ms;

use super::conversations::{self, COLUMNS, Conversation, ConversationRow};
use crate::store::{OfTenant, unavailable};

/// A part of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// A person is awaited: the longest wait first.
    Waiting,
    /// The operator has it.
    Mine,
    /// Somebody has it.
    Assigned,
    Resolved,
    All,
}

impl Queue {
    /// The texts of all of them.
    pub(crate) const TEXTS: [&'static str; 5] = ["waiting", "mine", "assigned", "resolved", "all"];

    const ALL: [Self; 5] = [Self::Waiting, Self::Mine, Self::Assigned, Self::Resolved, Self::All];

    /// Reads the text; `None` if it is none of these.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::TEXTS.iter().zip(Self::ALL).find_map(|(known, queue)| (*known == text).then_some(queue))
    }

    /// Which conversations are in it: `$3` is the time, `$4` the operator. One that is put aside comes back by itself.
    const fn condition(self) -> &'static str {
        match self {
            Self::Waiting => "handling = 'waiting' AND coalesce(snoozed_until, 0) <= $3",
            Self::Mine => "handling = 'assigned' AND operator_id = $4 AND coalesce(snoozed_until, 0) <= $3",
            Self::Assigned => "handling = 'assigned'",
            Self::Resolved => "handling = 'resolved'",
            Self::All => "TRUE",
        }
    }

    /// By what it is sorted, and whether the least comes first.
    const fn order(self) -> (&'static str, bool) {
        match self {
            Self::Waiting => ("waiting_since", true),
            _ => ("last_message_at", false),
        }
    }
}

/// Who looks.
pub(crate) struct Onlooker<'a> {
    pub(crate) operator_id: &'a str,
    /// The queues the operator sees; none: all of the tenant.
    pub(crate) routing_keys: &'a [String],
}

/// What is looked for.
pub(crate) struct Wanted<'a> {
    pub(crate) queue: Queue,
    /// Conversations of this routing key alone.
    pub(crate) routing_key: Option<String>,
    /// Conversations in which this text stands.
    pub(crate) text: Option<&'a str>,
    /// What the last one before was sorted by, and its id.
    pub(crate) after: Option<(i64, String)>,
    pub(crate) limit: u64,
}

/// A conversation in a queue.
pub(crate) struct Queued {
    pub(crate) conversation: Conversation,
    pub(crate) last_id: Option<String>,
    pub(crate) last_role: Option<String>,
    pub(crate) last_content: Option<String>,
    /// How many messages of the visitor the operator has not read.
    pub(crate) unread: i64,
    /// What it is sorted by.
    pub(crate) sorted_by: i64,
}

#[derive(FromQueryResult)]
struct QueuedRow {
    #[sea_orm(nested)]
    conversation: ConversationRow,
    last_id: Option<String>,
    last_role: Option<String>,
    last_content: Option<String>,
    unread: i64,
    sorted_by: i64,
}

/// How many conversations are in each queue, of those that operators with certain routing keys see.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) waiting: i64,
    pub(crate) assigned: i64,
    pub(crate) resolved: i64,
    pub(crate) everything: i64,
    /// How many each operator has, by the operator's id.
    pub(crate) held: HashMap<String, i64>,
}

/// The last message of a conversation, as three columns.
const LAST_MESSAGE: &str =
    "(SELECT id FROM message WHERE conversation_id = conversation.id ORDER BY id DESC LIMIT 1) AS last_id,
     (SELECT role FROM message WHERE conversation_id = conversation.id ORDER BY id DESC LIMIT 1) AS last_role,
     (SELECT content FROM message WHERE conversation_id = conversation.id ORDER BY id DESC LIMIT 1) AS last_content";

/// A conversation without a message is in no queue. `$2` is the list of the operator's routing keys.
fn visible_where(rows: &OfTenant<'_, impl ConnectionTrait>) -> String {
    let keys = rows.dialect().each("$2");
    format!(
        "tenant_id = $1 AND last_message_at IS NOT NULL AND ($2 = '[]' OR routing_key IN (SELECT value FROM {keys}))"
    )
}

fn visible(routing_keys: &[String]) -> [Value; 2] {
    [json!(routing_keys).to_string().into(), now_unix_ms().into()]
}

/// A page of a queue.
pub(crate) async fn page(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    who: &Onlooker<'_>,
    wanted: Wanted<'_>,
) -> Result<Vec<Queued>, ApiError> {
    let Wanted { queue, routing_key, text, after, limit } = wanted;
    let (key, is_rising) = queue.order();
    let (beyond, direction) = if is_rising { (">", "ASC") } else { ("<", "DESC") };
    let sql = format!(
        "SELECT {COLUMNS}, {key} AS sorted_by, {LAST_MESSAGE},
             (SELECT count(*) FROM message WHERE conversation_id = conversation.id AND role = 'visitor' AND id > coalesce((
                 SELECT operator_reading.read_up_to FROM operator_reading
                 WHERE operator_reading.conversation_id = conversation.id AND operator_reading.operator_id = $4
             ), '')) AS unread
         FROM conversation
         WHERE {visible} AND {condition}
             AND ($5 IS NULL OR routing_key = $5)
             AND ($6 IS NULL OR visitor_display_name {like} $6 ESCAPE '\\' OR visitor_email {like} $6 ESCAPE '\\'
                 OR visitor_user_id {like} $6 ESCAPE '\\' OR tags {like} $6 ESCAPE '\\'
                 OR EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id AND content {like} $6 ESCAPE '\\')
                 OR EXISTS (SELECT 1 FROM note WHERE conversation_id = conversation.id AND content {like} $6 ESCAPE '\\'))
             AND ($7 IS NULL OR ({key}, id) {beyond} ($7, $8))
         ORDER BY {key} {direction}, id {direction} LIMIT $9",
        condition = queue.condition(),
        visible = visible_where(rows),
        like = rows.dialect().like(),
    );
    let (after_key, after_id) = after.unzip();
    let [keys, now] = visible(who.routing_keys);
    let found: Vec<QueuedRow> = rows
        .all(
            &sql,
            [
                keys,
                now,
                who.operator_id.into(),
                routing_key.into(),
                text.map(pattern).into(),
                after_key.into(),
                after_id.into(),
                limit.into(),
            ],
        )
        .await
        .map_err(unavailable)?;
    found.into_iter().map(Queued::of_row).collect()
}

/// One conversation, as a queue shows it. How much of it an operator has not read is not counted.
pub(crate) async fn one(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<Queued, ApiError> {
    let sql = format!(
        "SELECT {COLUMNS}, {LAST_MESSAGE}, CAST(0 AS BIGINT) AS unread, CAST(0 AS BIGINT) AS sorted_by FROM conversation WHERE tenant_id = $1 AND id = $2"
    );
    let found: Option<QueuedRow> = rows.one(&sql, [id.into()]).await.map_err(unavailable)?;
    found.ok_or_else(conversations::not_found).and_then(Queued::of_row)
}

/// The tenant's conversations that are put aside, and until when (Unix milliseconds).
pub(crate) async fn aside(rows: &OfTenant<'_, impl ConnectionTrait>) -> Result<Vec<(i64, String)>, ApiError> {
    #[derive(FromQueryResult)]
    struct Aside {
        snoozed_until: i64,
        id: String,
    }
    let sql = "SELECT snoozed_until, id FROM conversation WHERE tenant_id = $1 AND snoozed_until > $2";
    let found: Vec<Aside> = rows.all(sql, [now_unix_ms().into()]).await.map_err(unavailable)?;
    Ok(found.into_iter().map(|Aside { snoozed_until, id }| (snoozed_until, id)).collect())
}

impl Queued {
    fn of_row(row: QueuedRow) -> Result<Self, ApiError> {
        let QueuedRow { conversation, last_id, last_role, last_content, unread, sorted_by } = row;
        let conversation = Conversation::of_row(conversation)?;
        Ok(Self { conversation, last_id, last_role, last_content, unread, sorted_by })
    }
}

/// How many conversations operators with these routing keys see.
pub(crate) async fn tally(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    routing_keys: &[String],
) -> Result<Tally, ApiError> {
    #[derive(FromQueryResult)]
    struct Counted {
        handling: String,
        /// One that is put aside is counted neither in `waiting` nor in `mine`.
        is_aside: bool,
        operator_id: Option<String>,
        conversations: i64,
    }
    let sql = format!(
        "SELECT handling, coalesce(snoozed_until, 0) > $3 AS is_aside, operator_id, count(*) AS conversations
         FROM conversation WHERE {visible} GROUP BY handling, is_aside, operator_id",
        visible = visible_where(rows),
    );
    let counted: Vec<Counted> = rows.all(&sql, visible(routing_keys)).await.map_err(unavailable)?;
    let mut tally = Tally { waiting: 0, assigned: 0, resolved: 0, everything: 0, held: HashMap::new() };
    for Counted { handling, is_aside, operator_id, conversations } in counted {
        tally.everything += conversations;
        match (handling.as_str(), operator_id) {
            ("waiting", _) if !is_aside => tally.waiting += conversations,
            ("assigned", holder) => {
                tally.assigned += conversations;
                if let Some(holder) = holder.filter(|_| !is_aside) {
                    *tally.held.entry(holder).or_default() += conversations;
                }
            }
            ("resolved", _) => tally.resolved += conversations,
            _ => {}
        }
    }
    Ok(tally)
}

/// How far an operator has read a conversation.
pub(crate) async fn read_up_to(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    operator_id: &str,
) -> Result<Option<String>, ApiError> {
    #[derive(FromQueryResult)]
    struct Reading {
        read_up_to: String,
    }
    let sql =
        "SELECT read_up_to FROM operator_reading WHERE tenant_id = $1 AND conversation_id = $2 AND operator_id = $3";
    let reading: Option<Reading> =
        rows.one(sql, [conversation_id.into(), operator_id.into()]).await.map_err(unavailable)?;
    Ok(reading.map(|reading| reading.read_up_to))
}

/// Notes that an operator has read this message, and all before it. One that is older than the noted one changes nothing.
pub(crate) async fn set_read_up_to(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    operator_id: &str,
    message_id: &str,
) -> Result<(), ApiError> {
    let sql =
        "INSERT INTO operator_reading (tenant_id, conversation_id, operator_id, read_up_to) VALUES ($1, $2, $3, $4)
               ON CONFLICT (conversation_id, operator_id) DO UPDATE SET read_up_to = excluded.read_up_to
               WHERE operator_reading.read_up_to < excluded.read_up_to";
    rows.execute(sql, [conversation_id.into(), operator_id.into(), message_id.into()]).await.map_err(unavailable)
}

/// What `LIKE` finds a text with, whatever stands before and after it.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_look_for_is_no_pattern() {
        assert_eq!(pattern(r"50%_\"), r"%50\%\_\\%");
        assert_eq!(Queue::TEXTS.map(Queue::of), Queue::ALL.map(Some));
        assert_eq!(Queue::of("Waiting"), None);
    }
}
