//! Readers of the event feeds: one of each service. They keep what they read together with their
//! cursor, die from time to time, and begin again at that cursor. In the end each has every entry
//! of every history, or every movement, once and in order (R29).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use orders_core::status::Status;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::client::{Call, ask};
use crate::databases::{Databases, Level, MovementRow, OrderRow, StockKey};
use crate::history::Heard;
use crate::node::Service;
use crate::random::Random;
use crate::states::{Violation, broken};
use crate::world::World;

/// How often a reader dies with a page that it has read and not kept, in a thousand cases.
const DEATHS: u64 = 150;

/// What a reader keeps, and loses all or nothing of.
#[derive(Debug)]
struct Reader {
    service: Service,
    random: Random,
    /// Where it goes on: behind the last event that it has kept.
    cursor: Option<String>,
    kept: Vec<Value>,
}

/// The readers while they read.
pub(crate) struct Readers {
    are_over: Arc<AtomicBool>,
    reading: Vec<oneshot::Receiver<Reader>>,
}

/// Begins to read, beside everything else.
pub(crate) fn begin(world: &Arc<World>) -> Readers {
    let are_over = Arc::new(AtomicBool::new(false));
    let begin = |service| {
        let (sender, reading) = oneshot::channel();
        let (world, are_over) = (world.clone(), are_over.clone());
        world.clone().executor.spawn(None, async move {
            let mut reader = Reader::new(&world, service);
            while !are_over.load(Ordering::Relaxed) {
                let longest = *reader.random.pick(&[20, 1_000, world.config.rest_ms]);
                tokio::time::sleep(reader.random.millis(0..=longest)).await;
                reader.read(&world).await;
            }
            // Nobody waits for it in a world that has ended.
            let _ = sender.send(reader);
        });
        reading
    };
    let reading = [Service::Orders, Service::Inventory].map(begin).into();
    Readers { are_over, reading }
}

impl Readers {
    /// Lets the readers rest where they are. They would read for as long as nothing happens.
    pub(crate) fn rest(&self) {
        self.are_over.store(true, Ordering::Relaxed);
    }

    /// Reads to the end, once nothing happens any more, and checks what was read.
    pub(crate) async fn finish(self, world: &Arc<World>) {
        self.rest();
        for reading in self.reading {
            let mut reader = reading.await.expect("a reader lasts as long as its world");
            while !reader.read(world).await {
                if world.monitor.has_failed() {
                    return;
                }
            }
            let checked = reader.check(&world.monitor.databases());
            world.monitor.require(checked);
        }
    }
}

impl Reader {
    fn new(world: &World, service: Service) -> Self {
        let random = Random::of(world.config.seed, &format!("the reader of {service:?}"));
        Self { service, random, cursor: None, kept: Vec::new() }
    }

    /// Checks what was read up to the end against the rows.
    fn check(&self, databases: &Databases) -> Result<(), Violation> {
        match self.service {
            Service::Orders => check_histories(&self.kept, &databases.orders()),
            Service::Inventory => check_stock(&self.kept, &databases.movements()),
        }
    }

    /// Reads a page and keeps it, or dies before. Returns whether it was at the end.
    async fn read(&mut self, world: &Arc<World>) -> bool {
        let path = match self.service {
            Service::Orders => "/api/orders/events",
            Service::Inventory => "/api/inventory/events",
        };
        let after = self.cursor.iter().map(|cursor| format!("&after={cursor}")).collect::<String>();
        let path = format!("{path}?limit={}{after}", self.random.within(1..=9));
        let mut call = Call::new(Method::GET, path, Vec::new());
        if self.random.chance(200) {
            call = call.with("prefer", "wait=2");
        }
        let reply = ask(world, self.service, call).await;
        match reply.heard {
            Heard::Done => {}
            Heard::Refused => {
                let what = format!("a reader is refused where it stopped: {reply:?}");
                world.monitor.require(broken("R29", what));
                return false;
            }
            Heard::NotDone | Heard::Unknown => {
                tokio::time::sleep(self.random.millis(10..=1_000)).await;
                return false;
            }
        }
        if self.random.chance(DEATHS) {
            world.trace.event(|| format!("the reader of {:?} dies with a page", self.service));
            tokio::time::sleep(self.random.millis(0..=2_000)).await;
            return false;
        }
        let page = reply.body["data"].as_array().cloned().unwrap_or_default();
        let is_end = page.is_empty();
        self.kept.extend(page);
        match reply.body["next_cursor"].as_str() {
            Some(next) => self.cursor = Some(next.to_owned()),
            None => world.monitor.require(broken("HTTP", "a page of events has no cursor")),
        }
        is_end
    }
}

/// What each entry of a history is, and the status after it.
type History = Vec<(String, String)>;

/// The events tell each history once: every entry, in its order.
fn check_histories(events: &[Value], orders: &[OrderRow]) -> Result<(), Violation> {
    let mut told: BTreeMap<String, History> = BTreeMap::new();
    for event in events {
        let subject = text(event, "subject");
        let kinds = told.entry(subject.clone()).or_default();
        let kind = text(event, "type").replace("dev.lastro.order.", "");
        kinds.push((kind, text(&event["data"], "status")));
        let seq = kinds.len();
        let named = [text(event, "id"), text(event, "sequence")];
        let expected = [format!("{subject}.{seq}"), format!("{seq:010}")];
        if named != expected {
            return broken("R29", format!("after {} entries comes {event}", seq - 1));
        }
    }
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for order in orders {
        let statuses = order.history().iter().map(|entry| entry.status);
        let statuses = std::iter::once(Status::Received).chain(statuses);
        let told = order.registers()?.kinds.into_iter().zip(statuses);
        let told = told.map(|(kind, status)| (kind.to_owned(), status.as_str().to_owned()));
        histories.insert(order.order_id.to_string(), told.collect());
    }
    if told == histories {
        return Ok(());
    }
    let differs = histories.iter().find(|(order, history)| told.get(*order) != Some(*history));
    broken("R29", format!("the feed does not tell the histories: {differs:?}"))
}

/// The events tell each movement once: those of a stock key in the order of its ledger, each with
/// the level after it.
fn check_stock(events: &[Value], movements: &[MovementRow]) -> Result<(), Violation> {
    let mut ledgers: BTreeMap<&StockKey, Vec<Level>> = BTreeMap::new();
    for movement in movements {
        ledgers.entry(&movement.key).or_default().push(movement.after);
    }
    let mut ends: BTreeMap<StockKey, i64> = BTreeMap::new();
    for event in events {
        let data = &event["data"];
        let key = (text(data, "product_id"), text(data, "location_id"));
        let [from, to] = ["from_seq", "to_seq"].map(|name| data[name].as_i64().unwrap_or(-1));
        let end = ends.entry(key.clone()).or_default();
        let levels = ledgers.get(&key).map(Vec::as_slice).unwrap_or_default();
        let level = levels.iter().find(|level| level.seq == to);
        let shown = ["on_hand", "reserved", "quarantined"].map(|name| data[name].as_i64());
        let is_level =
            level.is_some_and(|at| shown == [at.on_hand, at.reserved, at.quarantined].map(Some));
        let id = format!("{}/{}.{to}", key.0, key.1);
        if from != *end + 1 || to < from || !is_level || text(event, "id") != id {
            return broken("R29", format!("after movement {end} comes {event}"));
        }
        *end = to;
    }
    let lengths = ledgers
        .into_iter()
        .map(|(key, levels)| (key.clone(), levels.last().map_or(0, |level| level.seq)));
    let lengths: BTreeMap<StockKey, i64> = lengths.collect();
    if ends == lengths {
        Ok(())
    } else {
        broken("R29", format!("the feed tells {ends:?}, and the ledgers end at {lengths:?}"))
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
