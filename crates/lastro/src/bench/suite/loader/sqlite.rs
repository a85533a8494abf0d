//! Fills two SQLite files: one transaction per chunk of orders, on a thread per file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::process::ProgramError;
use rusqlite::{Connection, Transaction, params};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CUSTOMERS, PRICE_MINOR, Plan, Reached, STEP_US, interrupted};
use crate::bench::workload::product_id;

/// A loader that dies leaves files that nobody uses, so only the end is durable.
const FAST: &str = "PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;";
const DURABLE: &str = "PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE);";

const ORDER: &str = "INSERT INTO orders (order_no, order_id, customer_id, currency, total_minor, digest, lines, created_at)
     VALUES (?1, ?2, ?3, 'BRL', ?4, ?5, ?6, ?7)";
const STATE: &str =
    "INSERT INTO order_states (order_no, status, revision, settled, last_seq, updated_at, history)
     VALUES (?1, 'confirmed', 1, 1, 2, ?2, ?3)";
const PENDING: &str =
    "INSERT INTO pending_commands (order_no, revision, attempt, since, sent_at, next_attempt_at)
     VALUES (?1, 1, 1, ?2, ?2, ?2)";
const PRODUCT: &str =
    "INSERT INTO products (product_no, product_id, name, search_name, created_at, updated_at)
     VALUES (?1, ?2, ?3, lower(?3), ?4, ?4)";
const STOCK: &str =
    "INSERT INTO stock (product_no, location_no, on_hand, reserved, last_seq, last_movement)
     VALUES (?1, 1, ?2, ?3, ?3 + 1, ?4)";
const RECEIVED: &str =
    "INSERT INTO movements (movement_no, product_no, location_no, seq, kind, on_hand_delta,
         reserved_delta, on_hand, reserved, created_at, request_id, request_digest, reference)
     VALUES (?1, ?1, 1, 1, 'receive', ?2, 0, ?2, 0, ?3, ?4, ?4, 'lastro bench')";
const RESERVED: &str = "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product,
         kind, on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id)
     VALUES (?1, ?2, 1, ?3 + 1, ?4, ?4, 'reserve', 0, 1, ?5, ?3, ?6, ?7)";
const RESERVATION: &str =
    "INSERT INTO reservations (order_id, revision, digest, allocations, created_at, updated_at)
     VALUES (?1, 1, ?2, ?3, ?4, ?4)";
const JOURNAL: &str = "INSERT INTO journal (entries) VALUES (?1)";

/// Fills both files.
pub(super) async fn fill(
    orders: &Path,
    inventory: &Path,
    plan: Plan,
    stop: &CancellationToken,
) -> Result<(), ProgramError> {
    let plan = Arc::new(plan);
    let write = |path: &Path, write: fn(&Transaction<'_>, &Plan, u64) -> rusqlite::Result<()>| {
        let plan = plan.clone();
        let stop = stop.clone();
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || fill_file(path, &plan, &stop, write))
    };
    let orders = write(orders, write_order);
    let inventory = write(inventory, write_reservation);
    let (orders, inventory) = tokio::join!(orders, inventory);
    orders.map_err(ProgramError::failed)??;
    inventory.map_err(ProgramError::failed)?
}

fn fill_file(
    path: PathBuf,
    plan: &Plan,
    stop: &CancellationToken,
    write: fn(&Transaction<'_>, &Plan, u64) -> rusqlite::Result<()>,
) -> Result<(), ProgramError> {
    let mut connection = Connection::open(path).map_err(ProgramError::failed)?;
    connection.execute_batch(FAST).map_err(ProgramError::failed)?;
    for chunk in plan.chunks() {
        if stop.is_cancelled() {
            return Err(interrupted());
        }
        write_chunk(&mut connection, plan, chunk, write).map_err(ProgramError::failed)?;
    }
    connection.execute_batch(DURABLE).map_err(ProgramError::failed)
}

fn write_chunk(
    connection: &mut Connection,
    plan: &Plan,
    mut chunk: std::ops::Range<u64>,
    write: fn(&Transaction<'_>, &Plan, u64) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    chunk.try_for_each(|order| write(&transaction, plan, order))?;
    transaction.commit()
}

fn write_order(transaction: &Transaction<'_>, plan: &Plan, order: u64) -> rusqlite::Result<()> {
    let pair = plan.pair(order);
    let placed = plan.placed_us(order);
    let number = int(order + 1);
    transaction.prepare_cached(ORDER)?.execute(params![
        number,
        plan.order_id(order).as_bytes(),
        format!("bench-{}", order % CUSTOMERS),
        2 * PRICE_MINOR,
        pair.digest.0,
        pair.lines,
        placed,
    ])?;
    match plan.filling.reached {
        Reached::Confirmed => {
            let decided = placed + STEP_US;
            let settled = decided + STEP_US;
            let history = format!(
                r#"[{{"status":"confirmed","at":{settled},"decided_at":{decided},"allocated":{}}}]"#,
                pair.allocated
            );
            transaction.prepare_cached(STATE)?.execute(params![number, settled, history])?;
        }
        Reached::Received => {
            transaction.prepare_cached(PENDING)?.execute(params![number, placed])?;
        }
    }
    // As the service packs entries of histories: the order, the number of the entry, and the code of
    // its status: 1 is `received`, 2 is `confirmed`.
    let codes: &[u8] = if plan.filling.reached == Reached::Confirmed { &[1, 2] } else { &[1] };
    let entry =
        |code: &u8| [plan.order_id(order).as_bytes(), &[0, 0, 0, *code, *code][..]].concat();
    let entries: Vec<u8> = codes.iter().flat_map(entry).collect();
    transaction.prepare_cached(JOURNAL)?.execute([entries])?;
    Ok(())
}

/// Writes the reservation of an order with its movements; before the first one, the products.
fn write_reservation(
    transaction: &Transaction<'_>,
    plan: &Plan,
    order: u64,
) -> rusqlite::Result<()> {
    if order == 0 {
        (0..plan.filling.products).try_for_each(|product| stock(transaction, plan, product))?;
    }
    if plan.filling.reached == Reached::Received {
        return Ok(());
    }
    let decided = plan.placed_us(order) + STEP_US;
    let order_id = plan.order_id(order);
    for line in [0, 1] {
        transaction.prepare_cached(RESERVED)?.execute(params![
            int(plan.movement_no(order, line)),
            int(plan.product_no(order, line)),
            int(plan.reserved(order)),
            int(plan.movement_before(order, line)),
            plan.filling.units,
            decided,
            order_id.as_bytes(),
        ])?;
    }
    let [first, second] = [0, 1].map(|line| {
        let product = plan.product_no(order, line);
        format!("[{product},1,1,0,0,[{}]]", plan.movement_no(order, line))
    });
    transaction.prepare_cached(RESERVATION)?.execute(params![
        order_id.as_bytes(),
        plan.pair(order).digest.0,
        format!("[{first},{second}]"),
        decided,
    ])?;
    let entries = [0, 1].map(|line| moved(int(plan.movement_no(order, line))));
    transaction.prepare_cached(JOURNAL)?.execute([entries.concat()])?;
    Ok(())
}

/// One movement, as the service packs it for its journal.
fn moved(number: i64) -> Vec<u8> {
    [&number.to_be_bytes()[..], &1_u32.to_be_bytes()].concat()
}

/// Writes a product and its stock as they are after the last order.
fn stock(transaction: &Transaction<'_>, plan: &Plan, product: u32) -> rusqlite::Result<()> {
    let number = product + 1;
    let id = product_id(product);
    let units = plan.filling.units;
    let begin = plan.begin_us;
    let name = format!("Product {id}");
    let reserved = int(plan.orders_of(product));
    let last = int(plan.last_movement(product));
    let request = Uuid::from_u128(u128::from(number));
    transaction.prepare_cached(PRODUCT)?.execute(params![number, id, name, begin])?;
    transaction.prepare_cached(RECEIVED)?.execute(params![
        number,
        units,
        begin,
        request.as_bytes()
    ])?;
    transaction.prepare_cached(STOCK)?.execute(params![number, units, reserved, last])?;
    transaction.prepare_cached(JOURNAL)?.execute([moved(number.into())])?;
    Ok(())
}

/// A number as SQLite stores it.
fn int(number: u64) -> i64 {
    i64::try_from(number).expect("the rows fit on a disk")
}
