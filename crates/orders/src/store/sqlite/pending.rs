//! The pending commands, as an operator reads them and makes them due.
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use contract::OrderId;
use platform::admin::Requester;
use platform::clock::Timestamp;
use platform::failure::Failure;
use rusqlite::{Connection, OptionalExtension, Row, params};
use storage::admin_log;
use storage::sqlite::failure;

use super::super::pending::{FIRST, due_at, retried};
use super::super::{MadeDue, PendingFilter, PendingPage, WaitingCommand};
use super::{query, rows};

pub(super) fn pending(
    connection: &Connection,
    filter: &PendingFilter,
    now: Timestamp,
) -> rusqlite::Result<PendingPage> {
    let backlog = query::backlog(connection, now)?;
    let after = match filter.after {
        None => Some(0),
        // An order that does not exist is followed by none.
        Some(id) => number(connection, id)?,
    };
    let mut statement = connection.prepare_cached(
        "SELECT order_id, revision, attempt, since, sent_at, next_attempt_at
         FROM pending_commands CROSS JOIN orders ON orders.order_no = pending_commands.order_no
         WHERE pending_commands.order_no > ?1 ORDER BY pending_commands.order_no LIMIT ?2",
    )?;
    let read = |row: &Row<'_>| command(rows::order_id(row.get("order_id")?), row, now);
    let found = statement.query_map(params![after.unwrap_or(i64::MAX), filter.scanned()], read)?;
    Ok(filter.page(found.collect::<Result<_, _>>()?, now, backlog))
}

pub(super) fn make_due(
    connection: &Connection,
    order_id: OrderId,
    requester: Requester,
    now: Timestamp,
) -> Result<MadeDue, Failure> {
    let Some(order_no) = number(connection, order_id).map_err(failure)? else {
        return Ok(MadeDue::NoOrder);
    };
    let Some(due) = advance(connection, order_no, order_id, now).map_err(failure)? else {
        return Ok(MadeDue::NothingPending);
    };
    admin_log::insert_sqlite(connection, &retried(requester, now, &due))?;
    Ok(MadeDue::Due(due))
}

/// Makes a command due.
fn advance(
    connection: &Connection,
    order_no: i64,
    order_id: OrderId,
    now: Timestamp,
) -> rusqlite::Result<Option<WaitingCommand>> {
    let mut statement = connection.prepare_cached(
        "UPDATE pending_commands SET next_attempt_at = ?2 WHERE order_no = ?1
         RETURNING revision, attempt, since, sent_at, next_attempt_at",
    )?;
    statement.query_row(params![order_no, FIRST], |row| command(order_id, row, now)).optional()
}

fn number(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<i64>> {
    query::number_before(connection, Some(id))
}

fn command(order_id: OrderId, row: &Row<'_>, now: Timestamp) -> rusqlite::Result<WaitingCommand> {
    Ok(WaitingCommand {
        order_id,
        revision: row.get("revision")?,
        attempt: row.get("attempt")?,
        since: Timestamp(row.get("since")?),
        sent_at: Timestamp(row.get("sent_at")?),
        next_attempt_at: due_at(row.get("next_attempt_at")?, now),
    })
}
