//! What stands in a conversation, and what operators add to it.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};
use wire::frames::Role;

use super::bodies::NewEntry;
use crate::{
    extract::{Acting, Object, Params, Tenant},
    records::{
        conversations::{self, Conversation},
        entries, notes,
    },
    replicas::ReplicaMessage,
    saying::{Said, say},
    state::Backend,
    store::{OfTenant, Store, unavailable},
    views::{
        given,
        inbox::{Entries, Entry, TAG},
    },
};

/// Entries of a page, at most and unless said otherwise.
const MOST: u64 = 200;
const DEFAULT: u64 = 50;

/// The newest messages and notes before a place, oldest first.
#[utoipa::path(
    get, path = "/operator/fetch/messages", tag = TAG,
    params(
        ("conversation_id" = String, Query),
        ("before" = Option<String>, Query, description = "The id of the first entry known. Absent: from the end"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "The entries", body = Envelope<Entries>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_messages(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
) -> Result<Success<Entries>, ApiError> {
    let id = query.required::<String>("conversation_id");
    let before = query.optional::<String>("before").unwrap_or_default();
    let limit = query.number("limit", 1..=MOST, DEFAULT);
    query.finish()?;
    let id = given(id)?;
    let rows = store.of(tenant_id);
    acting.may_see(&conversations::find(&rows, &id).await?)?;
    let mut found = entries::before(&rows, &id, &before, limit + 1).await.map_err(unavailable)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let complete = found.len() <= most;
    found.truncate(most);
    let items = found.into_iter().rev().map(Entry::from).collect();
    Ok(Success::ok(Entries { items, complete }, "Messages fetched."))
}

/// Answer a visitor, or leave a note for colleagues. Only the operator who has the conversation answers; every operator who sees it
/// may leave a note.
#[utoipa::path(
    post, path = "/operator/add/message", tag = TAG, request_body = NewEntry,
    params(
        ("conversation_id" = String, Query),
    ),
    responses(
        (status = 201, description = "Added", body = Envelope<Entry>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 409, description = "`not_assigned`: claim the conversation first", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn add_message(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
    Object(object): Object,
) -> Result<Success<Entry>, ApiError> {
    let id = query.required::<String>("conversation_id");
    query.finish()?;
    let id = given(id)?;
    let new = NewEntry::read(object)?;
    if new.internal {
        let transaction = backend.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        acting.may_see(&conversations::find_to_change(&rows, &id).await?)?;
        let note = notes::insert(&rows, &id, &acting.operator, &new.content).await.map_err(unavailable)?;
        backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id: id }).await?;
        return Ok(Success::created(note.into(), "Note added."));
    }
    let uploader = format!("operator:{}", acting.operator.operator_id);
    let said = Said {
        role: Role::Agent,
        content: &new.content,
        attachments: new.attachments,
        quick_replies: Vec::new(),
        client_id: new.client_id.as_deref(),
        operator_id: Some(&acting.operator.operator_id),
        uploader: Some(&uploader),
    };
    let may_say = |conversation: &Conversation| acting.may_answer(conversation);
    let message = say(&backend, tenant_id, &id, said, may_say).await?;
    Ok(Success::created(message.into(), "Message added."))
}
