//! The deadlines of payments: picks those that have passed and postpones them before their orders
//! are asked to expire (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use platform::clock::Timestamp;
use platform::quarantine::{QuarantineKind, Quarantined};
use rusqlite::{Connection, OptionalExtension, Row, params};
use storage::quarantine;

use super::super::deadlines::{Bounds, PUSH_OF_DAMAGED, must_be_reserved, reason};
use super::super::{DeadlineLease, DueDeadline, LeasedDeadlines, Overdue};
use super::rows;

const DUE: &str = "SELECT order_no, pay_by FROM payment_deadlines WHERE next_attempt_at <= ?1
     ORDER BY next_attempt_at LIMIT ?2";

pub(super) fn lease(
    connection: &Connection,
    lease: DeadlineLease,
    now: Timestamp,
) -> rusqlite::Result<LeasedDeadlines> {
    let bounds = Bounds::at(now, lease);
    arm_again(connection, lease.limit, now, bounds)?;
    end_leases(connection, lease.limit, bounds)?;
    let mut leased = LeasedDeadlines::default();
    let mut damaged = Vec::new();
    for (order_no, pay_by) in due(connection, lease.limit, now)? {
        let push = match due_deadline(connection, order_no, now.since(pay_by)) {
            Ok(due) => {
                leased.due.push(due);
                lease.push
            }
            // This order's rows are damaged; the rows of the others are not (R16). Its deadline
            // stays, and the audit names it.
            Err(error) if error.sqlite_error().is_none() => {
                damaged.push(Quarantined {
                    subject: Some(rows::subject(connection, order_no)?),
                    kind: QuarantineKind::Poisoned,
                    reason: reason(error),
                    bytes: Vec::new(),
                });
                PUSH_OF_DAMAGED
            }
            Err(error) => return Err(error),
        };
        postpone(connection, order_no, now.after(push))?;
    }
    leased.set_aside = damaged.len();
    quarantine::insert_sqlite(connection, &damaged, now)?;
    Ok(leased)
}

/// The orders whose deadlines are due, by number, and when their deadlines passed.
fn due(
    connection: &Connection,
    limit: u32,
    now: Timestamp,
) -> rusqlite::Result<Vec<(i64, Timestamp)>> {
    let mut select = connection.prepare_cached(DUE)?;
    let read = |row: &Row<'_>| Ok((row.get("order_no")?, Timestamp(row.get("pay_by")?)));
    select.query_map(params![now.0, limit], read)?.collect()
}

/// The deadline of an order that can be read: a batch with another one would fail for all.
fn due_deadline(
    connection: &Connection,
    order_no: i64,
    late: std::time::Duration,
) -> rusqlite::Result<DueDeadline> {
    let Some(stored) = rows::order_by_number(connection, order_no)? else {
        let row = format_args!("of order_no {order_no}");
        return Err(storage::Misfit::new("payment_deadlines", row, "order", "of no order").into());
    };
    let order = stored.order()?;
    must_be_reserved(&order)?;
    Ok(DueDeadline { order_id: order.order_id, late })
}

fn postpone(connection: &Connection, order_no: i64, next: Timestamp) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("UPDATE payment_deadlines SET next_attempt_at = ?2 WHERE order_no = ?1")?;
    statement.execute(params![order_no, next.0]).map(|_| ())
}

/// A deadline that was armed later than now was armed before the clock was set back.
fn arm_again(
    connection: &Connection,
    limit: u32,
    now: Timestamp,
    bounds: Bounds,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE payment_deadlines
         SET armed_at = ?1, pay_by = ?1 + pay_by - armed_at, next_attempt_at = ?1 + pay_by - armed_at
         WHERE order_no IN (SELECT order_no FROM payment_deadlines WHERE armed_at > ?2 ORDER BY armed_at LIMIT ?3)",
    )?;
    statement.execute(params![now.0, bounds.armed.0, limit]).map(|_| ())
}

/// A lease that lasts longer than any was made before the clock was set back.
fn end_leases(connection: &Connection, limit: u32, bounds: Bounds) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE payment_deadlines SET next_attempt_at = pay_by
         WHERE order_no IN (SELECT order_no FROM payment_deadlines
                            WHERE next_attempt_at > pay_by AND next_attempt_at > ?1
                            ORDER BY next_attempt_at LIMIT ?2)",
    )?;
    statement.execute(params![bounds.leased.0, limit]).map(|_| ())
}

pub(super) fn overdue(connection: &Connection, now: Timestamp) -> rusqlite::Result<Overdue> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) AS deadlines, min(pay_by) AS first FROM payment_deadlines WHERE pay_by <= ?1",
    )?;
    statement.query_row(params![now.0], |row| {
        Ok(Overdue::since(row.get("deadlines")?, row.get("first")?, now))
    })
}

/// When the deadline of an order passes, if it has one.
pub(super) fn pay_by(connection: &Connection, order_no: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT pay_by FROM payment_deadlines WHERE order_no = ?1")?;
    statement.query_row([order_no], |row| row.get("pay_by")).optional()
}
