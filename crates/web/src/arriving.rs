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
    on: Option<On>,
}

/// A connection on which a body arrives.
#[derive(Debug)]
struct On {
    slot: Arc<Slot>,
    silence: Arc<Silence>,
    /// The number under which the connection is idle until the body has arrived.
    idle_as: u64,
}

impl<B: HttpBody> Arriving<B> {
    /// Marks the connection of a request: busy, or evictable until the body has arrived.
    pub(super) fn on(slot: &Arc<Slot>, silence: &Arc<Silence>, body: B) -> Self {
        slot.becomes_busy();
        if body.is_end_stream() {
            return Self { body, on: None };
        }
        let idle_as = slot.becomes_idle();
        silence.body_arrives();
        let on = On { slot: slot.clone(), silence: silence.clone(), idle_as };
        Self { body, on: Some(on) }
    }
}

impl<B> Arriving<B> {
    fn has_arrived(&mut self) {
        if let Some(On { slot, silence, idle_as }) = self.on.take() {
            silence.body_has_arrived();
            slot.body_has_arrived(idle_as);
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
