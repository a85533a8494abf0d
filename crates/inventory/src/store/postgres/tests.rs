use inventory_core::decide::{InventoryDecision, InventoryOutcome, LoadedInventory, decide};
use inventory_core::stock::MovementKind;
use platform::clock::ManualClock;
use platform::failure::Chain;
use storage::postgres::{Roles, migrate};
use testbed::{
    Commits, PATIENCE, as_role, eventually, fresh_database, must_be_ready_for_publication, postgres,
};

use super::*;
use crate::store::laws::{
    Fresh, START, a_return, allocate, cancel, place, put_location, received, run_until_done,
    stocked, store_laws, wanted, with_ids,
};

mod interleavings;

/// Lets a session write what the constraints and types of the schema forbid.
const UNGUARD: &str = "SET session_replication_role = replica;
    DROP VIEW IF EXISTS allocations, shortages, returns, ledger;
    DO $$ DECLARE guard record; BEGIN
        FOR guard IN SELECT conrelid::regclass AS its, conname FROM pg_constraint
                     WHERE contype = 'c' AND connamespace = 'public'::regnamespace
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', guard.its, guard.conname); END LOOP;
    END $$;
    ALTER TABLE reservations ALTER allocations TYPE text, ALTER shortages TYPE text, ALTER returns TYPE text;
    ALTER TABLE movements ALTER kind TYPE text";

async fn fresh() -> Fresh {
    let (store, clock, url) = opened().await;
    let audit = audit_of(&url).await;
    let literal = |order_id: OrderId| format!("'{}'", order_id.0);
    let damage = move |sql: String| {
        let url = url.clone();
        let damaging = async move {
            let operator = postgres(&url).await;
            operator.batch_execute(UNGUARD).await.expect("no constraints");
            let sql = with_ids(&sql, literal);
            let done = operator.batch_execute(&sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        };
        Box::pin(damaging) as _
    };
    let store = Arc::new(store);
    // On a busy machine, a first connection may take longer than a read waits for one.
    eventually(PATIENCE, "the store can be read", async || store.locations().await.ok()).await;
    Fresh {
        audit: Arc::new(audit),
        feed: store.clone(),
        journal: store.journal(),
        quarantine: store.quarantine_table(),
        admin_log: store.admin_log(),
        store,
        clock,
        damage: Box::new(damage),
        _home: Box::new(()),
    }
}

store_laws!(fresh);

/// A store in a database of its own, as the role of the service, and the database's URL as its
/// owner.
async fn opened() -> (Postgres, Arc<ManualClock>, String) {
    let (url, clock) = (fresh_database().await, Arc::new(ManualClock::at(START)));
    let its_url = as_role(&url, "service").await;
    as_role(&url, "reader").await;
    let roles = Roles { service: Some("service"), reader: Some("reader") };
    migrate(&server(&url), &SCHEMA, roles).await.expect("a new database");
    let store = Postgres::open(server(&its_url), Time::Given(clock.clone())).await;
    (store.expect("the database"), clock, url)
}

/// What the role of an audit reads.
async fn audit_of(url: &str) -> PostgresAudit {
    let its_url = as_role(url, "reader").await;
    Postgres::open_for_audit(server(&its_url)).await.expect("the database")
}

fn server(url: &str) -> Server {
    Server::at(url, "the database", "test").expect("a URL")
}

/// What returns and quarantined units have costs a plain order no statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_plain_orders_is_four_round_trips() {
    let (store, _, url) = opened().await;
    run_until_done(&store, Arc::new(stocked("mug", 10))).await;
    let (_, rest) = url.rsplit_once(':').expect("a port");
    let port = rest.split('/').next().and_then(|port| port.parse().ok()).expect("a port");
    let gate = Commits::gated(port).await;
    let proxied = url.replace(&format!(":{port}/"), &format!(":{}/", gate.port()));
    let clock = Arc::new(ManualClock::at(START));
    let gated = Postgres::open(server(&proxied), Time::Given(clock)).await.expect("the database");
    let batch = vec![place(1, &[("mug", 1)]), place(2, &[("mug", 2)])];
    let running = tokio::spawn(async move { run_until_done(&gated, batch.into()).await });
    // BEGIN; the locks of products and reservations, the levels, the locations, the batch number; the
    // levels, the reservations, the movements, the journal; COMMIT.
    gate.step_through(&[1, 5, 4, 1]).await;
    running.await.expect("no panic");
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let (_store, _, url) = opened().await;
    let operator = postgres(&url).await;
    let bits = |number: u32| [1, 2, 4, 8].map(|bit| number & bit != 0);
    let products = (0..16).map(|number| {
        let [after, sought, ids, low_stock] = bits(number);
        query::product_page(after, sought, ids, low_stock)
    });
    let movements = (0..4).map(|number| query::movement_page(bits(number)[0], bits(number)[1]));
    let fixed = SCHEMA
        .statements
        .iter()
        .chain(&query::STATEMENTS)
        .chain(&audit::STATEMENTS)
        .chain(&quarantine::STATEMENTS_POSTGRES)
        .chain(&[admin_log::PAGE_POSTGRES])
        .chain(&journal_audit::STATEMENTS)
        .map(|sql| (*sql).to_owned());
    for sql in fixed.chain(products).chain(movements) {
        operator.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// A shop with a receipt, an order that holds, one that was cancelled, and one that was rejected.
async fn shop() -> (Postgres, String) {
    let (store, _, url) = opened().await;
    let orders = [
        place(1, &[("MUG", 2)]),
        place(2, &[("MUG", 9)]),
        place(3, &[("MUG", 1)]),
        cancel(3, &[("MUG", 1)]),
        put_location("SHOP", 1),
    ];
    let batch = [stocked("MUG", 5).to_vec(), orders.to_vec()].concat();
    store.run(batch.into(), decide).await.expect("done");
    (store, url)
}

/// The number of the first movement of [`shop`].
const FIRST: i64 = load::NUMBERS_OF_A_BATCH;

#[tokio::test]
async fn the_database_itself_refuses_to_oversell_and_keeps_what_was_written() {
    let (_store, url) = shop().await;
    let copy = |columns: &str| {
        let columns = columns.replace('#', &format!("{FIRST} + "));
        format!(
            "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
             on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest)
             SELECT {columns}, NULL, request_digest FROM movements WHERE movement_no = {FIRST} + 1"
        )
    };
    let forbidden = [
        "UPDATE stock SET reserved = on_hand + 1".to_owned(),
        "UPDATE stock SET reserved = -1".to_owned(),
        "UPDATE stock SET on_hand = 1".to_owned(),
        "UPDATE stock SET on_hand = 1000000000001".to_owned(),
        "DELETE FROM stock".to_owned(),
        "UPDATE journal SET entries = repeat('x', 12)::bytea, no = id".to_owned(),
        "UPDATE journal SET no = NULL".to_owned(),
        "DELETE FROM journal".to_owned(),
        "TRUNCATE journal".to_owned(),
        "INSERT INTO journal (entries) VALUES (repeat('x', 11)::bytea)".to_owned(),
        "DELETE FROM journal_head".to_owned(),
        "UPDATE journal_head SET last = -1".to_owned(),
        "DELETE FROM products".to_owned(),
        "DELETE FROM locations".to_owned(),
        "UPDATE movements SET on_hand = 9".to_owned(),
        "UPDATE admin_log SET actor = 'nobody'".to_owned(),
        "DELETE FROM admin_log".to_owned(),
        "DELETE FROM movements".to_owned(),
        "TRUNCATE movements".to_owned(),
        copy("#1, 1, 1, 5, #3, #3, kind, 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, NULL, #3, kind, 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 1, #3, #3, kind, 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #2, kind, 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #8, kind, 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #3, 'ship', 0, 0, 5, 2, 0, NULL"),
        copy("#8, 1, 1, 5, #3, #3, 'count', 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #3, 'ship', 0, 0, 1, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #3, 'lost', 0, 0, 5, 2, 0, order_id"),
        copy("#8, 1, 1, 5, #3, #3, 'return', 0, 0, 5, 2, 0, NULL"),
        copy("#8, 1, 1, 5, #3, #3, 'write_off', 0, 0, 5, 2, 0, order_id"),
        "UPDATE reservations SET revision = 1 WHERE revision = 2".to_owned(),
        "UPDATE reservations SET revision = 0".to_owned(),
        "UPDATE reservations SET allocations = 'none'".to_owned(),
        "DELETE FROM reservations".to_owned(),
        "TRUNCATE reservations".to_owned(),
    ];
    let operator = postgres(&url).await;
    for sql in forbidden {
        assert!(operator.execute(&sql, &[]).await.is_err(), "{sql}");
    }
    let allowed = copy("#8, 1, 1, 5, #3, #3, 'ship', 0, 0, 5, 2, 0, order_id");
    assert_eq!(operator.execute(&allowed, &[]).await.expect("nothing wrong with it"), 1);
}

/// NULL stands for 0, and for 0 alone.
#[tokio::test]
async fn the_database_itself_refuses_to_sell_what_is_quarantined() {
    let (_store, url) = shop().await;
    let operator = postgres(&url).await;
    // A return after the last movement, with the change and the number of quarantined units.
    let quarantined = |units: &str| {
        format!(
            "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
             on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, quarantined_delta, quarantined)
             SELECT {FIRST} + 9, 1, 1, 6, {FIRST} + 3, {FIRST} + 3, 'return', 1, 0, 5, 2, 0, order_id, {units}
             FROM movements WHERE movement_no = {FIRST} + 1"
        )
    };
    let forbidden = ["0, 1", "1, 0", "1, 4", "1, -1"].map(quarantined);
    let stock = ["UPDATE stock SET quarantined = 4", "UPDATE stock SET quarantined = -1"];
    for sql in forbidden.into_iter().chain(stock.map(str::to_owned)) {
        assert!(operator.execute(&sql, &[]).await.is_err(), "{sql}");
    }
    let allowed = quarantined("1, 3");
    assert_eq!(operator.execute(&allowed, &[]).await.expect("nothing wrong with it"), 1);
}

/// As for logical replication to a warehouse or to a server of a newer version.
#[tokio::test]
async fn stock_moves_and_is_numbered_under_a_publication_of_all_tables() {
    let (store, url) = shop().await;
    must_be_ready_for_publication(&url).await;
    store.run(stocked("CUP", 5).to_vec().into(), decide).await.expect("done");
    let numbers = store.journal().number().await.expect("numbered");
    assert_eq!(numbers.last, 2, "{numbers:?}");
}

#[tokio::test]
async fn views_show_ids_and_words() {
    let (store, url) = shop().await;
    store.run(a_return().into(), decide).await.expect("done");
    let operator = postgres(&url).await;
    operator.batch_execute("SET TimeZone = 'UTC'").await.expect("a setting");
    let text = async |sql: &str| -> String {
        let row = operator.query_one(sql, &[]).await;
        row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get("text")
    };
    let allocation = "SELECT concat_ws(' ', order_id, revision, product_id, location_id, promised, released, shipped,
        allocated, reserved, json_array_length(movements), updated_at) AS text FROM allocations WHERE revision = 2";
    assert_eq!(
        text(allocation).await,
        "00000000-0000-0000-0000-000000000003 2 MUG main 1 1 0 0 0 2 2026-11-27 18:30:00+00"
    );
    let shortage = "SELECT concat_ws(' ', order_id, revision, product_id, requested, available, reason) AS text
        FROM shortages";
    assert_eq!(text(shortage).await, "00000000-0000-0000-0000-000000000002 1 MUG 9 3 out_of_stock");
    let movement =
        "SELECT concat_ws(' ', product_id, location_id, seq, kind, on_hand, reserved, available,
        movement_no - previous, order_id, created_at) AS text FROM ledger WHERE seq = 2 AND product_id = 'MUG'";
    assert_eq!(
        text(movement).await,
        "MUG main 2 reserve 5 2 3 1 00000000-0000-0000-0000-000000000001 2026-11-27 18:30:00+00"
    );
    let receipt = "SELECT coalesce(order_id::text, reason) AS text FROM ledger WHERE seq = 1 AND product_id = 'MUG'";
    assert_eq!(text(receipt).await, "because");
    let back = "SELECT concat_ws(' ', order_id, product_id, returned_to, restocked, quarantined, written_off, booked_at,
        json_array_length(movements)) AS text FROM returns";
    assert_eq!(text(back).await, "00000000-0000-0000-0000-000000000004 TEE NOWHERE 0 1 1 main 1");
    let returned =
        "SELECT concat_ws(' ', kind, quarantined_delta, quarantined, available) AS text FROM ledger
        WHERE kind = 'return'";
    assert_eq!(text(returned).await, "return 1 1 1");
}

/// Nothing that orders change is in an index, and half a page of stock is free.
#[tokio::test]
async fn orders_update_stock_and_reservations_in_place() {
    let (store, _, url) = opened().await;
    store.run(stocked("MUG", 500).into(), decide).await.expect("done");
    for n in 1..=50 {
        let placed = place(n, &[("MUG", 1)]);
        store.run(Arc::new([placed]), decide).await.expect("done");
        store.run(Arc::new([cancel(n, &[("MUG", 1)])]), decide).await.expect("done");
    }
    let operator = postgres(&url).await;
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1";
    for (table, updates) in [("stock", 100_i64), ("reservations", 50)] {
        let counted = eventually(PATIENCE, "updates are counted", async || {
            let row = operator.query_one(sql, &[&table]).await.expect("a row");
            (row.get::<_, i64>("n_tup_upd") == updates).then(|| row.get::<_, i64>("n_tup_hot_upd"))
        });
        assert!(counted.await * 10 >= updates * 9, "{table}");
    }
}

/// All that these tests do is done as a role that may not change the schema. It cannot rewrite what
/// happened either.
#[tokio::test]
async fn the_role_of_the_service_can_add_to_the_ledger_and_not_change_it() {
    let (store, _, url) = opened().await;
    let batch = [stocked("MUG", 5).to_vec(), vec![place(1, &[("MUG", 1)])]].concat();
    store.run(batch.into(), decide).await.expect("done");
    store.run(Arc::new([cancel(1, &[("MUG", 1)])]), decide).await.expect("done");
    let session = postgres(&as_role(&url, "service").await).await;
    for sql in [
        "UPDATE movements SET on_hand = 9",
        "UPDATE stock SET product_no = 9",
        "UPDATE journal SET entries = repeat('x', 12)::bytea",
        "DELETE FROM journal",
        "UPDATE products SET product_id = 'TEE'",
        "DELETE FROM movements",
        "DELETE FROM stock",
        "DELETE FROM products",
        "DELETE FROM reservations",
        "SELECT setval('batch_numbers', 1)",
        "ALTER TABLE movements DISABLE TRIGGER ALL",
    ] {
        let error = session.execute(sql, &[]).await.expect_err(sql);
        let code = error.code().expect("a code of the server");
        assert_eq!(code, &tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

/// The committer then runs its commands one by one.
#[tokio::test]
async fn a_batch_with_more_movements_than_numbers_is_suspect() {
    fn endless(now: i64, batch: &[InventoryCommand], loaded: LoadedInventory) -> InventoryDecision {
        let mut decision = decide(now, batch, loaded);
        let last = decision.changes.movements.last().expect("a movement").clone();
        decision.changes.movements.resize((1 << 20) + 1, last);
        decision
    }
    let (store, _, _) = opened().await;
    store.run(stocked("MUG", 5).into(), decide).await.expect("done");
    let failure = store.run(Arc::new([received("MUG", "main", 1)]), endless).await;
    let message = Chain(&failure.expect_err("too many")).to_string();
    assert!(message.contains("more movements than numbers"), "{message}");
    let stock = store.product("MUG".parse().expect("an id")).await.expect("a read");
    assert_eq!(
        stock.expect("a product").levels.values().map(|level| level.on_hand).sum::<i64>(),
        5
    );
}

#[tokio::test]
async fn an_anomaly_makes_no_reservation() {
    let (store, _, url) = opened().await;
    let mut intent = contract::Intent::placed(wanted(&[("MUG", 1)]));
    intent.revision = intent.revision.next();
    let decided = store.run(Arc::new([allocate(1, intent)]), decide).await.expect("an anomaly");
    assert!(matches!(decided[0].outcome, InventoryOutcome::Anomaly(_)), "{decided:?}");
    let row = postgres(&url)
        .await
        .query_one("SELECT count(*) FROM reservations", &[])
        .await
        .expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_kinds_of_the_database_are_those_of_the_ledger() {
    let (_store, _, url) = opened().await;
    let sql = "SELECT unnest(enum_range(NULL::movement_kind))::text AS kind";
    let rows = postgres(&url).await.query(sql, &[]).await.expect("rows");
    let kinds: Vec<String> = rows.iter().map(|row| row.get("kind")).collect();
    assert_eq!(kinds, MovementKind::ALL.map(MovementKind::as_str));
}

#[tokio::test]
async fn every_damage_is_found_and_named() {
    crate::audit::tests::every_damage_is_found_and_named(fresh).await;
}

/// Deciders that the database asks to run again would get through all the same: it counts whether
/// it ever had to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_deciders_never_deadlock() {
    let (store, clock, url) = opened().await;
    let store = Arc::new(store);
    let fresh = Fresh {
        audit: Arc::new(store.audit()),
        feed: store.clone(),
        journal: store.journal(),
        quarantine: store.quarantine_table(),
        admin_log: store.admin_log(),
        store,
        clock,
        damage: Box::new(|_| unreachable!("nothing is damaged")),
        _home: Box::new(()),
    };
    crate::store::laws::deciding::sixteen_deciders_with_crossed_products_neither_oversell_nor_deadlock(fresh).await;
    let counted =
        "SELECT deadlocks, xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let operator = postgres(&url).await;
    let deadlocks = eventually(PATIENCE, "the transactions are counted", async || {
        let row = operator.query_one(counted, &[]).await.expect("a row");
        (row.get::<_, i64>("xact_commit") > 192).then(|| row.get::<_, i64>("deadlocks"))
    });
    assert_eq!(deadlocks.await, 0);
}
