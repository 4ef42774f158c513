//! A file on its way to the chat backend: its body is sent on as it arrives, under HMAC#2 without the body. PROTOCOL.md, section 5.12.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use service::ApiError;
use tokio::time::{Sleep, sleep, timeout};
use tower::BoxError;
use wire::{
    ErrorCode, TenantId,
    request_id::{RequestId, X_REQUEST_ID},
    time::now_unix_ms,
};

use super::{
    chat_backend::{Backend, Signed},
    upload_client::ArrivingBody,
    upstream_error::UpstreamError,
};

/// Where the chat backend takes files: the one path whose bodies are not signed.
const PATH: &str = "upload/attachment";

/// How long an upload may take as a whole.
const LONGEST: Duration = Duration::from_secs(300);

/// Bytes that the chat backend's answer to an upload may have.
const ANSWER_BYTES: usize = 64 * 1024;

/// How a body ended.
#[derive(Clone, Copy)]
enum Ended {
    /// All of it has arrived.
    Whole,
    /// It broke off, or was longer than declared.
    Broken,
    /// The next piece did not arrive in time.
    Late,
}

/// A file that is sent on.
pub(crate) struct Upload<'a, B> {
    pub(crate) tenant_id: TenantId,
    /// `visitor:<session>` or `operator:<id>`.
    pub(crate) actor: &'a str,
    pub(crate) request_id: &'a RequestId,
    /// The file's name, and what the relay says of it.
    pub(crate) query: &'a str,
    pub(crate) mime: HeaderValue,
    /// How many bytes it has.
    pub(crate) bytes: u64,
    pub(crate) body: B,
    /// How long the next piece may take to arrive.
    pub(crate) patience: Duration,
}

impl Backend {
    /// Sends a file on, and answers what the chat backend says of it: a status and JSON.
    ///
    /// # Errors
    /// `request_timeout` where the file does not arrive in time; `backend_*`.
    pub(crate) async fn upload<B>(&self, upload: Upload<'_, B>) -> Result<(StatusCode, Bytes), ApiError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
    {
        let Upload { tenant_id, actor, request_id, query, mime, bytes, body, patience } = upload;
        let path = self.upstream.path(PATH, Some(query))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, mime);
        if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(X_REQUEST_ID, id);
        }
        self.sign(
            &mut headers,
            &Method::POST,
            path.as_str(),
            &Signed { tenant_id, actor, at_ms: now_unix_ms(), body: None },
        );
        let ended = Arc::new(OnceLock::new());
        let body = Arriving { body, left: bytes, patience, silence: None, ended: Arc::clone(&ended) };
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = at(self.upstream.target(), path)?;
        *request.headers_mut() = headers;

        let started = Instant::now();
        let exchanged = timeout(LONGEST, self.exchange_upload(request)).await;
        let answer = exchanged.unwrap_or(Err(UpstreamError::Timeout("five minutes")));
        // If the sender is to blame, the failure says nothing of the chat backend, and must not open its circuit breaker.
        match (answer, ended.get()) {
            (Err(_), Some(Ended::Late)) => {
                Err(ApiError::new(ErrorCode::RequestTimeout, "The file did not arrive in time. Send it again."))
            }
            (Err(_), Some(Ended::Broken)) => {
                Err(ApiError::new(ErrorCode::MalformedRequest, "The file could not be read to its end. Send it again."))
            }
            // Each piece came in time, and the whole file did not.
            (Err(UpstreamError::Timeout(_)), None) => {
                Err(ApiError::new(ErrorCode::RequestTimeout, "The file took too long to arrive. Send a smaller one."))
            }
            (answer, _) => {
                self.upstream.exchanged(answer.as_ref().map(|(status, _)| *status), started);
                answer.map_err(UpstreamError::into_backend_error)
            }
        }
    }

    async fn exchange_upload(&self, request: Request<ArrivingBody>) -> Result<(StatusCode, Bytes), UpstreamError> {
        let answer = self.uploads.request(request).await.map_err(|error| {
            if error.is_connect() {
                UpstreamError::Unreachable(error.to_string())
            } else {
                UpstreamError::Broken(error.to_string())
            }
        })?;
        let (parts, body) = answer.into_parts();
        self.upstream.check_accepted(parts.status, &parts.headers)?;
        let body = Limited::new(body, ANSWER_BYTES).collect().await;
        Ok((parts.status, body.map_err(|error| UpstreamError::Broken(error.to_string()))?.to_bytes()))
    }
}

fn at(target: &Uri, path: PathAndQuery) -> Result<Uri, ApiError> {
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(ApiError::internal)
}

/// A body as it arrives. It fails if a piece is late, or if it has not exactly its declared length.
struct Arriving<B> {
    body: B,
    left: u64,
    patience: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    ended: Arc<OnceLock<Ended>>,
}

impl<B> Arriving<B> {
    fn count(&mut self, piece: Frame<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        let bytes = piece.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self.left.checked_sub(bytes).ok_or("more bytes than were declared")?;
        Ok(piece)
    }

    /// Notes how the body ended; the first note stays.
    fn end(&self, how: Ended) {
        let _ = self.ended.set(how);
    }
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(piece) = Pin::new(&mut self.body).poll_frame(cx) {
            self.silence = None;
            let counted = match piece {
                None if self.left == 0 => return Poll::Ready(None),
                None => Err("fewer bytes than were declared".into()),
                Some(piece) => piece.map_err(Into::into).and_then(|piece| self.count(piece)),
            };
            match &counted {
                Err(_) => self.end(Ended::Broken),
                Ok(_) if self.left == 0 => self.end(Ended::Whole),
                Ok(_) => {}
            }
            return Poll::Ready(Some(counted));
        }
        let patience = self.patience;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(silence.as_mut().poll(cx));
        self.end(Ended::Late);
        Poll::Ready(Some(Err("the next piece did not arrive in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
