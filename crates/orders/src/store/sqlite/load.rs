//! What a batch names: keys first, then orders by id (R11).

use std::collections::BTreeSet;

use contract::OrderId;
use contract::answers::Shortage;
use orders_core::decide::{Loaded, OrderCommand};
use orders_core::order::{Order, Status};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, ORDER_COLUMNS, OrderRow};

/// All that the batch names. The write lock is held already.
pub(super) fn load(connection: &Connection, batch: &[OrderCommand]) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
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
    for id in ids {
        if let Some(order) = order_to_decide(connection, id)? {
            loaded.orders.insert(id, order);
        }
    }
    Ok(loaded)
}

pub(super) fn row(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
    let sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE order_id = ?1");
    connection.prepare_cached(&sql)?.query_row(params![id.0.as_bytes()], OrderRow::read).optional()
}

fn order_to_decide(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Order>> {
    let Some(row) = row(connection, id)? else { return Ok(None) };
    Ok(Some(Order {
        order_id: id,
        status: row.status,
        request_digest: row.request_digest,
        terms: row.terms(rows::lines(connection, id)?),
        last_seq: row.last_seq,
        shortages: shortages(connection, &row)?,
    }))
}

pub(super) fn shortages(
    connection: &Connection,
    row: &OrderRow,
) -> rusqlite::Result<Vec<Shortage>> {
    if row.status != Status::Rejected {
        return Ok(Vec::new());
    }
    let last: Option<String> = connection
        .prepare_cached("SELECT shortages FROM order_history WHERE order_id = ?1 AND seq = ?2")?
        .query_row(params![row.order_id.0.as_bytes(), row.last_seq], |found| {
            found.get("shortages")
        })?;
    rows::parts(row.order_id, "shortages", last.as_deref())
}
