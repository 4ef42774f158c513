//! Reading a request's body: bounded in size and in time, and given up at the first byte too many.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::error::ApiError;
use wire::{ErrorCode, signature::BodyDigest};

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyBounds {
    /// Bytes, at most.
    pub limit: usize,
    /// How long the next piece may take to arrive.
    pub idle_timeout: Duration,
    /// How long all of it may take.
    pub total_timeout: Duration,
}

/// Where the memory for a body that is waited for is counted.
pub trait Room {
    /// Takes so many bytes in all, before they are there.
    ///
    /// # Errors
    /// What the caller is told where there is no room.
    fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError>;
}

/// Not counted: for callers who are few and known.
impl Room for () {
    fn grow_to(&mut self, _: usize) -> Result<(), ApiError> {
        Ok(())
    }
}

/// The memory of a body without a declared length is taken in steps of so many bytes.
const STEP: usize = 64 * 1024;

/// The next piece, within its own time and that of the whole, which begins with the first that is waited for. Most are there
/// already, and need neither a timer nor a look at the clock.
async fn next_piece<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    bounds: BodyBounds,
    deadline: &mut Option<Instant>,
    reserve: impl FnOnce() -> Result<(), ApiError>,
) -> Result<Option<Result<Frame<Bytes>, B::Error>>, ApiError> {
    if let Some(piece) = body.frame().now_or_never() {
        let is_late = deadline.is_some_and(|deadline| Instant::now() > deadline);
        return if is_late { Err(too_slow()) } else { Ok(piece) };
    }
    reserve()?;
    let now = Instant::now();
    let deadline = *deadline.get_or_insert(now + bounds.total_timeout);
    let late = deadline.min(now + bounds.idle_timeout);
    tokio::time::timeout_at(late, body.frame()).await.map_err(|_| too_slow())
}

fn too_slow() -> ApiError {
    ApiError::new(ErrorCode::RequestTimeout, "The body did not arrive in time. Send the request again.")
}

/// Reads a body whole and hashes it as it arrives. A declared length over the limit is refused unread. What is waited for is
/// counted in `room` first.
///
/// # Errors
/// [`ErrorCode::BodyTooLarge`], [`ErrorCode::RequestTimeout`], or [`ErrorCode::MalformedRequest`] where the
/// connection breaks or the framing is wrong; and what `room` says.
pub async fn read<B>(
    headers: &HeaderMap,
    mut body: B,
    bounds: BodyBounds,
    room: &mut impl Room,
) -> Result<(Bytes, BodyDigest), ApiError>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let too_large = || {
        ApiError::new(ErrorCode::BodyTooLarge, format!("The body may have at most {} bytes. Send less.", bounds.limit))
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    let capacity = match declared.map(usize::try_from) {
        None => 0,
        Some(Ok(length)) if length <= bounds.limit => length,
        Some(_) => return Err(too_large()),
    };

    let mut deadline = None;
    let mut hasher = Sha256::new();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0_usize;
    loop {
        let needed = if declared.is_some() { capacity } else { length.next_multiple_of(STEP).max(STEP) };
        let reserve = || room.grow_to(needed.min(bounds.limit));
        let Some(frame) = next_piece(&mut body, bounds, &mut deadline, reserve).await? else { break };
        let frame = frame.map_err(|error| {
            ApiError::new(ErrorCode::MalformedRequest, "The body could not be read to its end. Send the request again.")
                .caused_by(error)
        })?;
        let Ok(chunk) = frame.into_data() else { continue };
        length += chunk.len();
        if length > bounds.limit {
            return Err(too_large());
        }
        hasher.update(&chunk);
        // Most bodies come in one piece, which is passed on as it is.
        match &first {
            None => first = Some(chunk),
            Some(begin) => {
                if rest.is_empty() {
                    rest.reserve(capacity.max(length));
                    rest.extend_from_slice(begin);
                }
                rest.extend_from_slice(&chunk);
            }
        }
    }
    let whole = if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() };
    Ok((whole, BodyDigest::from_hasher(hasher)))
}

/// The body as a JSON object; an empty body is the empty object.
///
/// # Errors
/// [`ErrorCode::MalformedJson`], or [`ErrorCode::ValidationFailed`] where the JSON is not an object.
pub fn json_object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::field("body", "must be a JSON object")),
        Err(error) => Err(ApiError::new(ErrorCode::MalformedJson, format!("The body is not JSON: {error}."))),
    }
}

/// Refuses a body with an encoding, where what is read here is JSON as it is.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`].
pub fn check_not_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter().filter(|coding| !coding.is_empty());
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "The body has a Content-Encoding, which is not read here: send it unencoded, without that header.",
    ))
}
