//! The sweeper's transaction: picks due commands and postpones their next attempt before they are
//! published (R7).
//!
//! Orders alone has this file: the Inventory Service only answers, and so has nothing to send
//! again.

use std::collections::BTreeMap;

use contract::Revision;
use contract::commands::AllocateStock;
use orders_core::backoff;
use platform::clock::Timestamp;
use platform::quarantine::{QuarantineKind, Quarantined};
use rusqlite::{Connection, Row, params};
use storage::quarantine;

use super::super::packed::{StoredOrder, misfit};
use super::super::pending::FIRST;
use super::super::{Lease, Pick};
use super::rows;

/// A due row, by the number of its order.
type Due = BTreeMap<i64, DueCommand>;

struct DueCommand {
    revision: u32,
    attempt: u32,
    traceparent: Option<String>,
}

pub(super) fn lease(
    connection: &Connection,
    lease: Lease,
    now: Timestamp,
) -> rusqlite::Result<Vec<AllocateStock>> {
    let due = pick(connection, &lease, now)?;
    let mut commands = Vec::with_capacity(due.len());
    let mut unreadable = Vec::new();
    for (salt, (order_no, due)) in (1u64..).zip(due) {
        let attempt = due.attempt.saturating_add(1);
        let next = now.after((lease.delay)(attempt, lease.random_of(salt)));
        postpone(connection, order_no, attempt, now, next)?;
        match rows::order_by_number(connection, order_no)
            .and_then(|order| command(order_no, order, due, attempt, now))
        {
            Ok(command) => commands.push(command),
            // This order's rows are damaged; the rows of the others are not (R16). The command
            // stays pending, and the audit names it.
            Err(error) if error.sqlite_error().is_none() => unreadable.push(Quarantined {
                subject: Some(rows::subject(connection, order_no)?),
                kind: QuarantineKind::Poisoned,
                reason: format!("AllocateStock: {error}"),
                bytes: Vec::new(),
            }),
            Err(error) => return Err(error),
        }
    }
    quarantine::insert_sqlite(connection, &unreadable, now)?;
    Ok(commands)
}

/// The commands that operators made due. Then those that the lease picks: of the oldest orders; or
/// those that became due last, and a fifth of those that have been due for longest, so that neither
/// starves the other (R8).
fn pick(connection: &Connection, lease: &Lease, now: Timestamp) -> rusqlite::Result<Due> {
    const OLDEST: &str = "next_attempt_at <= ?1 ORDER BY next_attempt_at";
    let mut due = Due::new();
    let mut take = |condition: &str, bound: i64, limit: u32| -> rusqlite::Result<u32> {
        let sql = format!(
            "SELECT order_no, revision, attempt, traceparent FROM pending_commands WHERE {condition} LIMIT ?2"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        for row in statement.query_map(params![bound, limit], read_due)? {
            let (order_no, found) = row?;
            // One that was made due is found twice.
            if due.len() < lease.limit as usize {
                due.insert(order_no, found);
            }
        }
        Ok(lease.limit.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX)))
    };
    let left = take(OLDEST, FIRST, lease.limit)?;
    let first = lease.limit - left;
    match lease.pick {
        Pick::SentBefore { ago } => {
            take("sent_at < ?1 ORDER BY order_no", now.before(ago).0, lease.limit)?;
        }
        Pick::Due { patience } => {
            let due_since = now.before(patience).0;
            // A row further ahead than any wait is due: the clock was set back since it was written.
            let latest = now.after(backoff::LONGEST).0;
            let left = take("next_attempt_at > ?1 ORDER BY next_attempt_at", latest, left)?;
            // The first ones have been due for longest.
            let oldest = if left > 0 { left.div_ceil(5) + first } else { 0 };
            let left = take(OLDEST, due_since, oldest)?;
            take("next_attempt_at <= ?1 ORDER BY next_attempt_at DESC", due_since, left)?;
        }
    }
    Ok(due)
}

fn read_due(row: &Row<'_>) -> rusqlite::Result<(i64, DueCommand)> {
    let due = DueCommand {
        revision: row.get("revision")?,
        attempt: row.get("attempt")?,
        traceparent: row.get("traceparent")?,
    };
    Ok((row.get("order_no")?, due))
}

fn postpone(
    connection: &Connection,
    order_no: i64,
    attempt: u32,
    now: Timestamp,
    next: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE pending_commands SET attempt = ?2, sent_at = ?3, next_attempt_at = ?4 WHERE order_no = ?1",
    )?;
    statement.execute(params![order_no, attempt, now.0, next.0]).map(|_| ())
}

/// The command of an order's current revision, which must be the pending one.
fn command(
    order_no: i64,
    stored: Option<StoredOrder>,
    due: DueCommand,
    attempt: u32,
    now: Timestamp,
) -> rusqlite::Result<AllocateStock> {
    let Some(stored) = stored else {
        let row = format_args!("of order_no {order_no}");
        return Err(storage::Misfit::new("pending_commands", row, "order_no", "of no order").into());
    };
    let order = stored.order()?;
    if order.registers.in_flight().map(Revision::get) != Some(due.revision) {
        let id = order.order_id;
        return Err(misfit("pending_commands", id, "revision", due.revision).into());
    }
    let first =
        AllocateStock::first(order.order_id, order.registers.sent_intent(), order.digest, now.0);
    Ok(AllocateStock { attempt, traceparent: due.traceparent, ..first })
}
