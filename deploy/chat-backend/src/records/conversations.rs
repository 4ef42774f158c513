//! Conversations: who talks, who answers, and how far the visitor has read.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use service::ApiError;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{
    ErrorCode,
    frames::{self, Citation, Mode, Rating, limits::ROUTING_KEY_CHARS},
    origin::Origin,
    time::{WireTime, now_unix_ms},
};

use super::{entry_id, json, waits};
use crate::{
    channel::Channel,
    handling::Handling,
    store::{Dialect, OfTenant, StoreError, Transaction, unavailable},
    takeover::Holder,
};

/// A conversation between a visitor and the bot or a person of the tenant.
pub(crate) struct Conversation {
    pub(crate) row: ConversationRow,
    /// Who answers.
    pub(crate) handling: Handling,
    /// The operator who has it. `None` where nobody has it, and where a person of the tenant's own backend answers.
    pub(crate) holder: Option<Holder>,
    /// Who answers first.
    pub(crate) mode: Mode,
}

/// A conversation's row. Times are Unix milliseconds.
#[derive(FromQueryResult)]
pub(crate) struct ConversationRow {
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) visitor_user_id: String,
    pub(crate) visitor_display_name: Option<String>,
    pub(crate) visitor_email: Option<String>,
    pub(crate) visitor_phone: Option<String>,
    pub(crate) locale: String,
    pub(crate) channel: String,
    pub(crate) status: String,
    handling: String,
    waiting_reason: Option<String>,
    metadata: String,
    pub(crate) read_up_to: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) last_message_at: Option<i64>,
    pub(crate) closed_at: Option<i64>,
    operator_id: Option<String>,
    operator_name: Option<String>,
    operator_avatar_url: Option<String>,
    pub(crate) claim_count: i32,
    pub(crate) claimed_at: Option<i64>,
    pub(crate) released_at: Option<i64>,
    pub(crate) resolved_at: Option<i64>,
    pub(crate) waiting_since: Option<i64>,
    mode: String,
    pub(crate) routing_key: Option<String>,
    tags: String,
    pub(crate) snoozed_until: Option<i64>,
    draft: Option<String>,
    pub(crate) last_entry_id: String,
    rating_score: Option<i32>,
    rating_comment: Option<String>,
    rated_at: Option<i64>,
    rated_resolved_at: Option<i64>,
    pub(crate) answers_email: Option<String>,
    /// The conversation to which the visitor has turned from this one.
    pub(crate) left_for: Option<String>,
    /// How often the visitor has said of an answer whether it helped.
    pub(crate) feedback_count: i64,
}

pub(super) const COLUMNS: &str =
    "id, tenant_id, visitor_user_id, visitor_display_name, visitor_email, visitor_phone, locale, channel, status,
     handling, waiting_reason, metadata, read_up_to, created_at, updated_at, last_message_at, closed_at, operator_id, operator_name,
     operator_avatar_url, claim_count, claimed_at, released_at, resolved_at, waiting_since, mode, routing_key, tags, snoozed_until,
     draft, last_entry_id, rating_score, rating_comment, rated_at, rated_resolved_at, answers_email, left_for, feedback_count";

impl ConversationRow {
    /// What the tenant, or the visitor's page, says of the visitor.
    pub(crate) fn metadata(&self) -> Value {
        json::read(&self.metadata)
    }

    /// A list of texts.
    pub(crate) fn tags(&self) -> Value {
        json::read(&self.tags)
    }

    /// What the bot was about to say when a person took over.
    pub(crate) fn draft(&self) -> Option<Draft> {
        self.draft.as_deref().and_then(|draft| serde_json::from_str(draft).ok())
    }

    /// What the visitor said of it when it was last rated.
    pub(crate) fn rating(&self) -> Option<Rating> {
        let (score, rated_at) = self.rating_score.zip(self.rated_at)?;
        let (score, rated_at) = (u8::try_from(score).ok()?, WireTime::from_unix_ms(rated_at));
        Some(Rating { score, comment: self.rating_comment.clone(), rated_at })
    }

    /// Why a person is awaited.
    pub(crate) fn waiting_reason(&self) -> Option<&str> {
        self.waiting_reason.as_deref()
    }
}

/// An answer of the bot's that was not sent, since a person took over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Draft {
    pub(crate) content: String,
    /// What the answer was taken from.
    pub(crate) citations: Vec<Citation>,
}

impl Conversation {
    pub(super) fn of_row(row: ConversationRow) -> Result<Self, ApiError> {
        let handling = Handling::of_row(&row.handling, row.waiting_reason.as_deref())?;
        let holder = row.operator_id.clone().map(|operator_id| Holder {
            operator_id,
            display_name: row.operator_name.clone().unwrap_or_default(),
            avatar_url: row.operator_avatar_url.clone(),
        });
        // A later build may know further modes. A bot must not answer where nobody asked for one.
        let mode = Mode::from_wire(&row.mode).unwrap_or(Mode::Human);
        Ok(Self { row, handling, holder, mode })
    }

    /// The operator, as visitors see the operator.
    pub(crate) fn shown_operator(&self) -> Option<frames::Operator> {
        self.holder.clone().map(|Holder { display_name, avatar_url, .. }| frames::Operator {
            display_name: Some(display_name),
            avatar_url,
        })
    }

    /// What the visitor said of it after it was last resolved.
    pub(crate) fn rating_since_resolved(&self) -> Option<Rating> {
        // The rating names its resolution. Two times would not do, since the clocks of two replicas may differ.
        let is_of_this_one = self.row.rated_resolved_at == self.row.resolved_at;
        (self.handling == Handling::Resolved && is_of_this_one).then(|| self.row.rating()).flatten()
    }

    /// Whether the visitor's page is one of this machine's, as far as the conversation says where the page is.
    pub(crate) fn is_of_local_page(&self) -> bool {
        let metadata = self.row.metadata();
        let origin = metadata.get("origin").and_then(Value::as_str).map(str::parse::<Origin>);
        origin.is_some_and(|origin| origin.is_ok_and(|origin| origin.is_local()))
    }
}

/// What begins a conversation.
pub(crate) struct NewConversation {
    pub(crate) visitor_user_id: String,
    pub(crate) visitor_display_name: Option<String>,
    pub(crate) visitor_email: Option<String>,
    pub(crate) visitor_phone: Option<String>,
    pub(crate) locale: String,
    pub(crate) channel: Channel,
    pub(crate) handling: Handling,
    /// Who answers first.
    pub(crate) mode: Mode,
    pub(crate) metadata: Map<String, Value>,
}

/// Begins a conversation; answers its id.
pub(crate) async fn insert(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    new: NewConversation,
) -> Result<String, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), now_unix_ms());
    // No queue has a longer key: an operator's routing keys are at most this long.
    let routing_key = new.metadata.get("routing_key").and_then(Value::as_str);
    let routing_key = routing_key.filter(|key| key.chars().count() <= ROUTING_KEY_CHARS).map(str::to_owned);
    let waiting_since = matches!(new.handling, Handling::Waiting(_)).then_some(now);
    rows.execute(
        "INSERT INTO conversation (tenant_id, id, visitor_user_id, visitor_display_name, visitor_email, visitor_phone,
             locale, channel, status, handling, waiting_reason, waiting_since, mode, routing_key, metadata, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $10, $11, $12, $13, $14, $15, $16)",
        [
            id.clone().into(),
            new.visitor_user_id.into(),
            new.visitor_display_name.into(),
            new.visitor_email.into(),
            new.visitor_phone.into(),
            new.locale.into(),
            new.channel.as_str().into(),
            new.handling.as_str().into(),
            new.handling.waiting_reason().into(),
            waiting_since.into(),
            new.mode.as_str().into(),
            routing_key.into(),
            Value::Object(new.metadata).to_string().into(),
            now.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(id)
}

/// One conversation.
///
/// # Errors
/// `conversation_not_found`, `store_unavailable`.
pub(crate) async fn find(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<Conversation, ApiError> {
    let sql = format!("SELECT {COLUMNS} FROM conversation WHERE tenant_id = $1 AND id = $2");
    let row: Option<ConversationRow> = rows.one(&sql, [id.into()]).await.map_err(unavailable)?;
    row.ok_or_else(not_found).and_then(Conversation::of_row)
}

/// Waits until no other transaction begins a conversation of this visitor, and keeps others waiting until this one ends.
pub(crate) async fn take_visitors_turn(
    rows: &OfTenant<'_, Transaction>,
    visitor_user_id: &str,
) -> Result<(), StoreError> {
    match rows.dialect() {
        // Its transactions that write take turns anyway.
        Dialect::Sqlite => Ok(()),
        Dialect::Postgres => {
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended('tenant ' || $1 || ' visitor ' || $2, 0))";
            rows.execute(sql, [visitor_user_id.into()]).await
        }
    }
}

/// One conversation, as the first read of a transaction that means to change it: no other transaction changes it until this one ends.
/// Whatever writes a message, a note, or who has the conversation begins with this, so ids are given in the order of commits.
///
/// # Errors
/// `conversation_not_found`, `store_unavailable`.
pub(crate) async fn find_to_change(rows: &OfTenant<'_, Transaction>, id: &str) -> Result<Conversation, ApiError> {
    let locked = rows.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM conversation WHERE tenant_id = $1 AND id = $2{locked}");
    let row: Option<ConversationRow> = rows.one(&sql, [id.into()]).await.map_err(unavailable)?;
    row.ok_or_else(not_found).and_then(Conversation::of_row)
}

/// There is no such conversation, or nobody may know that there is.
pub(crate) fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ConversationNotFound, "This tenant has no such conversation.")
}

/// A page of conversations, newest first; of one visitor, or of all.
pub(crate) async fn page(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    visitor_user_id: Option<String>,
    (limit, offset): (u64, u64),
) -> Result<Vec<Conversation>, ApiError> {
    let found: Vec<ConversationRow> = match visitor_user_id {
        Some(visitor) => {
            let sql = format!(
                "SELECT {COLUMNS} FROM conversation WHERE tenant_id = $1 AND visitor_user_id = $2
                 ORDER BY id DESC LIMIT $3 OFFSET $4"
            );
            rows.all(&sql, [visitor.into(), limit.into(), offset.into()]).await
        }
        None => {
            let sql =
                format!("SELECT {COLUMNS} FROM conversation WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3");
            rows.all(&sql, [limit.into(), offset.into()]).await
        }
    }
    .map_err(unavailable)?;
    found.into_iter().map(Conversation::of_row).collect()
}

/// The id of the conversation's newest message or note; empty where there is none.
pub(super) async fn last_entry_id(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<String, StoreError> {
    #[derive(FromQueryResult)]
    struct Last {
        last_entry_id: String,
    }
    let sql = "SELECT last_entry_id FROM conversation WHERE tenant_id = $1 AND id = $2";
    let last: Option<Last> = rows.one(sql, [id.into()]).await?;
    Ok(last.map(|last| last.last_entry_id).unwrap_or_default())
}

/// Takes the id of the conversation's next message or note.
pub(super) async fn next_entry_id(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<String, StoreError> {
    let next = entry_id::after(&last_entry_id(rows, id).await?);
    let sql = "UPDATE conversation SET last_entry_id = $3 WHERE tenant_id = $1 AND id = $2";
    rows.execute(sql, [id.into(), next.clone().into()]).await?;
    Ok(next)
}

/// Says who answers from now on. Nobody has the conversation then, unless it stays assigned.
pub(crate) async fn set_handling(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    handling: Handling,
) -> Result<(), StoreError> {
    let noted = waits::noted("$3", "$5");
    let sql = format!(
        "UPDATE conversation SET handling = $3, waiting_reason = $4, updated_at = $5, {noted},
             waiting_since = CASE WHEN $3 = 'waiting' THEN coalesce(waiting_since, $5) END,
             operator_id = CASE WHEN $3 = 'assigned' THEN operator_id END,
             operator_name = CASE WHEN $3 = 'assigned' THEN operator_name END,
             operator_avatar_url = CASE WHEN $3 = 'assigned' THEN operator_avatar_url END
         WHERE tenant_id = $1 AND id = $2"
    );
    let values = [id.into(), handling.as_str().into(), handling.waiting_reason().into(), now_unix_ms().into()];
    rows.execute(&sql, values).await
}

/// Keeps what the bot was about to say, for the person who took over.
pub(crate) async fn set_draft(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    draft: Option<&Draft>,
) -> Result<(), StoreError> {
    let draft = draft.map(|draft| json!(draft).to_string());
    rows.execute("UPDATE conversation SET draft = $3 WHERE tenant_id = $1 AND id = $2", [id.into(), draft.into()]).await
}

/// Notes that the visitor has read this message, and all before it. A message that is older than the noted one changes nothing.
pub(crate) async fn set_read_up_to(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    message_id: &str,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE conversation SET read_up_to = $3 WHERE tenant_id = $1 AND id = $2 AND coalesce(read_up_to, '') < $3";
    rows.execute(sql, [id.into(), message_id.into()]).await
}
