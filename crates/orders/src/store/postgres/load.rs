//! What a batch names: keys are claimed first, then orders are locked by id (R11).

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use orders_core::decide::{Loaded, OrderCommand};
use orders_core::order::{Order, Status};
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{self, OrderRow, order_columns};

/// The second of two transactions waits here until the first one ends, and then finds the key
/// taken.
pub(super) const CLAIM_KEYS: &str = "INSERT INTO idempotency_keys (key, order_id)
     SELECT key, order_id FROM unnest($1::text[], $2::uuid[]) AS claim (key, order_id) ORDER BY key COLLATE \"C\"
     ON CONFLICT (key) DO NOTHING RETURNING key";

/// A statement of its own: only a later one sees what the claim waited for.
pub(super) const KEYS: &str =
    "SELECT key, order_id FROM idempotency_keys WHERE key = ANY($1::text[])";

/// Locked although perhaps only read: an answer that rests on a row waits for that row's commit to
/// be durable (R5).
pub(super) const LOCK_ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE"
);

pub(super) const LINES: &str = "SELECT order_id, product_id, quantity, price_minor FROM order_lines
     WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, line_no";

/// What a rejected order was short of stands in its last entry.
pub(super) const SHORTAGES: &str = "SELECT orders.order_id, shortages
     FROM orders JOIN order_history ON order_history.order_id = orders.order_id AND seq = last_seq
     WHERE orders.order_id = ANY($1::uuid[]) AND orders.status = 'rejected'";

/// All that the batch names, the keys that it has claimed, and the time under the locks.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    batch: &[OrderCommand],
) -> Result<(Loaded, BTreeMap<String, OrderId>, Timestamp), Failure> {
    let (claimed, keys) = claim(transaction, batch).await?;
    let ids: BTreeSet<OrderId> =
        batch.iter().map(OrderCommand::order_id).chain(keys.values().copied()).collect();
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    let (orders, lines, shortages, now) = tokio::join!(
        biased;
        transaction.query(LOCK_ORDERS, [&ids]),
        transaction.query(LINES, [&ids]),
        transaction.query(SHORTAGES, [&ids]),
        transaction.now(),
    );
    Ok((Loaded { keys, orders: decidable(&orders?, &lines?, &shortages?)? }, claimed, now?))
}

/// The keys that are the batch's from now on, and those that were taken before.
async fn claim(
    transaction: &Transaction<'_>,
    batch: &[OrderCommand],
) -> Result<(BTreeMap<String, OrderId>, BTreeMap<String, OrderId>), Failure> {
    let mut wanted = BTreeMap::new();
    for command in batch {
        if let Some(key) = command.key() {
            // Within the batch, the first one has it.
            wanted.entry(key.to_owned()).or_insert(command.order_id());
        }
    }
    if wanted.is_empty() {
        return Ok(Default::default());
    }
    let keys: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let ids: Vec<Uuid> = wanted.values().map(|id| id.0).collect();
    let (claimed, all) = tokio::join!(biased; transaction.query(CLAIM_KEYS, [&keys, &ids]), transaction.query(KEYS, [&keys]));
    let (claimed, all) = (claimed?, all?);
    let claimed: BTreeSet<String> =
        claimed.iter().map(|row| rows::column(row, "key")).collect::<Result<_, _>>()?;
    let taken = |row: &Row| Ok::<_, Failure>((rows::column(row, "key")?, rows::order_id(row)?));
    let mut taken: BTreeMap<String, OrderId> = all.iter().map(taken).collect::<Result<_, _>>()?;
    taken.retain(|key, _| !claimed.contains(key));
    wanted.retain(|key, _| claimed.contains(key));
    Ok((wanted, taken))
}

fn decidable(
    orders: &[Row],
    lines: &[Row],
    shortages: &[Row],
) -> Result<BTreeMap<OrderId, Order>, Failure> {
    let lines = rows::by_order(lines)?;
    let mut short = BTreeMap::new();
    for row in shortages {
        let id = rows::order_id(row)?;
        short.insert(id, rows::parts(id, "shortages", rows::column(row, "shortages")?)?);
    }
    let order = |row: &Row| {
        let row = OrderRow::read(row)?;
        let shortages =
            if row.status == Status::Rejected { short.remove(&row.order_id) } else { None };
        let order = Order {
            order_id: row.order_id,
            status: row.status,
            request_digest: row.request_digest,
            terms: row.terms(rows::lines(&lines, row.order_id)?),
            last_seq: row.last_seq,
            shortages: shortages.unwrap_or_default(),
        };
        Ok((order.order_id, order))
    };
    orders.iter().map(order).collect()
}
