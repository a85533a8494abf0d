//! The service as `run` assembles it, on a real store and a real bus: its workers step by step.

use std::sync::Arc;
use std::time::Duration;

use contract::answers::{ANSWERS_CHANNEL, StockAllocated};
use contract::codec;
use contract::commands::COMMANDS_CHANNEL;
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::bus::{Bus, all, embedded::Embedded};
use platform::clock::{Clock, ManualClock, SystemClock, SystemIds};
use platform::consumer::{Consumer, Origin};
use platform::pairing::DatabaseId;
use platform::readiness::Health;
use platform::relay::Relay;
use platform::telemetry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use web::program::Context;

use super::health_check::HealthCheck;
use crate::run::{Dependencies, Opened, Parts, assemble};
use crate::store::StockStore;
use crate::store::laws::{START, cancel, fulfill, id, place, stocked};
use crate::store::sqlite::{MIGRATIONS, Sqlite};

const NEVER: Duration = Duration::from_secs(3600);

/// The service without HTTP, one step at a time.
struct World {
    store: Arc<dyn StockStore>,
    /// The Order Service's end of the bus.
    peer: Embedded,
    bus: Arc<dyn Bus>,
    consumer: Consumer<InventoryCommand, InventoryOutcome>,
    relay: Relay,
    health_check: HealthCheck,
    context: Context,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START));
        let sqlite =
            Sqlite::open(&folder.path().join("inventory.db"), clock.clone()).expect("a new file");
        let (audit, quarantine) = (Arc::new(sqlite.audit()), sqlite.quarantine_table());
        let admin_log = sqlite.admin_log();
        let pairing = sqlite.pairing().await.expect("a read");
        let journal = sqlite.journal();
        let sqlite = Arc::new(sqlite);
        let feed = sqlite.clone();
        let store: Arc<dyn StockStore> = sqlite;
        let orders = DatabaseId(Uuid::from_u128(1));
        let peer = Embedded::new(Arc::new(SystemClock), NEVER, orders);
        let bus: Arc<dyn Bus> = Arc::new(peer.end_of(pairing.id()));
        let mut context = Context::new(clock.clone(), Arc::new(SystemIds::new(clock)));
        let database =
            Opened { store: store.clone(), audit, feed, journal, pairing, quarantine, admin_log };
        let dependencies = Dependencies { database, bus: bus.clone() };
        let Parts { relay, committer, consumer, health_check, .. } =
            assemble(dependencies, &mut context);
        tokio::spawn(committer.run(CancellationToken::new()));
        let world = Self { store, peer, bus, consumer, relay, health_check, context, folder };
        let deadline = tokio::time::Instant::now() + NEVER;
        let stocked = world.consumer.batcher.submit_all(stocked("MUG", 5).to_vec(), deadline).await;
        assert!(stocked.iter().all(Result::is_ok));
        world
    }

    /// Delivers the payloads, and returns the answers that they lead to.
    async fn deliver(&mut self, payloads: Vec<Vec<u8>>) -> Vec<StockAllocated> {
        all(self.peer.publish(COMMANDS_CHANNEL, payloads).await).expect("published");
        self.consumer.tick().await.expect("a step");
        self.relay.tick().await;
        let answers =
            self.bus.receive(ANSWERS_CHANNEL, 100, Duration::ZERO).await.expect("no failure");
        let answers = answers
            .into_iter()
            .flat_map(|delivery| codec::decode::<StockAllocated>(&delivery.payload));
        answers.map(|answer| answer.expect("an answer")).collect()
    }

    /// From now on the database takes no reservation.
    fn refuse_reservations(&self) {
        let path = self.folder.path().join("inventory.db");
        let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("by hand");
        let refusing = "CREATE TRIGGER refused BEFORE INSERT ON reservations BEGIN SELECT RAISE(ABORT, 'no'); END";
        raw.execute_batch(refusing).expect("a trigger");
    }

    fn counted(&self, line: &str) -> bool {
        telemetry::render(&self.context.registry).lines().any(|its| its == line)
    }
}

fn message(command: InventoryCommand) -> String {
    let InventoryCommand::Allocate(command) = command else { panic!("no message: {command:?}") };
    String::from_utf8(codec::encode_one(&*command))
        .expect("JSON")
        .trim_matches(['[', ']'])
        .to_owned()
}

/// What each answer says: `allocated`, `short` or `nothing`.
fn names(answers: &[StockAllocated]) -> Vec<&'static str> {
    let name = |answer: &StockAllocated| match &answer.facts {
        facts if !facts.shortages.is_empty() => "short",
        facts if facts.allocated.is_empty() => "nothing",
        _ => "allocated",
    };
    answers.iter().map(name).collect()
}

#[tokio::test]
async fn commands_are_answered_after_their_commit_and_acknowledged() {
    let mut world = World::new().await;
    let payload =
        format!("[{},{}]", message(place(1, &[("MUG", 4)])), message(place(2, &[("MUG", 4)])));
    let answers = world.deliver(vec![payload.clone().into_bytes()]).await;
    assert_eq!(names(&answers), ["allocated", "short"]);
    assert!(world.store.reservation(answers[0].order_id).await.expect("a read").is_some());
    assert!(world.deliver(Vec::new()).await.is_empty(), "acknowledged");

    assert_eq!(names(&world.deliver(vec![payload.into_bytes()]).await), ["allocated", "short"]);
    assert!(
        world.counted(r#"stock_reservations_total{outcome="reserved"} 1"#),
        "a repeated answer does not count"
    );
}

#[tokio::test]
async fn each_new_outcome_is_counted_by_its_state() {
    let mut world = World::new().await;
    let one = [("MUG", 1)];
    let commands = [
        place(1, &one),
        place(2, &one),
        place(3, &[("MUG", 9)]),
        cancel(1, &one),
        fulfill(2, &one),
        cancel(4, &one),
    ];
    let payload = commands.map(message).join(",");
    let answers = world.deliver(vec![format!("[{payload}]").into_bytes()]).await;
    let expected = ["allocated", "allocated", "short", "nothing", "allocated", "nothing"];
    assert_eq!(names(&answers), expected);
    for (outcome, count) in [("reserved", 2), ("rejected", 1), ("released", 2), ("shipped", 1)] {
        let line = format!(r#"stock_reservations_total{{outcome="{outcome}"}} {count}"#);
        assert!(world.counted(&line), "{line}");
    }
}

#[tokio::test]
async fn a_bad_message_is_set_aside_and_its_neighbours_go_through() {
    let mut world = World::new().await;
    let good = |n| message(place(n, &[("MUG", 1)]));
    let newer = good(3).replace("\"schema\":1", "\"schema\":2");
    let anomaly = message(fulfill(4, &[("MUG", 1)]));
    let payloads =
        [format!("[{},{{}},{newer},{anomaly},{}]", good(1), good(2)), "garbage".to_owned()];
    let answers = world.deliver(payloads.map(String::into_bytes).to_vec()).await;
    assert_eq!(names(&answers), ["allocated", "allocated"]);
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
    let mut world = World::new().await;
    let command = fulfill(4, &[("MUG", 1)]);
    let bytes = format!("[{}]", message(command.clone())).into_bytes();
    let subject = "00000000-0000-0000-0000-000000000004".to_owned();
    let origin = Origin { subject: subject.clone(), name: "AllocateStock", bytes: bytes.clone() };
    let inbox = &world.consumer.inbox;
    assert_eq!(inbox.origin(&command), Some(origin));
    assert_eq!(inbox.anomaly(&InventoryOutcome::Anomaly("a reason")), Some("a reason"));
    assert_eq!(inbox.anomaly(&InventoryOutcome::Answered { repeated: true }), None);

    assert!(world.deliver(vec![bytes.clone()]).await.is_empty());
    let file =
        storage::sqlite::open_reader(&world.folder.path().join("inventory.db")).expect("the file");
    let sql = "SELECT kind, subject, reason, bytes FROM quarantine";
    let read = |row: &rusqlite::Row<'_>| {
        let reason: String = row.get("reason")?;
        Ok((
            row.get("kind")?,
            row.get("subject")?,
            reason.starts_with("AllocateStock: "),
            row.get("bytes")?,
        ))
    };
    let entry: (String, String, bool, Vec<u8>) = file.query_row(sql, [], read).expect("one entry");
    assert_eq!(entry, ("anomaly".to_owned(), subject, true, bytes));
}

#[tokio::test]
async fn a_command_that_fails_even_alone_is_recorded_as_poisoned() {
    let mut world = World::new().await;
    world.refuse_reservations();
    world.deliver(vec![format!("[{}]", message(place(1, &[("MUG", 1)]))).into_bytes()]).await;
    assert!(world.counted(r#"quarantine_messages_total{service="inventory",kind="poisoned"} 1"#));
    let file = world.folder.path().join("inventory.db");
    assert_eq!(testbed::quarantined(&file), [("poisoned".to_owned(), 1)]);
}

#[tokio::test]
async fn the_health_check_reports_what_the_service_stands_on() {
    let world = World::new().await;
    world.health_check.tick().await.expect("a look");
    let checks = world.context.readiness.snapshot().checks;
    assert_eq!(checks, [("inventory database", Health::Up), ("inventory bus", Health::Up)]);
}

#[tokio::test]
async fn nothing_is_published_of_a_batch_that_was_not_committed() {
    let mut world = World::new().await;
    world.refuse_reservations();
    let answers =
        world.deliver(vec![format!("[{}]", message(place(1, &[("MUG", 1)]))).into_bytes()]).await;
    assert_eq!(names(&answers), [""; 0]);
    assert!(world.counted(r#"quarantine_messages_total{service="inventory",kind="poisoned"} 1"#));
    assert!(world.store.reservation(id(1)).await.expect("a read").is_none());
}
