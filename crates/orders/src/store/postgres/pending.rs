//! The pending commands, as an operator reads them and makes them due.
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use std::slice;

use contract::OrderId;
use platform::admin::Requester;
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::admin_log;
use storage::postgres::Transaction;
use tokio_postgres::Row;

use super::super::pending::{FIRST, due_at, retried};
use super::super::{MadeDue, PendingFilter, PendingPage, WaitingCommand};
use super::{query, rows};

const PENDING: &str = "SELECT order_id, revision, attempt, since, sent_at, next_attempt_at
    FROM pending_commands WHERE order_id >= $1 ORDER BY order_id LIMIT $2";

/// It locks the row, so it waits for a lease of the command or for its answer, and sees what they
/// left of it.
const MAKE_DUE: &str = "UPDATE pending_commands SET next_attempt_at = $2
    WHERE order_id = $1 RETURNING order_id, revision, attempt, since, sent_at, next_attempt_at";

const EXISTS: &str = "SELECT FROM orders WHERE order_id = $1";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 3] = [PENDING, MAKE_DUE, EXISTS];

pub(super) async fn pending(
    snapshot: &Transaction<'_>,
    filter: &PendingFilter,
) -> Result<PendingPage, Failure> {
    let backlog = query::backlog(snapshot).await?;
    let after = filter.after.map(|id| id.0);
    let (rows, now) =
        tokio::try_join!(snapshot.page(PENDING, after, filter.scanned()), snapshot.now())?;
    let commands = rows.iter().map(|row| command(row, now)).collect::<Result<_, _>>()?;
    Ok(filter.page(commands, now, backlog))
}

pub(super) async fn make_due(
    transaction: &Transaction<'_>,
    order_id: OrderId,
    requester: Requester,
) -> Result<MadeDue, Failure> {
    let now = transaction.now().await?;
    let made_due = transaction.query(MAKE_DUE, [&order_id.0, &FIRST]).await?;
    let Some(row) = made_due.first() else {
        let exists = !transaction.query(EXISTS, [&order_id.0]).await?.is_empty();
        return Ok(if exists { MadeDue::NothingPending } else { MadeDue::NoOrder });
    };
    let due = command(row, now)?;
    let entry = retried(requester, now, &due);
    admin_log::insert_postgres(transaction, slice::from_ref(&entry)).await?;
    Ok(MadeDue::Due(due))
}

fn command(row: &Row, now: Timestamp) -> Result<WaitingCommand, Failure> {
    Ok(WaitingCommand {
        order_id: rows::order_id(row)?,
        revision: rows::column(row, "revision")?,
        attempt: rows::column(row, "attempt")?,
        since: Timestamp(rows::column(row, "since")?),
        sent_at: Timestamp(rows::column(row, "sent_at")?),
        next_attempt_at: due_at(rows::column(row, "next_attempt_at")?, now),
    })
}
