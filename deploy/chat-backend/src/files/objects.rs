//! The bytes of files, in a folder or an S3-compatible store.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, buffered::BufWriter, path::Path};
use secrecy::SecretString;
use service::ApiError;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, timeout_at},
};
use wire::{ErrorCode, TenantId};

use super::{content::HEAD_BYTES, s3};
use crate::files_url::FilesUrl;

/// Bytes of a part of a file: S3 takes parts of no less than 5 MiB. A few of them are held while they are sent.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// How long a file may take to come as a whole; gateways give up sooner.
const LONGEST: Duration = Duration::from_secs(330);

/// A file's bytes.
pub(crate) type FileStream = Pin<Box<dyn Stream<Item = Result<Bytes, object_store::Error>> + Send>>;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Why bytes were not written or read.
#[derive(Debug)]
pub enum ObjectsError {
    /// The body broke off, or was not of its declared length.
    Body(String),
    /// There is no such object.
    Missing,
    /// The object store.
    Store(String),
}

impl fmt::Display for ObjectsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(cause) | Self::Store(cause) => f.write_str(cause),
            Self::Missing => f.write_str("there is no such object"),
        }
    }
}

impl std::error::Error for ObjectsError {}

impl From<object_store::Error> for ObjectsError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            error => Self::Store(error.to_string()),
        }
    }
}

impl ObjectsError {
    /// What a caller is told.
    pub(super) fn into_refusal(self) -> ApiError {
        match self {
            Self::Body(cause) => {
                ApiError::new(ErrorCode::MalformedRequest, "The file did not come to its end. Send it again.")
                    .caused_by(cause)
            }
            Self::Missing => crate::records::files::not_found(),
            Self::Store(cause) => {
                tracing::error!(cause, "the store of files does not answer");
                ApiError::new(ErrorCode::StoreUnavailable, "Files cannot be kept or read right now. Try again.")
                    .retry_after_seconds(5)
                    .caused_by(cause)
            }
        }
    }
}

impl Objects {
    pub(super) fn open(FilesUrl(url): &FilesUrl, options: &[(String, SecretString)]) -> Result<Self, ObjectsError> {
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| ObjectsError::Store(format!("{url} is no folder")))?;
            std::fs::create_dir_all(&folder)
                .map_err(|error| ObjectsError::Store(format!("{}: {error}", folder.display())))?;
        }
        if url.scheme() == "s3" {
            let prefix = Path::from_url_path(url.path()).map_err(|error| ObjectsError::Store(error.to_string()))?;
            return Ok(Self { store: Arc::new(s3::open(url, options)?), prefix });
        }
        let (store, prefix) = object_store::parse_url(url)?;
        Ok(Self { store: store.into(), prefix })
    }

    fn path(&self, tenant_id: TenantId, id: &str) -> Path {
        self.prefix.clone().join(tenant_id.to_string()).join(id)
    }

    /// Writes a file, and answers its first bytes. A file that has not exactly `bytes` bytes is not kept.
    pub(super) async fn write(
        &self,
        tenant_id: TenantId,
        id: &str,
        body: Body,
        bytes: u64,
    ) -> Result<Vec<u8>, ObjectsError> {
        let mut writer = BufWriter::with_capacity(Arc::clone(&self.store), self.path(tenant_id, id), PART_BYTES);
        let (mut pieces, mut written, mut head) = (body.into_data_stream(), 0, Vec::with_capacity(HEAD_BYTES));
        // The deadline is within the loop, so that the parts of a file that takes too long are removed, too.
        let late = Instant::now() + LONGEST;
        let taken = loop {
            let Ok(next) = timeout_at(late, pieces.next()).await else {
                break Err(ObjectsError::Body("it took too long".to_owned()));
            };
            match next {
                Some(Ok(piece)) => {
                    written += piece.len() as u64;
                    if written > bytes {
                        break Err(ObjectsError::Body(format!("more than the declared {bytes} bytes")));
                    }
                    head.extend(piece.iter().take(HEAD_BYTES - head.len()));
                    if let Err(error) = writer.put(piece).await {
                        break Err(error.into());
                    }
                }
                Some(Err(error)) => break Err(ObjectsError::Body(error.to_string())),
                None if written < bytes => {
                    break Err(ObjectsError::Body(format!("{written} of the declared {bytes} bytes")));
                }
                None => break Ok(()),
            }
        };
        if let Err(error) = taken {
            // `abort` fails if no part was sent yet: there is nothing to remove then.
            let _ = writer.abort().await;
            return Err(error);
        }
        // If `shutdown` fails, it has removed the parts by itself.
        writer.shutdown().await.map_err(|error| ObjectsError::Store(error.to_string()))?;
        Ok(head)
    }

    pub(super) async fn read(&self, tenant_id: TenantId, id: &str) -> Result<FileStream, ObjectsError> {
        let found = self.store.get(&self.path(tenant_id, id)).await?;
        Ok(Box::pin(found.into_stream()))
    }

    /// Removes a file's bytes. That there are none is no error.
    pub(super) async fn delete(&self, tenant_id: TenantId, id: &str) -> Result<(), ObjectsError> {
        match self.store.delete(&self.path(tenant_id, id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
