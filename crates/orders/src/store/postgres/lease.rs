//! The sweeper's transaction: picks due commands and puts off their next attempt before anyone
//! publishes them (R7).
//!
//! Orders alone has this file: the Inventory Service only answers, and so has nothing to send
//! again.
//!
//! It locks only pending commands and skips those that another transaction has locked, so it never
//! waits.

use std::collections::BTreeMap;

use contract::commands::{StockCommand, StockCommandKind};
use contract::{OrderId, SCHEMA_VERSION, StockLines};
use orders_core::backoff;
use platform::clock::Timestamp;
use platform::failure::{Chain, Failure};
use platform::quarantine::{QuarantineKind, Quarantined};
use storage::postgres::Transaction;
use storage::quarantine;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{Lease, Pick};
use super::{load, rows};

macro_rules! due {
    ($condition:literal) => {
        concat!(
            "SELECT order_id, kind, attempt, traceparent FROM pending_commands WHERE ",
            $condition,
            " LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
    };
}

pub(super) const AHEAD: &str = due!("next_attempt_at > $1 ORDER BY next_attempt_at");
pub(super) const OLDEST: &str = due!("next_attempt_at <= $1 ORDER BY next_attempt_at");
pub(super) const FRESHEST: &str = due!("next_attempt_at <= $1 ORDER BY next_attempt_at DESC");
pub(super) const SENT_BEFORE: &str = due!("sent_at < $1 ORDER BY since");
pub(super) const DIGESTS: &str =
    "SELECT order_id, digest FROM orders WHERE order_id = ANY($1::uuid[])";

pub(super) const PUT_OFF: &str =
    "UPDATE pending_commands SET attempt = next.attempt, sent_at = $4, next_attempt_at = next.at
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS next (id, attempt, at) WHERE order_id = next.id";

/// A due row that is sent once more.
struct Sent {
    order_id: OrderId,
    due: Due,
    attempt: u32,
    now: Timestamp,
}

impl Sent {
    fn command(
        self,
        lines: &BTreeMap<OrderId, Vec<&Row>>,
        digests: &BTreeMap<OrderId, Vec<&Row>>,
    ) -> Result<StockCommand, Failure> {
        let id = self.order_id;
        let summed =
            rows::lines(lines, id)?.into_iter().map(|line| (line.product_id, line.quantity));
        let digest = digests.get(&id).and_then(|rows| rows.first());
        let digest = digest.ok_or_else(|| rows::misfit("orders", id, "order_id", "missing"))?;
        Ok(StockCommand {
            schema: SCHEMA_VERSION,
            kind: self.due.kind,
            order_id: id,
            lines: StockLines::sum(summed)
                .map_err(|error| rows::misfit("order_lines", id, "sum", error))?,
            digest: rows::digest(digest, "orders", id, "digest")?,
            attempt: self.attempt,
            sent_at_micros: self.now.0,
            traceparent: self.due.traceparent,
        })
    }
}

/// A due row.
struct Due {
    kind: StockCommandKind,
    attempt: u32,
    traceparent: Option<String>,
}

pub(super) async fn lease(
    transaction: &Transaction<'_>,
    lease: Lease,
) -> Result<Vec<StockCommand>, Failure> {
    let now = transaction.now().await?;
    let due = match lease.pick {
        Pick::Due { patience } => {
            due_by_time(transaction, lease.limit, now, now.before(patience)).await?
        }
        Pick::SentBefore { ago } => {
            pick(transaction, SENT_BEFORE, [now.before(ago).0, i64::from(lease.limit)]).await?
        }
    };
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = due.keys().map(|id| id.0).collect();
    let attempts: Vec<u32> = due.values().map(|due| due.attempt.saturating_add(1)).collect();
    // The golden ratio spreads one random number over the rows of a lease.
    let random =
        (1_u64..).map(|salt| lease.random.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let next: Vec<i64> = attempts
        .iter()
        .zip(random)
        .map(|(attempt, random)| now.after((lease.delay)(*attempt, random)).0)
        .collect();
    let raised: Vec<i64> = attempts.iter().copied().map(i64::from).collect();
    let (put_off, lines, digests) = tokio::join!(
        biased;
        transaction.write(ids.len(), PUT_OFF, [&ids, &raised, &next, &now.0]),
        transaction.query(load::LINES, [&ids]),
        transaction.query(DIGESTS, [&ids]),
    );
    put_off?;
    let (lines, digests) = (lines?, digests?);
    let (lines, digests) = (rows::by_order(&lines)?, rows::by_order(&digests)?);
    let (mut commands, mut unreadable) = (Vec::with_capacity(due.len()), Vec::new());
    for ((order_id, due), attempt) in due.into_iter().zip(attempts) {
        let kind = due.kind;
        let sent = Sent { order_id, due, attempt, now };
        match sent.command(&lines, &digests) {
            Ok(command) => commands.push(command),
            // Its row makes no sense, its neighbours' rows do (R16). It stays pending, and shows.
            Err(failure) => unreadable.push(Quarantined {
                subject: Some(order_id.to_string()),
                kind: QuarantineKind::Poisoned,
                reason: format!("{}: {}", kind.as_str(), Chain(&failure)),
                bytes: Vec::new(),
            }),
        }
    }
    quarantine::insert_postgres(transaction, &unreadable).await?;
    Ok(commands)
}

/// What became due last, and a fifth of what has been due for longest; so neither starves the
/// other.
async fn due_by_time(
    transaction: &Transaction<'_>,
    limit: u32,
    now: Timestamp,
    due_since: Timestamp,
) -> Result<BTreeMap<OrderId, Due>, Failure> {
    // A row further ahead than any wait is due: the clock was set back since it was written.
    let latest = now.after(backoff::LONGEST).0;
    let left = |due: &BTreeMap<OrderId, Due>| {
        limit.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX))
    };
    let mut due = pick(transaction, AHEAD, [latest, i64::from(limit)]).await?;
    let oldest = left(&due).div_ceil(5);
    due.extend(pick(transaction, OLDEST, [due_since.0, i64::from(oldest)]).await?);
    due.extend(pick(transaction, FRESHEST, [due_since.0, i64::from(left(&due))]).await?);
    Ok(due)
}

async fn pick(
    transaction: &Transaction<'_>,
    sql: &str,
    [bound, limit]: [i64; 2],
) -> Result<BTreeMap<OrderId, Due>, Failure> {
    let due = |row: &Row| {
        let order_id = rows::order_id(row)?;
        let attempt: i64 = rows::column(row, "attempt")?;
        let due = Due {
            kind: rows::kind(order_id, rows::column(row, "kind")?)?,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            traceparent: rows::column(row, "traceparent")?,
        };
        Ok((order_id, due))
    };
    transaction.query(sql, [&bound, &limit]).await?.iter().map(due).collect()
}
