//! Loads what a batch names: keys are claimed first, then orders are locked by id (R11).

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use orders_core::decide::{LoadedOrders, OrderCommand};
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{self, ORDERS};

/// The second of two transactions waits here until the first one ends, and then finds the key
/// taken.
pub(super) const CLAIM_KEYS: &str = "INSERT INTO idempotency_keys (key, order_id)
     SELECT key, order_id FROM unnest($1::text[], $2::uuid[]) AS claim (key, order_id) ORDER BY key COLLATE \"C\"
     ON CONFLICT (key) DO NOTHING RETURNING key";

/// A statement of its own: only a later one sees what the claim waited for.
pub(super) const KEYS: &str =
    "SELECT key, order_id FROM idempotency_keys WHERE key = ANY($1::text[])";

/// Orders are locked even if they are only read: an answer that rests on a row waits for that row's
/// commit to be durable (R5). The lock of `orders` stands for all rows of the order. They are read
/// by a later statement, which sees what this one waited for.
pub(super) const LOCK_ORDERS: &str =
    "SELECT order_id FROM orders WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE";

/// The keys that a batch claimed, with the orders that it claimed them for.
pub(super) type Claimed = BTreeMap<String, OrderId>;

/// All that the batch names, the keys that it has claimed, and the time under the locks.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    batch: &[OrderCommand],
) -> Result<(LoadedOrders, Claimed, Timestamp), Failure> {
    let (claimed, keys) = claim(transaction, batch).await?;
    let ids: BTreeSet<OrderId> =
        batch.iter().map(OrderCommand::order_id).chain(keys.values().copied()).collect();
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    let (locked, found, now) = tokio::join!(
        biased;
        transaction.query(LOCK_ORDERS, [&ids]),
        transaction.query(ORDERS, [&ids]),
        transaction.now(),
    );
    locked?;
    let order = |row: &Row| {
        let order = rows::stored_order(row)?.order()?;
        Ok::<_, Failure>((order.order_id, order))
    };
    let orders = found?.iter().map(order).collect::<Result<_, _>>()?;
    Ok((LoadedOrders { keys, orders }, claimed, now?))
}

/// Returns the keys that belong to the batch from now on, and those that were taken before.
async fn claim(
    transaction: &Transaction<'_>,
    batch: &[OrderCommand],
) -> Result<(Claimed, BTreeMap<String, OrderId>), Failure> {
    let mut wanted = Claimed::new();
    for command in batch {
        if let Some(key) = command.key() {
            // Within the batch, the first placement gets the key.
            wanted.entry(key.to_owned()).or_insert(command.order_id());
        }
    }
    if wanted.is_empty() {
        return Ok(Default::default());
    }
    let keys: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let ids: Vec<Uuid> = wanted.values().map(|id| id.0).collect();
    let (claimed, all) = tokio::join!(
        biased;
        transaction.query(CLAIM_KEYS, [&keys, &ids]),
        transaction.query(KEYS, [&keys]),
    );
    let claimed: BTreeSet<String> =
        claimed?.iter().map(|row| rows::column(row, "key")).collect::<Result<_, _>>()?;
    let taken = |row: &Row| Ok::<_, Failure>((rows::column(row, "key")?, rows::order_id(row)?));
    let mut taken: BTreeMap<String, OrderId> = all?.iter().map(taken).collect::<Result<_, _>>()?;
    taken.retain(|key, _| !claimed.contains(key));
    wanted.retain(|key, _| claimed.contains(key));
    Ok((wanted, taken))
}
