//! The deadlines of payments: picks those that have passed and postpones them before their orders
//! are asked to expire (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use platform::clock::Timestamp;
use rusqlite::{Connection, Row, params};

use super::super::deadlines::LONGEST_MICROS;
use super::super::{DeadlineLease, DueDeadline, Overdue};
use super::rows;

/// A deadline whose order is missing stays as it is: the audit names it.
const DUE: &str = "SELECT payment_deadlines.order_no, order_id, pay_by
     FROM payment_deadlines JOIN orders ON orders.order_no = payment_deadlines.order_no
     WHERE pay_by <= ?1 ORDER BY pay_by LIMIT ?2";

pub(super) fn lease(
    connection: &Connection,
    lease: DeadlineLease,
    now: Timestamp,
) -> rusqlite::Result<Vec<DueDeadline>> {
    arm_again(connection, lease.limit, now)?;
    let mut select = connection.prepare_cached(DUE)?;
    let read = |row: &Row<'_>| {
        let pay_by = Timestamp(row.get("pay_by")?);
        let order_id = rows::order_id(row.get("order_id")?);
        let due = DueDeadline { order_id, late: now.since(pay_by) };
        Ok((row.get("order_no")?, due))
    };
    let due: Vec<(i64, DueDeadline)> =
        select.query_map(params![now.0, lease.limit], read)?.collect::<Result<_, _>>()?;
    // Armed anew: a clock that is ahead now may be set back while the lease lasts.
    let mut postpone = connection.prepare_cached(
        "UPDATE payment_deadlines SET armed_at = ?2, pay_by = ?3 WHERE order_no = ?1",
    )?;
    for (order_no, _) in &due {
        postpone.execute(params![order_no, now.0, now.after(lease.push).0])?;
    }
    Ok(due.into_iter().map(|(_, due)| due).collect())
}

/// A deadline that was armed later than now was armed before the clock was set back.
fn arm_again(connection: &Connection, limit: u32, now: Timestamp) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE payment_deadlines SET armed_at = ?1, pay_by = ?1 + min(pay_by - armed_at, ?2)
         WHERE order_no IN (SELECT order_no FROM payment_deadlines WHERE armed_at > ?1 ORDER BY armed_at LIMIT ?3)",
    )?;
    statement.execute(params![now.0, LONGEST_MICROS, limit]).map(|_| ())
}

pub(super) fn overdue(connection: &Connection, now: Timestamp) -> rusqlite::Result<Overdue> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) AS deadlines, min(pay_by) AS first FROM payment_deadlines WHERE pay_by <= ?1",
    )?;
    statement.query_row(params![now.0], |row| {
        Ok(Overdue::since(row.get("deadlines")?, row.get("first")?, now))
    })
}
