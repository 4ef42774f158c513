//! The full-text index of passages, in which the bot looks up a question's words: FTS5 on SQLite, `tsvector` on PostgreSQL. Both know the
//! stems of English words, and neither knows accents.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::json;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
use uuid::Uuid;

use crate::store::{Dialect, OfTenant, StoreError};

/// A passage that holds some of the words.
#[derive(FromQueryResult)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) document_id: String,
    pub(crate) title: String,
    /// Where people read the document.
    pub(crate) url: Option<String>,
    pub(crate) document_version: i64,
    pub(crate) text: String,
    pub(crate) category: String,
    /// How many of the words stand in the passage or its document's title.
    pub(crate) covered: i64,
}

/// The passages that hold most of these words, the best first. The words have letters and digits alone, and are lower-case.
pub(crate) async fn best(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    terms: &[String],
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    match rows.dialect() {
        Dialect::Sqlite => best_by_fts5(rows, terms, limit).await,
        Dialect::Postgres => best_by_tsvector(rows, terms, limit).await,
    }
}

async fn best_by_fts5(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    terms: &[String],
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    // A term is a row of its own, so that one query can say how many of them each candidate holds.
    let tenant = rows.tenant_id().as_uuid().simple().to_string();
    let any = terms.iter().map(|term| quoted(term)).collect::<Vec<_>>().join(" OR ");
    let each: Vec<String> = terms.iter().map(|term| format!("{{title text}}: {}", quoted(term))).collect();
    let each_in_text: Vec<String> = terms.iter().map(|term| format!("text: {}", quoted(term))).collect();
    let sql = "
        WITH best AS MATERIALIZED (
            SELECT rowid, -bm25(chunk_search, 0.0, 1.0, 2.0) AS score
            FROM chunk_search WHERE chunk_search MATCH $2 ORDER BY bm25(chunk_search, 0.0, 1.0, 2.0) LIMIT $3
        )
        SELECT chunk.id, chunk.document_id, document.title, document.url, chunk.document_version, chunk.text, document.category,
            (SELECT count(*) FROM json_each($4) AS term WHERE EXISTS (
                SELECT 1 FROM chunk_search WHERE chunk_search MATCH term.value AND chunk_search.rowid = best.rowid
            )) AS covered
        FROM best JOIN chunk ON chunk.rowid = best.rowid JOIN document ON document.id = chunk.document_id
        WHERE chunk.tenant_id = $1 AND document.tenant_id = $1
        -- A title is shared by all passages of its document: what a passage says itself decides between them.
        ORDER BY covered DESC, (SELECT count(*) FROM json_each($5) AS term WHERE EXISTS (
            SELECT 1 FROM chunk_search WHERE chunk_search MATCH term.value AND chunk_search.rowid = best.rowid
        )) DESC, best.score DESC";
    let values = [
        format!("tenant:{} AND ({{title text}}: ({any}))", quoted(&tenant)).into(),
        limit.into(),
        json!(each).to_string().into(),
        json!(each_in_text).to_string().into(),
    ];
    rows.all(sql, values).await
}

/// A word as FTS5 takes it: quoted, so that nothing a visitor writes is an operator.
fn quoted(term: &str) -> String {
    format!("\"{}\"", term.replace('"', "\"\""))
}

async fn best_by_tsvector(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    terms: &[String],
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let terms: Vec<String> = terms.iter().map(|term| plain_words(term)).collect();
    let any = terms.iter().flat_map(|term| term.split_whitespace()).collect::<Vec<_>>().join(" | ");
    let sql = "
        WITH term AS MATERIALIZED (
            SELECT plainto_tsquery('passage', value) AS query FROM jsonb_array_elements_text(CAST($2 AS JSONB))
        ),
        found AS (
            SELECT chunk.*, (SELECT count(*) FROM term WHERE chunk.search @@ term.query) AS covered
            FROM chunk WHERE tenant_id = $1 AND search @@ to_tsquery('passage', $4)
        )
        SELECT found.id, found.document_id, document.title, document.url, found.document_version, found.text, document.category,
            found.covered
        FROM found JOIN document ON document.id = found.document_id
        WHERE document.tenant_id = $1
        -- A title is shared by all passages of its document: what a passage says itself decides between them.
        ORDER BY found.covered DESC,
            (SELECT count(*) FROM term WHERE ts_filter(found.search, '{b}') @@ term.query) DESC,
            ts_rank(found.search, to_tsquery('passage', $4)) DESC, found.id
        LIMIT $3";
    rows.all(sql, [json!(terms).to_string().into(), limit.into(), any.into()]).await
}

/// A text in lower case, without accents and punctuation, as PostgreSQL's parser cuts it into the words that FTS5 finds in it too.
fn plain_words(text: &str) -> String {
    let letters = text.nfd().filter(|letter| !is_combining_mark(*letter));
    // PostgreSQL itself folds case by the database's locale, which may know ASCII alone.
    let letters = letters.flat_map(char::to_lowercase);
    letters.map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }).collect()
}

/// A passage to be added.
pub(super) struct NewPassage<'a> {
    pub(super) document_id: &'a str,
    pub(super) document_version: i64,
    /// The document's.
    pub(super) title: &'a str,
    pub(super) text: String,
}

/// Adds a passage of a document.
pub(super) async fn add(rows: &OfTenant<'_, impl ConnectionTrait>, new: NewPassage<'_>) -> Result<(), StoreError> {
    let NewPassage { document_id, document_version, title, text } = new;
    let id = Uuid::now_v7().to_string();
    match rows.dialect() {
        Dialect::Sqlite => {
            rows.execute(
                "INSERT INTO chunk (tenant_id, id, document_id, document_version, text) VALUES ($1, $2, $3, $4, $5)",
                [id.into(), document_id.into(), document_version.into(), text.clone().into()],
            )
            .await?;
            rows.execute(
                "INSERT INTO chunk_search (rowid, tenant, title, text) VALUES (last_insert_rowid(), replace($1, '-', ''), $2, $3)",
                [title.into(), text.into()],
            )
            .await
        }
        Dialect::Postgres => {
            let (title, words) = (plain_words(title), plain_words(&text));
            rows.execute(
                "INSERT INTO chunk (tenant_id, id, document_id, document_version, text, search)
                 VALUES ($1, $2, $3, $4, $5,
                     setweight(to_tsvector('passage', $6), 'A') || setweight(to_tsvector('passage', $7), 'B'))",
                [id.into(), document_id.into(), document_version.into(), text.into(), title.into(), words.into()],
            )
            .await
        }
    }
}

/// Removes every passage of a document.
pub(super) async fn remove(rows: &OfTenant<'_, impl ConnectionTrait>, document_id: &str) -> Result<(), StoreError> {
    if rows.dialect() == Dialect::Sqlite {
        let sql = "DELETE FROM chunk_search WHERE rowid IN (SELECT rowid FROM chunk WHERE tenant_id = $1 AND document_id = $2)";
        rows.execute(sql, [document_id.into()]).await?;
    }
    rows.execute("DELETE FROM chunk WHERE tenant_id = $1 AND document_id = $2", [document_id.into()]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_visitor_writes_is_an_operator() {
        assert_eq!(quoted("a\" OR tenant:\"b"), "\"a\"\" OR tenant:\"\"b\"");
        assert_eq!(
            plain_words("Où? l\u{2019}été & (re|fund):* 'x' <-> NOT !a"),
            "ou  l ete    re fund     x      not  a"
        );
    }
}
