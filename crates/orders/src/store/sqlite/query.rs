//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use orders_core::status::Status;
use platform::clock::Timestamp;
use platform::journal::{Position, Recorded};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use storage::journal;

use super::super::packed::PackedSummary;
use super::super::{Backlog, Filter, MadeEntry, OrderSummary, OrderView, made};
use super::rows::{self, OrdersById};

pub(super) fn receipt(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Receipt>> {
    let Some((_, stored)) = rows::order_by_id(connection, id)? else { return Ok(None) };
    Ok(Some(stored.order()?.receipt()))
}

pub(super) fn order(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderView>> {
    let Some((_, stored)) = rows::order_by_id(connection, id)? else { return Ok(None) };
    Ok(Some(stored.view()?))
}

pub(super) fn made(
    connection: &Connection,
    from: Position,
    limit: u32,
) -> rusqlite::Result<Vec<Recorded<MadeEntry>>> {
    journal::read_sqlite(connection, from, limit, made::unpack)
}

pub(super) fn views(
    connection: &Connection,
    entries: &[MadeEntry],
) -> rusqlite::Result<Vec<OrderView>> {
    let mut orders = OrdersById::prepare(connection)?;
    let mut found = Vec::with_capacity(entries.len());
    for id in made::order_ids(entries) {
        found.extend(orders.find(id)?.map(|(_, order)| order));
    }
    Ok(made::views(entries, found)?)
}

/// The columns of an order in a list, and where they come from.
const SUMMARY: &str =
    "SELECT orders.order_no, order_id, customer_id, currency, total_minor, created_at, status, updated_at
     FROM orders LEFT JOIN order_states ON order_states.order_no = orders.order_no";

/// How many orders one stretch of the index of customers has.
const STRETCH_BITS: u32 = 12;

pub(super) fn orders(
    connection: &Connection,
    filter: &Filter,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let Some(before) = number_before(connection, filter.before)? else { return Ok(Vec::new()) };
    match (&filter.customer_id, filter.status) {
        (Some(customer_id), status) => {
            of_customer(connection, customer_id.as_str(), status, before, filter.limit)
        }
        (None, Some(Status::Received)) => {
            let sql = format!(
                "{SUMMARY} JOIN pending_commands ON pending_commands.order_no = orders.order_no
                 WHERE pending_commands.revision = 1 AND pending_commands.order_no < ?1
                 ORDER BY pending_commands.order_no DESC LIMIT ?2"
            );
            page(connection, &sql, vec![before.into(), filter.limit.into()])
        }
        (None, Some(status)) => {
            let sql = format!(
                "{SUMMARY} WHERE orders.order_no IN
                     (SELECT order_no FROM order_states WHERE status = ?3 AND order_no < ?1
                      ORDER BY order_no DESC LIMIT ?2)
                 ORDER BY orders.order_no DESC"
            );
            let status = status.as_str().to_owned();
            page(connection, &sql, vec![before.into(), filter.limit.into(), status.into()])
        }
        (None, None) => {
            let sql = format!(
                "{SUMMARY} WHERE orders.order_no < ?1 ORDER BY orders.order_no DESC LIMIT ?2"
            );
            page(connection, &sql, vec![before.into(), filter.limit.into()])
        }
    }
}

/// The number of the order before which a page begins: one more than every number without a
/// condition, `None` if there is no such order.
fn number_before(
    connection: &Connection,
    before: Option<OrderId>,
) -> rusqlite::Result<Option<i64>> {
    let Some(id) = before else { return Ok(Some(i64::MAX)) };
    connection
        .prepare_cached("SELECT order_no FROM orders WHERE order_id = ?1")?
        .query_row(params![id.0.as_bytes()], |row| row.get("order_no"))
        .optional()
}

/// Asks every stretch of the index, newest first, until the page is full.
fn of_customer(
    connection: &Connection,
    customer_id: &str,
    status: Option<Status>,
    before: i64,
    limit: u32,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(order_no) AS newest FROM orders WHERE order_no < ?1")?
        .query_row([before], |row| row.get("newest"))?;
    let condition = if status.is_some() { "AND coalesce(status, 'received') = ?5" } else { "" };
    let sql = format!(
        "{SUMMARY} WHERE orders.order_no >> {STRETCH_BITS} = ?3 AND customer_id = ?4
                     AND orders.order_no < ?1 {condition}
         ORDER BY orders.order_no DESC LIMIT ?2"
    );
    let mut found = Vec::new();
    let mut stretch = newest.map_or(-1, |newest| newest >> STRETCH_BITS);
    let mut left = limit;
    while stretch >= 0 && left > 0 {
        let mut values =
            vec![before.into(), left.into(), stretch.into(), customer_id.to_owned().into()];
        values.extend(status.map(|status| Value::from(status.as_str().to_owned())));
        found.extend(page(connection, &sql, values)?);
        left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        stretch -= 1;
    }
    Ok(found)
}

fn page(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), summary)?;
    rows.collect()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<OrderSummary> {
    let created_at_micros = row.get("created_at")?;
    let updated_at_micros: Option<i64> = row.get("updated_at")?;
    let packed = PackedSummary {
        order_id: rows::order_id(row.get("order_id")?),
        customer_id: row.get("customer_id")?,
        currency: row.get("currency")?,
        total_minor: row.get("total_minor")?,
        status: row.get("status")?,
        created_at_micros,
        updated_at_micros: updated_at_micros.unwrap_or(created_at_micros),
    };
    Ok(packed.decode()?)
}

pub(super) fn backlog(connection: &Connection, now: Timestamp) -> rusqlite::Result<Backlog> {
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM pending_commands) AS commands,
                (SELECT min(since) FROM (SELECT since FROM pending_commands ORDER BY order_no LIMIT 10000)) AS oldest",
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
