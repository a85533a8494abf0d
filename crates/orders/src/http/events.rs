//! `GET /api/orders/events`.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use orders_core::history::EntryKind;
use orders_core::status::Status;
use platform::clock::Timestamp;
use platform::failure::{Chain, Failure};
use platform::journal::{Position, Recorded};
use platform::keys::Principal;
use platform::log_limit::{Line, LogLimit};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;
use web::Query;
use web::feed::{DATA_CONTENT_TYPE, EventSource, FeedHeaders, FeedQuery, SPEC_VERSION};
use web::problem::{Problem, SearchProblems};

use super::view::FullView;
use crate::service::Service;
use crate::store::{MadeEntry, OrderFeedStore, OrderView, ReadOrder};

/// Where the events come from: the path of this API.
const SOURCE: &str = "/orders";

/// The types of events: one for each kind of entry, in the order of [`EntryKind::all`].
pub const EVENT_TYPES: &[&str] = &[
    "dev.lastro.order.received",
    "dev.lastro.order.reserved",
    "dev.lastro.order.confirmed",
    "dev.lastro.order.rejected",
    "dev.lastro.order.cancelling",
    "dev.lastro.order.cancelled",
    "dev.lastro.order.fulfilling",
    "dev.lastro.order.fulfilled",
    "dev.lastro.order.expiring",
    "dev.lastro.order.expired",
    "dev.lastro.order.reviving",
    "dev.lastro.order.paid",
    "dev.lastro.order.refunded",
    "dev.lastro.order.cancellation.created",
    "dev.lastro.order.shipment.created",
    "dev.lastro.order.shipment.tracked",
    "dev.lastro.order.shipment.cancelled",
    "dev.lastro.order.return.created",
    "dev.lastro.order.amended",
];

fn event_type(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Status(Status::Received) => EVENT_TYPES[0],
        EntryKind::Status(Status::Reserved) => EVENT_TYPES[1],
        EntryKind::Status(Status::Confirmed) => EVENT_TYPES[2],
        EntryKind::Status(Status::Rejected) => EVENT_TYPES[3],
        EntryKind::Status(Status::Cancelling) => EVENT_TYPES[4],
        EntryKind::Status(Status::Cancelled) => EVENT_TYPES[5],
        EntryKind::Status(Status::Fulfilling) => EVENT_TYPES[6],
        EntryKind::Status(Status::Fulfilled) => EVENT_TYPES[7],
        EntryKind::Status(Status::Expiring) => EVENT_TYPES[8],
        EntryKind::Status(Status::Expired) => EVENT_TYPES[9],
        EntryKind::Status(Status::Reviving) => EVENT_TYPES[10],
        EntryKind::Paid => EVENT_TYPES[11],
        EntryKind::Refunded => EVENT_TYPES[12],
        EntryKind::CancellationCreated => EVENT_TYPES[13],
        EntryKind::ShipmentCreated => EVENT_TYPES[14],
        EntryKind::ShipmentTracked => EVENT_TYPES[15],
        EntryKind::ShipmentCancelled => EVENT_TYPES[16],
        EntryKind::ReturnCreated => EVENT_TYPES[17],
        EntryKind::Amended | EntryKind::Status(Status::Amending) => EVENT_TYPES[18],
    }
}

/// An entry of the history of an order, as a CloudEvent 1.0.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderEvent)]
pub struct EventView {
    /// The version of CloudEvents.
    #[schema(example = "1.0")]
    specversion: &'static str,
    /// `{order_id}.{seq}`. Whoever gets an event twice recognizes it by its id.
    #[schema(example = "01939c5e-6f70-7abc-8def-0123456789ab.2")]
    id: String,
    #[schema(example = "/orders")]
    source: &'static str,
    /// `dev.lastro.order.` and the status that the order entered, or the change. New types may come.
    #[schema(example = "dev.lastro.order.confirmed")]
    r#type: &'static str,
    /// The id of the order.
    #[schema(format = "uuid")]
    subject: String,
    /// The events with the same key come in the order in which they happened.
    #[schema(format = "uuid")]
    partitionkey: String,
    /// When the entry was made.
    #[schema(nullable = false, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The number of the entry in the history of the order, with ten digits: from 1 without gaps.
    #[schema(example = "0000000002")]
    sequence: String,
    #[schema(example = "application/json")]
    datacontenttype: &'static str,
    /// The order as it was after this entry. It is absent, as `time` is, if the database is damaged
    /// and the order cannot be read.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<FullView>,
}

/// A page of events, oldest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the page to readers of the API")]
struct OrderEventPage {
    data: Vec<EventView>,
    /// Send it as `after` to get the next page. It is always there, and good for ever.
    next_cursor: String,
}

impl EventView {
    fn new(entry: MadeEntry, order: Option<OrderView>) -> Self {
        let MadeEntry { order_id, seq, kind } = entry;
        let time = order.as_ref().map(|order| Timestamp(order.updated_at_micros).to_rfc3339());
        Self {
            specversion: SPEC_VERSION,
            id: OrderEvents::id(&entry),
            source: SOURCE,
            r#type: event_type(kind),
            subject: order_id.to_string(),
            partitionkey: order_id.to_string(),
            time,
            sequence: format!("{seq:010}"),
            datacontenttype: DATA_CONTENT_TYPE,
            data: order.map(FullView::from),
        }
    }
}

/// The histories of orders as events.
#[derive(Debug)]
pub struct OrderEvents {
    store: Arc<dyn OrderFeedStore>,
    log_limit: LogLimit,
}

impl OrderEvents {
    pub(crate) fn new(store: Arc<dyn OrderFeedStore>) -> Self {
        Self { store, log_limit: LogLimit::default() }
    }

    /// The event of an entry. One order that is damaged must not stop the feed of all others.
    fn event(&self, entry: MadeEntry, order: ReadOrder) -> Result<EventView, Failure> {
        match order {
            Err(failure @ Failure::Suspect(_)) => {
                self.log(entry, &failure);
                Ok(EventView::new(entry, None))
            }
            order => Ok(EventView::new(entry, Some(order?))),
        }
    }

    /// Each reader of the feed comes to it again, so not every line is written.
    fn log(&self, entry: MadeEntry, failure: &Failure) {
        let line = self.log_limit.next();
        let (Line::Write { left_out } | Line::WriteLast { left_out }) = line else { return };
        let MadeEntry { order_id, seq, .. } = entry;
        let error = Chain(failure);
        error!(%order_id, seq, %error, left_out, "order cannot be read, its event has no data");
        if matches!(line, Line::WriteLast { .. }) {
            error!("more orders cannot be read, not logged for a minute");
        }
    }
}

#[async_trait]
impl EventSource for OrderEvents {
    type Entry = MadeEntry;
    type Event = EventView;

    const TYPES: &'static [&'static str] = EVENT_TYPES;

    fn event_type(entry: &MadeEntry) -> &'static str {
        event_type(entry.kind)
    }

    fn id(entry: &MadeEntry) -> String {
        format!("{}.{}", entry.order_id, entry.seq)
    }

    fn subject(entry: &MadeEntry) -> Option<String> {
        Some(entry.order_id.to_string())
    }

    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
        self.store.made(from, limit).await
    }

    async fn events(&self, entries: Vec<MadeEntry>) -> Result<Vec<EventView>, Failure> {
        let orders = self.store.views(entries.clone()).await?;
        entries.into_iter().zip(orders).map(|(entry, order)| self.event(entry, order)).collect()
    }
}

/// Follow the events of orders
///
/// Lists every entry of every order's history, oldest first, as CloudEvents 1.0. A cursor is good for
/// ever, and no event is skipped: read pages with `after` until one is empty, then wait with
/// `Prefer: wait=N`. The events of one order come in their order; a client that repeats a request
/// gets the same events again and recognizes them by `id`.
///
/// With `Accept: text/event-stream` the same comes as server-sent events, one message per event: `id`
/// is the cursor, `event` the type, `data` the CloudEvent. A client that was cut off sends the last
/// id as `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/orders/events", tag = "orders", operation_id = "listOrderEvents",
    params(
        FeedQuery,
        ("types" = Option<String>, Query, pattern = "^[a-z.]+(,[a-z.]+)*$", description = "Only events of these types, separated by commas, for example `dev.lastro.order.confirmed` or `order.confirmed,order.rejected`. A page may be empty and not be the last: its `next_cursor` moves on"),
        FeedHeaders,
    ),
    responses(
        (status = 200, description = "A page of events, or a stream", content(
            (OrderEventPage = "application/json"),
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
    use contract::OrderId;
    use orders_core::decide::decide;
    use platform::clock::ManualClock;

    use super::*;
    use crate::store::OrderStore;
    use crate::store::laws::{START, cancel, id, place, reserved};
    use crate::store::sqlite::Sqlite;

    #[test]
    fn each_kind_of_entry_has_a_type_of_its_own() {
        let types: Vec<_> = EntryKind::all().map(event_type).collect();
        assert_eq!(types, EVENT_TYPES);
        for kind in EntryKind::all() {
            assert_eq!(event_type(kind), format!("dev.lastro.order.{}", kind.as_str()));
        }
    }

    /// A database in which one order cannot be read.
    #[derive(Debug)]
    struct Damaged(Sqlite, OrderId);

    #[async_trait]
    impl OrderFeedStore for Damaged {
        async fn made(
            &self,
            from: Position,
            limit: u32,
        ) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
            self.0.made(from, limit).await
        }

        async fn views(&self, entries: Vec<MadeEntry>) -> Result<Vec<ReadOrder>, Failure> {
            let damaged = || Failure::Suspect(Arc::new(std::io::Error::other("damaged")));
            let views = self.0.views(entries.clone()).await?;
            let views = entries.iter().zip(views);
            let read = views.map(|(entry, view)| match entry.order_id == self.1 {
                true => Err(damaged()),
                false => view,
            });
            Ok(read.collect())
        }
    }

    #[tokio::test]
    async fn an_order_that_cannot_be_read_does_not_stop_the_feed_of_all_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(START));
        let store = Sqlite::open(&folder.path().join("orders.db"), clock).expect("a new file");
        for commands in
            [vec![place(1), place(2), place(3)], vec![reserved(2), reserved(1)], vec![cancel(1)]]
        {
            store.run(commands.into(), decide).await.expect("committed");
        }
        let events = OrderEvents::new(Arc::new(Damaged(store, id(2))));
        let made = events.made(Position::START, 100).await.expect("entries");
        let entries = made.into_iter().map(|recorded| recorded.entry).collect();
        let shown = events.events(entries).await.expect("events");
        let shown: Vec<_> = shown
            .iter()
            .map(|event| {
                let event = serde_json::to_value(event).expect("JSON");
                let order = [1, 2, 3].into_iter().find(|n| event["subject"] == id(*n).to_string());
                assert_eq!(event["time"].is_null(), event["data"].is_null());
                assert!(
                    event["data"].is_null()
                        || event["type"].as_str().is_some_and(|its| {
                            its.rsplit('.').next() == event["data"]["status"].as_str()
                        })
                );
                (order.expect("an order"), event["sequence"].clone(), !event["data"].is_null())
            })
            .collect();
        let expected =
            [(1, 1, true), (2, 1, false), (3, 1, true), (2, 2, false), (1, 2, true), (1, 3, true)];
        let sorted = |mut events: Vec<(u128, serde_json::Value, bool)>| {
            events.sort_by_key(|(order, seq, _)| (*order, seq.to_string()));
            events
        };
        let expected = expected.map(|(order, seq, is_whole): (u128, u32, bool)| {
            (order, serde_json::Value::from(format!("{seq:010}")), is_whole)
        });
        assert_eq!(sorted(shown), sorted(expected.to_vec()));
    }
}
