//! The body of a request, as it arrives.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::progress::Progress;

/// A request's body, which says whether it was read to its end.
pub struct RequestBody {
    incoming: Incoming,
    has_ended: bool,
    progress: Arc<Progress>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, progress: &Arc<Progress>) -> Self {
        Self { incoming, has_ended: false, progress: Arc::clone(progress) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        self.has_ended = matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let is_unread = !self.has_ended && !self.incoming.is_end_stream();
        self.progress.has_unread_body.store(is_unread, Ordering::Relaxed);
    }
}
