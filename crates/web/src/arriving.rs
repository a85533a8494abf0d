//! The body of a request while it arrives.
//!
//! A client that withholds the rest of a body must not hold a slot that others need: until the body
//! is complete, its connection may be evicted like one without a request. So may one whose answer has
//! begun.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use crate::silence::Silence;
use crate::slots::Slot;

/// A body that marks its connection busy when it is complete, or not read any more.
#[derive(Debug)]
pub(super) struct Arriving<B = Incoming> {
    body: B,
    /// The connection, until the body has arrived.
    on: Option<(Arc<Slot>, Arc<Silence>)>,
}

impl<B: HttpBody> Arriving<B> {
    /// Marks the connection of a request: busy, or evictable until the body has arrived.
    pub(super) fn on(slot: &Arc<Slot>, silence: &Arc<Silence>, body: B) -> Self {
        slot.becomes_busy();
        if body.is_end_stream() {
            return Self { body, on: None };
        }
        slot.becomes_idle();
        silence.body_arrives();
        Self { body, on: Some((slot.clone(), silence.clone())) }
    }
}

impl<B> Arriving<B> {
    fn has_arrived(&mut self) {
        if let Some((slot, silence)) = self.on.take()
            && silence.body_has_arrived()
        {
            slot.becomes_busy();
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Arriving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.has_arrived();
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

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        self.has_arrived();
    }
}
