//! An answer that holds a participant's slot until the answer is written. A change that forbids the conversation waits for the slot, so it
//! returns only after the caller has its answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Holds `held` until the answer's last piece was taken to be written, or its caller is gone.
pub(super) fn until_sent<H: Send + Unpin + 'static>(answer: Response, held: H) -> Response {
    answer.map(|body| Body::new(HeldBody { body, _held: held }))
}

struct HeldBody<H> {
    body: Body,
    _held: H,
}

impl<H: Unpin> HttpBody for HeldBody<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
