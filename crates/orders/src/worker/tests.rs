//! The service as `run` assembles it, on a real store and a real bus: its workers step by step, on
//! a clock that the tests move.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use contract::answers::{ANSWERS_CHANNEL, StockAllocated};
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use contract::{OrderId, codec};
use http::Request;
use http_body_util::BodyExt;
use orders_core::decide::{OrderCommand, OrderOutcome, Receipt};
use orders_core::money::Currency;
use orders_core::status::Status;
use platform::bus::embedded::Embedded;
use platform::bus::{Bus, all};
use platform::clock::{Clock, ManualClock, SystemIds};
use platform::consumer::Consumer;
use platform::pairing::DatabaseId;
use platform::readiness::{Health, Readiness};
use platform::relay::Relay;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;
use web::program::Context;

use super::deadlines::Deadlines;
use super::health_check::HealthCheck;
use super::sweep::Sweeper;
use crate::run::{Dependencies, Opened, Parts, assemble};
use crate::store::laws::{self, START, id, place, released, reserved};
use crate::store::sqlite::Sqlite;
use crate::store::{DeadlineLease, Filter, OrderStore};
use crate::waiters::Waiters;

mod deadlines;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    clock: Arc<ManualClock>,
    /// The Inventory Service's end of the bus.
    peer: Embedded,
    bus: Arc<dyn Bus>,
    store: Arc<dyn OrderStore>,
    consumer: Consumer<OrderCommand, OrderOutcome>,
    sweeper: Sweeper,
    deadlines: Deadlines,
    health_check: HealthCheck,
    readiness: Readiness,
    relay: Relay,
    waiters: Arc<Waiters>,
    router: Router,
    registry: Registry,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let shared_clock: Arc<dyn Clock> = clock.clone();
    let path = folder.path().join("orders.db");
    let sqlite = Sqlite::open(&path, shared_clock.clone()).expect("a new file");
    let (audit, quarantine) = (Arc::new(sqlite.audit()), sqlite.quarantine_table());
    let admin_log = sqlite.admin_log();
    let pairing = sqlite.pairing().await.expect("a read");
    let inventory = DatabaseId(Uuid::from_u128(2));
    let peer = Embedded::new(shared_clock.clone(), DAY, inventory);
    let bus: Arc<dyn Bus> = Arc::new(peer.end_of(pairing.id()));
    let journal = sqlite.journal();
    let sqlite = Arc::new(sqlite);
    let feed = sqlite.clone();
    let store: Arc<dyn OrderStore> = sqlite;
    let ids = Arc::new(SystemIds::new(shared_clock.clone()));
    let mut context = Context::new(shared_clock, ids);
    let database =
        Opened { store: store.clone(), audit, feed, journal, pairing, quarantine, admin_log };
    let dependencies =
        Dependencies { database, bus: bus.clone(), audits: Vec::new(), currency: Currency::BRL };
    let parts = assemble(dependencies, &mut context);
    let Parts {
        relay, committer, consumer, listener, sweeper, deadlines, health_check, api, ..
    } = parts;
    tokio::spawn(committer.run(CancellationToken::new()));
    let waiters = listener.waiters;
    World {
        clock,
        peer,
        bus,
        store,
        consumer,
        sweeper,
        deadlines,
        health_check,
        readiness: context.readiness,
        relay,
        waiters,
        router: api.router,
        registry: context.registry,
        _folder: folder,
    }
}

impl World {
    async fn run(&self, commands: Vec<OrderCommand>) {
        let deadline = tokio::time::Instant::now() + testbed::PATIENCE;
        for result in self.consumer.batcher.submit_all(commands, deadline).await {
            result.expect("executed");
        }
    }

    /// What was published since the last look; the bus forgets it, as a wiped broker would.
    async fn published(&mut self) -> Vec<AllocateStock> {
        self.relay.tick().await;
        let deliveries = self
            .bus
            .receive(COMMANDS_CHANNEL, 1000, Duration::ZERO)
            .await
            .expect("a bus that works");
        let receipts = deliveries.iter().map(|delivery| delivery.tag.clone()).collect();
        self.bus.ack(COMMANDS_CHANNEL, receipts).await.expect("a bus that works");
        deliveries
            .iter()
            .flat_map(|delivery| codec::decode(&delivery.payload))
            .map(|read| read.expect("ours"))
            .collect()
    }

    async fn answer(&self, payload: Vec<u8>) {
        self.answer_with(vec![payload]).await;
    }

    async fn reject(&self, orders: impl IntoIterator<Item = OrderId>) {
        let answers: Vec<_> = orders.into_iter().map(rejected).collect();
        self.answer_with(codec::encode(&answers, usize::MAX).batches).await;
    }

    async fn answer_with(&self, payloads: Vec<Vec<u8>>) {
        all(self.peer.publish(ANSWERS_CHANNEL, payloads).await).expect("room");
        self.consumer.tick().await.expect("a bus that works");
    }

    async fn status(&self, order: u128) -> Option<Status> {
        self.store.receipt(id(order)).await.expect("a read").map(|receipt| receipt.status)
    }

    /// The metrics in the text format.
    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("a string");
        text
    }

    fn path(&self) -> std::path::PathBuf {
        self._folder.path().join("orders.db")
    }

    fn quarantined(&self) -> Vec<(String, i64)> {
        testbed::quarantined(&self.path())
    }
}

/// A hint of an earlier settlement may come while a request already waits for a later one.
#[tokio::test]
async fn who_waits_for_a_cancellation_is_not_told_of_the_confirmation_before_it() {
    let world = world().await;
    world.run(vec![place(1), reserved(1)]).await;
    assert_eq!(world.status(1).await, Some(Status::Confirmed));
    let request =
        Request::post(format!("/api/orders/{}/cancel", id(1))).header("Prefer", "wait=30");
    let waiting = world.router.clone().oneshot(request.body(Body::empty()).expect("a request"));
    let (response, ()) = tokio::join!(waiting, async {
        testbed::eventually(testbed::PATIENCE, "the client waits", async || {
            world.waiters.is_awaited(id(1)).then_some(())
        })
        .await;
        assert_eq!(world.status(1).await, Some(Status::Cancelling));
        world.waiters.settled(&Receipt {
            order_id: id(1),
            status: Status::Confirmed,
            last_seq: 2,
            shortages: Vec::new(),
            balance: None,
        });
        world.run(vec![released(1)]).await;
    });
    let body = response.expect("an answer").into_body().collect().await.expect("a body").to_bytes();
    let receipt: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(receipt["status"], "cancelled", "{receipt}");
}

fn ids(commands: &[AllocateStock]) -> Vec<OrderId> {
    commands.iter().map(|command| command.order_id).collect()
}

/// Inventory's answer to the placement of an order, with no units.
fn rejected(order_id: OrderId) -> StockAllocated {
    let OrderCommand::Settle(answer) = laws::rejected(1) else { unreachable!("it is an answer") };
    StockAllocated { order_id, ..*answer }
}

#[tokio::test]
async fn a_command_that_was_lost_is_sent_again_and_again_until_it_is_answered() {
    let mut world = world().await;
    world.run(vec![place(1)]).await;
    assert_eq!(world.published().await[0].attempt, 1, "published right after the commit, and lost");
    for attempt in 2..6 {
        world.clock.advance(DAY);
        world.sweeper.tick().await.expect("a sweep");
        assert_eq!(world.published().await[0].attempt, attempt);
    }
    world.answer(codec::encode_one(&rejected(id(1)))).await;
    assert_eq!(world.status(1).await, Some(Status::Rejected));
    world.clock.advance(DAY);
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 0);
}

#[tokio::test]
async fn a_silent_inventory_is_asked_little_and_the_first_answer_makes_all_due() {
    let mut world = world().await;
    world.run((1..=300).map(place).collect()).await;
    world.published().await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 16);
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 0, "the window is full");
    let mut resent = world.published().await;
    world.clock.advance(Duration::from_secs(3));
    world.answer(codec::encode_one(&rejected(resent[0].order_id))).await;
    let mut heard = std::collections::BTreeSet::from([resent[0].order_id]);
    for _ in 0..20 {
        world.reject(ids(&resent)).await;
        heard.extend(ids(&resent));
        world.sweeper.tick().await.expect("a sweep");
        resent = world.published().await;
    }
    assert_eq!(heard.len(), 300, "all were sent again although no time had passed");
    assert_eq!(world.store.backlog().await.expect("a read").commands, 0);
}

#[tokio::test]
async fn what_found_no_room_goes_first_come_first_as_soon_as_answers_make_room() {
    let mut world = world().await;
    world.run((1..=2200).map(place).collect()).await;
    let sent = ids(&world.published().await);
    assert_eq!(sent.len(), 2048);
    let wait: Vec<_> = (2049..=2200).map(id).collect();
    world.reject(sent[..50].to_vec()).await;
    assert_eq!(ids(&world.published().await), wait[..50], "no time has passed");

    // What the sweeper took meanwhile is not sent a second time.
    world.clock.advance(DAY);
    world.sweeper.tick().await.expect("a sweep");
    let swept = world.published().await;
    let resent: Vec<_> = swept.iter().filter(|command| command.attempt > 1).collect();
    assert!(resent.iter().any(|command| wait.contains(&command.order_id)), "{resent:?}");
    world.reject(sent[50..].to_vec()).await;
    let rest = ids(&world.published().await);
    let mut once = [ids(&swept), rest, wait[..50].to_vec()].concat();
    once.retain(|order| wait.contains(order));
    once.sort_unstable();
    assert_eq!(once, wait);
}

#[tokio::test]
async fn what_found_no_room_goes_on_by_the_timer_when_no_answer_comes() {
    let mut world = world().await;
    world.run((1..=2100).map(place).collect()).await;
    world.published().await;
    world.clock.advance(Duration::from_secs(5));
    world.sweeper.tick().await.expect("a sweep");
    let asked = world.published().await;
    assert_eq!(asked.iter().filter(|command| command.attempt == 1).count(), 16);
}

#[tokio::test]
async fn a_backlog_is_fed_in_windows_and_a_new_order_does_not_wait_behind_it() {
    let mut world = world().await;
    world.run((1..=5500).map(place).collect()).await;
    let mut sent: Vec<OrderId> = ids(&world.published().await);
    assert_eq!(sent.len(), 2048, "what is queued in front of Inventory");
    world.clock.advance(Duration::from_secs(2));
    world.run((5501..=11_000).map(place).collect()).await;
    world.clock.advance(Duration::from_secs(60));
    world.run(vec![place(20_000)]).await;
    world.sweeper.tick().await.expect("a sweep");
    let asked = ids(&world.published().await);
    assert_eq!(asked.len(), 32, "a silent Inventory is asked little");

    // It is back.
    world.clock.advance(Duration::from_secs(1));
    let mut queued = [sent.clone(), asked.clone()].concat();
    sent.extend(asked);
    let mut sent_before_the_new_one = None;
    while !queued.is_empty() {
        world.reject(queued).await;
        world.sweeper.tick().await.expect("a sweep");
        queued = ids(&world.published().await);
        if queued.contains(&id(20_000)) {
            sent_before_the_new_one = Some(sent.len());
        }
        sent.extend(&queued);
    }
    assert_eq!(world.store.backlog().await.expect("a read").commands, 0);
    let different: std::collections::BTreeSet<_> = sent.iter().collect();
    assert_eq!(different.len(), 11_001);
    assert!(sent.len() - different.len() <= 16, "{} commands were sent", sent.len());
    let before = sent_before_the_new_one.expect("it was sent");
    assert!(before < 5000, "{before} commands were sent before the new one");
}

#[tokio::test]
async fn the_health_check_reports_what_the_service_stands_on() {
    let world = world().await;
    world.health_check.tick().await.expect("a check");
    let checks = world.readiness.snapshot().checks;
    assert_eq!(checks, [("orders database", Health::Up), ("orders bus", Health::Up)]);
}

#[tokio::test]
async fn poison_is_set_aside_and_the_answers_beside_it_settle_their_orders() {
    let world = world().await;
    world.run(vec![place(1)]).await;
    let good = serde_json::to_string(&rejected(id(1))).expect("JSON");
    let stranger = serde_json::to_string(&rejected(id(99))).expect("JSON");
    let newer = good.replace("\"schema\":1", "\"schema\":7");
    world.answer(format!("[{{}},{stranger},{newer},{good}]").into_bytes()).await;
    world.answer(b"garbage".to_vec()).await;
    world.answer(b"garbage".to_vec()).await;
    assert_eq!(world.status(1).await, Some(Status::Rejected));
    assert_eq!(world.quarantined(), [("anomaly".to_owned(), 1), ("malformed".to_owned(), 3)]);
}

#[tokio::test]
async fn a_command_that_an_operator_sends_again_goes_with_the_next_sweep() {
    let mut world = world().await;
    world.run(vec![place(1), place(2)]).await;
    world.published().await;
    let ask = async |world: &World, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let answer = world.router.clone().oneshot(request.expect("a request")).await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    // A message about the order is set aside, as a consumer does.
    let stranger = StockAllocated { order_id: id(2), ..rejected(id(1)) };
    let stranger = StockAllocated { digest: contract::Digest([7; 16]), ..stranger };
    world.answer(codec::encode_one(&stranger)).await;
    let (status, page) = ask(&world, "GET", "/api/orders/quarantine").await;
    assert_eq!((status, page["data"].as_array().map(Vec::len)), (200, Some(1)), "{page}");
    let entry = &page["data"][0];
    assert_eq!(entry["order_id"], id(2).to_string());
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 0, "nothing is due yet");
    let entry = entry["id"].as_str().expect("an id");
    let retry = format!("/api/orders/quarantine/{entry}/retry");
    let (status, command) = ask(&world, "POST", &retry).await;
    assert_eq!((status, &command["attempt"]), (200, &Value::from(1)), "{command}");
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 1);
    let sent = world.published().await;
    assert_eq!((ids(&sent), sent[0].attempt), (vec![id(2)], 2));
}
