//! The deadlines of payments: picks those that have passed and postpones them before their orders
//! are asked to expire (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.
//!
//! It locks only deadlines and skips those that another transaction has locked, so it never waits.

use std::collections::BTreeMap;

use contract::OrderId;
use platform::clock::Timestamp;
use platform::failure::{Chain, Failure};
use platform::quarantine::{QuarantineKind, Quarantined};
use storage::postgres::Transaction;
use storage::quarantine;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::deadlines::{Bounds, PUSH_OF_DAMAGED, must_be_reserved, reason};
use super::super::packed::misfit;
use super::super::{DeadlineLease, DueDeadline, LeasedDeadlines, Overdue};
use super::rows::{self, ORDERS};

/// A deadline that was armed later than now was armed before the clock was set back.
pub(super) const ARM_AGAIN: &str = "UPDATE payment_deadlines
     SET armed_at = $1, pay_by = $1 + pay_by - armed_at, next_attempt_at = $1 + pay_by - armed_at
     WHERE order_id = ANY(ARRAY(SELECT order_id FROM payment_deadlines WHERE armed_at > $2
                                ORDER BY armed_at LIMIT $3 FOR UPDATE SKIP LOCKED))";

/// A lease that lasts longer than any was made before the clock was set back.
pub(super) const END_LEASES: &str = "UPDATE payment_deadlines SET next_attempt_at = pay_by
     WHERE order_id = ANY(ARRAY(SELECT order_id FROM payment_deadlines
                                WHERE next_attempt_at > pay_by AND next_attempt_at > $1
                                ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(super) const DUE: &str =
    "SELECT order_id, pay_by FROM payment_deadlines WHERE next_attempt_at <= $1
     ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED";

pub(super) const POSTPONE: &str =
    "UPDATE payment_deadlines SET next_attempt_at = $2 WHERE order_id = ANY($1::uuid[])";

const OVERDUE: &str =
    "SELECT count(*) AS deadlines, min(pay_by) AS first FROM payment_deadlines WHERE pay_by <= $1";

const PAY_BY: &str = "SELECT pay_by FROM payment_deadlines WHERE order_id = $1";

/// Every statement of this module that only reads.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 2] = [OVERDUE, PAY_BY];

pub(super) async fn lease(
    transaction: &Transaction<'_>,
    lease: DeadlineLease,
) -> Result<LeasedDeadlines, Failure> {
    let now = transaction.now().await?;
    let bounds = Bounds::at(now, lease);
    let limit = i64::from(lease.limit);
    let (armed, ended, due) = tokio::join!(
        biased;
        transaction.execute(ARM_AGAIN, [&now.0, &bounds.armed.0, &limit]),
        transaction.execute(END_LEASES, [&bounds.leased.0, &limit]),
        transaction.query(DUE, [&now.0, &limit]),
    );
    armed.and(ended)?;
    let due: Vec<DueDeadline> = due?.iter().map(|row| read(row, now)).collect::<Result<_, _>>()?;
    if due.is_empty() {
        return Ok(LeasedDeadlines::default());
    }
    let ids: Vec<Uuid> = due.iter().map(|due| due.order_id.0).collect();
    let next = now.after(lease.push);
    let (postponed, orders) = tokio::join!(
        biased;
        transaction.write(ids.len(), POSTPONE, [&ids, &next.0]),
        transaction.query(ORDERS, [&ids]),
    );
    postponed?;
    let (due, damaged) = readable(due, &orders?)?;
    set_aside(transaction, &damaged, now).await?;
    Ok(LeasedDeadlines { due, set_aside: damaged.len() })
}

fn read(row: &Row, now: Timestamp) -> Result<DueDeadline, Failure> {
    let pay_by = Timestamp(rows::column(row, "pay_by")?);
    Ok(DueDeadline { order_id: rows::order_id(row)?, late: now.since(pay_by) })
}

/// A damaged order, and why it cannot be read.
type Damaged = (OrderId, Failure);

/// The deadlines whose orders can be read, and the orders that cannot: a batch with one of them
/// would fail for all.
fn readable(
    due: Vec<DueDeadline>,
    orders: &[Row],
) -> Result<(Vec<DueDeadline>, Vec<Damaged>), Failure> {
    let mut rows = BTreeMap::new();
    for row in orders {
        rows.insert(rows::order_id(row)?, row);
    }
    let mut readable = Vec::with_capacity(due.len());
    let mut damaged = Vec::new();
    for due in due {
        match must_be_readable(due.order_id, rows.get(&due.order_id).copied()) {
            Ok(()) => readable.push(due),
            Err(failure) => damaged.push((due.order_id, failure)),
        }
    }
    Ok((readable, damaged))
}

fn must_be_readable(order_id: OrderId, row: Option<&Row>) -> Result<(), Failure> {
    let row = row.ok_or_else(|| misfit("payment_deadlines", order_id, "order", "of no order"))?;
    let order = rows::stored_order(row)?.order()?;
    Ok(must_be_reserved(&order)?)
}

/// Puts damaged orders into the quarantine (R16). Their deadlines stay, and the audit names them.
async fn set_aside(
    transaction: &Transaction<'_>,
    damaged: &[Damaged],
    now: Timestamp,
) -> Result<(), Failure> {
    if damaged.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = damaged.iter().map(|(order_id, _)| order_id.0).collect();
    let next = now.after(PUSH_OF_DAMAGED);
    transaction.write(ids.len(), POSTPONE, [&ids, &next.0]).await?;
    let entry = |(order_id, failure): &Damaged| Quarantined {
        subject: Some(order_id.to_string()),
        kind: QuarantineKind::Poisoned,
        reason: reason(Chain(failure)),
        bytes: Vec::new(),
    };
    let entries: Vec<Quarantined> = damaged.iter().map(entry).collect();
    quarantine::insert_postgres(transaction, &entries).await.map(|_| ())
}

pub(super) async fn overdue(snapshot: &Transaction<'_>) -> Result<Overdue, Failure> {
    let now = snapshot.now().await?;
    let rows = snapshot.query(OVERDUE, [&now.0]).await?;
    let Some(row) = rows.first() else { return Ok(Overdue::default()) };
    Ok(Overdue::since(rows::column(row, "deadlines")?, rows::column(row, "first")?, now))
}

/// When the deadline of an order passes, if it has one.
pub(super) async fn pay_by(
    snapshot: &Transaction<'_>,
    order_id: OrderId,
) -> Result<Option<i64>, Failure> {
    let rows = snapshot.query(PAY_BY, [&order_id.0]).await?;
    rows.first().map(|row| rows::column(row, "pay_by")).transpose()
}
