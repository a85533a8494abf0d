//! A feed as server-sent events. The client sets the pace: a stream reads the next page when the
//! last one was taken, and nothing is kept for a client that takes none.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderName, header};
use platform::failure::Failure;
use platform::telemetry::Metrics;
use tokio::time::{Instant, sleep_until};

use super::cursor::Mark;
use super::documents::{Documents, Message, json};
use super::request::{EVENT_STREAM, Filter};
use super::summary::Summary;
use super::{EventSource, Feed, Found, MAX_SCANNED, Reader};
use crate::auth::Access;
use crate::limits::Permits;

/// When a client that was cut off comes back, in milliseconds.
const RETRY_MS: u32 = 2000;
/// The shortest pause between two reads at the end of the journal, and between two that find
/// nothing: the next read serves all that was made meanwhile.
const PACE: Duration = Duration::from_millis(50);
/// The pause after a read that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Tells a proxy to pass on what it gets at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One stream of one client.
#[derive(Debug)]
pub(super) struct Stream<S> {
    feed: Arc<Feed<S>>,
    filter: Filter,
    shows: Shows,
    reader: Reader,
    /// The mark that was sent last; `None` before the first message.
    last_sent: Option<Mark>,
    ready: VecDeque<Message>,
    next_read: Instant,
    heartbeat_at: Instant,
    _open: Open,
}

/// What a stream makes of the entries.
#[derive(Clone, Copy, Debug)]
enum Shows {
    Events { limit: u32 },
    Summaries { every: Duration },
}

/// An open stream in the metrics and in the limits.
#[derive(Debug)]
struct Open {
    service: &'static str,
    metrics: Metrics,
    /// `None` once they are given back.
    permits: Option<Permits>,
}

impl Open {
    fn new(service: &'static str, metrics: Metrics, permits: Permits) -> Self {
        metrics.feed_stream_opened(service);
        Self { service, metrics, permits: Some(permits) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A client that sees in the metrics that the stream is closed can open the next one.
        drop(self.permits.take());
        self.metrics.feed_stream_closed(self.service);
    }
}

impl<T> Found<T> {
    /// The pause until the next read of events: none while the client takes what there is. A read
    /// that found nothing in many entries is followed by a pause, so that a stream for rare events
    /// leaves the database to others.
    fn pause(&self) -> Duration {
        if self.has_more && !self.entries.is_empty() { Duration::ZERO } else { PACE }
    }
}

impl<S: EventSource> Stream<S> {
    /// A stream of events, which are read up to `limit` at a time.
    pub(super) fn of_events(
        feed: Arc<Feed<S>>,
        permits: Permits,
        from: Reader,
        filter: Filter,
        limit: u32,
    ) -> Self {
        Self::new(feed, permits, from, filter, Shows::Events { limit })
    }

    /// A stream of summaries, at most one in this time.
    pub(super) fn of_summaries(
        feed: Arc<Feed<S>>,
        permits: Permits,
        from: Reader,
        filter: Filter,
        every: Duration,
    ) -> Self {
        Self::new(feed, permits, from, filter, Shows::Summaries { every })
    }

    fn new(
        feed: Arc<Feed<S>>,
        permits: Permits,
        reader: Reader,
        filter: Filter,
        shows: Shows,
    ) -> Self {
        let now = Instant::now();
        Self {
            filter,
            shows,
            reader,
            last_sent: None,
            ready: VecDeque::new(),
            next_read: now,
            heartbeat_at: now + feed.heartbeat,
            _open: Open::new(feed.service, feed.metrics.clone(), permits),
            feed,
        }
    }

    /// The response, which ends when the service stops, and with the access of the client. It then
    /// comes back, and learns why.
    pub(super) fn response(self, access: Access) -> Response {
        let body = unfold((self, access), |(mut stream, mut access)| async move {
            let bytes = tokio::select! {
                biased;
                _ = access.ended() => None,
                bytes = stream.next() => bytes,
            };
            Some((Ok::<_, Infallible>(bytes?), (stream, access)))
        });
        let headers = [
            (header::CONTENT_TYPE, EVENT_STREAM),
            (header::CACHE_CONTROL, "no-store"),
            (X_ACCEL_BUFFERING, "no"),
        ];
        (headers, Body::from_stream(body)).into_response()
    }

    /// Waits for what is to be sent next; `None` when the service stops (R19).
    async fn next(&mut self) -> Option<Bytes> {
        let feed = self.feed.clone();
        if self.last_sent.is_none() {
            // A client that is cut off before the first event continues here, and not at what is the
            // end then.
            let id = self.id_line(self.reader.mark);
            return Some(format!("retry: {RETRY_MS}\n{id}\n").into());
        }
        loop {
            if feed.stopping.is_cancelled() {
                return None;
            }
            if let Some(message) = self.ready.pop_front() {
                return Some(self.send(message));
            }
            let (at, next_read, scans) = (self.reader.at, self.next_read, self.scans());
            let news = async {
                sleep_until(next_read).await;
                feed.tail.wait_for(at).await;
                if scans { feed.permit_to_scan(at).await } else { None }
            };
            let _permit = tokio::select! {
                biased;
                () = feed.stopping.cancelled() => return None,
                () = sleep_until(self.heartbeat_at) => return Some(self.heartbeat()),
                permit = news => permit,
            };
            tokio::select! {
                biased;
                () = feed.stopping.cancelled() => return None,
                () = self.read() => {}
            }
        }
    }

    /// Whether a read may look at far more entries than it has messages for.
    fn scans(&self) -> bool {
        !self.filter.admits_all() || matches!(self.shows, Shows::Summaries { .. })
    }

    /// Reads what comes next. After a failure, it tries again: a client that was refused would not
    /// come back by itself.
    async fn read(&mut self) {
        let read = match self.shows {
            Shows::Events { limit } => self.read_events(limit).await,
            Shows::Summaries { every } => self.read_summary(every).await,
        };
        self.feed.streams_fail(read.as_ref().err());
        self.next_read = Instant::now() + read.unwrap_or(PAUSE);
    }

    /// Reads a page of events. Returns the pause until the next.
    async fn read_events(&mut self, limit: u32) -> Result<Duration, Failure> {
        let found = self.feed.find(self.reader, &self.filter, limit).await?;
        let pause = found.pause();
        let all = found.entries.len();
        let Documents { messages, next } = self.feed.documents(found).await?;
        let is_cut = messages.len() < all;
        self.ready.extend(messages);
        self.reader = next;
        Ok(if is_cut { Duration::ZERO } else { pause })
    }

    /// Reads the entries of the next summary. Returns the pause until the next.
    async fn read_summary(&mut self, every: Duration) -> Result<Duration, Failure> {
        let found = self.feed.find(self.reader, &self.filter, MAX_SCANNED).await?;
        self.reader = found.next;
        if found.entries.is_empty() {
            return Ok(PACE);
        }
        let entries = found.entries.iter().map(|recorded| &recorded.entry);
        let summary = Summary::of(entries, S::event_type, S::subject);
        self.ready.push_back(Message {
            next: self.reader.mark,
            event: "summary",
            data: json(&summary),
        });
        Ok(every)
    }

    fn send(&mut self, message: Message) -> Bytes {
        let Message { next, event, data } = message;
        if let Shows::Events { .. } = self.shows {
            self.feed.metrics.feed_events_sent(self.feed.service, 1);
        }
        let id = self.id_line(next);
        format!("{id}event: {event}\ndata: {data}\n\n").into()
    }

    /// A comment, which keeps the connection open. If entries were left out, the client learns
    /// where to continue.
    fn heartbeat(&mut self) -> Bytes {
        let is_behind = self.last_sent != Some(self.reader.mark);
        let id = self.id_line(self.reader.mark);
        if is_behind { format!(":\n{id}\n").into() } else { Bytes::from_static(b":\n\n") }
    }

    /// The line with the cursor. The next heartbeat is due a while after it.
    fn id_line(&mut self, mark: Mark) -> String {
        self.last_sent = Some(mark);
        self.heartbeat_at = Instant::now() + self.feed.heartbeat;
        format!("id: {}\n", self.feed.cursors.encode(mark))
    }
}
