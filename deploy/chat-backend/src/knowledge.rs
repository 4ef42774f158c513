//! Knowledge: documents that a tenant ingests for the bot to answer from.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};
use wire::fields::Fields;
use wire::frames::limits::LOCALE_CHARS;

use super::{
    body,
    extract::{Object, Tenant},
    records::documents::{self, NewDocument},
    store::{OfTenant, Store, commit, unavailable},
    views::KnowledgeDocument,
};

/// Characters of a document's body.
const LONGEST_BODY: usize = 400_000;

/// Ingest a document, or the next version of the one with this title and language. It is in the bot's answers once this
/// returns.
#[utoipa::path(
    post, path = "/ingest/knowledge", tag = "knowledge", request_body = body::NewKnowledge,
    responses(
        (status = 201, description = "Ingested", body = Envelope<KnowledgeDocument>),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn ingest_knowledge(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<KnowledgeDocument>, ApiError> {
    let mut fields = Fields::new(object);
    let new = NewDocument {
        title: fields.text("title", 500),
        body: fields.text("body", LONGEST_BODY),
        category: fields.optional_text("category", 100).unwrap_or_else(|| "general".to_owned()),
        language: fields.optional_text("language", LOCALE_CHARS).unwrap_or_else(|| "fr".to_owned()),
        tags: fields.optional_texts("tags", 50, 100).unwrap_or_default(),
    };
    fields.finish()?;

    let transaction = store.begin().await.map_err(unavailable)?;
    let document = documents::insert(&OfTenant::new(&transaction, tenant_id), new).await.map_err(unavailable)?;
    let document = document.ok_or_else(|| ApiError::internal("a document that was just written is not there"))?;
    commit(transaction).await?;
    Ok(Success::created(document.into(), "Knowledge ingested."))
}
