//! Fills two PostgreSQL databases: the server makes the rows itself, out of a series of numbers.

use std::ops::Range;

use platform::process::ProgramError;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CUSTOMERS, GAP_US, PRICE_MINOR, Plan, Reached, STEP_US, interrupted};

/// A loader that dies leaves databases that nobody uses, so only the end is durable.
const FAST: &str = "SET synchronous_commit = off";
/// So that no autovacuum runs during the measurement on behalf of what was loaded.
const DURABLE: &str = "VACUUM ANALYZE; CHECKPOINT";

const PAIRS: &str = "CREATE TEMPORARY TABLE pairs AS
     SELECT n - 1 AS pair, digest, lines::json AS lines, allocated
     FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS pairs (digest, lines, allocated, n)";

/// Fills both databases, beside each other.
pub(super) async fn fill(
    orders: &str,
    inventory: &str,
    plan: &Plan,
    stop: &CancellationToken,
) -> Result<(), ProgramError> {
    let orders = fill_orders(orders, plan, stop);
    let inventory = fill_inventory(inventory, plan, stop);
    tokio::try_join!(orders, inventory).map(|_| ())
}

async fn fill_orders(url: &str, plan: &Plan, stop: &CancellationToken) -> Result<(), ProgramError> {
    let client = connect(url, plan).await?;
    let then = match plan.filling.reached {
        Reached::Confirmed => states,
        Reached::Received => pending,
    };
    for chunk in plan.chunks() {
        let (orders, then) = (orders_of(plan, &chunk), then(plan, &chunk));
        let statements = format!("{orders};{then};{}", journal_of_orders(plan, &chunk));
        execute(&client, &statements, stop).await?;
    }
    finish(&client, stop).await
}

async fn fill_inventory(
    url: &str,
    plan: &Plan,
    stop: &CancellationToken,
) -> Result<(), ProgramError> {
    let client = connect(url, plan).await?;
    execute(&client, &products(plan), stop).await?;
    if plan.filling.reached == Reached::Confirmed {
        for chunk in plan.chunks() {
            let (movements, reservations) = (movements(plan, &chunk), reservations(plan, &chunk));
            let journal = journal_of_stock(plan, &chunk);
            let statements = format!("{movements};{reservations};{journal}");
            execute(&client, &statements, stop).await?;
        }
    }
    let levels = levels(plan);
    execute(&client, &levels, stop).await?;
    finish(&client, stop).await
}

/// Connects, and stores what the pairs of products have in common.
async fn connect(url: &str, plan: &Plan) -> Result<Client, ProgramError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(failed)?;
    // The connection ends with its client.
    tokio::spawn(connection);
    client.batch_execute(FAST).await.map_err(failed)?;
    let digests: Vec<Uuid> =
        plan.pairs.iter().map(|pair| Uuid::from_bytes(pair.digest.0)).collect();
    let lines: Vec<&str> = plan.pairs.iter().map(|pair| &*pair.lines).collect();
    let allocated: Vec<&str> = plan.pairs.iter().map(|pair| &*pair.allocated).collect();
    client.execute(PAIRS, &[&digests, &lines, &allocated]).await.map_err(failed)?;
    Ok(client)
}

/// Executes statements in one transaction.
async fn execute(
    client: &Client,
    statements: &str,
    stop: &CancellationToken,
) -> Result<(), ProgramError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(interrupted()),
        executed = client.batch_execute(statements) => executed.map_err(failed),
    }
}

/// The server's reason: the error itself says only that there was one.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failed(error: tokio_postgres::Error) -> ProgramError {
    let reason = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
    ProgramError::failed(format!("cannot fill the database: {reason}"))
}

async fn finish(client: &Client, stop: &CancellationToken) -> Result<(), ProgramError> {
    for statement in DURABLE.split(';') {
        execute(client, statement, stop).await?;
    }
    Ok(())
}

/// The orders of a chunk: their number, their pair of products, when they were placed, their id.
fn series(plan: &Plan, chunk: &Range<u64>) -> String {
    let begin = plan.begin_us;
    let half = plan.half();
    let last = chunk.end - 1;
    format!(
        "(SELECT n, n % {half} AS pair, placed,
                 (lpad(to_hex(placed / 1000), 12, '0') || '7' || lpad(to_hex(n & 4095), 3, '0')
                  || '8' || lpad(to_hex(n), 15, '0'))::uuid AS order_id
          FROM generate_series({}::bigint, {last}) AS n, LATERAL (SELECT {begin} + n * {GAP_US} AS placed) AS at) AS series",
        chunk.start
    )
}

fn orders_of(plan: &Plan, chunk: &Range<u64>) -> String {
    format!(
        "INSERT INTO orders (order_id, customer_id, currency, total_minor, digest, lines, created_at)
         SELECT order_id, 'bench-' || n % {CUSTOMERS}, 'BRL', {}, digest, lines, placed
         FROM {} JOIN pairs USING (pair) ORDER BY n",
        2 * PRICE_MINOR,
        series(plan, chunk)
    )
}

fn states(plan: &Plan, chunk: &Range<u64>) -> String {
    format!(
        "INSERT INTO order_states (order_id, status, revision, settled, last_seq, updated_at, history)
         SELECT order_id, 'confirmed', 1, 1, 2, placed + {settled},
                ('[{{\"status\":\"confirmed\",\"at\":' || placed + {settled} || ',\"decided_at\":' || placed + {STEP_US}
                 || ',\"allocated\":' || allocated || '}}]')::json
         FROM {} JOIN pairs USING (pair) ORDER BY n",
        series(plan, chunk),
        settled = 2 * STEP_US,
    )
}

fn pending(plan: &Plan, chunk: &Range<u64>) -> String {
    format!(
        "INSERT INTO pending_commands (order_id, revision, attempt, since, sent_at, next_attempt_at)
         SELECT order_id, 1, 1, placed, placed, placed FROM {} ORDER BY n",
        series(plan, chunk)
    )
}

/// A row of the journal per order, with its number. The service packs entries of histories as the
/// order, the number of the entry, and the code of its status: 1 is `received`, 2 is `confirmed`.
fn journal_of_orders(plan: &Plan, chunk: &Range<u64>) -> String {
    let confirmed = match plan.filling.reached {
        Reached::Confirmed => r" || uuid_send(order_id) || '\x0000000202'::bytea",
        Reached::Received => "",
    };
    format!(
        r"INSERT INTO journal (no, entries)
          SELECT n + 1, uuid_send(order_id) || '\x0000000101'::bytea{confirmed} FROM {} ORDER BY n;
          UPDATE journal_head SET last = {}",
        series(plan, chunk),
        chunk.end
    )
}

/// A row of the journal per order, behind those of the products. The service packs movements as the
/// number of the last one, and how many there are.
fn journal_of_stock(plan: &Plan, chunk: &Range<u64>) -> String {
    let products = u64::from(plan.filling.products);
    let moved =
        |line: u32| format!(r"int8send({products} + 1 + 2 * n + {line}) || '\x00000001'::bytea");
    format!(
        "INSERT INTO journal (no, entries) SELECT {products} + 1 + n, {} || {} FROM {} ORDER BY n;
         UPDATE journal_head SET last = {}",
        moved(0),
        moved(1),
        series(plan, chunk),
        products + chunk.end
    )
}

/// The products, and the movements that received their units.
fn products(plan: &Plan) -> String {
    let begin = plan.begin_us;
    let products = plan.filling.products;
    let units = plan.filling.units;
    format!(
        "INSERT INTO products (product_no, product_id, name, search_name, created_at, updated_at)
         OVERRIDING SYSTEM VALUE
         SELECT n, id, 'Product ' || id, 'product ' || id, {begin}, {begin}
         FROM generate_series(1, {products}) AS n, LATERAL (SELECT 'bench-' || lpad(n::text, 4, '0') AS id) AS ids;
         SELECT setval(pg_get_serial_sequence('products', 'product_no'), {products});
         INSERT INTO movements (movement_no, product_no, location_no, seq, kind, on_hand_delta, reserved_delta, on_hand,
                                reserved, created_at, request_id, request_digest, reference)
         SELECT n, n, 1, 1, 'receive', {units}, 0, {units}, 0, {begin}, id, id, 'lastro bench'
         FROM generate_series(1, {products}) AS n, LATERAL (SELECT lpad(to_hex(n), 32, '0')::uuid AS id) AS ids;
         INSERT INTO journal (no, entries) SELECT n, int8send(n) || '\\x00000001'::bytea
         FROM generate_series(1, {products}) AS n;
         UPDATE journal_head SET last = {products}"
    )
}

fn movements(plan: &Plan, chunk: &Range<u64>) -> String {
    let products = plan.filling.products;
    let half = plan.half();
    format!(
        "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
                                on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id)
         SELECT {products} + 1 + 2 * n + line, 1 + pair + line * {half}, 1, 2 + n / {half}, previous, previous, 'reserve',
                0, 1, {}, 1 + n / {half}, placed + {STEP_US}, order_id
         FROM {}, generate_series(0, 1) AS line,
              LATERAL (SELECT CASE WHEN n < {half} THEN 1 + pair + line * {half}
                                   ELSE {products} + 1 + 2 * (n - {half}) + line END AS previous) AS before
         ORDER BY n, line",
        plan.filling.units,
        series(plan, chunk)
    )
}

fn reservations(plan: &Plan, chunk: &Range<u64>) -> String {
    let first = plan.filling.products + 1;
    let half = plan.half();
    format!(
        "INSERT INTO reservations (order_id, revision, digest, allocations, created_at, updated_at)
         SELECT order_id, 1, digest,
                ('[[' || 1 + pair || ',1,1,0,0,[' || {first} + 2 * n || ']],['
                 || 1 + pair + {half} || ',1,1,0,0,[' || {first} + 1 + 2 * n || ']]]')::json,
                placed + {STEP_US}, placed + {STEP_US}
         FROM {} JOIN pairs USING (pair) ORDER BY n",
        series(plan, chunk)
    )
}

/// The stock as it is after the last order, and a number of the next batch that is above all
/// movements.
fn levels(plan: &Plan) -> String {
    let units = plan.filling.units;
    format!(
        "INSERT INTO stock (product_no, location_no, on_hand, reserved, last_seq, last_movement)
         SELECT DISTINCT ON (product_no) product_no, 1, {units}, reserved, seq, movement_no
         FROM movements ORDER BY product_no, seq DESC;
         SELECT setval('batch_numbers', 1 + (SELECT max(movement_no) FROM movements) / 1048576)"
    )
}
