//! The deadlines of payments: picks those that have passed and postpones them before their orders
//! are asked to expire (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.
//!
//! It locks only deadlines and skips those that another transaction has locked, so it never waits.

use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::deadlines::LONGEST_MICROS;
use super::super::{DeadlineLease, DueDeadline, Overdue};
use super::rows;

/// A deadline that was armed later than now was armed before the clock was set back.
pub(super) const ARM_AGAIN: &str =
    "UPDATE payment_deadlines SET armed_at = $1, pay_by = $1 + least(pay_by - armed_at, $2)
     WHERE order_id = ANY(ARRAY(SELECT order_id FROM payment_deadlines WHERE armed_at > $1
                                ORDER BY armed_at LIMIT $3 FOR UPDATE SKIP LOCKED))";

pub(super) const DUE: &str = "SELECT order_id, pay_by FROM payment_deadlines WHERE pay_by <= $1
     ORDER BY pay_by LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Armed anew: a clock that is ahead now may be set back while the lease lasts.
pub(super) const POSTPONE: &str =
    "UPDATE payment_deadlines SET armed_at = $2, pay_by = $3 WHERE order_id = ANY($1::uuid[])";

const OVERDUE: &str =
    "SELECT count(*) AS deadlines, min(pay_by) AS first FROM payment_deadlines WHERE pay_by <= $1";

/// Every statement of this module that only reads.
#[cfg(test)]
pub(super) const STATEMENTS: [&str; 1] = [OVERDUE];

pub(super) async fn lease(
    transaction: &Transaction<'_>,
    lease: DeadlineLease,
) -> Result<Vec<DueDeadline>, Failure> {
    let now = transaction.now().await?;
    let limit = i64::from(lease.limit);
    let (armed, due) = tokio::join!(
        biased;
        transaction.execute(ARM_AGAIN, [&now.0, &LONGEST_MICROS, &limit]),
        transaction.query(DUE, [&now.0, &limit]),
    );
    armed?;
    let due: Vec<DueDeadline> = due?.iter().map(|row| read(row, now)).collect::<Result<_, _>>()?;
    let ids: Vec<Uuid> = due.iter().map(|due| due.order_id.0).collect();
    let leased_until = now.after(lease.push);
    transaction.write(ids.len(), POSTPONE, [&ids, &now.0, &leased_until.0]).await?;
    Ok(due)
}

fn read(row: &Row, now: Timestamp) -> Result<DueDeadline, Failure> {
    let pay_by = Timestamp(rows::column(row, "pay_by")?);
    Ok(DueDeadline { order_id: rows::order_id(row)?, late: now.since(pay_by) })
}

pub(super) async fn overdue(snapshot: &Transaction<'_>) -> Result<Overdue, Failure> {
    let now = snapshot.now().await?;
    let rows = snapshot.query(OVERDUE, [&now.0]).await?;
    let Some(row) = rows.first() else { return Ok(Overdue::default()) };
    Ok(Overdue::since(rows::column(row, "deadlines")?, rows::column(row, "first")?, now))
}
