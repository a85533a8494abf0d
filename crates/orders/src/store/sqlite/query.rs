//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use platform::clock::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::{Backlog, Filter, OrderSummary, OrderView};
use super::load::{row, shortages};
use super::rows::{self, ORDER_COLUMNS, OrderRow};

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

pub(super) fn orders(
    connection: &Connection,
    filter: &Filter,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let mut sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE true");
    let mut values = Vec::new();
    let mut narrow = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {condition} ?{}", values.len()));
        }
    };
    narrow("status =", filter.status.map(|status| Value::Text(status.as_str().to_owned())));
    narrow(
        "customer_id =",
        filter.customer_id.as_ref().map(|id| Value::Text(id.as_str().to_owned())),
    );
    narrow("order_id <", filter.before.map(|id| Value::Blob(id.0.as_bytes().to_vec())));
    sql.push_str(&format!(" ORDER BY order_id DESC LIMIT {}", filter.limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params_from_iter(values), |row| OrderRow::read(row).map(summary))?;
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
    let mut statement = connection.prepare_cached(
        "SELECT count(*) AS commands, min(since) AS oldest FROM pending_commands",
    )?;
    statement.query_row([], |row| {
        let commands: i64 = row.get("commands")?;
        let oldest: Option<i64> = row.get("oldest")?;
        Ok(Backlog {
            commands: commands.unsigned_abs(),
            oldest_age: oldest.map(|since| now.since(Timestamp(since))).unwrap_or_default(),
        })
    })
}
