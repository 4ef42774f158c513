//! Tickets: opened by a hand-over or a contact form, numbered per tenant without gaps.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};
use uuid::Uuid;
use wire::{
    ErrorCode,
    contact_form::NewContactTicket,
    frames::{Mode, Role},
};

use super::{
    channel::Channel,
    events::{Scene, Usage},
    extract::{Object, Params, Tenant},
    handling::{Handling, WaitingReason},
    records::{
        conversations::{self, NewConversation},
        messages::{self, NewMessage},
        tickets::{self, NewTicket},
    },
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, Store, StoreError, unavailable},
    ticket_status::TicketStatus,
    views::{ContactTicket, List, Ticket, given, page},
};

/// Open a conversation and a ticket from a contact form, for a sender who is not in a chat.
#[utoipa::path(
    post, path = "/create/contact-ticket", tag = "tickets", request_body = NewContactTicket,
    responses(
        (status = 201, description = "Opened", body = Envelope<ContactTicket>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn create_contact_ticket(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<ContactTicket>, ApiError> {
    let given = NewContactTicket::read(object)?;
    let NewContactTicket { customer_email: email, customer_name: name, subject, message, locale, .. } = given;
    let mut metadata = given.metadata;
    for (field, text) in [("company", given.company), ("source", given.source), ("routing_key", given.routing_key)] {
        if let Some(text) = text {
            metadata.insert(field.to_owned(), text.into());
        }
    }

    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let outbox = &backend.outbox;
    let opened = async {
        let conversation = NewConversation {
            visitor_user_id: email.clone(),
            visitor_display_name: Some(name),
            visitor_email: Some(email.clone()),
            visitor_phone: None,
            locale,
            channel: Channel::Text,
            handling: Handling::Waiting(WaitingReason::ContactForm),
            mode: Mode::Bot,
            metadata,
        };
        let conversation_id = conversations::insert(&rows, conversation).await?;
        let scene = Scene { conversation_id: &conversation_id, visitor_user_id: &email };
        outbox.note(&rows, &scene.conversation_started()).await?;
        let kept = messages::insert(&rows, &conversation_id, NewMessage::plain(Role::Visitor, &message)).await?;
        outbox.note(&rows, &scene.message_received(&kept)).await?;
        outbox.count(&rows, &Usage::from(&kept)).await?;
        let ticket = NewTicket {
            user_id: &email,
            subject: &subject,
            description: &message,
            priority: "p3",
            tags: vec!["contact_form".to_owned()],
            conversation_id: &conversation_id,
            escalation_id: Some(Uuid::now_v7().to_string()),
        };
        let ticket = tickets::insert(&rows, ticket).await?;
        for event in scene.handed_over(&ticket, WaitingReason::ContactForm) {
            outbox.note(&rows, &event).await?;
        }
        outbox.note(&rows, &scene.contact_submitted(&ticket)).await?;
        let (tenant_id, ticket_id, ticket_number) = (tenant_id.to_string(), ticket.id, ticket.number.to_string());
        Ok::<_, StoreError>(ContactTicket { conversation_id, status: "waiting", tenant_id, ticket_id, ticket_number })
    }
    .await
    .map_err(unavailable)?;
    let conversation_id = opened.conversation_id.clone();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok(Success::created(opened, "Ticket opened."))
}

/// One ticket.
#[utoipa::path(
    get, path = "/fetch/ticket", tag = "tickets",
    params(("ticket_id" = String, Query)),
    responses(
        (status = 200, description = "The ticket", body = Envelope<Ticket>),
        (status = 404, description = "`ticket_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_ticket(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<Ticket>, ApiError> {
    let id = query.required::<String>("ticket_id");
    query.finish()?;
    let row = tickets::find(&store.of(tenant_id), &given(id)?).await.map_err(unavailable)?;
    let row = row.ok_or_else(|| ApiError::new(ErrorCode::TicketNotFound, "This tenant has no such ticket."))?;
    Ok(Success::ok(row.into(), "Ticket fetched."))
}

/// Tickets, newest first.
#[utoipa::path(
    get, path = "/fetch/tickets", tag = "tickets",
    params(
        ("status" = Option<String>, Query),
        ("assignee_user_id" = Option<String>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500),
        ("offset" = Option<u64>, Query),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<List<Ticket>>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_tickets(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Ticket>>, ApiError> {
    let status = query.optional::<String>("status");
    let known = status.as_deref().map(TicketStatus::of);
    if known == Some(None) {
        query.refuse("status", format!("must be one of {}", TicketStatus::ALL.map(TicketStatus::as_str).join(", ")));
    }
    let assignee = query.optional::<String>("assignee_user_id");
    let (limit, offset) = page(&mut query, 20);
    query.finish()?;
    let found = tickets::page(&store.of(tenant_id), known.flatten(), assignee, (limit, offset)).await;
    let items = found.map_err(unavailable)?.into_iter().map(Ticket::from).collect();
    Ok(Success::ok(List { items, limit, offset }, "Tickets fetched."))
}
