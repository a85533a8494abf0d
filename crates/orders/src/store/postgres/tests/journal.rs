//! The numbers of the journal, which replicas give after the commits (R29).

use platform::audit::ReadBudget;
use platform::journal::{Numbers, Position};
use storage::journal::PostgresJournal;
use testbed::{Commits, Race, must_be_ready_for_publication};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::*;
use crate::store::laws::feeding::{audited, must_tell_every_history, numbered, read_from};
use crate::store::laws::{fulfill, released, run_until_done};

/// What a numbering replica begins with.
const TAKE_THE_HEAD: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s';
     SELECT last FROM journal_head FOR UPDATE SKIP LOCKED";

/// One more replica.
async fn replica(url: &str) -> Arc<Postgres> {
    let clock = Arc::new(ManualClock::at(START));
    let opened = Postgres::open(server(url), Time::Given(clock)).await;
    Arc::new(opened.expect("the database"))
}

/// The URL of the same database behind a proxy.
fn behind(url: &str, port: u16) -> String {
    let direct = format!(":{}/", port_of(url));
    url.replace(&direct, &format!(":{port}/"))
}

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.rsplit_once(':').expect("a port");
    rest.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
}

async fn run(store: &Postgres, batch: Vec<OrderCommand>) {
    run_until_done(store, batch.into()).await;
}

async fn must_be_whole(store: &Postgres) {
    let last = numbered(&*store.journal()).await;
    must_tell_every_history(store, &store.audit(), last).await;
}

/// The orders of the journal along its numbers, with the numbers of their entries.
async fn made(store: &Postgres) -> Vec<(u128, u32)> {
    let read = read_from(store, Position::START, 100).await;
    read.iter().map(|one| (one.entry.order_id.0.as_u128(), one.entry.seq)).collect()
}

/// An entry as the journal packs it, as a literal.
fn packed(n: u128, seq: u32, code: u8) -> String {
    format!("'\\x{n:032x}{seq:08x}{code:02x}'::bytea")
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_numbered_late_and_not_skipped() {
    let (store, _, url) = opened().await;
    let late = postgres(&url).await;
    let insert = format!("BEGIN; INSERT INTO journal (entries) VALUES ({})", packed(99, 1, 1));
    late.batch_execute(&insert).await.expect("open, with the smallest id");
    for n in 1..=3 {
        run(&store, vec![place(n)]).await;
    }
    assert_eq!(numbered(&*store.journal()).await, 3);
    assert_eq!(made(&store).await, [(1, 1), (2, 1), (3, 1)]);
    late.batch_execute("COMMIT").await.expect("committed");
    run(&store, vec![place(4)]).await;
    assert_eq!(numbered(&*store.journal()).await, 5);
    assert_eq!(made(&store).await, [(1, 1), (2, 1), (3, 1), (99, 1), (4, 1)]);
}

#[tokio::test]
async fn an_id_that_was_drawn_and_not_committed_leaves_no_gap_in_the_numbers() {
    let (store, _, url) = opened().await;
    let operator = postgres(&url).await;
    let drawn = format!("BEGIN; INSERT INTO journal (entries) VALUES ({})", packed(9, 1, 1));
    for n in 1..=3 {
        operator.batch_execute(&drawn).await.expect("drawn");
        operator.batch_execute("ROLLBACK").await.expect("rolled back");
        run(&store, vec![place(n)]).await;
    }
    let ids = "SELECT max(id) - count(*) AS gaps FROM journal";
    let gaps: i64 = operator.query_one(ids, &[]).await.expect("a row").get("gaps");
    assert_eq!(gaps, 3);
    must_be_whole(&store).await;
    assert_eq!(numbered(&*store.journal()).await, 3);
}

#[tokio::test]
async fn a_replica_that_dies_while_it_numbers_has_numbered_nothing() {
    let (store, _, url) = opened().await;
    run(&store, vec![place(1)]).await;
    let dying = postgres(&url).await;
    dying.batch_execute(TAKE_THE_HEAD).await.expect("the lock");
    let number = "UPDATE journal SET no = 1; UPDATE journal_head SET last = 1";
    dying.batch_execute(number).await.expect("numbered");
    run(&store, vec![place(2)]).await;
    let beside = store.journal().number().await.expect("no wait");
    assert_eq!(beside, Numbers { last: 0, more: true }, "another replica has the head");
    assert!(made(&store).await.is_empty());
    drop(dying);
    let journal = store.journal();
    eventually(PATIENCE, "the server notices", async || {
        (journal.number().await.expect("no wait").last == 2).then_some(())
    })
    .await;
    must_be_whole(&store).await;
}

/// A replica that freezes with the head in its hands, as after SIGSTOP: its connection stays, and
/// nothing comes from it until the gate lets its statements through. It loses the head after `lease`.
async fn freeze(url: &str, lease: Duration) -> (Commits, JoinHandle<Result<Numbers, Failure>>) {
    let gate = Commits::gated(port_of(url)).await;
    let replica = replica(&behind(url, gate.port())).await;
    let journal = PostgresJournal::new(replica.database.clone(), lease);
    let numbering = tokio::spawn(async move { journal.number().await });
    // BEGIN, two looks, and the lock. The next statement is held.
    for _ in 0..4 {
        eventually(PATIENCE, "a statement", async || gate.is_held().then_some(())).await;
        gate.step(1);
    }
    eventually(PATIENCE, "it has the head", async || gate.is_held().then_some(())).await;
    (gate, numbering)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_frozen_while_it_numbers_stops_no_order() {
    let (store, _, url) = opened().await;
    run(&store, vec![place(1)]).await;
    let (gate, numbering) = freeze(&url, Duration::from_secs(600)).await;
    run(&store, vec![place(2), reserved(2)]).await;
    run(&store, vec![cancel(1)]).await;
    let beside = store.journal().number().await.expect("no wait");
    assert_eq!(beside, Numbers { last: 0, more: true }, "the head is held all the time");
    gate.step(100);
    assert_eq!(numbering.await.expect("no panic").expect("numbers").last, 3);
    must_be_whole(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_frozen_while_it_numbers_loses_the_head() {
    let (store, _, url) = opened().await;
    assert_eq!(PostgresJournal::LEASE, Duration::from_secs(5), "of a service");
    run(&store, vec![place(1)]).await;
    let (gate, numbering) = freeze(&url, Duration::from_millis(200)).await;
    let journal = store.journal();
    eventually(PATIENCE, "the server ends the session", async || {
        (journal.number().await.expect("no wait").last == 1).then_some(())
    })
    .await;
    gate.step(100);
    numbering.await.expect("no panic").expect_err("its session is gone");
    must_be_whole(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_number_side_by_side_while_four_commit() {
    let (store, _, url) = opened().await;
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(replica(&url).await);
    }
    let committers: Vec<_> = (0..4u128)
        .map(|side| {
            let store = replicas[side as usize].clone();
            tokio::spawn(async move {
                for n in 0..12 {
                    // Two replicas change each order in turn.
                    let (own, shared) = (side * 1000 + n, 9000 + side / 2 * 100 + n);
                    run(&store, vec![place(own), place(shared)]).await;
                    run(&store, vec![reserved(own), cancel(shared)]).await;
                    run(&store, vec![released(shared), fulfill(own)]).await;
                }
            })
        })
        .collect();
    let numberers: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let journal = replica.journal();
            tokio::spawn(async move {
                loop {
                    journal.number().await.expect("numbers");
                }
            })
        })
        .collect();
    for committer in committers {
        committer.await.expect("no panic");
    }
    for numberer in numberers {
        assert!(!numberer.is_finished(), "a replica could not number");
        numberer.abort();
    }
    must_be_whole(&store).await;
    assert_eq!(read_from(&store, Position::START, 100).await.len(), 4 * 12 * 3 + 2 * 12 * 3);
}

/// Two replicas in every order of their statements, of which the `first` ones go together. Each run
/// begins with a placed order of its number.
async fn every_order(
    first: &[usize],
    of: impl Fn(u32, [Arc<Postgres>; 2]) -> [JoinHandle<()>; 2],
) -> u32 {
    let open = async |url: String, name| {
        let server = Server::at(&url, "the database", name).expect("a URL");
        let clock = Arc::new(ManualClock::at(START));
        Postgres::open(server, Time::Given(clock)).await.expect("a database")
    };
    let race = Race::open(first, open).await;
    let begin = async |number: u32, replicas: [Arc<Postgres>; 2]| {
        run(&race.witness, vec![place(u128::from(number))]).await;
        of(number, replicas)
    };
    let check = async |_, _| _ = numbered(&*race.witness.journal()).await;
    let orders = race.every_order(begin, check).await;
    must_be_whole(&race.witness).await;
    println!("{orders} orders of statements");
    orders
}

/// `BEGIN` and what neither waits for another replica nor sees one go together: the lock of an order
/// that nobody else changes, or the look at the head.
const BESIDE_A_NUMBERING: [usize; 1] = [3];

/// A batch takes its id when it holds all locks: whatever comes first, the entries of an order are
/// numbered as they follow in its history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batches_about_one_order_are_numbered_in_the_order_of_its_history() {
    let orders = every_order(&[], |number, [first, second]| {
        let n = u128::from(number);
        [
            tokio::spawn(async move { run(&first, vec![reserved(n)]).await }),
            tokio::spawn(async move { run(&second, vec![cancel(n)]).await }),
        ]
    })
    .await;
    assert!(orders >= 10, "only {orders}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_beside_a_replica_that_numbers_is_numbered_once() {
    let orders = every_order(&BESIDE_A_NUMBERING, |number, [first, second]| {
        let n = u128::from(number);
        let number = async move { second.journal().number().await.expect("numbers") };
        [
            tokio::spawn(async move { run(&first, vec![reserved(n)]).await }),
            tokio::spawn(async move { _ = number.await }),
        ]
    })
    .await;
    assert!(orders >= 10, "only {orders}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_number_at_once_give_each_number_once() {
    let orders = every_order(&BESIDE_A_NUMBERING, |_, replicas| {
        replicas.map(|replica| {
            tokio::spawn(async move {
                replica.journal().number().await.expect("numbers");
            })
        })
    })
    .await;
    assert!(orders >= 10, "only {orders}");
}

/// Two connections that do by hand what the store must not do.
async fn by_hand() -> (Postgres, [Client; 2]) {
    let (store, _, url) = opened().await;
    let by_hand = [postgres(&url).await, postgres(&url).await];
    (store, by_hand)
}

/// The planted mistake 33: the rows are read before the head is locked. Another replica numbers them
/// meanwhile, and the database refuses to number a row twice.
#[tokio::test]
async fn a_relay_that_reads_before_it_locks_is_caught() {
    let (store, [relay, _]) = by_hand().await;
    run(&store, vec![place(1)]).await;
    run(&store, vec![place(2)]).await;
    let read = relay.query("SELECT id FROM journal WHERE no IS NULL ORDER BY id", &[]).await;
    let read: Vec<i64> = read.expect("rows").iter().map(|row| row.get("id")).collect();
    assert_eq!(numbered(&*store.journal()).await, 2, "another replica");
    relay.batch_execute(TAKE_THE_HEAD).await.expect("the lock");
    for (id, no) in read.iter().zip(3_i64..) {
        let number = "UPDATE journal SET no = $2 WHERE id = $1";
        let refused = relay.execute(number, &[id, &no]).await.expect_err("once");
        assert!(refused.as_db_error().expect("by the trigger").message().contains("forbidden"));
        relay.batch_execute("ROLLBACK").await.expect("rolled back");
    }
    must_be_whole(&store).await;
}

/// The planted mistake 34: an id that is drawn before the locks. The entry that came second in the
/// history of its order is numbered first, which the audit finds.
#[tokio::test]
async fn an_id_that_is_drawn_before_the_locks_is_caught() {
    let (store, [early, right]) = by_hand().await;
    run(&store, vec![place(1)]).await;
    let draw = "SELECT nextval(pg_get_serial_sequence('journal', 'id')) AS id";
    let drawn: i64 = early.query_one(draw, &[]).await.expect("an id").get("id");
    // The entry 2 of the order is made and committed by another replica.
    let insert = format!("INSERT INTO journal (entries) VALUES ({})", packed(1, 2, 2));
    right.batch_execute(&insert).await.expect("committed");
    // Only now comes the lock of the order, and with it its entry 3.
    let insert = format!(
        "INSERT INTO journal (id, entries) OVERRIDING SYSTEM VALUE VALUES ({drawn}, {})",
        packed(1, 3, 4)
    );
    early.batch_execute(&insert).await.expect("committed");
    let whole = format!(
        "INSERT INTO order_states VALUES ('{}', 'cancelling', 2, 1, 3, gen_random_uuid(), 0, NULL, '[{{}}, {{}}]')",
        id(1)
    );
    right.batch_execute(&whole).await.expect("the history has both entries");
    numbered(&*store.journal()).await;
    assert_eq!(made(&store).await, [(1, 1), (1, 3), (1, 2)]);
    for budget in [ReadBudget::SHORT, ReadBudget::LONG] {
        let (named, _) = audited(Arc::new(store.audit()), budget).await;
        assert_eq!(
            named,
            [
                format!("row 2 of the journal: entry 3 of order {} follows entry 1", id(1)),
                format!("row 3 of the journal: entry 2 of order {} follows entry 3", id(1)),
            ]
        );
    }
}

/// The journal costs a batch one statement, which goes along with the others. What orders with a
/// payment have costs a plain order none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_four_round_trips_with_its_row_of_the_journal() {
    let (_store, _, url) = opened().await;
    let gate = Commits::gated(port_of(&url)).await;
    let gated = replica(&behind(&url, gate.port())).await;
    let operator = postgres(&url).await;
    operator.batch_execute("DROP TABLE payment_deadlines CASCADE").await.expect("no deadlines");
    for batch in [vec![place(1), place(2)], vec![reserved(1), reserved(2)]] {
        let store = gated.clone();
        let running = tokio::spawn(async move { run(&store, batch).await });
        // BEGIN; the lock and the orders; orders and pending commands, or states and pending commands;
        // the journal; COMMIT.
        gate.step_through(&[1, 2, 3, 1]).await;
        running.await.expect("no panic");
        assert_eq!(gate.waiting(), 0);
    }
}

/// Rows as batches would make them, all of one order.
fn grown(rows: u32) -> String {
    let entry = packed(7, 1, 1);
    format!("INSERT INTO journal (entries) SELECT {entry} FROM generate_series(1, {rows})")
}

/// A look reads as many pages of the database.
async fn pages_of_a_look(operator: &Client, above: i64) -> u64 {
    let look = storage::journal::HEAD_POSTGRES.replace("$1", &above.to_string());
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {look}");
    operator.batch_execute("SET enable_seqscan = off").await.expect("as a session of a service");
    let plan = operator.query(&explain, &[]).await.expect("a plan");
    // Those of the whole plan come first.
    let mut plan = plan.iter().map(|row| row.get::<_, String>(0));
    let buffers = plan.find(|line| line.contains("Buffers: shared")).expect("buffers");
    let counts = buffers.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok());
    counts.sum()
}

/// Such as that of a dump: no row that got its number since then goes out of the index.
#[tokio::test]
async fn an_old_snapshot_does_not_make_every_look_read_what_has_a_number() {
    let (store, _, url) = opened().await;
    let [operator, dump] = [postgres(&url).await, postgres(&url).await];
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM orders";
    dump.batch_execute(snapshot).await.expect("a snapshot");
    operator.batch_execute(&grown(5000)).await.expect("rows");
    let journal = PostgresJournal::new(store.database.clone(), PostgresJournal::LEASE);
    assert_eq!(numbered(&journal).await, 5000);
    eventually(PATIENCE, "the floor rises", async || {
        numbered(&journal).await;
        (journal.floor() == 5000).then_some(())
    })
    .await;
    run(&store, vec![place(1)]).await;
    assert_eq!(numbered(&journal).await, 5001);
    let whole = pages_of_a_look(&operator, 0).await;
    let above = pages_of_a_look(&operator, journal.floor()).await;
    assert!(4 * above < whole, "{above} pages, and {whole} without a floor");
    dump.batch_execute("COMMIT").await.expect("it was open all the time");
}

#[tokio::test]
async fn the_floor_does_not_rise_above_a_transaction_that_commits_late() {
    let (store, _, url) = opened().await;
    let [operator, late] = [postgres(&url).await, postgres(&url).await];
    operator.batch_execute(&grown(10)).await.expect("rows");
    let insert = format!("BEGIN; INSERT INTO journal (entries) VALUES ({})", packed(99, 1, 1));
    late.batch_execute(&insert).await.expect("open, with the id 11");
    operator.batch_execute(&grown(3000)).await.expect("rows");
    let journal = PostgresJournal::new(store.database.clone(), PostgresJournal::LEASE);
    for _ in 0..5 {
        assert_eq!(numbered(&journal).await, 3010);
        assert!(journal.floor() < 11, "{}", journal.floor());
    }
    late.batch_execute("COMMIT").await.expect("committed");
    assert_eq!(numbered(&journal).await, 3011);
    assert_eq!(read_from(&store, Position::behind(3010), 100).await.len(), 1);
    eventually(PATIENCE, "the floor rises", async || {
        numbered(&journal).await;
        (journal.floor() == 3011).then_some(())
    })
    .await;
}

/// As for logical replication to a warehouse or to a server of a newer version.
#[tokio::test]
async fn orders_are_placed_changed_and_numbered_under_a_publication_of_all_tables() {
    let (store, _, url) = opened().await;
    must_be_ready_for_publication(&url).await;
    run(&store, vec![place(1), place(2)]).await;
    run(&store, vec![reserved(1), cancel(2)]).await;
    assert_eq!(numbered(&*store.journal()).await, 2);
    must_be_whole(&store).await;
}

/// A table that has grown since a connection has planned its statements.
#[tokio::test]
async fn numbering_reads_no_more_than_what_waits() {
    let (store, _, url) = opened().await;
    let operator = postgres(&url).await;
    run(&store, vec![place(1)]).await;
    numbered(&*store.journal()).await;
    let number = "UPDATE journal SET no = id WHERE no IS NULL; UPDATE journal_head SET last = 3001";
    operator.batch_execute(&format!("{}; {number}", grown(3000))).await.expect("rows");
    let settings = "SET enable_seqscan = off; SET enable_hashjoin = off;
         SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";
    operator.batch_execute(settings).await.expect("as a session of a service");
    let (head, number) = (storage::journal::HEAD_POSTGRES, storage::journal::NUMBER_POSTGRES);
    let number = number.replace("$1", "3001").replace("$2", "1000").replace("$3", "0");
    for sql in [head.replace("$1", "0"), number] {
        let explain = format!("EXPLAIN {sql}");
        let plan = operator.query(&explain, &[]).await.expect("a plan");
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("journal_without_number"), "{plan}");
        assert!(!plan.contains("Seq Scan on journal "), "{plan}");
    }
}
