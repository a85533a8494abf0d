//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use orders_core::order::Status;
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::{Backlog, Filter, OrderSummary, OrderView};
use super::load::{LINES, SHORTAGES};
use super::rows::{self, OrderRow, order_columns};

const ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders WHERE order_id = ANY($1::uuid[]) ORDER BY order_id"
);
const HISTORY: &str = "SELECT order_id, seq, status, reason, at, decided_at, allocations, shortages FROM order_history
     WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, seq";
const BACKLOG: &str = "SELECT count(*) AS commands, min(since) AS oldest FROM pending_commands";

/// Every statement of this module, but for [`page`]'s.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 3] = [ORDERS, HISTORY, BACKLOG];

async fn row(snapshot: &Transaction<'_>, id: OrderId) -> Result<Option<OrderRow>, Failure> {
    snapshot.query(ORDERS, [&[id.0].as_slice()]).await?.first().map(OrderRow::read).transpose()
}

pub(super) async fn receipt(
    snapshot: &Transaction<'_>,
    id: OrderId,
) -> Result<Option<Receipt>, Failure> {
    let Some(row) = row(snapshot, id).await? else { return Ok(None) };
    let mut shortages = Vec::new();
    if row.status == Status::Rejected
        && let Some(found) = snapshot.query(SHORTAGES, [&[id.0].as_slice()]).await?.first()
    {
        shortages = rows::parts(id, "shortages", rows::column(found, "shortages")?)?;
    }
    Ok(Some(Receipt { order_id: id, status: row.status, shortages }))
}

pub(super) async fn order(
    snapshot: &Transaction<'_>,
    id: OrderId,
) -> Result<Option<OrderView>, Failure> {
    let ids: &[Uuid] = &[id.0];
    let (row, lines, history) = tokio::try_join!(
        row(snapshot, id),
        snapshot.query(LINES, [&ids]),
        snapshot.query(HISTORY, [&ids]),
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OrderView {
        order_id: id,
        status: row.status,
        terms: row.terms(rows::lines(&rows::by_order(&lines)?, id)?),
        history: history.iter().map(rows::entry).collect::<Result<_, _>>()?,
        created_at_micros: row.created_at_micros,
        updated_at_micros: row.updated_at_micros,
    }))
}

pub(super) async fn orders(
    snapshot: &Transaction<'_>,
    filter: &Filter,
) -> Result<Vec<OrderSummary>, Failure> {
    let status = filter.status.map(Status::as_str);
    let customer = filter.customer_id.as_ref().map(|id| id.as_str());
    let before = filter.before.map(|id| id.0);
    let limit = i64::from(filter.limit);
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&limit];
    values.extend(status.iter().map(|value| value as &(dyn ToSql + Sync)));
    values.extend(customer.iter().map(|value| value as &(dyn ToSql + Sync)));
    values.extend(before.iter().map(|value| value as &(dyn ToSql + Sync)));
    let sql = page(status.is_some(), customer.is_some(), before.is_some());
    let rows = snapshot.query_with(&sql, &values).await?;
    rows.iter().map(|row| OrderRow::read(row).map(summary)).collect()
}

/// The statement of a page. Each of the conditions takes a parameter, in this order, from the
/// second on.
pub(super) fn page(status: bool, customer: bool, before: bool) -> String {
    let mut sql = concat!("SELECT ", order_columns!(), " FROM orders WHERE true").to_owned();
    let conditions = [(status, "status = "), (customer, "customer_id = "), (before, "order_id < ")];
    let wanted =
        conditions.into_iter().filter_map(|(wanted, condition)| wanted.then_some(condition));
    for (number, condition) in (2..).zip(wanted) {
        sql.push_str(&format!(" AND {condition}${number}"));
    }
    sql + " ORDER BY order_id DESC LIMIT $1"
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

pub(super) async fn backlog(snapshot: &Transaction<'_>) -> Result<Backlog, Failure> {
    let (rows, now) = tokio::try_join!(snapshot.query(BACKLOG, []), snapshot.now())?;
    let Some(row) = rows.first() else { return Ok(Backlog::default()) };
    let commands: i64 = rows::column(row, "commands")?;
    let oldest: Option<i64> = rows::column(row, "oldest")?;
    Ok(Backlog {
        commands: commands.unsigned_abs(),
        oldest_age: oldest.map(|since| now.since(Timestamp(since))).unwrap_or_default(),
    })
}
