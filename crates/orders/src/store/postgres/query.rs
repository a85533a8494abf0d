//! Reads for requests and for the sweeper, each of them on one snapshot.

use contract::OrderId;
use orders_core::decide::Receipt;
use orders_core::status::Status;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use storage::journal;
use storage::postgres::{Parameter, Transaction};
use uuid::Uuid;

use super::super::packed::{StoredOrder, read_header};
use super::super::{
    Backlog, CLOCKS_APART, Filter, MadeEntry, OrderHeader, OrderSummary, OrderView, PaymentFilter,
    ReadOrder, made,
};
use super::deadlines;
use super::rows::{self, ORDERS};

const BACKLOG: &str = "SELECT (SELECT count(*) FROM pending_commands) AS commands,
            (SELECT min(since) FROM (SELECT since FROM pending_commands ORDER BY order_id LIMIT 10000) AS oldest)
                AS oldest";

/// `orders_by_refund_due` has these orders alone.
pub(super) const REFUNDS_DUE: &str = "SELECT count(*) AS orders FROM
            (SELECT order_id FROM order_states WHERE refund_due_minor > 0 ORDER BY order_id LIMIT $1) AS owing";

const HEADER: &str = "SELECT customer_id, currency FROM orders WHERE order_id = $1";

/// Every statement of this module, but for those of pages.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 5] =
    [ORDERS, BACKLOG, REFUNDS_DUE, HEADER, journal::READ_POSTGRES];

async fn stored(snapshot: &Transaction<'_>, id: OrderId) -> Result<Option<StoredOrder>, Failure> {
    let found = snapshot.query(ORDERS, [&[id.0].as_slice()]).await?;
    found.first().map(rows::stored_order).transpose()
}

pub(super) async fn header(
    snapshot: &Transaction<'_>,
    id: OrderId,
) -> Result<Option<OrderHeader>, Failure> {
    let rows = snapshot.query(HEADER, [&id.0]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let customer_id: &str = rows::column(row, "customer_id")?;
    Ok(Some(read_header(id, customer_id, rows::column(row, "currency")?)?))
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
    let mut order = stored.view()?;
    if order.status == Status::Reserved {
        order.pay_by(deadlines::pay_by(snapshot, id).await?);
    }
    Ok(Some(order))
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
) -> Result<Vec<ReadOrder>, Failure> {
    let ids: Vec<_> = made::order_ids(entries).into_iter().map(|id| id.0).collect();
    let rows = snapshot.query(ORDERS, [&ids]).await?;
    let mut orders = made::Stored::new();
    for row in &rows {
        match rows::stored_order(row) {
            Err(failure) if !matches!(failure, Failure::Suspect(_)) => return Err(failure),
            order => _ = orders.insert(rows::order_id(row)?, order),
        }
    }
    Ok(made::views(entries, orders))
}

pub(super) async fn orders(
    snapshot: &Transaction<'_>,
    filter: &Filter,
) -> Result<Vec<OrderSummary>, Failure> {
    let Some(statuses) = filter.statuses() else { return Ok(Vec::new()) };
    let filter = &Filter { statuses, ..filter.clone() };
    let limit = i64::from(filter.limit);
    let (first, end) = range(filter);
    let from = filter.from.map_or(i64::MIN, |from| from.0);
    let to = filter.to.map_or(i64::MAX, |to| to.0);
    let page = Page::of(filter);
    let customer = filter.customer_id.as_ref().map(|id| id.as_str());
    // Without a customer, a `received` order is found where commands are pending.
    let is_read = |status: &&Status| page.compares_names() || **status != Status::Received;
    let statuses: Vec<&str> =
        filter.statuses.iter().filter(is_read).map(|it| it.as_str()).collect();
    let mut values: Vec<Parameter<'_>> = vec![&limit, &first, &end];
    if page.times {
        values.extend([&from as Parameter<'_>, &to]);
    }
    if page.statuses {
        values.push(&statuses);
    }
    values.extend(customer.iter().map(|value| value as Parameter<'_>));
    let rows = snapshot.query_with(&page.sql(), &values).await?;
    rows.iter().map(|row| Ok(rows::summary(row)?.decode()?)).collect()
}

/// The first id that a list may show, and the id below which all of them are.
///
/// The id of an order has the time of the replica that accepted it, to the millisecond.
fn range(filter: &Filter) -> (Uuid, Uuid) {
    let at = |moment: Timestamp| {
        let millis = u128::try_from(moment.0.div_euclid(1000)).unwrap_or(0).min((1 << 48) - 1);
        Uuid::from_u128(millis << 80)
    };
    let first = filter.from.map_or(Uuid::nil(), |from| at(from.before(CLOCKS_APART)));
    let end = filter.to.map_or(Uuid::max(), |to| at(to.after(CLOCKS_APART)));
    (first, filter.before.map_or(end, |before| before.0.min(end)))
}

/// The form of a page, on which its statement depends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// Whether it has conditions on the time of acceptance.
    pub(super) times: bool,
    /// Whether it has only some statuses.
    pub(super) statuses: bool,
    /// Whether `received` is one of them.
    pub(super) received: bool,
    /// Whether it has only orders whose money is to be given back.
    pub(super) refunds: bool,
    /// Whether it has the orders of one customer.
    pub(super) customer: bool,
}

impl Page {
    fn of(filter: &Filter) -> Self {
        Self {
            times: filter.from.is_some() || filter.to.is_some(),
            statuses: !filter.statuses.is_empty(),
            received: filter.statuses.contains(&Status::Received),
            refunds: filter.payment == Some(PaymentFilter::RefundDue),
            customer: filter.customer_id.is_some(),
        }
    }

    /// Whether the statuses are a condition on the orders found, and not where to look for them.
    fn compares_names(self) -> bool {
        self.customer || self.refunds
    }

    /// The statement. Its parameters are the limit, the ids between which the orders are, and, in
    /// this order and if it has them, the times, the statuses and the customer.
    pub(super) fn sql(self) -> String {
        let statuses = if self.times { 6 } else { 4 };
        let customer = statuses + i32::from(self.statuses);
        let source = if self.refunds && !self.customer {
            format!("({}) AS newest JOIN orders USING (order_id)", self.owed(statuses))
        } else if self.statuses && !self.compares_names() {
            format!("({}) AS newest JOIN orders USING (order_id)", self.newest(statuses))
        } else {
            "orders".to_owned()
        };
        let mut conditions = vec!["orders.order_id >= $2 AND orders.order_id < $3".to_owned()];
        if self.times {
            conditions.push("created_at >= $4 AND created_at < $5".to_owned());
        }
        if self.customer {
            conditions.push(format!("customer_id = ${customer}"));
        }
        if self.customer && self.refunds {
            conditions.push("refund_due_minor > 0".to_owned());
        }
        if self.customer && self.statuses {
            let any = format!("coalesce(status::text, 'received') = ANY(${statuses}::text[])");
            conditions.push(any);
        }
        format!(
            "SELECT orders.order_id, customer_id, currency, total_minor, created_at, status::text, refund_due_minor, pay_by, updated_at
             FROM {source} LEFT JOIN order_states ON order_states.order_id = orders.order_id
                  LEFT JOIN payment_deadlines ON payment_deadlines.order_id = orders.order_id
             WHERE {} ORDER BY orders.order_id DESC LIMIT $1",
            conditions.join(" AND ")
        )
    }

    /// The condition on the ids and the time of acceptance of the orders `of_it`.
    fn accepted(self) -> String {
        // A query of its own for each order: a join could be begun with the orders, of which a rare
        // status has few.
        let times = if self.times {
            "AND (SELECT created_at >= $4 AND created_at < $5 FROM orders WHERE orders.order_id = of_it.order_id)"
        } else {
            ""
        };
        format!("of_it.order_id >= $2 AND of_it.order_id < $3 {times}")
    }

    /// The newest orders whose money is to be given back.
    fn owed(self, statuses: i32) -> String {
        let statuses = if self.statuses {
            format!("AND of_it.status::text = ANY(${statuses}::text[])")
        } else {
            String::new()
        };
        format!(
            "SELECT of_it.order_id FROM order_states AS of_it
             WHERE of_it.refund_due_minor > 0 AND {} {statuses} ORDER BY of_it.order_id DESC LIMIT $1",
            self.accepted()
        )
    }

    /// The newest orders of the statuses. Each status has its own index or table, sorted by id: of
    /// each the newest are taken, and of these the newest.
    fn newest(self, statuses: i32) -> String {
        let accepted = self.accepted();
        let of_states = format!(
            "SELECT of_status.order_id FROM unnest(${statuses}::text[]) AS wanted (name) CROSS JOIN LATERAL
                 (SELECT of_it.order_id FROM order_states AS of_it
                  WHERE of_it.status = wanted.name::order_status AND {accepted}
                  ORDER BY of_it.order_id DESC LIMIT $1) AS of_status"
        );
        let of_received = format!(
            "SELECT of_it.order_id FROM pending_commands AS of_it WHERE of_it.revision = 1 AND {accepted}
             ORDER BY of_it.order_id DESC LIMIT $1"
        );
        let all = if self.received {
            format!("({of_states}) UNION ALL ({of_received})")
        } else {
            of_states
        };
        format!("SELECT order_id FROM ({all}) AS of_each ORDER BY order_id DESC LIMIT $1")
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

/// How many orders owe their customers money, up to a limit.
pub(super) async fn refunds_due(snapshot: &Transaction<'_>, limit: u32) -> Result<u64, Failure> {
    let rows = snapshot.query(REFUNDS_DUE, [&i64::from(limit)]).await?;
    let orders: i64 = rows.first().map_or(Ok(0), |row| rows::column(row, "orders"))?;
    Ok(orders.unsigned_abs())
}
