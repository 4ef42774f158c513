//! The queues, one conversation, and how far an operator has read it.

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use service::{ApiError, Envelope, Failure, Success};
use wire::frames::limits::ROUTING_KEY_CHARS;

use crate::{
    extract::{Acting, Params, Tenant},
    records::{
        conversations, messages,
        queues::{self, Onlooker, Queue, Queued, Wanted},
    },
    store::{Store, unavailable},
    views::{
        given,
        inbox::{InboxConversation, OpenedConversation, QueueCounts, QueuePage, QueuedConversation, TAG},
    },
};

/// Conversations of a page, at most and unless said otherwise.
const MOST: u64 = 100;
const DEFAULT: u64 = 50;

/// Characters that may be looked for.
const LONGEST_TEXT: usize = 200;

/// A queue, and how many conversations are in each. `waiting` begins with the longest wait, the others with the newest message.
#[utoipa::path(
    get, path = "/operator/fetch/conversations", tag = TAG,
    params(
        ("queue" = Option<String>, Query, description = "`waiting` (unless said otherwise), `mine`, `assigned`, `resolved` or `all`"),
        ("routing_key" = Option<String>, Query, description = "Conversations of this key alone"),
        ("q" = Option<String>, Query, description = "A text to look for: in names, addresses, tags, messages and notes"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<QueuePage>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_conversations(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
) -> Result<Success<QueuePage>, ApiError> {
    let queue = query.optional::<String>("queue").unwrap_or_else(|| "waiting".to_owned());
    let queue = Queue::of(&queue).unwrap_or_else(|| {
        query.refuse("queue", format!("must be one of {}", Queue::TEXTS.join(", ")));
        Queue::Waiting
    });
    let routing_key = query.optional::<String>("routing_key");
    if routing_key.as_ref().is_some_and(|key| key.chars().count() > ROUTING_KEY_CHARS) {
        query.refuse("routing_key", format!("must have at most {ROUTING_KEY_CHARS} characters"));
    }
    let text = query.optional::<String>("q");
    if text.as_ref().is_some_and(|text| text.chars().count() > LONGEST_TEXT) {
        query.refuse("q", format!("must have at most {LONGEST_TEXT} characters"));
    }
    let limit = query.number("limit", 1..=MOST, DEFAULT);
    let after = query.optional::<String>("cursor").and_then(|text| {
        let place = read_cursor(&text);
        if place.is_none() {
            query.refuse("cursor", "is not a cursor: pass next_cursor of the page before, unchanged");
        }
        place
    });
    query.finish()?;
    let rows = store.of(tenant_id);
    let who = onlooker(&acting);
    let wanted = Wanted { queue, routing_key, text: text.as_deref(), after, limit: limit + 1 };
    let mut found = queues::page(&rows, &who, wanted).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = found.len() <= most;
    found.truncate(most);
    let next_cursor = found.last().filter(|_| !is_last).map(write_cursor);
    let counts = QueueCounts::of(&queues::tally(&rows, who.routing_keys).await?, who.operator_id);
    let items = found.into_iter().map(QueuedConversation::from).collect();
    Ok(Success::ok(QueuePage { items, counts, next_cursor }, "Conversations fetched."))
}

/// One conversation, with what the visitor's page says and what the bot was about to say.
#[utoipa::path(
    get, path = "/operator/fetch/conversation", tag = TAG,
    params(
        ("conversation_id" = String, Query),
    ),
    responses(
        (status = 200, description = "The conversation", body = Envelope<OpenedConversation>),
        (status = 404, description = "`conversation_not_found`: also where the operator may not see it", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_conversation(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
) -> Result<Success<OpenedConversation>, ApiError> {
    let id = query.required::<String>("conversation_id");
    query.finish()?;
    let rows = store.of(tenant_id);
    let conversation = conversations::find(&rows, &given(id)?).await?;
    acting.may_see(&conversation)?;
    let read_up_to = queues::read_up_to(&rows, &conversation.row.id, &acting.operator.operator_id).await?;
    let (metadata, draft) = (conversation.row.metadata(), conversation.row.draft());
    let data = OpenedConversation { conversation: InboxConversation::from(conversation), metadata, draft, read_up_to };
    Ok(Success::ok(data, "Conversation fetched."))
}

/// Note that the operator has read a message, and all before it.
#[utoipa::path(
    post, path = "/operator/read/conversation", tag = TAG,
    params(
        ("conversation_id" = String, Query),
        ("message_id" = String, Query),
    ),
    responses(
        (status = 200, description = "Noted", body = Envelope<InboxConversation>),
        (status = 404, description = "`conversation_not_found`, `message_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn read_conversation(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
) -> Result<Success<InboxConversation>, ApiError> {
    let id = query.required::<String>("conversation_id");
    let message_id = query.required::<String>("message_id");
    query.finish()?;
    let (id, message_id) = (given(id)?, given(message_id)?);
    let rows = store.of(tenant_id);
    let conversation = conversations::find(&rows, &id).await?;
    acting.may_see(&conversation)?;
    messages::find(&rows, &id, &message_id).await.map_err(unavailable)?.ok_or_else(messages::not_found)?;
    queues::set_read_up_to(&rows, &id, &acting.operator.operator_id, &message_id).await?;
    Ok(Success::ok(conversation.into(), "Conversation read."))
}

fn onlooker(acting: &Acting) -> Onlooker<'_> {
    Onlooker { operator_id: &acting.operator.operator_id, routing_keys: &acting.routing_keys }
}

fn write_cursor(last: &Queued) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", last.sorted_by, last.conversation.row.id))
}

fn read_cursor(text: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (sorted_by, id) = text.split_once(':')?;
    Some((sorted_by.parse().ok()?, id.to_owned()))
}
