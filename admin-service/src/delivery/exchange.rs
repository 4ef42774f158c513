//! One attempt in two steps: connect, and exchange the request for an answer.
//!
//! Between the two steps the caller checks its lease. The request is built and signed only after that check, with the secret that the
//! lease vouches for, and its first byte is written before the lease ends or never. Redirects are answers like any other: nothing
//! follows them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use wire::time::now;

use super::{
    address::Target,
    connection::Connector,
    deadline::Deadline,
    failed::{AttemptFailed, Phase},
    first_byte::{FirstByte, Guarded},
    outcome::{Answer, Outcome, excerpt},
    request::AttemptRequest,
    resolver::Resolve,
    retry_after,
};

/// How much of an answer's body is read. Bytes. What a receiver sends beyond that is not waited for.
const MOST_READ: usize = 16 * 1024;
/// The longest head of an answer. Bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// A connection on which a request can be sent. Dropping it closes the connection.
#[must_use = "the attempt has not been made yet"]
pub(crate) struct Prepared {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortOnDropHandle<Result<(), hyper::Error>>,
    first_byte: FirstByte,
    target: Target,
    deadline: Deadline,
}

/// Makes the connection: name, checks, TCP and TLS.
///
/// # Errors
/// [`AttemptFailed`]: nothing was sent.
pub(crate) async fn prepare<R: Resolve>(
    connector: &Connector<R>,
    target: &Target,
    deadline: Deadline,
) -> Result<Prepared, AttemptFailed> {
    let connection = connector.connect(target, deadline).await?;
    let first_byte = FirstByte::default();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(Guarded::new(connection, first_byte.clone())))
        .await
        .map_err(|error| failure(&error))?;
    let driver = AbortOnDropHandle::new(tokio::spawn(connection));
    Ok(Prepared { sender, driver, first_byte, target: target.clone(), deadline })
}

impl Prepared {
    /// Sends the request and reads the answer, within the deadline that the attempt began with. The connection is closed then. Answers
    /// `None` if `before` (milliseconds since boot) had come before the first byte was written: then nothing was sent. After a failed
    /// attempt the receiver may have got the request all the same.
    pub(crate) async fn send(self, request: AttemptRequest, before: u64) -> Option<Outcome> {
        let first_byte = self.first_byte.clone();
        first_byte.allow_before(before);
        let outcome = self.exchange(request).await;
        if first_byte.came_too_late() { None } else { Some(outcome) }
    }

    async fn exchange(mut self, request: AttemptRequest) -> Outcome {
        let AttemptRequest { headers, body } = request;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.path.clone().into();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.target.host_header.clone());
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let answer = match self.deadline.wait(Phase::Waiting, self.sender.send_request(request)).await? {
            Ok(answer) => answer,
            Err(error) if error.is_canceled() => return Err(self.why_closed().await),
            Err(error) => return Err(failure(&error)),
        };
        let (head, body) = answer.map(|body| read(body, self.deadline)).into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after: requested_pause(&head.headers),
            body: excerpt(&body.await?),
        })
    }

    /// The connection ended before the request was written, and knows why.
    async fn why_closed(self) -> AttemptFailed {
        match self.deadline.wait(Phase::Waiting, self.driver).await {
            Err(timed_out) => timed_out,
            Ok(Ok(Err(error))) => failure(&error),
            Ok(_) => AttemptFailed::Closed,
        }
    }
}

fn requested_pause(headers: &HeaderMap) -> Option<std::time::Duration> {
    retry_after::read(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now())
}

/// Reads a body up to its bound. A body that breaks off is as long as it got: the status has come and counts.
async fn read(mut body: Incoming, deadline: Deadline) -> Result<Vec<u8>, AttemptFailed> {
    let mut read = Vec::new();
    while read.len() < MOST_READ {
        match deadline.wait(Phase::Reading, body.frame()).await? {
            Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Some(Err(_)) | None => break,
        }
    }
    Ok(read)
}

/// Names what hyper met: a failed read or write, an early end, or bytes that are not HTTP.
fn failure(error: &hyper::Error) -> AttemptFailed {
    let is_io = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    if is_io || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        AttemptFailed::Closed
    } else {
        AttemptFailed::NotHttp
    }
}

#[cfg(test)]
mod tests;
