//! The body of an answer that does not exist as a whole: a stream, or a long list.
//!
//! Its connection may be evicted like one without a request. For the order of evictions, it has been
//! idle since the last part of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::slots::Slot;

/// A body that tells the slot of its connection when it sends a part.
#[derive(Debug)]
struct Sending {
    body: Body,
    slot: Arc<Slot>,
}

/// Watches the body of an answer, unless it is there as a whole.
pub(super) fn watched(answer: Response, slot: &Arc<Slot>) -> Response {
    if answer.body().size_hint().exact().is_some() {
        return answer;
    }
    answer.map(|body| Body::new(Sending { body, slot: slot.clone() }))
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.slot.is_idle_since_now();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
