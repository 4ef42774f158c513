//! Tickets: opened by a hand-over or a contact form, numbered per tenant without gaps.

use axum::extract::State;
use sea_orm::Value as SqlValue;
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success, fields::Fields};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::ErrorCode;

use super::{
    Object, Params, Tenant, body,
    dto::{List, TICKET, Ticket, TicketRow, given, page},
    handling::{Handling, WaitingReason},
    records::{self, NewConversation, NewMessage, NewTicket},
    store::{Store, StoreError, all, commit, one, unavailable},
};

/// What became of a contact form.
#[derive(Serialize, ToSchema)]
pub(super) struct ContactTicket {
    conversation_id: String,
    /// `waiting`: it is in the operators' queue.
    status: &'static str,
    tenant_id: String,
    ticket_id: String,
    ticket_number: String,
}

/// Open a conversation and a ticket from a contact form, for a sender who is not in a chat.
#[utoipa::path(
    post, path = "/create/contact-ticket", tag = "tickets", request_body = body::NewContactTicket,
    responses(
        (status = 201, description = "Opened", body = Envelope<ContactTicket>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn create_contact_ticket(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<ContactTicket>, ApiError> {
    let mut fields = Fields::new(object);
    let email = fields.text("customer_email", 254);
    let name = fields.text("customer_name", 200);
    let subject = fields.text("subject", 500);
    let message = fields.text("message", 8_000);
    let locale = fields.optional_text("locale", 35).unwrap_or_else(|| "fr".to_owned());
    let mut metadata = fields.object("metadata", 16 * 1024);
    for (field, longest) in [("company", 200), ("source", 200), ("routing_key", 100)] {
        if let Some(text) = fields.optional_text(field, longest) {
            metadata.insert(field.to_owned(), text.into());
        }
    }
    fields.finish()?;

    let transaction = store.begin().await.map_err(unavailable)?;
    let opened = async {
        let conversation = NewConversation {
            visitor_user_id: email.clone(),
            visitor_display_name: Some(name),
            visitor_email: Some(email.clone()),
            visitor_phone: None,
            locale,
            channel: "text",
            handling: Handling::Waiting(WaitingReason::ContactForm),
            metadata,
        };
        let conversation_id = records::insert_conversation(&transaction, tenant_id, conversation).await?;
        records::insert_message(&transaction, tenant_id, &conversation_id, NewMessage::plain("visitor", &message))
            .await?;
        let ticket = NewTicket {
            user_id: &email,
            subject: &subject,
            description: &message,
            priority: "p3",
            tags: vec!["contact_form".to_owned()],
            conversation_id: &conversation_id,
            escalation_id: Some(Uuid::now_v7().to_string()),
        };
        let (ticket_id, ticket_number) = records::insert_ticket(&transaction, tenant_id, ticket).await?;
        let tenant_id = tenant_id.to_string();
        Ok::<_, StoreError>(ContactTicket { conversation_id, status: "waiting", tenant_id, ticket_id, ticket_number })
    }
    .await
    .map_err(unavailable)?;
    commit(transaction).await?;
    Ok(Success::created(opened, "Ticket opened."))
}

/// One ticket.
#[utoipa::path(
    get, path = "/fetch/ticket", tag = "tickets",
    params(("ticket_id" = String, Query)),
    responses(
        (status = 200, description = "The ticket", body = Envelope<Ticket>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 404, description = "`ticket_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn fetch_ticket(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<Ticket>, ApiError> {
    let id = query.required::<String>("ticket_id");
    query.finish()?;
    let sql = format!("SELECT {TICKET} FROM ticket WHERE tenant_id = ? AND id = ?");
    let row: Option<TicketRow> =
        one(store.reader(), &sql, [tenant_id.to_string().into(), given(id)?.into()]).await.map_err(unavailable)?;
    let row = row.ok_or_else(|| ApiError::new(ErrorCode::TicketNotFound, "This tenant has no such ticket."))?;
    Ok(Success::ok(row.into(), "Ticket fetched."))
}

const STATUSES: [&str; 8] =
    ["open", "triaged", "assigned", "in_progress", "waiting_on_user", "resolved", "closed", "reopened"];

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
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn fetch_tickets(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Ticket>>, ApiError> {
    let status = query.optional::<String>("status");
    if status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
        query.refuse("status", format!("must be one of {}", STATUSES.join(", ")));
    }
    let assignee = query.optional::<String>("assignee_user_id");
    let (limit, offset) = page(&mut query, 20);
    query.finish()?;
    let mut sql = format!("SELECT {TICKET} FROM ticket WHERE tenant_id = ?");
    let mut values: Vec<SqlValue> = vec![tenant_id.to_string().into()];
    for (column, value) in [("status", status), ("assignee_user_id", assignee)] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value.into());
        }
    }
    sql.push_str(" ORDER BY id DESC LIMIT ? OFFSET ?");
    values.extend([SqlValue::from(limit), SqlValue::from(offset)]);
    let rows: Vec<TicketRow> = all(store.reader(), &sql, values).await.map_err(unavailable)?;
    let items = rows.into_iter().map(Ticket::from).collect();
    Ok(Success::ok(List { items, limit, offset }, "Tickets fetched."))
}
