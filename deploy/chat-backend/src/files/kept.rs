//! The files of every tenant: kept, named by messages, read, deleted.

use std::sync::Arc;

use axum::body::Body;
use sea_orm::ConnectionTrait;
use service::ApiError;
use url::Url;
use wire::{ErrorCode, TenantId, attachments::Attachment};

use super::{
    content,
    objects::{FileStream, Objects, ObjectsError},
};
use crate::{
    config::FilesConfig,
    records::files::{self, FileRow, NewFile, Reserved},
    store::{OfTenant, Store, commit, unavailable},
};

/// The files of every tenant.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    objects: Objects,
    pub(super) store: Store,
    /// Where gateways serve files, without a trailing slash.
    base: Arc<str>,
}

impl Files {
    /// # Errors
    /// Those of the object store.
    pub(crate) fn open(config: &FilesConfig, store: Store) -> Result<Self, ObjectsError> {
        let base = config.base_url.as_str().trim_end_matches('/').into();
        Ok(Self { objects: Objects::open(&config.url, &config.s3_options)?, store, base })
    }

    /// Keeps a file. If the caller leaves half-way, nothing of the file stays.
    ///
    /// # Errors
    /// `storage_quota_exceeded`, `malformed_request`, `store_unavailable`.
    pub(crate) async fn keep(&self, tenant_id: TenantId, new: NewFile, body: Body) -> Result<Attachment, ApiError> {
        let this = self.clone();
        // A task of its own: a caller who leaves now must not keep the reservation from being given back.
        let keeping = tokio::spawn(async move { this.keep_to_the_end(tenant_id, new, body).await });
        keeping.await.unwrap_or_else(|_| Err(ApiError::internal("a file was not kept to its end")))
    }

    async fn keep_to_the_end(&self, tenant_id: TenantId, new: NewFile, body: Body) -> Result<Attachment, ApiError> {
        let id = self.reserve(tenant_id, &new).await?;
        let kept = match self.objects.write(tenant_id, &id, body, new.bytes).await {
            Ok(head) => {
                let shown_as = content::shown_as(&new.mime, &head);
                let noted = files::note_stored(&self.store.of(tenant_id), &id, shown_as).await;
                noted.map_err(unavailable).and_then(|is_there| if is_there { Ok(()) } else { Err(files::not_found()) })
            }
            Err(error) => Err(error.into_refusal()),
        };
        if let Err(refusal) = kept {
            // If the file cannot be dropped now, the sweeper drops it soon.
            let _ = files::take_out(&self.store.of(tenant_id), &id).await;
            self.drop_file(tenant_id, &id).await;
            return Err(refusal);
        }
        Ok(self.attachment(tenant_id, &id, new))
    }

    /// Takes the room before the bytes come.
    async fn reserve(&self, tenant_id: TenantId, new: &NewFile) -> Result<String, ApiError> {
        let transaction = self.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        match files::reserve(&rows, new).await.map_err(unavailable)? {
            Reserved::As(id) => {
                commit(transaction).await?;
                Ok(id)
            }
            Reserved::Full => Err(files::quota_exceeded()),
        }
    }

    /// Removes a file's bytes, and its row after them. Answers whether both are gone; if not, the sweeper tries again.
    pub(super) async fn drop_file(&self, tenant_id: TenantId, id: &str) -> bool {
        let dropped = async {
            self.objects.delete(tenant_id, id).await.map_err(ObjectsError::into_refusal)?;
            let transaction = self.store.begin().await.map_err(unavailable)?;
            files::forget(&OfTenant::new(&transaction, tenant_id), id).await.map_err(unavailable)?;
            commit(transaction).await
        };
        match dropped.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%tenant_id, id, cause = error.cause(), "a file that nobody needs was not removed: the sweeper tries again");
                false
            }
        }
    }

    fn attachment(&self, tenant_id: TenantId, id: &str, file: NewFile) -> Attachment {
        let url = self.address(tenant_id, id, &file.name);
        Attachment { kind: file.kind().to_owned(), mime: file.mime, size: file.bytes, url, name: Some(file.name) }
    }

    fn address(&self, tenant_id: TenantId, id: &str, name: &str) -> String {
        format!("{}{}", self.prefix(tenant_id), content::path(id, name))
    }

    /// What the address of each of a tenant's files begins with.
    fn prefix(&self, tenant_id: TenantId) -> String {
        format!("{}/api/v1/attachments/{tenant_id}/", self.base)
    }

    /// A file that was kept, and its bytes.
    ///
    /// # Errors
    /// `not_found`, `store_unavailable`.
    pub(crate) async fn find(&self, tenant_id: TenantId, id: &str) -> Result<FileRow, ApiError> {
        let found = files::find(&self.store.of(tenant_id), id).await.map_err(unavailable)?;
        found.filter(FileRow::is_stored).ok_or_else(files::not_found)
    }

    /// # Errors
    /// `not_found`, `store_unavailable`.
    pub(crate) async fn read(&self, tenant_id: TenantId, id: &str) -> Result<FileStream, ApiError> {
        self.objects.read(tenant_id, id).await.map_err(ObjectsError::into_refusal)
    }

    /// Removes a file, even if a message names it. That message keeps the file's name and address, which answers 404 from now on.
    ///
    /// # Errors
    /// `not_found`, `store_unavailable`.
    pub(crate) async fn delete(&self, tenant_id: TenantId, id: &str) -> Result<(), ApiError> {
        let rows = self.store.of(tenant_id);
        if !files::take_out(&rows, id).await.map_err(unavailable)? {
            return Err(files::not_found());
        }
        if self.drop_file(tenant_id, id).await {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::StoreUnavailable,
            "Nobody reads the file any more, and its bytes are not removed yet: the chat backend tries again by itself.",
        ))
    }

    /// Checks which files a message names. Answers the attachments, of files that are kept here as they were kept, and the ids of those files:
    /// the caller notes the message of each.
    ///
    /// A visitor may name the files that its own session has sent, each in one message. An operator may name the files that it has sent, and
    /// addresses elsewhere. The tenant (no `sender`) may name any address.
    ///
    /// # Errors
    /// `validation_failed`, `store_unavailable`.
    pub(crate) async fn claim(
        &self,
        rows: &OfTenant<'_, impl ConnectionTrait>,
        sender: Option<&str>,
        named: Vec<Attachment>,
    ) -> Result<(Vec<Attachment>, Vec<String>), ApiError> {
        let is_visitor = sender.is_some_and(|sender| sender.starts_with("visitor:"));
        let (mut attachments, mut ids) = (Vec::with_capacity(named.len()), Vec::new());
        for (index, attachment) in named.into_iter().enumerate() {
            let refuse = |why: &str| ApiError::field(format!("attachments[{index}].url"), why);
            let Some(id) = self.id_in(rows.tenant_id(), &attachment.url) else {
                if is_visitor {
                    return Err(refuse(
                        "must be of a file that this session has sent: POST /api/v1/upload/attachment answers it",
                    ));
                }
                attachments.push(attachment);
                continue;
            };
            let found = files::find(rows, &id).await.map_err(unavailable)?.filter(FileRow::is_stored);
            let Some(sender) = sender else {
                // A file that the tenant names stays with that message, unless it is another's already.
                ids.extend(found.filter(|row| row.message_id.is_none() && !ids.contains(&row.id)).map(|row| row.id));
                attachments.push(attachment);
                continue;
            };
            let row = found.filter(|row| row.uploader == sender).ok_or_else(|| {
                refuse("names no file that was sent here by the same person, or one that was removed after a day")
            })?;
            if row.message_id.is_some() || ids.contains(&row.id) {
                return Err(refuse("names a file that stands in a message already: send the file again"));
            }
            ids.push(row.id.clone());
            attachments.push(row.as_attachment(self.address(rows.tenant_id(), &row.id, &row.name)));
        }
        Ok((attachments, ids))
    }

    /// The id of a tenant's file in its address, however that is spelt.
    fn id_in(&self, tenant_id: TenantId, address: &str) -> Option<String> {
        let address = Url::parse(address).ok()?;
        let prefix = Url::parse(&self.prefix(tenant_id)).ok()?;
        if address.origin() != prefix.origin() {
            return None;
        }
        let rest = address.path().strip_prefix(prefix.path())?;
        Some(rest.split('/').next()?.to_owned())
    }
}
