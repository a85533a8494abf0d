//! The workers against a real store and a real bus, step by step.

use std::sync::Arc;
use std::time::Duration;

use contract::answers::{ANSWERS_CHANNEL, StockAnswer};
use contract::codec;
use contract::commands::{COMMANDS_CHANNEL, StockCommandKind};
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::batcher::{Batcher, Committer};
use platform::bus::{Bus, embedded::Embedded};
use platform::clock::{ManualClock, SystemClock};
use platform::consumer::Consumer;
use platform::readiness::{Health, Readiness};
use platform::relay::Relay;
use platform::telemetry;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::execute::Commands;
use super::health_check::HealthCheck;
use crate::metrics::Metrics;
use crate::service::Commits;
use crate::store::Store;
use crate::store::laws::{START, id, order, reserve, stocked};
use crate::store::sqlite::{MIGRATIONS, Sqlite};

const NEVER: Duration = Duration::from_secs(3600);

/// The service without HTTP, one step at a time.
struct World {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    consumer: Consumer<InventoryCommand, InventoryOutcome>,
    batcher: Batcher<InventoryCommand, InventoryOutcome>,
    relay: Relay,
    registry: Registry,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(&folder.path().join("inventory.db"), Arc::new(ManualClock::at(START)));
        let store: Arc<dyn Store> = Arc::new(store.expect("a new file"));
        let bus: Arc<dyn Bus> = Arc::new(Embedded::new(Arc::new(SystemClock), NEVER));
        let mut registry = Registry::default();
        let shared = telemetry::Metrics::new(&mut registry, "test");
        let metrics = Arc::new(Metrics::new(&mut registry, shared));
        let (outbox, relay) = Relay::new(bus.clone(), ANSWERS_CHANNEL, Box::new(|_, _| {}));
        let commits = Arc::new(Commits { store: store.clone(), outbox, metrics: metrics.clone() });
        let (batcher, committer): (_, Committer<_, _>) = Batcher::new(commits, Arc::new(|_| {}));
        tokio::spawn(committer.run(CancellationToken::new()));
        let inbox = Arc::new(Commands { store: store.clone(), metrics });
        let consumer = Consumer { bus: bus.clone(), channel: COMMANDS_CHANNEL, batcher: batcher.clone(), inbox };
        let world = Self { store, bus, consumer, batcher, relay, registry, folder };
        let deadline = tokio::time::Instant::now() + NEVER;
        let stocked = world.batcher.submit_all(stocked("MUG", 5).to_vec(), deadline).await;
        assert!(stocked.iter().all(Result::is_ok));
        world
    }

    /// Delivers the payloads, and returns the answers that they lead to.
    async fn deliver(&mut self, payloads: Vec<Vec<u8>>) -> Vec<StockAnswer> {
        self.bus.publish(COMMANDS_CHANNEL, payloads).await.expect("published");
        self.consumer.tick().await.expect("a step");
        self.relay.tick().await;
        let answers = self.bus.receive(ANSWERS_CHANNEL, 100, Duration::ZERO).await.expect("no failure");
        let answers = answers.into_iter().flat_map(|delivery| codec::decode::<StockAnswer>(&delivery.payload));
        answers.map(|answer| answer.expect("an answer")).collect()
    }

    fn counted(&self, line: &str) -> bool {
        telemetry::render(&self.registry).lines().any(|its| its == line)
    }
}

fn message(command: InventoryCommand) -> String {
    let InventoryCommand::Stock(command) = command else { panic!("no message: {command:?}") };
    String::from_utf8(codec::encode(&[*command]).remove(0)).expect("JSON").trim_matches(['[', ']']).to_owned()
}

fn names(answers: &[StockAnswer]) -> Vec<&'static str> {
    answers.iter().map(|answer| answer.outcome.name()).collect()
}

#[tokio::test]
async fn commands_are_answered_after_their_commit_and_acknowledged() {
    let mut world = World::new().await;
    let payload = format!("[{},{}]", message(reserve(1, &[("MUG", 4)])), message(reserve(2, &[("MUG", 4)])));
    let answers = world.deliver(vec![payload.clone().into_bytes()]).await;
    assert_eq!(names(&answers), ["StockReserved", "StockRejected"]);
    assert!(world.store.reservation(answers[0].order_id).await.expect("a read").is_some());
    assert!(world.deliver(Vec::new()).await.is_empty(), "acknowledged");

    assert_eq!(names(&world.deliver(vec![payload.into_bytes()]).await), ["StockReserved", "StockRejected"]);
    assert!(world.counted(r#"stock_reservations_total{outcome="reserved"} 1"#), "a repeated answer does not count");
}

#[tokio::test]
async fn a_bad_message_is_set_aside_and_its_neighbours_go_through() {
    let mut world = World::new().await;
    let good = |n| message(reserve(n, &[("MUG", 1)]));
    let newer = good(3).replace("\"schema\":1", "\"schema\":2");
    let anomaly = message(order(StockCommandKind::ShipStock, 4, &[("MUG", 1)]));
    let payloads = [format!("[{},{{}},{newer},{anomaly},{}]", good(1), good(2)), "garbage".to_owned()];
    let answers = world.deliver(payloads.map(String::into_bytes).to_vec()).await;
    assert_eq!(names(&answers), ["StockReserved", "StockReserved"]);
    for line in [
        r#"quarantine_messages_total{service="inventory",kind="malformed"} 2"#,
        r#"quarantine_messages_total{service="inventory",kind="unknown_version"} 1"#,
        r#"anomalies_total{service="inventory",kind="command"} 1"#,
    ] {
        assert!(world.counted(line), "{line}");
    }
    assert!(world.deliver(Vec::new()).await.is_empty(), "all of it is acknowledged");
}

#[tokio::test]
async fn an_anomaly_is_recorded_with_its_order_and_the_message() {
    let world = World::new().await;
    let command = order(StockCommandKind::ShipStock, 4, &[("MUG", 1)]);
    let entry = world.consumer.inbox.judge(&command, Some(&InventoryOutcome::Anomaly("a reason"))).expect("an entry");
    assert_eq!((entry.kind, entry.reason.as_str()), ("anomaly", "ShipStock: a reason"));
    assert_eq!(entry.subject.as_deref(), Some("00000000-0000-0000-0000-000000000004"));
    assert_eq!(entry.bytes, format!("[{}]", message(command.clone())).into_bytes());
    let entry = world.consumer.inbox.judge(&command, None).expect("an entry");
    assert_eq!(entry.kind, "poisoned");
    assert!(world.consumer.inbox.judge(&command, Some(&InventoryOutcome::Answered { repeated: true })).is_none());
}

#[tokio::test]
async fn the_health_check_reports_what_the_service_stands_on() {
    let world = World::new().await;
    let readiness = Readiness::default();
    let health_check = HealthCheck { store: world.store.clone(), bus: world.bus.clone(), readiness: readiness.clone() };
    health_check.tick().await.expect("a look");
    assert_eq!(readiness.snapshot().checks, [("inventory database", Health::Up), ("bus", Health::Up)]);
}

#[tokio::test]
async fn nothing_is_published_of_a_batch_that_was_not_committed() {
    let mut world = World::new().await;
    let raw = storage::sqlite::open_writer(&world.folder.path().join("inventory.db"), MIGRATIONS).expect("by hand");
    let refusing = "CREATE TRIGGER refused BEFORE INSERT ON reservations BEGIN SELECT RAISE(ABORT, 'no'); END";
    raw.execute_batch(refusing).expect("a trigger");
    let answers = world.deliver(vec![format!("[{}]", message(reserve(1, &[("MUG", 1)]))).into_bytes()]).await;
    assert_eq!(names(&answers), [""; 0]);
    assert!(world.store.reservation(id(1)).await.expect("a read").is_none());
}
