//! The feeds of events, as clients follow them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{
    Deployment, Environment, EventMessage, EventStream, Form, Launch, PATIENCE, copy_of_data,
    eventually, order,
};
use tokio::time::{Instant, timeout};

use crate::keys::Keys;

const ORDERS: &str = "/api/orders/events";
const STOCK: &str = "/api/inventory/events";
/// How many streams and waiting requests a key may have.
const STREAMS_OF_A_KEY: usize = 100;

/// Reads pages of this size from the very beginning to the end, and returns the last cursor as well.
async fn all(shop: &Deployment, path: &str, limit: usize) -> (Vec<Value>, String) {
    let (mut events, mut after) = (Vec::new(), String::new());
    loop {
        let page = shop.get(&format!("{path}?limit={limit}{after}")).await.ok();
        let data = page["data"].as_array().expect("events");
        let next = page["next_cursor"].as_str().expect("a cursor").to_owned();
        if data.is_empty() {
            return (events, next);
        }
        assert!(data.len() <= limit);
        events.extend(data.iter().cloned());
        after = format!("&after={next}");
    }
}

/// The events of a feed, once there are so many.
async fn once_there_are(shop: &Deployment, path: &str, count: usize) -> Vec<Value> {
    eventually(PATIENCE, &format!("{count} events"), async || {
        let events = all(shop, path, 200).await.0;
        (events.len() >= count).then_some(events)
    })
    .await
}

async fn next(stream: &mut EventStream) -> EventMessage {
    let next = timeout(PATIENCE, stream.next()).await.expect("an event comes in time");
    next.expect("the stream goes on")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The types of the events of each subject, in the order of the feed.
fn types(events: &[Value]) -> BTreeMap<&str, Vec<&str>> {
    let mut types = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        types.entry(text(event, "subject")).or_default().push(text(event, "type"));
    }
    types
}

#[tokio::test]
async fn each_change_of_an_order_is_an_event_with_the_order_as_it_was() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    shop.ask(&id, "cancel").await.ok();
    let last = shop.order_once(&id, "cancelled").await;
    let events = once_there_are(&shop, ORDERS, 4).await;
    let statuses = ["received", "confirmed", "cancelling", "cancelled"];
    assert_eq!(events.len(), statuses.len(), "{events:#?}");
    for (seq, (event, status)) in (1..).zip(events.iter().zip(statuses)) {
        let data = &event["data"];
        let entry = &last["history"][seq - 1];
        assert_eq!(
            json!({
                "specversion": event["specversion"], "id": event["id"], "source": event["source"],
                "type": event["type"], "subject": event["subject"],
                "partitionkey": event["partitionkey"], "time": event["time"],
                "sequence": event["sequence"], "datacontenttype": event["datacontenttype"],
                "data": data,
            }),
            json!({
                "specversion": "1.0", "id": format!("{id}.{seq}"), "source": "/orders",
                "type": format!("dev.lastro.order.{status}"), "subject": id,
                "partitionkey": id, "time": entry["at"],
                "sequence": format!("{seq:010}"), "datacontenttype": "application/json",
                "data": data,
            })
        );
        assert_eq!(event.as_object().map(|members| members.len()), Some(10));
        assert_eq!((text(data, "status"), &data["updated_at"]), (status, &entry["at"]));
        let history = data["history"].as_array().expect("a history");
        assert_eq!(history[..], last["history"].as_array().expect("a history")[..seq]);
    }
    assert_eq!(events[3]["data"], last);
    assert_eq!(events[0]["data"]["allocations"], json!([]));
    assert_eq!(events[1]["data"]["allocations"][0]["quantity"], 2);
}

#[tokio::test]
async fn each_change_of_stock_is_an_event_that_follows_the_one_before() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    shop.ask(&id, "cancel").await.ok();
    shop.order_once(&id, "cancelled").await;
    let events = once_there_are(&shop, STOCK, 3).await;
    let mut seq = 0;
    for event in &events {
        let data = &event["data"];
        assert_eq!(data["from_seq"].as_i64(), Some(seq + 1), "{event}");
        seq = data["to_seq"].as_i64().expect("a number");
        assert_eq!(text(event, "id"), format!("MUG/main.{seq}"));
        assert_eq!(text(event, "type"), "dev.lastro.stock.changed");
        assert_eq!([text(event, "subject"), text(event, "partitionkey")], ["MUG/main"; 2]);
        assert_eq!(text(event, "sequence"), format!("{seq:010}"));
    }
    let levels: Vec<_> = events
        .iter()
        .map(|event| {
            ["on_hand", "reserved", "quarantined", "available"]
                .map(|name| event["data"][name].as_i64())
        })
        .collect();
    assert_eq!(levels, [[5, 0, 0, 5], [5, 2, 0, 3], [5, 0, 0, 5]].map(|level| level.map(Some)));
}

#[tokio::test]
async fn pages_of_every_size_show_the_same_feed_from_the_very_beginning() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1000).await;
    for _ in 0..40 {
        shop.confirmed(&[("MUG", 1)]).await;
    }
    let expected = once_there_are(&shop, ORDERS, 80).await;
    for limit in [1, 7, 79, 80, 81] {
        assert_eq!(all(&shop, ORDERS, limit).await.0, expected, "{limit}");
    }
    for types in types(&expected).values() {
        assert_eq!(types, &["dev.lastro.order.received", "dev.lastro.order.confirmed"]);
    }
}

#[tokio::test]
async fn only_the_types_that_a_client_asks_for_are_shown() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    shop.settle(&[("MUG", 1)]).await;
    shop.settle(&[("MUG", 1)]).await;
    once_there_are(&shop, ORDERS, 4).await;
    for (asked, expected) in [
        ("order.rejected", &["dev.lastro.order.rejected"][..]),
        (
            "dev.lastro.order.confirmed,order.rejected",
            &["dev.lastro.order.confirmed", "dev.lastro.order.rejected"],
        ),
        ("order.fulfilled", &[]),
    ] {
        let page = shop.get(&format!("{ORDERS}?types={asked}")).await.ok();
        let events = page["data"].as_array().expect("events");
        let found: Vec<_> = events.iter().map(|event| text(event, "type")).collect();
        assert_eq!(found, expected, "{asked}");
        let rest = format!("{ORDERS}?types={asked}&after={}", text(&page, "next_cursor"));
        assert_eq!(shop.get(&rest).await.ok()["data"], json!([]));
    }
}

#[tokio::test]
async fn a_client_that_waits_gets_the_next_event_and_one_that_waits_in_vain_an_empty_page() {
    let shop = Deployment::open().await;
    let page = shop.get(&format!("{ORDERS}?after=latest")).await.ok();
    let path = format!("{ORDERS}?after={}", text(&page, "next_cursor"));
    let started = Instant::now();
    let empty = shop.send("GET", &path, &[("prefer", "wait=1")], "").await;
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
    assert_eq!(empty.header("preference-applied"), Some("wait=1"));
    assert_eq!(empty.ok()["data"], json!([]));
    let waiting = shop.send("GET", &path, &[("prefer", "wait=30")], "");
    let mug = order(&[("MUG", 1)]);
    let (waited, placed) = tokio::join!(waiting, shop.place(&mug));
    let waited = waited.ok();
    let id = placed.text_at("/order_id");
    assert_eq!(text(&waited["data"][0], "subject"), id);
}

#[tokio::test]
async fn a_stream_shows_what_happens_and_goes_on_where_it_was_cut_off() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1000).await;
    let mut stream =
        shop.stream(&format!("{ORDERS}?after=latest"), &[("accept-encoding", "gzip")]).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers()[name], value);
    }
    assert!(!stream.headers().contains_key("content-encoding"), "{stream:?}");
    let first = stream.next_block().await.expect("a beginning");
    assert!(first.starts_with("retry: 2000\nid: "), "{first}");
    let mut seen = Vec::new();
    for _ in 0..10 {
        let id = shop.confirmed(&[("MUG", 1)]).await;
        for status in ["received", "confirmed"] {
            let EventMessage { id: cursor, event, data } = next(&mut stream).await;
            assert_eq!(event, format!("dev.lastro.order.{status}"));
            assert_eq!((text(&data, "subject"), text(&data, "type")), (&*id, &*event));
            seen.push((cursor, data));
        }
    }
    for cut in [0, 5, 18] {
        let (cursor, _) = &seen[cut];
        let mut stream =
            shop.stream(&format!("{ORDERS}?after=latest"), &[("last-event-id", cursor)]).await;
        for (_, expected) in &seen[cut + 1..] {
            assert_eq!(next(&mut stream).await.data, *expected);
        }
    }
    let metrics = shop.metrics().await;
    let streams = metrics.lines().find(|line| line.starts_with("feed_streams{service=\"orders\"}"));
    assert!(streams.is_some_and(|line| !line.ends_with(" 0")), "{streams:?}");
    drop(stream);
    eventually(PATIENCE, "no stream is open", async || {
        let metrics = shop.metrics().await;
        metrics.lines().any(|line| line == "feed_streams{service=\"orders\"} 0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_summaries_counts_what_happens() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1000).await;
    let path = format!("{ORDERS}?after=latest&summary_ms=250");
    let mut stream = shop.stream(&path, &[]).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(shop.confirmed(&[("MUG", 1)]).await);
    }
    let mut counts = BTreeMap::<String, u64>::new();
    let (mut events, mut newest) = (0, Vec::new());
    while events < 40 {
        let EventMessage { event, data, .. } = next(&mut stream).await;
        assert_eq!(event, "summary");
        for (name, count) in data["counts"].as_object().expect("counts") {
            *counts.entry(name.clone()).or_default() += count.as_u64().expect("a number");
        }
        events += data["events"].as_u64().expect("a number");
        newest = data["subjects"].as_array().expect("subjects").clone();
    }
    let expected = [("dev.lastro.order.confirmed", 20), ("dev.lastro.order.received", 20)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!(newest[0], json!(ids[19]));
}

#[tokio::test]
async fn a_reader_misses_nothing_across_a_restart() {
    let mut shop = Deployment::open().await;
    shop.stock("MUG", 1000).await;
    let first = shop.confirmed(&[("MUG", 1)]).await;
    let mut stream = shop.stream(ORDERS, &[]).await;
    let cursor = next(&mut stream).await.id;
    let second = shop.confirmed(&[("MUG", 1)]).await;
    shop.programs.kill();
    shop.reopen().await;
    let third = shop.confirmed(&[("MUG", 1)]).await;
    let mut stream = shop.stream(ORDERS, &[("last-event-id", &cursor)]).await;
    for (id, seq) in [(&first, 2), (&second, 1), (&second, 2), (&third, 1), (&third, 2)] {
        assert_eq!(text(&next(&mut stream).await.data, "id"), format!("{id}.{seq}"));
    }
    // A process that has just started knows the end of the journal, too.
    let page = shop.get(&format!("{ORDERS}?after=latest")).await.ok();
    assert_eq!(page["data"], json!([]));
}

#[tokio::test]
async fn a_stream_ends_when_the_program_stops() {
    let mut shop = Deployment::open().await;
    let mut stream = shop.stream(ORDERS, &[]).await;
    let waiting = shop.try_stream(STOCK, &[]).await.expect("a stream");
    let started = Instant::now();
    shop.programs.terminate();
    assert_eq!(timeout(PATIENCE, stream.next()).await.expect("it ends"), None);
    assert_eq!(shop.programs.ended(PATIENCE).await, Some(0));
    // Requests in flight may take 20 s.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    drop(waiting);
}

#[tokio::test]
async fn a_cursor_of_another_database_or_of_a_time_that_is_lost_is_refused() {
    let mut shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 1000).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let (_, early) = all(&shop, ORDERS, 200).await;
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(PATIENCE).await, Some(0));
    let backup = copy_of_data(shop.folder());
    shop.reopen().await;
    shop.confirmed(&[("MUG", 1)]).await;
    let events = once_there_are(&shop, ORDERS, 4).await;
    let (_, late) = all(&shop, ORDERS, 200).await;
    let other = all(&Deployment::open().await, ORDERS, 200).await.1;
    let asks =
        async |shop: &Deployment, cursor: &str| shop.get(&format!("{ORDERS}?after={cursor}")).await;
    let refused = asks(&shop, &other).await;
    assert_eq!(refused.verdict(), "400 invalid_cursor");
    assert!(refused.text_at("/detail").contains("another database"));
    // The cursors of the two feeds are not mixed up.
    let stock = all(&shop, STOCK, 200).await.1;
    assert_eq!(asks(&shop, &stock).await.verdict(), "400 invalid_cursor");
    shop.close().await;

    let environment = Environment::of(Form::Embedded).await;
    let restored = Deployment::open_in(backup, Form::Embedded, environment).await;
    let refused = asks(&restored, &late).await;
    assert_eq!(refused.verdict(), "400 invalid_cursor");
    assert!(refused.text_at("/detail").contains("restored"));
    let stream = restored.try_stream(ORDERS, &[("last-event-id", &late)]).await.expect("answered");
    assert_eq!(stream.status(), 400);
    assert_eq!(asks(&restored, &early).await.ok()["data"], json!([]));
    assert_eq!(once_there_are(&restored, ORDERS, 2).await, events[..2]);
}

#[tokio::test]
async fn a_key_has_so_many_streams_and_another_key_has_its_own() {
    let keys = Keys::new();
    let (key, _) = keys.create("orders:read", &[]).await;
    let (other, _) = keys.create("orders:read", &[]).await;
    let (stock, _) = keys.create("ledger:read", &[]).await;
    let (customer, _) = keys.create("orders:read", &["--customer", "C1"]).await;
    let file = keys.file();
    // Each replica has limits of its own.
    let how = |launch: Launch| launch.env("LASTRO_API_KEYS_FILE", &file);
    let shop = Deployment::in_form_with(Form::Embedded, how).await;
    let opens = async |path: &str, key: &str| {
        let authorization = format!("Bearer {key}");
        shop.try_stream(path, &[("authorization", &authorization)]).await.expect("an answer")
    };
    let mut streams = Vec::new();
    for _ in 0..STREAMS_OF_A_KEY {
        let stream = opens(ORDERS, &key).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = opens(ORDERS, &key).await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (429, &"5".parse().expect("ASCII"))
    );
    assert_eq!(opens(ORDERS, &other).await.status(), 200);
    streams.pop();
    eventually(PATIENCE, "a stream has ended", async || {
        (opens(ORDERS, &key).await.status() == 200).then_some(())
    })
    .await;
    // Who may see what.
    assert_eq!(opens(STOCK, &stock).await.status(), 200);
    assert_eq!(opens(STOCK, &other).await.status(), 403);
    assert_eq!(opens(ORDERS, &stock).await.status(), 403);
    assert_eq!(opens(ORDERS, &customer).await.status(), 403);
    assert_eq!(opens(ORDERS, "x").await.status(), 401);
}
