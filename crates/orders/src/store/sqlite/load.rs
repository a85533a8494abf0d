//! Loads what a batch names: keys first, then orders by id (R11).

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use orders_core::decide::{LoadedOrders, OrderCommand};
use rusqlite::{Connection, OptionalExtension};

use super::rows;

/// The number of each loaded order, by which its other rows are found.
pub(super) type OrderNumbers = BTreeMap<OrderId, i64>;

/// All that the batch names. The write lock is held already.
pub(super) fn load(
    connection: &Connection,
    batch: &[OrderCommand],
) -> rusqlite::Result<(LoadedOrders, OrderNumbers)> {
    let mut loaded = LoadedOrders::default();
    let mut numbers = OrderNumbers::new();
    let keys: BTreeSet<&str> = batch.iter().filter_map(OrderCommand::key).collect();
    let mut by_key =
        connection.prepare_cached("SELECT order_id FROM orders WHERE idempotency_key = ?1")?;
    for key in keys {
        if let Some(id) = by_key.query_row([key], |row| row.get("order_id")).optional()? {
            loaded.keys.insert(key.to_owned(), rows::order_id(id));
        }
    }
    let ids: BTreeSet<OrderId> =
        batch.iter().map(OrderCommand::order_id).chain(loaded.keys.values().copied()).collect();
    let mut orders = rows::OrdersById::prepare(connection)?;
    for id in ids {
        if let Some((number, stored)) = orders.find(id)? {
            loaded.orders.insert(id, stored.order()?);
            numbers.insert(id, number);
        }
    }
    Ok((loaded, numbers))
}
