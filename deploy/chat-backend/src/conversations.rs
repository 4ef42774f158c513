//! Conversations: begun by a tenant for a visitor, fetched, listed.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success, fields::Fields};

use super::{
    Backend, Object, Params, Tenant, body,
    dto::{CONVERSATION, Conversation, ConversationRow, List, given, page},
    handling::Handling,
    notifier,
    records::{self, NewConversation},
    store::{Store, all, commit, unavailable},
};

/// Begin a conversation. `visitor_user_id` is the tenant's own name for the visitor.
#[utoipa::path(
    post, path = "/create/conversation", tag = "conversations", request_body = body::NewConversation,
    responses(
        (status = 201, description = "Begun", body = Envelope<Conversation>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn create_conversation(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<Conversation>, ApiError> {
    let store = &backend.store;
    let mut fields = Fields::new(object);
    let new = NewConversation {
        visitor_user_id: fields.text("visitor_user_id", 255),
        visitor_display_name: fields.optional_text("visitor_display_name", 200),
        visitor_email: fields.optional_text("visitor_email", 254),
        visitor_phone: fields.optional_text("visitor_phone", 50),
        locale: fields.optional_text("locale", 35).unwrap_or_else(|| "fr".to_owned()),
        channel: fields.choice("channel", &["text", "voice", "video"], "text"),
        handling: Handling::Bot,
        metadata: fields.object("metadata", 16 * 1024),
    };
    fields.finish()?;
    let transaction = store.begin().await.map_err(unavailable)?;
    let id = records::insert_conversation(&transaction, tenant_id, new).await.map_err(unavailable)?;
    let conversation = records::find_conversation(&transaction, tenant_id, &id).await?;
    commit(transaction).await?;
    backend.notifier.changed(&notifier::of_visitor(tenant_id, &conversation.visitor_user_id));
    Ok(Success::created(conversation, "Conversation begun."))
}

/// One conversation.
#[utoipa::path(
    get, path = "/fetch/conversation", tag = "conversations",
    params(("conversation_id" = String, Query)),
    responses(
        (status = 200, description = "The conversation", body = Envelope<Conversation>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn fetch_conversation(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<Conversation>, ApiError> {
    let id = query.required::<String>("conversation_id");
    query.finish()?;
    Ok(Success::ok(records::find_conversation(store.reader(), tenant_id, &given(id)?).await?, "Conversation fetched."))
}

/// Conversations, newest first; of one visitor, or of all.
#[utoipa::path(
    get, path = "/fetch/conversations", tag = "conversations",
    params(
        ("visitor_user_id" = Option<String>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500),
        ("offset" = Option<u64>, Query),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<List<Conversation>>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn fetch_conversations(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Conversation>>, ApiError> {
    let visitor = query.optional::<String>("visitor_user_id");
    let (limit, offset) = page(&mut query, 20);
    query.finish()?;
    let tenant = tenant_id.to_string();
    let rows: Vec<ConversationRow> = match visitor {
        Some(visitor) => {
            let sql = format!(
                "SELECT {CONVERSATION} FROM conversation WHERE tenant_id = ? AND visitor_user_id = ?
                 ORDER BY id DESC LIMIT ? OFFSET ?"
            );
            all(store.reader(), &sql, [tenant.into(), visitor.into(), limit.into(), offset.into()]).await
        }
        None => {
            let sql = format!(
                "SELECT {CONVERSATION} FROM conversation WHERE tenant_id = ? ORDER BY id DESC LIMIT ? OFFSET ?"
            );
            all(store.reader(), &sql, [tenant.into(), limit.into(), offset.into()]).await
        }
    }
    .map_err(unavailable)?;
    let items = rows.into_iter().map(Conversation::try_from).collect::<Result<_, _>>()?;
    Ok(Success::ok(List { items, limit, offset }, "Conversations fetched."))
}
