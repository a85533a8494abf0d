//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use orders_core::status::Status;
use platform::clock::Timestamp;
use platform::journal::{Position, Recorded};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use storage::journal;
use storage::sqlite::failure;

use super::super::packed::{PackedSummary, read_header};
use super::super::{
    Backlog, CLOCKS_APART, Filter, MadeEntry, OrderHeader, OrderSummary, OrderView, PaymentFilter,
    ReadOrder, made,
};
use super::deadlines;
use super::rows::{self, OrdersById};

pub(super) fn receipt(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Receipt>> {
    let Some((_, stored)) = rows::order_by_id(connection, id)? else { return Ok(None) };
    Ok(Some(stored.order()?.receipt()))
}

pub(super) fn header(
    connection: &Connection,
    id: OrderId,
) -> rusqlite::Result<Option<OrderHeader>> {
    let mut statement = connection
        .prepare_cached("SELECT customer_id, currency FROM orders WHERE order_id = ?1")?;
    let columns = |row: &Row<'_>| Ok((row.get("customer_id")?, row.get("currency")?));
    let found: Option<(String, String)> =
        statement.query_row(params![id.0.as_bytes()], columns).optional()?;
    let Some((customer_id, currency)) = found else { return Ok(None) };
    Ok(Some(read_header(id, &customer_id, &currency)?))
}

pub(super) fn order(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<OrderView>> {
    let Some((order_no, stored)) = rows::order_by_id(connection, id)? else { return Ok(None) };
    let mut order = stored.view()?;
    if order.status == Status::Reserved {
        order.pay_by(deadlines::pay_by(connection, order_no)?);
    }
    Ok(Some(order))
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
) -> rusqlite::Result<Vec<ReadOrder>> {
    let mut orders = OrdersById::prepare(connection)?;
    let mut found = made::Stored::new();
    for id in made::order_ids(entries) {
        let order = match orders.find(id) {
            Ok(None) => continue,
            Ok(Some((_, order))) => Ok(order),
            // Its row is damaged; those of the others are not.
            Err(error) if error.sqlite_error().is_none() => Err(failure(error)),
            Err(error) => return Err(error),
        };
        found.insert(id, order);
    }
    Ok(made::views(entries, found))
}

/// The columns of an order in a list.
const COLUMNS: &str = "SELECT orders.order_no, order_id, customer_id, currency, total_minor, created_at, status, refund_due_minor, pay_by, updated_at";

/// Where they come from, if the order comes first.
const FROM: &str = "FROM orders LEFT JOIN order_states ON order_states.order_no = orders.order_no
    LEFT JOIN payment_deadlines ON payment_deadlines.order_no = orders.order_no";

/// How many orders one stretch of the index of customers has.
const STRETCH_BITS: u32 = 12;

/// The orders that a list may show, by their numbers: from `first` on and below `end`.
#[derive(Clone, Copy)]
struct Range {
    first: i64,
    end: i64,
}

pub(super) fn orders(
    connection: &Connection,
    filter: &Filter,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let Some(statuses) = filter.statuses() else { return Ok(Vec::new()) };
    let filter = &Filter { statuses, ..filter.clone() };
    let Some(range) = range(connection, filter)? else { return Ok(Vec::new()) };
    match &filter.customer_id {
        Some(customer_id) => of_customer(connection, customer_id.as_str(), filter, range),
        None if filter.payment == Some(PaymentFilter::RefundDue) => {
            page(connection, &of_refunds(filter), values(filter, range, filter.limit))
        }
        None if filter.statuses.is_empty() => {
            let sql = format!(
                "{COLUMNS} {FROM} WHERE orders.order_no >= ?1 AND orders.order_no < ?2 {}
                 ORDER BY orders.order_no DESC LIMIT ?3",
                accepted(filter, "orders")
            );
            page(connection, &sql, values(filter, range, filter.limit))
        }
        None => {
            let sql = of_statuses(filter);
            page(connection, &sql, values(filter, range, filter.limit))
        }
    }
}

/// The statement of a page of some statuses: the newest orders of each, and of these the newest.
fn of_statuses(filter: &Filter) -> String {
    let newest = filter.statuses.iter().map(|status| {
        let (table, condition) = match status {
            Status::Received => ("pending_commands", "revision = 1".to_owned()),
            other => ("order_states", format!("status = '{}'", other.as_str())),
        };
        // CROSS JOIN: the index of the status comes first.
        let (join, accepted) = match accepted(filter, "accepted") {
            none if none.is_empty() => (String::new(), none),
            accepted => {
                let on = format!("accepted.order_no = {table}.order_no");
                (format!("CROSS JOIN orders AS accepted ON {on}"), accepted)
            }
        };
        format!(
            "SELECT * FROM (SELECT {table}.order_no FROM {table} {join}
                 WHERE {condition} AND {table}.order_no >= ?1 AND {table}.order_no < ?2 {accepted}
                 ORDER BY {table}.order_no DESC LIMIT ?3)"
        )
    });
    let newest = newest.collect::<Vec<_>>().join(" UNION ALL ");
    format!(
        "{COLUMNS} {FROM} WHERE orders.order_no IN ({newest}) ORDER BY orders.order_no DESC LIMIT ?3"
    )
}

/// The statement of a page of orders whose money is to be given back.
fn of_refunds(filter: &Filter) -> String {
    format!(
        "{COLUMNS} FROM order_states INDEXED BY orders_by_refund_due
         CROSS JOIN orders ON orders.order_no = order_states.order_no
         LEFT JOIN payment_deadlines ON payment_deadlines.order_no = orders.order_no
         WHERE refund_due_minor > 0 AND order_states.order_no >= ?1 AND order_states.order_no < ?2 {} {}
         ORDER BY order_states.order_no DESC LIMIT ?3",
        accepted(filter, "orders"),
        in_statuses(filter)
    )
}

/// The condition on the status, if there is one.
fn in_statuses(filter: &Filter) -> String {
    let statuses: Vec<_> = filter.statuses.iter().map(|it| format!("'{}'", it.as_str())).collect();
    match statuses.as_slice() {
        [] => String::new(),
        some => format!("AND coalesce(order_states.status, 'received') IN ({})", some.join(", ")),
    }
}

/// The condition on the time of acceptance, if there is one, for the values of [`values`].
fn accepted(filter: &Filter, orders: &str) -> String {
    if filter.from.is_none() && filter.to.is_none() {
        return String::new();
    }
    format!("AND {orders}.created_at >= ?4 AND {orders}.created_at < ?5")
}

/// The range, the limit and, if the filter has them, the times, as `?1` to `?5`.
fn values(filter: &Filter, range: Range, limit: u32) -> Vec<Value> {
    let mut values = vec![range.first.into(), range.end.into(), limit.into()];
    if filter.from.is_some() || filter.to.is_some() {
        values.push(filter.from.map_or(i64::MIN, |from| from.0).into());
        values.push(filter.to.map_or(i64::MAX, |to| to.0).into());
    }
    values
}

/// The numbers that a list looks at; `None` if there is no order that it is to follow.
fn range(connection: &Connection, filter: &Filter) -> rusqlite::Result<Option<Range>> {
    let Some(mut end) = number_before(connection, filter.before)? else { return Ok(None) };
    if let Some(to) = filter.to {
        end = end.min(first_since(connection, to.after(CLOCKS_APART))?);
    }
    let first = filter.from.map(|from| first_since(connection, from.before(CLOCKS_APART)));
    Ok(Some(Range { first: first.transpose()?.unwrap_or(0), end }))
}

/// A number such that the order before it was accepted before the moment, and the order with it, if
/// there is one, at the moment or later.
///
/// It halves the numbers until one is left: some twenty look-ups. There may be several such numbers
/// if the clock was set back. If it never was by more than [`CLOCKS_APART`], every order that was
/// accepted this much before the moment has a lower number, and every one this much after it a
/// number that is not lower.
fn first_since(connection: &Connection, moment: Timestamp) -> rusqlite::Result<i64> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(order_no) AS newest FROM orders")?
        .query_row([], |row| row.get("newest"))?;
    let mut probe = connection.prepare_cached(
        "SELECT order_no, created_at FROM orders WHERE order_no >= ?1 ORDER BY order_no LIMIT 1",
    )?;
    let mut lowest = 0;
    let mut highest = newest.map_or(0, |newest| newest.saturating_add(1));
    while lowest < highest {
        let middle = lowest + (highest - lowest) / 2;
        let (number, created_at): (i64, i64) =
            probe.query_row([middle], |row| Ok((row.get("order_no")?, row.get("created_at")?)))?;
        if created_at < moment.0 {
            lowest = number + 1;
        } else {
            highest = middle;
        }
    }
    Ok(lowest)
}

/// The number of the order before which a page begins: one more than every number without a
/// condition, `None` if there is no such order.
pub(super) fn number_before(
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
    filter: &Filter,
    range: Range,
) -> rusqlite::Result<Vec<OrderSummary>> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(order_no) AS newest FROM orders WHERE order_no < ?1")?
        .query_row([range.end], |row| row.get("newest"))?;
    let times = accepted(filter, "orders");
    let statuses = in_statuses(filter);
    let owed = match filter.payment {
        Some(PaymentFilter::RefundDue) => "AND refund_due_minor > 0",
        Some(PaymentFilter::Due) | None => "",
    };
    let next = if times.is_empty() { 4 } else { 6 };
    let sql = format!(
        "{COLUMNS} {FROM} WHERE orders.order_no >> {STRETCH_BITS} = ?{next} AND customer_id = ?{}
                     AND orders.order_no >= ?1 AND orders.order_no < ?2 {times} {statuses} {owed}
         ORDER BY orders.order_no DESC LIMIT ?3",
        next + 1
    );
    let mut found = Vec::new();
    let mut stretch = newest.map_or(-1, |newest| newest >> STRETCH_BITS);
    let mut left = filter.limit;
    while stretch >= range.first >> STRETCH_BITS && left > 0 {
        let mut values = values(filter, range, left);
        values.extend([stretch.into(), customer_id.to_owned().into()]);
        found.extend(page(connection, &sql, values)?);
        left = filter.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
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
        refund_due_minor: row.get("refund_due_minor")?,
        pay_by_micros: row.get("pay_by")?,
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

/// How many orders owe their customers money, up to a limit. The index has these orders alone.
pub(super) fn refunds_due(connection: &Connection, limit: u32) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) AS orders FROM (SELECT order_no FROM order_states INDEXED BY orders_by_refund_due
                                         WHERE refund_due_minor > 0 LIMIT ?1)",
    )?;
    let orders: i64 = statement.query_row([limit], |row| row.get("orders"))?;
    Ok(orders.unsigned_abs())
}
