//! Reads, each of them in one transaction.

use std::collections::BTreeSet;

use contract::OrderId;
use contract::answers::Shortage;
use orders_core::decide::{Loaded, OrderCommand, Receipt};
use orders_core::order::{Order, Status};
use platform::clock::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::super::{Backlog, Filter, OrderSummary, OrderView};
use super::rows::{self, ORDER_COLUMNS, OrderRow};

/// All that the batch names: keys first, then orders by id (R11). The write lock is held already.
pub(super) fn load(connection: &Connection, batch: &[OrderCommand]) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let keys: BTreeSet<&str> = batch.iter().filter_map(OrderCommand::key).collect();
    let mut by_key = connection.prepare_cached("SELECT order_id FROM orders WHERE idempotency_key = ?1")?;
    for key in keys {
        if let Some(id) = by_key.query_row([key], |row| row.get(0)).optional()? {
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

fn row(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderRow>> {
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

fn shortages(connection: &Connection, row: &OrderRow) -> rusqlite::Result<Vec<Shortage>> {
    if row.status != Status::Rejected {
        return Ok(Vec::new());
    }
    let last = connection
        .prepare_cached("SELECT shortages FROM order_history WHERE order_id = ?1 AND seq = ?2")?
        .query_row(params![row.order_id.0.as_bytes(), row.last_seq], |found| found.get(0))?;
    rows::parts(row.order_id, "shortages", last)
}

pub(super) fn receipt(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Receipt>> {
    let Some(row) = row(connection, id)? else { return Ok(None) };
    Ok(Some(Receipt { order_id: id, status: row.status, shortages: shortages(connection, &row)? }))
}

pub(super) fn order(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderView>> {
    let Some(row) = row(connection, id)? else { return Ok(None) };
    Ok(Some(OrderView {
        order_id: id,
        status: row.status,
        terms: row.terms(rows::lines(connection, id)?),
        history: rows::history(connection, id)?,
        created_at_micros: row.created_at_micros,
        updated_at_micros: row.updated_at_micros,
    }))
}

pub(super) fn orders(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<OrderSummary>> {
    let mut sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE true");
    let mut values = Vec::new();
    let mut narrow = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {condition} ?{}", values.len()));
        }
    };
    narrow("status =", filter.status.map(|status| Value::Text(status.as_str().to_owned())));
    narrow("customer_id =", filter.customer_id.as_ref().map(|id| Value::Text(id.as_str().to_owned())));
    narrow("order_id <", filter.before.map(|id| Value::Blob(id.0.as_bytes().to_vec())));
    sql.push_str(&format!(" ORDER BY order_id DESC LIMIT {}", filter.limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| OrderRow::read(row).map(summary))?;
    rows.collect()
}

fn summary(row: OrderRow) -> OrderSummary {
    OrderSummary {
        order_id: row.order_id,
        status: row.status,
        customer_id: row.customer_id,
        currency: row.currency,
        total_minor: row.total_minor,
        created_at_micros: row.created_at_micros,
        updated_at_micros: row.updated_at_micros,
    }
}

pub(super) fn backlog(connection: &Connection, now: Timestamp) -> rusqlite::Result<Backlog> {
    let mut statement = connection.prepare_cached("SELECT count(*), min(since) FROM pending_commands")?;
    statement.query_row([], |row| {
        let (commands, oldest): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(Backlog {
            commands: commands.unsigned_abs(),
            oldest_age: oldest.map(|since| now.since(Timestamp(since))).unwrap_or_default(),
        })
    })
}
