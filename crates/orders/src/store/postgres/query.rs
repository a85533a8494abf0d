//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use orders_core::status::Status;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use storage::journal;
use storage::postgres::{Parameter, Transaction};

use super::super::packed::StoredOrder;
use super::super::{Backlog, Filter, MadeEntry, OrderSummary, OrderView, made};
use super::rows::{self, ORDERS};

const BACKLOG: &str = "SELECT (SELECT count(*) FROM pending_commands) AS commands,
            (SELECT min(since) FROM (SELECT since FROM pending_commands ORDER BY order_id LIMIT 10000) AS oldest)
                AS oldest";

/// Every statement of this module, but for [`page`]'s.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 3] = [ORDERS, BACKLOG, journal::READ_POSTGRES];

async fn stored(snapshot: &Transaction<'_>, id: OrderId) -> Result<Option<StoredOrder>, Failure> {
    let found = snapshot.query(ORDERS, [&[id.0].as_slice()]).await?;
    found.first().map(rows::stored_order).transpose()
}

pub(super) async fn receipt(
    snapshot: &Transaction<'_>,
    id: OrderId,
) -> Result<Option<Receipt>, Failure> {
    let Some(stored) = stored(snapshot, id).await? else { return Ok(None) };
    Ok(Some(stored.order()?.receipt()))
}

pub(super) async fn order(
    snapshot: &Transaction<'_>,
    id: OrderId,
) -> Result<Option<OrderView>, Failure> {
    let Some(stored) = stored(snapshot, id).await? else { return Ok(None) };
    Ok(Some(stored.view()?))
}

pub(super) async fn made(
    snapshot: &Transaction<'_>,
    from: Position,
    limit: u32,
) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
    journal::read_postgres(snapshot, from, limit, made::unpack).await
}

pub(super) async fn views(
    snapshot: &Transaction<'_>,
    entries: &[MadeEntry],
) -> Result<Vec<OrderView>, Failure> {
    let ids: Vec<_> = made::order_ids(entries).into_iter().map(|id| id.0).collect();
    let rows = snapshot.query(ORDERS, [&ids]).await?;
    let orders = rows.iter().map(rows::stored_order).collect::<Result<_, _>>()?;
    Ok(made::views(entries, orders)?)
}

pub(super) async fn orders(
    snapshot: &Transaction<'_>,
    filter: &Filter,
) -> Result<Vec<OrderSummary>, Failure> {
    let limit = i64::from(filter.limit);
    let status = filter.status.filter(|status| *status != Status::Received).map(Status::as_str);
    let customer = filter.customer_id.as_ref().map(|id| id.as_str());
    let before = filter.before.map(|id| id.0);
    let mut values: Vec<Parameter<'_>> = vec![&limit];
    values.extend(status.iter().map(|value| value as Parameter<'_>));
    values.extend(customer.iter().map(|value| value as Parameter<'_>));
    values.extend(before.iter().map(|value| value as Parameter<'_>));
    let sql = page(filter.status, customer.is_some(), before.is_some());
    let rows = snapshot.query_with(&sql, &values).await?;
    rows.iter().map(|row| Ok(rows::summary(row)?.decode()?)).collect()
}

/// The statement of a page. Each condition takes a parameter, in this order, from the second on.
///
/// A status other than `received` is that of a row of `order_states`; a `received` order has a
/// pending command of revision 1. The page is sorted by the table that the condition is about, so
/// that its index serves it.
pub(super) fn page(status: Option<Status>, customer: bool, before: bool) -> String {
    let key = match (status, customer) {
        (Some(Status::Received), false) => "pending_commands.order_id",
        (Some(_), false) => "order_states.order_id",
        (_, true) | (None, _) => "orders.order_id",
    };
    let (states, pending) = match status {
        None => ("LEFT JOIN", ""),
        Some(Status::Received) => {
            ("LEFT JOIN", "JOIN pending_commands ON pending_commands.order_id = orders.order_id")
        }
        Some(_) => ("JOIN", ""),
    };
    let mut sql = format!(
        "SELECT orders.order_id, customer_id, currency, total_minor, created_at, status::text, updated_at
         FROM orders {states} order_states ON order_states.order_id = orders.order_id {pending} WHERE true"
    );
    let mut conditions = Vec::new();
    match status {
        Some(Status::Received) => sql.push_str(" AND pending_commands.revision = 1"),
        Some(_) => conditions.push("status = $::text::order_status".to_owned()),
        None => {}
    }
    if customer {
        conditions.push("customer_id = $".to_owned());
    }
    if before {
        conditions.push(format!("{key} < $"));
    }
    for (number, condition) in (2..).zip(conditions) {
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('$', &format!("${number}")));
    }
    sql + &format!(" ORDER BY {key} DESC LIMIT $1")
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
