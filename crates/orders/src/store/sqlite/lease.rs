//! The sweeper's transaction: picks due commands and puts off their next attempt before anyone
//! publishes them (R7).
//!
//! Orders alone has this file: the Inventory Service only answers, and so has nothing to send
//! again.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::commands::{StockCommand, StockCommandKind};
use contract::{OrderId, SCHEMA_VERSION};
use orders_core::backoff;
use platform::clock::Timestamp;
use platform::quarantine::{QuarantineKind, Quarantined};
use rusqlite::{Connection, Row, params};
use storage::quarantine;

use super::super::{Lease, Pick};
use super::rows;

/// A due row.
struct Due {
    kind: StockCommandKind,
    attempt: u32,
    traceparent: Option<String>,
}

pub(super) fn lease(
    connection: &Connection,
    lease: Lease,
    now: Timestamp,
) -> rusqlite::Result<Vec<StockCommand>> {
    let due = match lease.pick {
        Pick::Due { patience } => due_by_time(connection, lease.limit, now, patience)?,
        Pick::SentBefore { ago } => sent_before(connection, lease.limit, now.before(ago))?,
    };
    let (mut commands, mut unreadable) = (Vec::with_capacity(due.len()), Vec::new());
    for (salt, (order_id, due)) in (1u64..).zip(due) {
        let attempt = due.attempt.saturating_add(1);
        // The golden ratio spreads one random number over the rows of a lease.
        let random = lease.random.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        put_off(connection, order_id, attempt, now, now.after((lease.delay)(attempt, random)))?;
        match command(connection, order_id, &due, attempt, now) {
            Ok(command) => commands.push(command),
            // Its row makes no sense, its neighbours' rows do (R16). It stays pending, and shows.
            Err(error) if error.sqlite_error().is_none() => unreadable.push(Quarantined {
                subject: Some(order_id.to_string()),
                kind: QuarantineKind::Poisoned,
                reason: format!("{}: {error}", due.kind.as_str()),
                bytes: Vec::new(),
            }),
            Err(error) => return Err(error),
        }
    }
    quarantine::insert_sqlite(connection, &unreadable, now)?;
    Ok(commands)
}

/// What became due last, and a fifth of what has been due for longest; so neither starves the
/// other.
fn due_by_time(
    connection: &Connection,
    limit: u32,
    now: Timestamp,
    patience: Duration,
) -> rusqlite::Result<BTreeMap<OrderId, Due>> {
    let due_since = now.before(patience).0;
    // A row further ahead than any wait is due: the clock was set back since it was written.
    let latest = now.after(backoff::LONGEST).0;
    let mut due = BTreeMap::new();
    let mut take = |condition: &str, bound: i64, limit: u32| -> rusqlite::Result<u32> {
        let sql = format!(
            "SELECT order_id, kind, attempt, traceparent FROM pending_commands WHERE {condition} LIMIT ?2"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![bound, limit], read_due)?;
        for row in rows {
            let (order_id, found) = row?;
            due.insert(order_id, found);
        }
        Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
    };
    let taken = take("next_attempt_at > ?1 ORDER BY next_attempt_at", latest, limit)?;
    let rest = limit.saturating_sub(taken);
    let oldest = rest.div_ceil(5);
    let taken = take("next_attempt_at <= ?1 ORDER BY next_attempt_at", due_since, oldest)?;
    take(
        "next_attempt_at <= ?1 ORDER BY next_attempt_at DESC",
        due_since,
        limit.saturating_sub(taken),
    )?;
    Ok(due)
}

/// Oldest first. Rows that were sent since are passed over.
fn sent_before(
    connection: &Connection,
    limit: u32,
    moment: Timestamp,
) -> rusqlite::Result<BTreeMap<OrderId, Due>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_id, kind, attempt, traceparent FROM pending_commands
         WHERE sent_at < ?1 ORDER BY since LIMIT ?2",
    )?;
    let rows = statement.query_map(params![moment.0, limit], read_due)?;
    rows.collect()
}

fn read_due(row: &Row<'_>) -> rusqlite::Result<(OrderId, Due)> {
    let order_id = rows::order_id(row.get("order_id")?);
    let kind = rows::kind(order_id, &row.get::<_, String>("kind")?)?;
    Ok((order_id, Due { kind, attempt: row.get("attempt")?, traceparent: row.get("traceparent")? }))
}

fn put_off(
    connection: &Connection,
    order_id: OrderId,
    attempt: u32,
    now: Timestamp,
    next: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE pending_commands SET attempt = ?2, sent_at = ?3, next_attempt_at = ?4 WHERE order_id = ?1",
    )?;
    statement.execute(params![order_id.0.as_bytes(), attempt, now.0, next.0]).map(|_| ())
}

fn command(
    connection: &Connection,
    order_id: OrderId,
    due: &Due,
    attempt: u32,
    now: Timestamp,
) -> rusqlite::Result<StockCommand> {
    let lines =
        rows::lines(connection, order_id)?.into_iter().map(|line| (line.product_id, line.quantity));
    let lines = contract::StockLines::sum(lines)
        .map_err(|error| rows::misfit("order_lines", order_id, "sum", error))?;
    let digest = connection
        .prepare_cached("SELECT digest FROM orders WHERE order_id = ?1")?
        .query_row(params![order_id.0.as_bytes()], |row| row.get("digest").map(contract::Digest))?;
    Ok(StockCommand {
        schema: SCHEMA_VERSION,
        kind: due.kind,
        order_id,
        lines,
        digest,
        attempt,
        sent_at_micros: now.0,
        traceparent: due.traceparent.clone(),
    })
}
