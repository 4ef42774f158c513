//! What is known of files that visitors and operators have sent, and how many bytes each tenant keeps.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, TenantId, attachments::Attachment, time::now_unix_ms};

use crate::store::{OfTenant, Store, StoreError};

/// A file's row.
#[derive(Debug, FromQueryResult)]
pub(crate) struct FileRow {
    pub(crate) id: String,
    /// The actor that sent it.
    pub(crate) uploader: String,
    kind: String,
    mime: String,
    /// What browsers may be told that it is; NULL until all of its bytes are there.
    pub(crate) shown_as: Option<String>,
    deleted_at: Option<i64>,
    pub(crate) size: i64,
    pub(crate) name: String,
    /// The message that names it.
    pub(crate) message_id: Option<String>,
}

impl FileRow {
    pub(crate) fn is_stored(&self) -> bool {
        self.shown_as.is_some() && self.deleted_at.is_none()
    }

    pub(crate) fn as_attachment(&self, url: String) -> Attachment {
        let size = u64::try_from(self.size).unwrap_or_default();
        Attachment { kind: self.kind.clone(), mime: self.mime.clone(), size, url, name: Some(self.name.clone()) }
    }
}

/// A file that is about to be kept.
pub(crate) struct NewFile {
    /// The actor: `visitor:<session>` or `operator:<id>`.
    pub(crate) uploader: String,
    pub(crate) mime: String,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Bytes that all files of the tenant may have.
    pub(crate) quota: Option<u64>,
}

impl NewFile {
    /// The `type` of its attachment.
    pub(crate) fn kind(&self) -> &'static str {
        match self.mime.split('/').next() {
            Some("image") => "image",
            Some("audio") => "audio",
            Some("video") => "video",
            _ => "file",
        }
    }
}

/// Whether there was room.
pub(crate) enum Reserved {
    /// There was: the file has this id.
    As(String),
    Full,
}

/// Takes room for a file, in its caller's transaction.
pub(crate) async fn reserve(rows: &OfTenant<'_, impl ConnectionTrait>, new: &NewFile) -> Result<Reserved, StoreError> {
    let bytes = i64::try_from(new.bytes).unwrap_or(i64::MAX);
    let quota = new.quota.map_or(i64::MAX, |quota| i64::try_from(quota).unwrap_or(i64::MAX));
    #[derive(FromQueryResult)]
    struct Used {
        #[expect(dead_code, reason = "that there is a row says that there was room")]
        bytes: i64,
    }
    let sql = "INSERT INTO file_usage (tenant_id, bytes) SELECT $1, $2 WHERE $2 <= $3
         ON CONFLICT (tenant_id) DO UPDATE SET bytes = file_usage.bytes + excluded.bytes
             WHERE file_usage.bytes + excluded.bytes <= $3
         RETURNING bytes";
    let used: Option<Used> = rows.one(sql, [bytes.into(), quota.into()]).await?;
    if used.is_none() {
        return Ok(Reserved::Full);
    }
    // Anybody who has the address may read the file, so nobody may be able to guess the id: all of its bits are random.
    let id = Uuid::new_v4().simple().to_string();
    let sql = "INSERT INTO file (tenant_id, id, uploader, kind, mime, size, name, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        id.clone().into(),
        new.uploader.clone().into(),
        new.kind().into(),
        new.mime.clone().into(),
        bytes.into(),
        new.name.clone().into(),
        now_unix_ms().into(),
    ];
    rows.execute(sql, values).await?;
    Ok(Reserved::As(id))
}

/// All bytes of a file are there. `false` where the file was given up meanwhile.
pub(crate) async fn note_stored(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    shown_as: &str,
) -> Result<bool, StoreError> {
    let sql = "UPDATE file SET shown_as = $3 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING id";
    took(rows, sql, [id.into(), shown_as.into()]).await
}

pub(crate) async fn find(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<Option<FileRow>, StoreError> {
    let sql = "SELECT id, uploader, kind, mime, shown_as, size, name, message_id, deleted_at FROM file
         WHERE tenant_id = $1 AND id = $2";
    rows.one(sql, [id.into()]).await
}

/// Notes which message names a file, in the transaction that keeps the message. `false` where another message has named it meanwhile.
pub(crate) async fn note_message(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    id: &str,
    message_id: &str,
) -> Result<bool, StoreError> {
    let sql = "UPDATE file SET message_id = $3
         WHERE tenant_id = $1 AND id = $2 AND message_id IS NULL AND shown_as IS NOT NULL AND deleted_at IS NULL RETURNING id";
    took(rows, sql, [id.into(), message_id.into()]).await
}

/// From now on nobody reads or names a file. `false` where there is none.
pub(crate) async fn take_out(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE file SET deleted_at = coalesce(deleted_at, $3) WHERE tenant_id = $1 AND id = $2 RETURNING id";
    took(rows, sql, [id.into(), now_unix_ms().into()]).await
}

/// The same for a file that no message names, and for one that was taken out already.
pub(crate) async fn take_out_unused(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE file SET deleted_at = coalesce(deleted_at, $3)
         WHERE tenant_id = $1 AND id = $2 AND (message_id IS NULL OR deleted_at IS NOT NULL) RETURNING id";
    took(rows, sql, [id.into(), now_unix_ms().into()]).await
}

async fn took(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    sql: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Taken {
        #[expect(dead_code, reason = "that there is a row says that it was taken")]
        id: String,
    }
    Ok(rows.one::<Taken>(sql, values).await?.is_some())
}

/// Forgets a file whose bytes are gone, and gives its room back.
pub(crate) async fn forget(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Gone {
        size: i64,
    }
    let gone: Option<Gone> =
        rows.one("DELETE FROM file WHERE tenant_id = $1 AND id = $2 RETURNING size", [id.into()]).await?;
    let Some(Gone { size }) = gone else { return Ok(()) };
    let sql = "UPDATE file_usage SET bytes = CASE WHEN bytes > $2 THEN bytes - $2 ELSE 0 END WHERE tenant_id = $1";
    rows.execute(sql, [size.into()]).await
}

/// Files of every tenant that were taken out, or that were begun before this time and that no message names; in the order of ids, after this
/// one.
pub(crate) async fn unused(
    store: &Store,
    before: i64,
    after: &str,
    limit: u64,
) -> Result<Vec<(TenantId, String)>, StoreError> {
    #[derive(FromQueryResult)]
    struct Unused {
        tenant_id: String,
        id: String,
    }
    let sql = "SELECT tenant_id, id FROM file
         WHERE (deleted_at IS NOT NULL OR (created_at < $1 AND message_id IS NULL)) AND id > $2 ORDER BY id LIMIT $3";
    let backend = store.across_tenants().get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [before.into(), after.into(), limit.into()]);
    let found = Unused::find_by_statement(statement).all(store.across_tenants()).await?;
    Ok(found.into_iter().filter_map(|file| Some((file.tenant_id.parse().ok()?, file.id))).collect())
}

pub(crate) fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "There is no such file, or not any more.")
}

pub(crate) fn quota_exceeded() -> ApiError {
    ApiError::new(
        ErrorCode::StorageQuotaExceeded,
        "This tenant keeps as many bytes of files as it may (storage_gb_quota). Delete files, or ask the platform's operator for more.",
    )
}
