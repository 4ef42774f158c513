//! Knowledge: documents that a tenant ingests for the bot to answer from.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};

use super::{
    body,
    extract::{Object, Tenant},
    records::documents::{self, NewDocument},
    store::{OfTenant, Store, commit, unavailable},
    views::KnowledgeDocument,
};

/// Ingest a document, or the next version of the one with this title and language. It is in the bot's answers once this
/// returns.
#[utoipa::path(
    post, path = "/ingest/knowledge", tag = "knowledge", request_body = body::NewKnowledge,
    responses(
        (status = 201, description = "Ingested", body = Envelope<KnowledgeDocument>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn ingest_knowledge(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<KnowledgeDocument>, ApiError> {
    let body::NewKnowledge { title, body, category, language, url, tags } = body::NewKnowledge::read(object)?;
    let new = NewDocument { title, body, category, language, url, tags };
    let transaction = store.begin().await.map_err(unavailable)?;
    let document = documents::insert(&OfTenant::new(&transaction, tenant_id), new).await.map_err(unavailable)?;
    let document = document.ok_or_else(|| ApiError::internal("a document that was just written is not there"))?;
    commit(transaction).await?;
    Ok(Success::created(document.into(), "Knowledge ingested."))
}
