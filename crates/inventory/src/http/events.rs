//! `GET /api/inventory/events`.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use platform::keys::Principal;
use serde::Serialize;
use utoipa::ToSchema;
use web::Query;
use web::feed::{DATA_CONTENT_TYPE, EventSource, SPEC_VERSION};
use web::problem::{Problem, SearchProblems};

use crate::service::Service;
use crate::store::{StockFeedStore, StockMoved};

/// Where the events come from: the path of this API.
const SOURCE: &str = "/inventory";
/// The types of events.
pub const EVENT_TYPES: &[&str] = &["dev.lastro.stock.changed"];

/// What one transaction did to the stock of a product at a location, as a CloudEvent 1.0.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockEvent)]
pub struct EventView {
    /// The version of CloudEvents.
    #[schema(example = "1.0")]
    specversion: &'static str,
    /// `{product_id}/{location_id}.{to_seq}`. Whoever gets an event twice recognizes it by its id.
    #[schema(example = "789/main.7")]
    id: String,
    #[schema(example = "/inventory")]
    source: &'static str,
    /// New types may come.
    #[schema(example = "dev.lastro.stock.changed")]
    r#type: &'static str,
    /// The product and the location.
    #[schema(example = "789/main")]
    subject: String,
    /// The events with the same key come in the order in which they happened.
    #[schema(example = "789/main")]
    partitionkey: String,
    #[schema(format = "date-time")]
    time: String,
    /// `to_seq` with ten digits.
    #[schema(example = "0000000007")]
    sequence: String,
    #[schema(example = "application/json")]
    datacontenttype: &'static str,
    data: ChangeView,
}

/// The stock of a product at a location after a transaction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockChange)]
struct ChangeView {
    #[schema(example = "789")]
    product_id: String,
    #[schema(example = "main")]
    location_id: String,
    on_hand: i64,
    reserved: i64,
    available: i64,
    /// The first and the last entry in the ledger of the product at this location that the
    /// transaction made. The next event begins with the entry after `to_seq`.
    from_seq: i64,
    to_seq: i64,
}

/// A page of events, oldest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the page to readers of the API")]
struct StockEventPage {
    data: Vec<EventView>,
    /// Send it as `after` to get the next page. It is always there, and good for ever.
    next_cursor: String,
}

impl From<StockMoved> for EventView {
    fn from(moved: StockMoved) -> Self {
        let (id, subject) = (StockEvents::id(&moved), StockEvents::subject(&moved));
        let StockMoved { product_id, location_id, from_seq, to_seq, level, at_micros, .. } = moved;
        Self {
            specversion: SPEC_VERSION,
            id,
            source: SOURCE,
            r#type: EVENT_TYPES[0],
            partitionkey: subject.clone(),
            subject,
            time: Timestamp(at_micros).to_rfc3339(),
            sequence: format!("{to_seq:010}"),
            datacontenttype: DATA_CONTENT_TYPE,
            data: ChangeView {
                product_id: product_id.to_string(),
                location_id: location_id.to_string(),
                on_hand: level.on_hand,
                reserved: level.reserved,
                available: level.available(),
                from_seq,
                to_seq,
            },
        }
    }
}

/// The ledgers as events.
#[derive(Debug)]
pub struct StockEvents(pub(crate) Arc<dyn StockFeedStore>);

#[async_trait]
impl EventSource for StockEvents {
    type Entry = StockMoved;
    type Event = EventView;

    const TYPES: &'static [&'static str] = EVENT_TYPES;

    fn event_type(_: &StockMoved) -> &'static str {
        EVENT_TYPES[0]
    }

    fn id(entry: &StockMoved) -> String {
        format!("{}.{}", Self::subject(entry), entry.to_seq)
    }

    fn subject(entry: &StockMoved) -> String {
        format!("{}/{}", entry.product_id, entry.location_id)
    }

    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockMoved>>, Failure> {
        self.0.made(from, limit).await
    }

    async fn events(&self, entries: Vec<StockMoved>) -> Result<Vec<EventView>, Failure> {
        Ok(entries.into_iter().map(EventView::from).collect())
    }
}

/// Follow the events of stock
///
/// Lists every change of the stock of a product at a location, oldest first, as CloudEvents 1.0: one
/// event per transaction, with the stock after it. A cursor is good for ever, and no event is skipped:
/// read pages with `after` until one is empty, then wait with `Prefer: wait=N`. The events of one
/// product at one location come in their order; a client that repeats a request gets the same events
/// again and recognizes them by `id`.
///
/// With `Accept: text/event-stream` the same comes as server-sent events, one message per event: `id`
/// is the cursor, `event` the type, `data` the CloudEvent. A client that was cut off sends the last
/// id as `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/inventory/events", tag = "inventory", operation_id = "listStockEvents",
    params(
        ("after" = Option<String>, Query, description = "`next_cursor` of the previous page, or the id of a message of the stream: begins behind it. `latest` begins at the end. Without it, the feed begins with the first event that there is"),
        ("types" = Option<String>, Query, description = "Only events of these types, separated by commas: `dev.lastro.stock.changed` or `stock.changed`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Events per page (default 50); of a stream, how many are read at a time"),
        ("summary_ms" = Option<u32>, Query, minimum = 250, maximum = 60000, description = "Only of a stream: instead of events, at most one message `summary` in this many milliseconds, with `counts` by type, the number of `events`, and the newest `subjects` (at most 50)"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for an event"),
        ("Last-Event-ID" = Option<String>, Header, description = "Of a stream, the id of the last message; it wins over `after`"),
    ),
    responses(
        (status = 200, description = "A page of events, or a stream", content(
            (StockEventPage = "application/json"),
            (String = "text/event-stream"),
        ), headers(
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        SearchProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    service.feed.answer(&client, &headers, query).await
}
