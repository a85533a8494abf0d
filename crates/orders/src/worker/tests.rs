//! The workers against a real store and a real bus, step by step, on a clock that the tests move.

use std::sync::Arc;
use std::time::Duration;

use contract::answers::{ANSWERS_CHANNEL, StockAnswer, StockOutcome};
use contract::commands::{COMMANDS_CHANNEL, StockCommand};
use contract::{OrderId, codec};
use orders_core::decide::{OrderCommand, OrderOutcome, Receipt};
use orders_core::money::Currency;
use orders_core::order::Status;
use platform::batcher::{Batcher, Committer};
use platform::bus::Bus;
use platform::bus::embedded::Embedded;
use platform::clock::{Clock, ManualClock, SystemIds};
use platform::consumer::Consumer;
use platform::readiness::Readiness;
use platform::relay::Relay;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::settle::Answers;
use super::sweep::{AnswerFeed, Sweeper};
use crate::metrics::Metrics;
use crate::service::{Commits, Service};
use crate::store::Store;
use crate::store::laws::{START, cancel, id, place, placement, released, reserved};
use crate::store::sqlite::Sqlite;
use crate::waiters::Waiters;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    clock: Arc<ManualClock>,
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    batcher: Batcher<OrderCommand, OrderOutcome>,
    consumer: Consumer<OrderCommand, OrderOutcome>,
    sweeper: Sweeper,
    relay: Relay,
    waiters: Arc<Waiters>,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let shared_clock: Arc<dyn Clock> = clock.clone();
    let bus: Arc<dyn Bus> = Arc::new(Embedded::new(shared_clock.clone(), DAY));
    let path = folder.path().join("orders.db");
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path, shared_clock.clone()).expect("a new file"));
    let mut registry = Registry::default();
    let shared = platform::telemetry::Metrics::new(&mut registry, "0");
    let metrics = Arc::new(Metrics::new(&mut registry, shared));
    let answer_feed = Arc::new(AnswerFeed::default());
    let waiters = Arc::new(Waiters::default());
    let (outbox, relay) = Relay::new(bus.clone(), COMMANDS_CHANNEL, Box::new(|_, _| {}));
    let commits = Commits {
        store: store.clone(),
        bus: bus.clone(),
        replica: uuid::Uuid::nil(),
        outbox: outbox.clone(),
        waiters: waiters.clone(),
        answer_feed: answer_feed.clone(),
        clock: shared_clock.clone(),
        metrics: metrics.clone(),
    };
    let (batcher, committer): (_, Committer<OrderCommand, OrderOutcome>) =
        Batcher::new(Arc::new(commits), Arc::new(|_| {}));
    tokio::spawn(committer.run(CancellationToken::new()));
    let inbox = Answers { store: store.clone(), metrics: metrics.clone() };
    let consumer =
        Consumer { bus: bus.clone(), channel: ANSWERS_CHANNEL, batcher: batcher.clone(), inbox: Arc::new(inbox) };
    let ids = Arc::new(SystemIds::new(shared_clock.clone()));
    let readiness = Readiness::default();
    let sweeper = Sweeper {
        store: store.clone(),
        bus: bus.clone(),
        outbox,
        answer_feed,
        clock: shared_clock,
        ids,
        metrics,
        readiness,
    };
    World { clock, bus, store, batcher, consumer, sweeper, relay, waiters, _folder: folder }
}

impl World {
    async fn run(&self, commands: Vec<OrderCommand>) {
        let deadline = tokio::time::Instant::now() + testbed::PATIENCE;
        for result in self.batcher.submit_all(commands, deadline).await {
            result.expect("executed");
        }
    }

    /// What was published since the last look; the bus forgets it, as a wiped broker would.
    async fn published(&mut self) -> Vec<StockCommand> {
        self.relay.tick().await;
        let deliveries = self.bus.receive(COMMANDS_CHANNEL, 1000, Duration::ZERO).await.expect("a bus that works");
        let receipts = deliveries.iter().map(|delivery| delivery.tag.clone()).collect();
        self.bus.ack(COMMANDS_CHANNEL, receipts).await.expect("a bus that works");
        deliveries
            .iter()
            .flat_map(|delivery| codec::decode(&delivery.payload))
            .map(|read| read.expect("ours"))
            .collect()
    }

    async fn answer(&self, payload: Vec<u8>) {
        self.bus.publish(ANSWERS_CHANNEL, vec![payload]).await.expect("room");
        self.consumer.tick().await.expect("a bus that works");
    }

    async fn status(&self, order: u128) -> Option<Status> {
        self.store.receipt(id(order)).await.expect("a read").map(|receipt| receipt.status)
    }

    fn path(&self) -> std::path::PathBuf {
        self._folder.path().join("orders.db")
    }

    fn quarantined(&self) -> Vec<(String, i64)> {
        let reader = storage::sqlite::open_reader(&self.path()).expect("a reader");
        storage::quarantine::count_sqlite(&reader).expect("a count")
    }
}

/// Word of an earlier settlement may come when somebody waits for a later one already.
#[tokio::test]
async fn who_waits_for_a_cancellation_is_not_told_of_the_confirmation_before_it() {
    let world = world();
    world.run(vec![place(1), reserved(1), cancel(1)]).await;
    assert_eq!(world.status(1).await, Some(Status::Cancelling));
    let service = Service {
        store: world.store.clone(),
        batcher: world.batcher.clone(),
        waiters: world.waiters.clone(),
        ids: Arc::new(SystemIds::new(world.clock.clone())),
        currency: Currency::BRL,
        metrics: world.sweeper.metrics.clone(),
        stopping: CancellationToken::new(),
    };
    let at = |status| Receipt { order_id: id(1), status, shortages: Vec::new() };
    let waiting = service.wait(at(Status::Cancelling), testbed::PATIENCE);
    let (receipt, ()) = tokio::join!(biased; waiting, async {
        world.waiters.settled(&at(Status::Confirmed));
        world.run(vec![released(1)]).await;
    });
    assert_eq!(receipt.status, Status::Cancelled);
}

fn rejected(order_id: OrderId) -> StockAnswer {
    let terms = placement(1, None).terms;
    StockAnswer {
        schema: 1,
        outcome: StockOutcome::StockRejected { shortages: Vec::new() },
        order_id,
        lines: terms.stock_lines(),
        digest: terms.digest,
        attempt: 1,
        decided_at_micros: 5,
        sent_at_micros: 6,
        traceparent: None,
    }
}

#[tokio::test]
async fn a_command_that_was_lost_is_sent_again_and_again_until_it_is_answered() {
    let mut world = world();
    world.run(vec![place(1)]).await;
    assert_eq!(world.published().await[0].attempt, 1, "published right after the commit, and lost");
    for attempt in 2..6 {
        world.clock.advance(DAY);
        world.sweeper.tick().await.expect("a sweep");
        assert_eq!(world.published().await[0].attempt, attempt);
    }
    world.answer(codec::encode(&[rejected(id(1))]).concat()).await;
    assert_eq!(world.status(1).await, Some(Status::Rejected));
    world.clock.advance(DAY);
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 0);
}

#[tokio::test]
async fn a_silent_inventory_is_asked_little_and_the_first_answer_makes_all_due() {
    let mut world = world();
    world.run((1..=300).map(place).collect()).await;
    world.published().await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 64);
    assert_eq!(world.sweeper.tick().await.expect("a sweep"), 0, "the window is full");
    let mut resent = world.published().await;
    world.clock.advance(Duration::from_secs(3));
    world.answer(codec::encode(&[rejected(resent[0].order_id)]).concat()).await;
    let mut heard = std::collections::BTreeSet::from([resent[0].order_id]);
    while !resent.is_empty() {
        let answers: Vec<_> = resent.iter().map(|command| rejected(command.order_id)).collect();
        world.answer(codec::encode(&answers).concat()).await;
        heard.extend(answers.iter().map(|answer| answer.order_id));
        world.sweeper.tick().await.expect("a sweep");
        resent = world.published().await;
    }
    assert_eq!(heard.len(), 300, "all were sent again although no time had passed");
    assert_eq!(world.store.backlog().await.expect("a read").commands, 0);
}

#[tokio::test]
async fn poison_is_set_aside_and_the_answers_beside_it_settle_their_orders() {
    let world = world();
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
