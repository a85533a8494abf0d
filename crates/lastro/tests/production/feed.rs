//! The feed of events beside everything that disturbs it: two replicas with different clocks, and a
//! reader that is cut off again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use testbed::{
    Deployment, Environment, EventMessage, Form, PATIENCE, Postgres, Random, clocks_for, eventually,
};
use tokio::time::{Instant, timeout_at};

use crate::{Busy, environment_on};

const FEED: &str = "/api/orders/events";
/// How many orders the clients place.
const ORDERS: u64 = 1_000;
/// How often the reader is cut off meanwhile.
const CUTS: usize = 10;
/// The longest time of a connection of the reader, in milliseconds.
const LONGEST_MS: u64 = 1_900;

/// What a reader got, in the order in which it came.
#[derive(Debug, Default)]
struct Seen {
    events: Vec<Value>,
    ids: BTreeSet<String>,
    cuts: usize,
    doubles: usize,
    last: Option<String>,
}

impl Seen {
    fn add(&mut self, message: EventMessage) {
        let EventMessage { id, event, data } = message;
        assert_eq!(data["type"], event.as_str());
        self.last = Some(id);
        if self.ids.insert(data["id"].as_str().expect("an id").to_owned()) {
            self.events.push(data);
        } else {
            self.doubles += 1;
        }
    }

    /// The statuses of each order, in the order in which they came. The numbers of an order's events
    /// must rise by one from 1.
    fn histories(&self) -> BTreeMap<String, Vec<String>> {
        let mut histories = BTreeMap::<String, Vec<String>>::new();
        for event in &self.events {
            let order_id = event["subject"].as_str().expect("a subject").to_owned();
            let history = histories.entry(order_id).or_default();
            let sequence = event["sequence"].as_str().and_then(|text| text.parse().ok());
            assert_eq!(sequence, Some(history.len() + 1), "{event}");
            let data = &event["data"];
            let shown = data["history"].as_array().expect("a history").len();
            assert_eq!(shown, history.len() + 1, "the order as of the event: {event}");
            history.push(data["status"].as_str().expect("a status").to_owned());
        }
        histories
    }
}

/// Reads the stream, and cuts its own connection after a random time, wherever the stream is then.
async fn reads_on_and_off(shop: Arc<Deployment>, mut random: Random, seen: Arc<Mutex<Seen>>) {
    loop {
        let last = seen.lock().expect("no panic").last.clone();
        let resume: Vec<_> = last.iter().map(|id| ("last-event-id", id.as_str())).collect();
        let cut_at = Instant::now() + Duration::from_millis(random.below(LONGEST_MS));
        let Ok(mut stream) = shop.try_stream(FEED, &resume).await else { continue };
        assert_eq!(stream.status(), 200, "{stream:?}");
        while let Ok(message) = timeout_at(cut_at, stream.next()).await {
            let Some(message) = message else { break };
            seen.lock().expect("no panic").add(message);
        }
        seen.lock().expect("no panic").cuts += 1;
    }
}

/// The histories of these orders, as the API shows each order.
async fn histories(shop: &Deployment, ids: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut histories = BTreeMap::new();
    for id in ids {
        let order = shop.order(id).await;
        let entries = order["history"].as_array().expect("a history");
        let statuses = entries.iter().map(|entry| entry["status"].as_str().expect("a status"));
        histories.insert(id.clone(), statuses.map(str::to_owned).collect());
    }
    histories
}

async fn a_busy_shop(server: &Postgres, clocks: [&str; 2], test: &str) -> Busy {
    let environment =
        Environment { clocks: clocks_for(Form::Replicas), ..environment_on(server).await };
    for (clock, offset) in environment.clocks.iter().zip(clocks) {
        clock.set(offset);
    }
    Busy::at(environment, test).await
}

/// One replica of the Order Service is three seconds behind, the other 50 ms ahead.
#[tokio::test]
async fn a_reader_that_is_cut_off_every_second_gets_each_event_of_an_order_once_and_in_order() {
    let server = Postgres::start(&[]).await;
    let test = "feed read on and off";
    let busy = a_busy_shop(&server, ["-3", "+0.05"], test).await;
    let seen = Arc::<Mutex<Seen>>::default();
    let random = Random::seeded(test);
    let reader = tokio::spawn(reads_on_and_off(busy.shop.clone(), random, seen.clone()));
    let started = Instant::now();
    busy.load.has_accepted(ORDERS).await;
    eventually(PATIENCE, "the reader was cut off often enough", async || {
        assert!(!reader.is_finished(), "the reader failed");
        (seen.lock().expect("no panic").cuts >= CUTS).then_some(())
    })
    .await;
    let Busy { shop, load } = busy;
    let mut record = load.end().await;
    record.check(&shop).await;
    let ids: Vec<_> = record.accepted.keys().cloned().collect();
    let expected = histories(&shop, &ids).await;
    let entries = expected.values().map(Vec::len).sum();
    eventually(PATIENCE, "the reader has all events", async || {
        assert!(!reader.is_finished(), "the reader failed");
        let read = seen.lock().expect("no panic").ids.len();
        (read >= entries).then_some(())
    })
    .await;
    reader.abort();
    let seen = seen.lock().expect("no panic");
    let found = seen.histories();
    println!(
        "{} orders, {entries} entries of histories: the reader got {} events of {} orders over {} \
         connections in {:?}, {} of them twice",
        expected.len(),
        seen.events.len(),
        found.len(),
        seen.cuts,
        started.elapsed(),
        seen.doubles,
    );
    assert_eq!(found.len(), expected.len());
    for (id, history) in &expected {
        assert_eq!(found.get(id), Some(history), "{id}");
    }
}
