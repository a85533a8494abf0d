//! A feed of events over HTTP: pages, pages that are waited for, and streams (R29).
//!
//! A service makes a [`Feed`] from its journal. A reader follows it with a cursor, which is good for
//! ever, and gets each entry of the journal once and in order. Events are CloudEvents 1.0 in JSON.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use platform::failure::{Chain, Failure};
use platform::journal::{Journal, Position, Recorded, Tail};
use platform::keys::Principal;
use platform::pairing::DatabaseId;
use platform::telemetry::Metrics;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Query;
use crate::auth::{Access, Authenticator};
use crate::limits::Limits;
use crate::problem::Problem;
use crate::program::Context;
use cursor::{After, Cursors, Mark};
pub use description::{FeedHeaders, FeedQuery};
use documents::Documents;
use request::{Asked, Filter, Shown};
use stream::Stream;

mod cursor;
mod description;
mod documents;
mod request;
mod stream;
mod summary;

#[cfg(test)]
mod tests;

/// The version of CloudEvents that the events have.
pub const SPEC_VERSION: &str = "1.0";
/// The media type of the data of an event.
pub const DATA_CONTENT_TYPE: &str = "application/json";
/// What the types of all events begin with. A client may leave it out.
pub const TYPE_PREFIX: &str = "dev.lastro.";

/// The most entries that one request looks at for events of the types that it asks for.
const MAX_SCANNED: u32 = 10_000;
/// How many of them are read at a time.
const CHUNK: u32 = 1000;
/// How many entries are read at a time to check a cursor: as many as most transactions make.
const CHECKED: u32 = 100;
/// How many streams may scan at the same time for events that may be rare.
const SCANS: usize = 2;

/// The journal of a service as events.
#[async_trait]
pub trait EventSource: fmt::Debug + Send + Sync + 'static {
    /// An entry of the journal, which says little more than what the event is about.
    type Entry: Send + Sync;
    /// An event with its data.
    type Event: Serialize + Send + Sync;

    /// All types that its events may have.
    const TYPES: &'static [&'static str];

    /// Returns the type of the entry's event, which is one of [`Self::TYPES`].
    fn event_type(entry: &Self::Entry) -> &'static str;

    /// Returns the id of the entry's event, which no other event has.
    fn id(entry: &Self::Entry) -> String;

    /// Whether the entry can be read. One that is damaged may have another id than before.
    fn is_readable(_: &Self::Entry) -> bool {
        true
    }

    /// Returns the subject of the entry's event; `None` if it cannot be read.
    fn subject(entry: &Self::Entry) -> Option<String>;

    /// Reads up to `limit` entries from this position on.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn made(&self, from: Position, limit: u32)
    -> Result<Vec<Recorded<Self::Entry>>, Failure>;

    /// Returns the events of these entries, one for each and in the same order.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn events(&self, entries: Vec<Self::Entry>) -> Result<Vec<Self::Event>, Failure>;
}

/// The journal that a feed follows.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The database of the journal. A cursor of another database is refused.
    pub database: DatabaseId,
    /// Tells where the journal ends.
    pub journal: Arc<dyn Journal>,
    /// The end of the journal as the process knows it.
    pub tail: Arc<Tail>,
}

/// A feed of events.
#[derive(Debug)]
pub struct Feed<S> {
    service: &'static str,
    source: S,
    journal: Arc<dyn Journal>,
    tail: Arc<Tail>,
    cursors: Cursors,
    authenticator: Authenticator,
    limits: Arc<Limits>,
    metrics: Metrics,
    /// The longest time in which a stream sends nothing.
    heartbeat: Duration,
    stopping: CancellationToken,
    /// One permit for each stream that scans now.
    scans: Semaphore,
    /// Whether the streams cannot read now.
    is_failing: AtomicBool,
}

/// A page of a feed.
#[derive(Debug, Serialize)]
struct PageView {
    data: Vec<Box<RawValue>>,
    next_cursor: String,
}

/// Where a reader is in the journal.
#[derive(Clone, Copy, Debug)]
struct Reader {
    /// The next entry to read.
    at: Position,
    /// What its cursor encodes: the mark behind the last entry that it has read.
    mark: Mark,
}

/// What one read has found.
#[derive(Debug)]
struct Found<T> {
    entries: Vec<Recorded<T>>,
    /// Behind the last entry that was looked at.
    next: Reader,
    /// Whether there may be more entries behind it now.
    has_more: bool,
}

impl<S: EventSource> Feed<S> {
    /// The feed of a service that shows `source`.
    pub fn new(
        service: &'static str,
        source: S,
        followed: Followed,
        context: &Context,
    ) -> Arc<Self> {
        let Followed { database, journal, tail } = followed;
        context.metrics.feed_starts_at_zero(service);
        Arc::new(Self {
            service,
            source,
            journal,
            tail,
            cursors: Cursors::of(service, database),
            authenticator: context.authenticator_of(service),
            limits: context.limits.clone(),
            metrics: context.metrics.clone(),
            heartbeat: context.heartbeat,
            stopping: context.stopping.clone(),
            scans: Semaphore::new(SCANS),
            is_failing: AtomicBool::new(false),
        })
    }

    /// Answers a request for events: with a page or, if the client accepts `text/event-stream`, with
    /// a stream, which ends as soon as the key or token of the client is not accepted any more.
    ///
    /// # Errors
    ///
    /// - 422 `invalid_request` with every fault of the parameters.
    /// - 400 `invalid_cursor` for a cursor of another database, or one beyond the end.
    /// - 429 `rate_limited` and 503 `overloaded` if too many streams are open: of the key, or of the
    ///   process.
    /// - 503 `storage_unavailable` if the journal cannot be read now.
    pub async fn answer(
        self: &Arc<Self>,
        client: &Principal,
        headers: &HeaderMap,
        query: Query,
    ) -> Result<Response, Problem> {
        let asked = Asked::read(S::TYPES, headers, query)?;
        let from = self.reader(asked.after).await?;
        let access = || Access::of(&self.authenticator, headers, client);
        match asked.shown {
            Shown::Page { limit, wait } => {
                let deadline = wait.map(|wait| Instant::now() + wait.duration());
                let page = self.page(from, &asked.filter, limit, deadline).await?;
                let applied = wait.map(|wait| [wait.applied()]);
                Ok((applied, Json(page)).into_response())
            }
            Shown::Events { limit } => {
                let permits = self.limits.stream(client)?;
                let stream = Stream::of_events(self.clone(), permits, from, asked.filter, limit);
                Ok(stream.response(access()))
            }
            Shown::Summaries { every } => {
                let permits = self.limits.stream(client)?;
                let stream = Stream::of_summaries(self.clone(), permits, from, asked.filter, every);
                Ok(stream.response(access()))
            }
        }
    }

    /// Returns where to begin.
    async fn reader(&self, after: After) -> Result<Reader, Problem> {
        let mark = match after {
            After::Nothing => Mark::at(Position::START),
            After::Latest => Mark::at(Position::behind(self.end().await?)),
            After::Cursor(cursor) => {
                let mark = self.cursors.decode(&cursor)?;
                self.check(mark).await?;
                mark
            }
        };
        Ok(Reader { at: mark.position, mark })
    }

    /// Checks that the journal has what a client has read. A database that was restored to an older
    /// state has less, or has made something else since.
    async fn check(&self, mark: Mark) -> Result<(), Problem> {
        let Mark { position, print } = mark;
        // Another replica may have given out the cursor a moment ago.
        let is_known = position <= Position::behind(self.tail.last());
        if !is_known && position > Position::behind(self.end().await?) {
            return Err(cursor::not_reached());
        }
        let Some(print) = print else { return Ok(()) };
        let mut at = mark.row();
        loop {
            let made = self.source.made(at, CHECKED).await?;
            for Recorded { entry, next } in &made {
                let is_same = || !S::is_readable(entry) || Mark::print(&S::id(entry)) == print;
                if *next == position && is_same() {
                    return Ok(());
                }
            }
            match made.last() {
                Some(last) if last.next < position => at = last.next,
                _ => return Err(cursor::not_reached()),
            }
        }
    }

    /// Reads the highest number that is in the journal now.
    async fn end(&self) -> Result<i64, Failure> {
        let last = self.journal.number().await?.last;
        self.tail.reached(last);
        Ok(last)
    }

    /// Reads a page. With a deadline, waits for an event until then.
    async fn page(
        &self,
        from: Reader,
        filter: &Filter,
        limit: u32,
        deadline: Option<Instant>,
    ) -> Result<PageView, Failure> {
        let mut reader = from;
        loop {
            let found = self.find(reader, filter, limit).await?;
            reader = found.next;
            let is_over = deadline.is_none_or(|deadline| deadline <= Instant::now());
            if !found.entries.is_empty() || found.has_more || is_over {
                return self.page_of(found).await;
            }
            let deadline = deadline.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return self.page_of(found).await,
                () = self.tail.wait_for(reader.at) => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    async fn page_of(&self, found: Found<S::Entry>) -> Result<PageView, Failure> {
        let Documents { messages, next } = self.documents(found).await?;
        self.metrics.feed_events_sent(self.service, messages.len());
        let data = messages.into_iter().map(|message| message.data).collect();
        Ok(PageView { data, next_cursor: self.cursors.encode(next.mark) })
    }

    /// Reads the events of these entries.
    async fn events(&self, entries: Vec<S::Entry>) -> Result<Vec<S::Event>, Failure> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let expected = entries.len();
        let events = self.source.events(entries).await?;
        assert_eq!(events.len(), expected, "each entry has one event");
        Ok(events)
    }

    /// Finds up to `limit` entries of the types that the filter admits, looking at no more than
    /// [`MAX_SCANNED`].
    async fn find(
        &self,
        from: Reader,
        filter: &Filter,
        limit: u32,
    ) -> Result<Found<S::Entry>, Failure> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Found { entries: Vec::new(), next: from, has_more: true };
        let mut scanned = 0;
        while found.entries.len() < most && scanned < MAX_SCANNED {
            // The end as it was before the read: the read sees at least as much.
            let last = self.tail.last();
            let missing = limit - u32::try_from(found.entries.len()).unwrap_or(limit);
            let asked = if filter.admits_all() { missing.min(CHUNK) } else { CHUNK };
            let made = self.source.made(found.next.at, asked).await?;
            let read = u32::try_from(made.len()).unwrap_or(u32::MAX);
            scanned += read;
            if read == 0 {
                found.next.at = found.next.at.max(Position::behind(last));
            }
            found.add(made, most, |entry| filter.admits(S::event_type(entry)), Self::mark_behind);
            if read < asked {
                found.has_more = false;
                break;
            }
        }
        Ok(found)
    }

    /// The mark behind an entry. The id of one that is damaged may change when it is repaired.
    fn mark_behind(Recorded { entry, next }: &Recorded<S::Entry>) -> Mark {
        if S::is_readable(entry) { Mark::behind(*next, &S::id(entry)) } else { Mark::at(*next) }
    }

    /// Waits for a permit to scan from here on. Near the end there is little to scan, and a stream
    /// needs no permit.
    async fn permit_to_scan(&self, from: Position) -> Option<SemaphorePermit<'_>> {
        if self.tail.last().saturating_sub(from.commit) < i64::from(CHUNK) {
            return None;
        }
        Some(self.scans.acquire().await.expect("the semaphore is never closed"))
    }

    /// Logs only the first failure of all streams, and that one can read again.
    fn streams_fail(&self, failure: Option<&Failure>) {
        let is_failing = failure.is_some();
        if self.is_failing.swap(is_failing, Ordering::Relaxed) == is_failing {
            return;
        }
        let service = self.service;
        match failure {
            Some(failure) => {
                warn!(service, error = %Chain(failure), "reading events failed, retrying");
            }
            None => warn!(service, "reading events succeeded again"),
        }
    }
}

impl<T> Found<T> {
    /// Adds those of the entries that are wanted, up to `most` in all.
    fn add(
        &mut self,
        made: Vec<Recorded<T>>,
        most: usize,
        is_wanted: impl Fn(&T) -> bool,
        mark_behind: impl Fn(&Recorded<T>) -> Mark,
    ) {
        if made.is_empty() {
            // The mark stays behind the last entry of the read before.
            return;
        }
        let mut last = None;
        for recorded in made {
            if self.entries.len() == most {
                break;
            }
            self.next.at = recorded.next;
            last = match is_wanted(&recorded.entry) {
                true => {
                    self.entries.push(recorded);
                    None
                }
                false => Some(recorded),
            };
        }
        if let Some(last) = last.as_ref().or(self.entries.last()) {
            self.next.mark = mark_behind(last);
        }
    }
}
