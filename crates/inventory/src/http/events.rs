//! `GET /api/inventory/events`.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use platform::clock::Timestamp;
use platform::failure::{Chain, Failure};
use platform::journal::{Position, Recorded};
use platform::keys::Principal;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;
use web::Query;
use web::feed::{DATA_CONTENT_TYPE, EventSource, FeedHeaders, FeedQuery, SPEC_VERSION};
use web::problem::{Problem, SearchProblems};

use crate::service::Service;
use crate::store::{StockEntry, StockFeedStore, StockMoved};

/// Where the events come from: the path of this API.
const SOURCE: &str = "/inventory";
/// The types of events.
pub const EVENT_TYPES: &[&str] = &["dev.lastro.stock.changed"];

/// What one transaction did to the stock of a product at a location, as a CloudEvent 1.0.
///
/// If the database is damaged and the last movement of the transaction cannot be read, `subject`,
/// `partitionkey`, `time`, `sequence` and `data` are absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockEvent)]
pub struct EventView {
    /// The version of CloudEvents.
    #[schema(example = "1.0")]
    specversion: &'static str,
    /// `{product_id}/{location_id}.{to_seq}`, or `movement.{number}` without `data`. Whoever gets an
    /// event twice recognizes it by its id.
    #[schema(example = "789/main.7")]
    id: String,
    #[schema(example = "/inventory")]
    source: &'static str,
    /// New types may come.
    #[schema(example = "dev.lastro.stock.changed")]
    r#type: &'static str,
    /// The product and the location.
    #[schema(nullable = false, example = "789/main")]
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The events with the same key come in the order in which they happened.
    #[schema(nullable = false, example = "789/main")]
    #[serde(skip_serializing_if = "Option::is_none")]
    partitionkey: Option<String>,
    #[schema(nullable = false, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// `to_seq` with ten digits.
    #[schema(nullable = false, example = "0000000007")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    #[schema(example = "application/json")]
    datacontenttype: &'static str,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<ChangeView>,
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
    quarantined: i64,
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

impl From<StockEntry> for EventView {
    fn from(entry: StockEntry) -> Self {
        let (id, subject) = (StockEvents::id(&entry), StockEvents::subject(&entry));
        let last_movement = entry.last_movement;
        let moved = entry.moved.inspect_err(|failure| {
            let error = Chain(failure);
            error!(movement = last_movement, %error, "movement cannot be read, its event has no data");
        });
        let moved = moved.ok();
        Self {
            specversion: SPEC_VERSION,
            id,
            source: SOURCE,
            r#type: EVENT_TYPES[0],
            partitionkey: subject.clone(),
            subject,
            time: moved.as_ref().map(|moved| Timestamp(moved.at_micros).to_rfc3339()),
            sequence: moved.as_ref().map(|moved| format!("{:010}", moved.to_seq)),
            datacontenttype: DATA_CONTENT_TYPE,
            data: moved.map(ChangeView::from),
        }
    }
}

impl From<StockMoved> for ChangeView {
    fn from(moved: StockMoved) -> Self {
        let StockMoved { product_id, location_id, from_seq, to_seq, level, .. } = moved;
        Self {
            product_id: product_id.to_string(),
            location_id: location_id.to_string(),
            on_hand: level.on_hand,
            reserved: level.reserved,
            quarantined: level.quarantined,
            available: level.available(),
            from_seq,
            to_seq,
        }
    }
}

/// The ledgers as events.
#[derive(Debug)]
pub struct StockEvents(pub(crate) Arc<dyn StockFeedStore>);

fn subject(moved: &StockMoved) -> String {
    format!("{}/{}", moved.product_id, moved.location_id)
}

#[async_trait]
impl EventSource for StockEvents {
    type Entry = StockEntry;
    type Event = EventView;

    const TYPES: &'static [&'static str] = EVENT_TYPES;

    fn event_type(_: &StockEntry) -> &'static str {
        EVENT_TYPES[0]
    }

    fn id(entry: &StockEntry) -> String {
        match &entry.moved {
            Ok(moved) => format!("{}.{}", subject(moved), moved.to_seq),
            Err(_) => format!("movement.{}", entry.last_movement),
        }
    }

    fn is_readable(entry: &StockEntry) -> bool {
        entry.moved.is_ok()
    }

    fn subject(entry: &StockEntry) -> Option<String> {
        entry.moved.as_ref().ok().map(subject)
    }

    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockEntry>>, Failure> {
        self.0.made(from, limit).await
    }

    async fn events(&self, entries: Vec<StockEntry>) -> Result<Vec<EventView>, Failure> {
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
        FeedQuery,
        ("types" = Option<String>, Query, pattern = "^[a-z.]+(,[a-z.]+)*$", description = "Only events of these types, separated by commas: `dev.lastro.stock.changed` or `stock.changed`"),
        FeedHeaders,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_event_of_a_movement_that_cannot_be_read_has_no_data() {
        let moved = Err(Failure::suspect(std::io::Error::other("damaged")));
        let event = EventView::from(StockEntry { last_movement: 7, moved });
        assert_eq!(
            serde_json::to_value(event).expect("JSON"),
            json!({
                "specversion": "1.0", "id": "movement.7", "source": "/inventory",
                "type": "dev.lastro.stock.changed", "datacontenttype": "application/json",
            })
        );
    }
}
