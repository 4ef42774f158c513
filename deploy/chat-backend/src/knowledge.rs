//! Knowledge: documents a tenant ingests, cut into the passages the bot answers with.

use axum::extract::State;
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::json;
use service::{ApiError, Envelope, Failure, Success, fields::Fields};
use uuid::Uuid;
use wire::{TenantId, time::now_unix_ms};

use super::{
    Object, Tenant, body,
    dto::{DOCUMENT, DocumentRow, KnowledgeDocument},
    store::{Store, StoreError, commit, execute, one, unavailable},
};

/// A passage is as long as a person reads in a chat bubble. Characters.
const PASSAGE: usize = 600;
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
pub(super) async fn ingest_knowledge(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<KnowledgeDocument>, ApiError> {
    let mut fields = Fields::new(object);
    let new = NewDocument {
        title: fields.text("title", 500),
        body: fields.text("body", LONGEST_BODY),
        category: fields.optional_text("category", 100).unwrap_or_else(|| "general".to_owned()),
        language: fields.optional_text("language", 35).unwrap_or_else(|| "fr".to_owned()),
        tags: fields.optional_texts("tags", 50, 100).unwrap_or_default(),
    };
    fields.finish()?;

    let transaction = store.begin().await.map_err(unavailable)?;
    let document = insert_document(&transaction, tenant_id, new).await.map_err(unavailable)?;
    let document = document.ok_or_else(|| ApiError::internal("a document that was just written is not there"))?;
    commit(transaction).await?;
    Ok(Success::created(document.into(), "Knowledge ingested."))
}

/// A document to be ingested.
pub(super) struct NewDocument {
    pub(super) title: String,
    pub(super) body: String,
    pub(super) category: String,
    pub(super) language: String,
    pub(super) tags: Vec<String>,
}

/// Writes a document, or its next version, and its passages, as one part of its caller's transaction.
pub(super) async fn insert_document(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    new: NewDocument,
) -> Result<Option<DocumentRow>, StoreError> {
    let NewDocument { title, body, category, language, tags } = new;
    let now = now_unix_ms();
    let sql = format!(
        "INSERT INTO document (id, tenant_id, title, body, category, language, tags, status, version, created_at,
             updated_at, published_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'published', 1, ?, ?, ?)
         ON CONFLICT (tenant_id, language, title) DO UPDATE SET
             body = excluded.body, category = excluded.category, tags = excluded.tags, status = 'published',
             version = document.version + 1, updated_at = excluded.updated_at, published_at = excluded.published_at
         RETURNING {DOCUMENT}"
    );
    let document: Option<DocumentRow> = one(
        connection,
        &sql,
        [
            Uuid::now_v7().to_string().into(),
            tenant_id.to_string().into(),
            title.clone().into(),
            body.clone().into(),
            category.into(),
            language.into(),
            json!(tags).to_string().into(),
            now.into(),
            now.into(),
            now.into(),
        ],
    )
    .await?;
    if let Some(document) = &document {
        index(connection, tenant_id, document, &title, &body).await?;
    }
    Ok(document)
}

/// Whether the tenant has ingested anything.
pub(super) async fn has_documents(connection: &impl ConnectionTrait, tenant_id: TenantId) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        has_one: bool,
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM document WHERE tenant_id = ?) AS has_one";
    let found: Option<Found> = one(connection, sql, [tenant_id.to_string().into()]).await?;
    Ok(found.is_some_and(|found| found.has_one))
}

/// Puts the document's passages in place of its earlier version's.
async fn index(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    document: &DocumentRow,
    title: &str,
    body: &str,
) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM chunk_search WHERE rowid IN (SELECT rowid FROM chunk WHERE document_id = ?)",
        "DELETE FROM chunk WHERE document_id = ?",
    ] {
        execute(connection, sql, [document.id.clone().into()]).await?;
    }
    for passage in passages(body) {
        execute(
            connection,
            "INSERT INTO chunk (id, tenant_id, document_id, document_version, text) VALUES (?, ?, ?, ?, ?)",
            [
                Uuid::now_v7().to_string().into(),
                tenant_id.to_string().into(),
                document.id.clone().into(),
                document.version.into(),
                passage.clone().into(),
            ],
        )
        .await?;
        execute(
            connection,
            "INSERT INTO chunk_search (rowid, tenant, title, text) VALUES (last_insert_rowid(), ?, ?, ?)",
            [tenant_id.as_uuid().simple().to_string().into(), title.into(), passage.into()],
        )
        .await?;
    }
    Ok(())
}

/// Cuts a text at its paragraphs, long paragraphs at sentences, and long sentences at words.
fn passages(body: &str) -> Vec<String> {
    let mut passages = Vec::new();
    for paragraph in body.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let mut passage = String::new();
        for piece in paragraph.split_inclusive(['.', '!', '?', '\n']).flat_map(words_up_to_a_passage) {
            if !passage.is_empty() && passage.chars().count() + piece.chars().count() > PASSAGE {
                passages.push(passage.trim().to_owned());
                passage.clear();
            }
            passage.push_str(&piece);
        }
        passages.push(passage.trim().to_owned());
    }
    passages.retain(|passage| !passage.is_empty());
    passages
}

fn words_up_to_a_passage(sentence: &str) -> Vec<String> {
    if sentence.chars().count() <= PASSAGE {
        return vec![sentence.to_owned()];
    }
    let mut pieces = vec![String::new()];
    let mut length = 0;
    for word in sentence.split_inclusive(' ') {
        for (index, character) in word.chars().enumerate() {
            // Between words where there are words, and anywhere where there are none.
            if length >= PASSAGE || (index == 0 && length + word.chars().count() > PASSAGE && length > 0) {
                pieces.push(String::new());
                length = 0;
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(character);
            }
            length += 1;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_people_would_and_nothing_is_lost() {
        assert_eq!(passages("One.\n\nTwo. Three.\n\n\n"), ["One.", "Two. Three."]);
        let long_sentences = "A sentence of some length here. ".repeat(60);
        let long_words = "x".repeat(2000);
        for text in [long_sentences.as_str(), &long_words, &"mot ".repeat(700)] {
            let cut = passages(text);
            assert!(cut.iter().all(|passage| (1..=PASSAGE).contains(&passage.chars().count())), "{cut:?}");
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeeze(&cut.join(" ")), squeeze(text));
        }
    }
}
