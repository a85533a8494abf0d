//! The sweeper's transaction: picks due commands and postpones their next attempt before they are
//! published (R7).
//!
//! Orders alone has this file: the Inventory Service only answers, and so has nothing to send
//! again.
//!
//! It locks only pending commands and skips those that another transaction has locked, so it never
//! waits.

use std::collections::BTreeMap;

use contract::commands::AllocateStock;
use contract::{OrderId, Revision};
use orders_core::backoff;
use platform::clock::Timestamp;
use platform::failure::{Chain, Failure};
use platform::quarantine::{QuarantineKind, Quarantined};
use storage::postgres::Transaction;
use storage::quarantine;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::packed::misfit;
use super::super::pending::FIRST;
use super::super::{Lease, Pick};
use super::rows::{self, ORDERS};

macro_rules! due {
    ($condition:literal) => {
        concat!(
            "SELECT order_id, revision, attempt, traceparent FROM pending_commands WHERE ",
            $condition,
            " LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
    };
}

pub(super) const AHEAD: &str = due!("next_attempt_at > $1 ORDER BY next_attempt_at");
pub(super) const OLDEST: &str = due!("next_attempt_at <= $1 ORDER BY next_attempt_at");
pub(super) const FRESHEST: &str = due!("next_attempt_at <= $1 ORDER BY next_attempt_at DESC");
pub(super) const SENT_BEFORE: &str = due!("sent_at < $1 ORDER BY order_id");

pub(super) const POSTPONE: &str =
    "UPDATE pending_commands SET attempt = next.attempt, sent_at = $4, next_attempt_at = next.at
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS next (id, attempt, at) WHERE order_id = next.id";

/// The due rows of a lease.
type Due = BTreeMap<OrderId, DueCommand>;

struct DueCommand {
    revision: i64,
    /// The number of the attempt that is made now.
    attempt: u32,
    traceparent: Option<String>,
}

pub(super) async fn lease(
    transaction: &Transaction<'_>,
    lease: Lease,
) -> Result<Vec<AllocateStock>, Failure> {
    let now = transaction.now().await?;
    let due = match lease.pick {
        Pick::Due { patience } => {
            due_by_time(transaction, lease.limit, now, now.before(patience)).await?
        }
        Pick::SentBefore { ago } => {
            first_and(transaction, SENT_BEFORE, now.before(ago), lease.limit).await?.1
        }
    };
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = due.keys().map(|id| id.0).collect();
    let (postponed, orders) = tokio::join!(
        biased;
        postpone(transaction, &ids, &due, lease, now),
        transaction.query(ORDERS, [&ids]),
    );
    postponed?;
    let (commands, unreadable) = commands(due, &orders?, now)?;
    quarantine::insert_postgres(transaction, &unreadable).await?;
    Ok(commands)
}

async fn postpone(
    transaction: &Transaction<'_>,
    ids: &[Uuid],
    due: &Due,
    lease: Lease,
    now: Timestamp,
) -> Result<(), Failure> {
    let attempts: Vec<i64> = due.values().map(|due| i64::from(due.attempt)).collect();
    let wait = |(salt, due): (u64, &DueCommand)| (lease.delay)(due.attempt, lease.random_of(salt));
    let next: Vec<i64> =
        (1_u64..).zip(due.values()).map(wait).map(|wait| now.after(wait).0).collect();
    transaction.write(ids.len(), POSTPONE, [&ids, &attempts, &next, &now.0]).await
}

/// The commands of the due rows. An order whose rows are damaged is set aside, and the rows of the
/// others are not (R16). Its command stays pending, and the audit names it.
fn commands(
    due: Due,
    orders: &[Row],
    now: Timestamp,
) -> Result<(Vec<AllocateStock>, Vec<Quarantined>), Failure> {
    let mut rows = BTreeMap::new();
    for row in orders {
        rows.insert(rows::order_id(row)?, row);
    }
    let mut commands = Vec::with_capacity(due.len());
    let mut unreadable = Vec::new();
    for (order_id, due) in due {
        match command(order_id, due, rows.get(&order_id).copied(), now) {
            Ok(command) => commands.push(command),
            Err(failure) => unreadable.push(Quarantined {
                subject: Some(order_id.to_string()),
                kind: QuarantineKind::Poisoned,
                reason: format!("AllocateStock: {}", Chain(&failure)),
                bytes: Vec::new(),
            }),
        }
    }
    Ok((commands, unreadable))
}

/// The command of an order's current revision, which must be the pending one.
fn command(
    order_id: OrderId,
    due: DueCommand,
    row: Option<&Row>,
    now: Timestamp,
) -> Result<AllocateStock, Failure> {
    let row = row.ok_or_else(|| misfit("pending_commands", order_id, "order_id", "of no order"))?;
    let order = rows::stored_order(row)?.order()?;
    let in_flight = order.registers.in_flight().map(Revision::get).map(i64::from);
    if in_flight != Some(due.revision) {
        return Err(misfit("pending_commands", order_id, "revision", due.revision).into());
    }
    let first = AllocateStock::first(order_id, order.registers.sent_intent(), order.digest, now.0);
    Ok(AllocateStock { attempt: due.attempt, traceparent: due.traceparent, ..first })
}

/// The commands that operators made due. Then those that became due last, and a fifth of those that
/// have been due for longest, so that neither starves the other (R8).
async fn due_by_time(
    transaction: &Transaction<'_>,
    limit: u32,
    now: Timestamp,
    due_since: Timestamp,
) -> Result<Due, Failure> {
    // A row further ahead than any wait is due: the clock was set back since it was written.
    let latest = now.after(backoff::LONGEST);
    let (first, mut due) = first_and(transaction, AHEAD, latest, limit).await?;
    // The first ones have been due for longest.
    let oldest = match left(&due, limit) {
        0 => return Ok(due),
        left => left.div_ceil(5) + first,
    };
    due.extend(pick(transaction, OLDEST, due_since, oldest).await?);
    let freshest = left(&due, limit);
    due.extend(pick(transaction, FRESHEST, due_since, freshest).await?);
    Ok(due)
}

/// The commands that operators made due, and as many others as the limit leaves. Returns also how
/// many the former are.
async fn first_and(
    transaction: &Transaction<'_>,
    sql: &str,
    bound: Timestamp,
    limit: u32,
) -> Result<(u32, Due), Failure> {
    let (due, others) = tokio::join!(
        biased;
        pick(transaction, OLDEST, Timestamp(FIRST), limit),
        pick(transaction, sql, bound, limit),
    );
    let mut due = due?;
    let first = limit - left(&due, limit);
    for (order_id, command) in others? {
        if left(&due, limit) > 0 {
            due.insert(order_id, command);
        }
    }
    Ok((first, due))
}

fn left(due: &Due, limit: u32) -> u32 {
    limit.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX))
}

async fn pick(
    transaction: &Transaction<'_>,
    sql: &str,
    bound: Timestamp,
    limit: u32,
) -> Result<Due, Failure> {
    let limit = i64::from(limit);
    let due = |row: &Row| {
        let attempt: i64 = rows::column(row, "attempt")?;
        let due = DueCommand {
            revision: rows::column(row, "revision")?,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX).saturating_add(1),
            traceparent: rows::column(row, "traceparent")?,
        };
        Ok((rows::order_id(row)?, due))
    };
    transaction.query(sql, [&bound.0, &limit]).await?.iter().map(due).collect()
}
