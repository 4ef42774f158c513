//! What operators are shown, by calls and on their sockets.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use wire::{
    attachments::Attachment,
    frames::{Citation, Feedback, Rating, Role},
    time::{WireTime, now_unix_ms},
};

use crate::{
    records::{
        canned_replies::CannedReplyRow,
        conversations::{self, Draft},
        entries::EntryRow,
        messages::MessageRow,
        notes::NoteRow,
        queues::{Queued, Tally},
    },
    takeover::Holder,
};

/// The tag of these calls.
pub(crate) const TAG: &str = "operators";

/// Characters of the last message that a queue shows.
const PREVIEW_CHARS: usize = 200;

/// An operator who has a conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct HolderView {
    operator_id: String,
    display_name: String,
    #[schema(required)]
    avatar_url: Option<String>,
}

impl From<Holder> for HolderView {
    fn from(holder: Holder) -> Self {
        let Holder { operator_id, display_name, avatar_url } = holder;
        Self { operator_id, display_name, avatar_url }
    }
}

/// A conversation, as operators see it.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxConversation {
    id: String,
    visitor_user_id: String,
    #[schema(required)]
    visitor_display_name: Option<String>,
    #[schema(required)]
    visitor_email: Option<String>,
    #[schema(required)]
    visitor_phone: Option<String>,
    /// The address that the visitor left for answers. Nobody has checked it.
    #[schema(required)]
    answers_email: Option<String>,
    locale: String,
    /// `bot`, `waiting`, `assigned` or `resolved`.
    handling: &'static str,
    /// Why a person is awaited, such as `low_confidence` or `user_request`; `null` where nobody is.
    #[schema(required)]
    waiting_reason: Option<String>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    waiting_since: Option<WireTime>,
    /// The operator who has it.
    #[schema(required)]
    operator: Option<HolderView>,
    claim_count: u32,
    /// The queue it is in; `null`: none of its own.
    #[schema(required)]
    routing_key: Option<String>,
    #[schema(value_type = Vec<String>)]
    tags: Value,
    /// What the visitor said of it when it was last rated.
    #[schema(required)]
    rating: Option<Rating>,
    /// Until when it is put aside.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    snoozed_until: Option<WireTime>,
    /// How far the visitor has read.
    #[schema(required)]
    visitor_read_up_to: Option<String>,
    /// The id of the newest message or note. Whatever is written later has a greater one.
    last_entry_id: String,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_message_at: Option<WireTime>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
}

impl From<conversations::Conversation> for InboxConversation {
    fn from(conversation: conversations::Conversation) -> Self {
        let conversations::Conversation { row, handling, holder, .. } = conversation;
        let time = |at: Option<i64>| at.map(WireTime::from_unix_ms);
        Self {
            handling: handling.as_str(),
            waiting_reason: row.waiting_reason().map(str::to_owned),
            waiting_since: time(row.waiting_since),
            operator: holder.map(HolderView::from),
            claim_count: row.claim_count.unsigned_abs(),
            tags: row.tags(),
            rating: row.rating(),
            snoozed_until: time(row.snoozed_until.filter(|until| *until > now_unix_ms())),
            last_message_at: time(row.last_message_at),
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
            id: row.id,
            visitor_user_id: row.visitor_user_id,
            visitor_display_name: row.visitor_display_name,
            visitor_email: row.visitor_email,
            visitor_phone: row.visitor_phone,
            answers_email: row.answers_email,
            locale: row.locale,
            routing_key: row.routing_key,
            visitor_read_up_to: row.read_up_to,
            last_entry_id: row.last_entry_id,
        }
    }
}

/// A conversation in a queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueuedConversation {
    #[serde(flatten)]
    conversation: InboxConversation,
    /// The last message; `null` where there is none.
    #[schema(required)]
    last_message: Option<Preview>,
    /// How many messages of the visitor the operator has not read.
    unread: i64,
}

/// The beginning of a message.
#[derive(Serialize, ToSchema)]
pub(crate) struct Preview {
    id: String,
    /// `visitor`, `agent`, `bot` or `system`.
    role: String,
    /// At most 200 characters.
    content: String,
}

impl Preview {
    /// The last message of a conversation.
    pub(crate) fn of(queued: &Queued) -> Option<Self> {
        let last = queued.last_id.as_ref().zip(queued.last_role.as_ref()).zip(queued.last_content.as_ref());
        last.map(|((id, role), content)| Self {
            id: id.clone(),
            role: role.clone(),
            content: content.chars().take(PREVIEW_CHARS).collect(),
        })
    }
}

impl From<Queued> for QueuedConversation {
    fn from(queued: Queued) -> Self {
        let (last_message, unread) = (Preview::of(&queued), queued.unread);
        Self { conversation: queued.conversation.into(), last_message, unread }
    }
}

/// How many conversations an operator sees.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueueCounts {
    waiting: i64,
    mine: i64,
    assigned: i64,
    resolved: i64,
    all: i64,
}

impl QueueCounts {
    /// Of a tally, for one operator.
    pub(crate) fn of(tally: &Tally, operator_id: &str) -> Self {
        let Tally { waiting, assigned, resolved, everything, held } = tally;
        let mine = held.get(operator_id).copied().unwrap_or_default();
        Self { waiting: *waiting, mine, assigned: *assigned, resolved: *resolved, all: *everything }
    }
}

/// A page of a queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct QueuePage {
    pub(crate) items: Vec<QueuedConversation>,
    pub(crate) counts: QueueCounts,
    /// Pass it as `cursor` for the next page; `null` on the last.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// A conversation with what stands beside it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenedConversation {
    #[serde(flatten)]
    pub(crate) conversation: InboxConversation,
    /// What the visitor's page says of itself and its visitor.
    #[schema(value_type = Object)]
    pub(crate) metadata: Value,
    /// What the bot was about to say when a person took over.
    #[schema(required)]
    pub(crate) draft: Option<Draft>,
    /// How far the operator has read.
    #[schema(required)]
    pub(crate) read_up_to: Option<String>,
}

/// A message, or a note of operators among themselves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// `visitor`, `agent`, `bot` or `system`.
    role: &'static str,
    content: String,
    attachments: Vec<Attachment>,
    /// What a bot's answer was taken from.
    citations: Vec<Citation>,
    /// Of a bot's answer: `asked`, or what the visitor says of it, `helpful` or `unhelpful`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    feedback: Option<Feedback>,
    /// Whether it is a note, which no visitor and no tenant's backend sees.
    internal: bool,
    /// The operator who wrote it; `null` where none did.
    #[schema(required)]
    operator_id: Option<String>,
    /// The name of the operator who wrote a note.
    #[schema(required)]
    operator_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
}

impl From<MessageRow> for Entry {
    fn from(row: MessageRow) -> Self {
        Self {
            role: row.role().as_str(),
            attachments: row.attachments(),
            citations: row.citations(),
            feedback: row.feedback(),
            id: row.id,
            content: row.content,
            internal: false,
            operator_id: row.operator_id,
            operator_name: None,
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}

impl From<NoteRow> for Entry {
    fn from(row: NoteRow) -> Self {
        Self {
            id: row.id,
            role: Role::Agent.as_str(),
            content: row.content,
            attachments: Vec::new(),
            citations: Vec::new(),
            feedback: None,
            internal: true,
            operator_id: Some(row.operator_id),
            operator_name: Some(row.operator_name),
            created_at: WireTime::from_unix_ms(row.created_at),
        }
    }
}

impl From<EntryRow> for Entry {
    fn from(row: EntryRow) -> Self {
        match row {
            EntryRow::Message(message) => message.into(),
            EntryRow::Note(note) => note.into(),
        }
    }
}

/// The newest entries before a place, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entries {
    pub(crate) items: Vec<Entry>,
    /// Whether there is nothing before them.
    pub(crate) complete: bool,
}

/// A text that operators send often.
#[derive(Serialize, ToSchema)]
pub(crate) struct CannedReply {
    id: String,
    /// What stands after the slash.
    shortcut: String,
    /// May hold placeholders such as `{{visitor_name}}`, which the inbox fills in.
    content: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
}

impl From<CannedReplyRow> for CannedReply {
    fn from(row: CannedReplyRow) -> Self {
        Self {
            id: row.id,
            shortcut: row.shortcut,
            content: row.content,
            created_at: WireTime::from_unix_ms(row.created_at),
            updated_at: WireTime::from_unix_ms(row.updated_at),
        }
    }
}

/// All canned replies of the tenant, by shortcut.
#[derive(Serialize, ToSchema)]
pub(crate) struct CannedReplies {
    pub(crate) items: Vec<CannedReply>,
}
