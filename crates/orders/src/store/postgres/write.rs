//! Writes a decision down, a statement per table, and compares every row count with what was
//! predicted (R11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::OrderId;
use contract::commands::StockCommandKind;
use orders_core::decide::{Change, Pending, Placement};
use orders_core::order::{Entry, OrderLine, Status};
use platform::failure::{Failure, Suspicion};
use storage::postgres::{Parameter, Transaction};

use super::super::text::parts_text;

pub(super) const INSERT_ORDERS: &str =
    "INSERT INTO orders (order_id, customer_id, status, currency, total_minor, digest,
         request_digest, last_seq, created_at, updated_at)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[],
                          $8::bigint[], $9::bigint[], $10::bigint[]) ON CONFLICT (order_id) DO NOTHING";

pub(super) const INSERT_LINES: &str =
    "INSERT INTO order_lines (order_id, line_no, product_id, quantity, price_minor)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])";

/// R13. Each order stands in the arrays once.
pub(super) const MOVE_ORDERS: &str = "UPDATE orders SET status = move.after, last_seq = move.last_seq, updated_at = move.at
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS move (id, before, after, last_seq, at)
     WHERE order_id = move.id AND status = move.before";

pub(super) const INSERT_HISTORY: &str = "INSERT INTO order_history (order_id, seq, status, reason, at, decided_at,
         allocations, shortages)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                          $8::text[])";

pub(super) const DELETE_PENDING: &str =
    "DELETE FROM pending_commands USING unnest($1::uuid[], $2::text[]) AS done (id, what)
     WHERE order_id = done.id AND kind = done.what";

pub(super) const INSERT_PENDING: &str = "INSERT INTO pending_commands (order_id, kind, attempt, since, sent_at,
         next_attempt_at, traceparent)
     SELECT id, kind, 1, since, since, next, trace
     FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS sent (id, kind, since, next, trace)";

/// `claimed` are the keys that became the batch's: each must belong to an order that the decision
/// makes (INV-6).
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    changes: &[Change],
    claimed: &BTreeMap<String, OrderId>,
) -> Result<(), Failure> {
    let mut placed = Vec::new();
    let mut moved = Vec::new();
    for change in changes {
        match (&change.placed, change.from) {
            (Some(placement), _) => placed.push((change, &**placement)),
            (None, Some(from)) => moved.push((change, from)),
            (None, None) => return Err(suspect("a change of an order that never was")),
        }
        if change.entries.is_empty() {
            return Err(suspect("a change without an entry"));
        }
    }
    let changed: BTreeSet<OrderId> = changes.iter().map(|change| change.order_id).collect();
    if changed.len() != changes.len() {
        return Err(suspect("two changes of one order"));
    }
    let made: BTreeMap<&String, OrderId> = placed
        .iter()
        .filter_map(|(change, placement)| Some((placement.key.as_ref()?, change.order_id)))
        .collect();
    if !made.into_iter().eq(claimed.iter().map(|(key, id)| (key, *id))) {
        return Err(suspect(
            "the keys that were claimed are not those of the orders that are made",
        ));
    }
    let over: Vec<_> =
        moved.iter().filter_map(|(change, from)| Some((*change, from.in_flight()?))).collect();
    let sent: Vec<_> =
        changes.iter().filter_map(|change| Some((change, change.pending.as_ref()?))).collect();
    let written = tokio::join!(
        biased;
        insert_orders(transaction, &placed),
        insert_lines(transaction, &placed),
        move_orders(transaction, &moved),
        insert_history(transaction, changes),
        delete_pending(transaction, &over),
        insert_pending(transaction, &sent),
    );
    written.0.and(written.1).and(written.2).and(written.3).and(written.4).and(written.5)
}

fn suspect(reason: &'static str) -> Failure {
    Suspicion::Decision(reason).into()
}

/// One array of a statement's parameters.
fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn last(change: &Change) -> &Entry {
    &change.entries[change.entries.len() - 1]
}

async fn insert_orders(
    transaction: &Transaction<'_>,
    placed: &[(&Change, &Placement)],
) -> Result<(), Failure> {
    if placed.is_empty() {
        return Ok(());
    }
    let row: [Parameter<'_>; 10] = [
        &column(placed, |(change, _)| change.order_id.0),
        &column(placed, |(_, placement)| placement.terms.customer_id.as_str()),
        &column(placed, |(change, _)| change.to.as_str()),
        &column(placed, |(_, placement)| placement.terms.currency.code()),
        &column(placed, |(_, placement)| placement.terms.total_minor),
        &column(placed, |(_, placement)| placement.terms.digest.0.as_slice()),
        &column(placed, |(_, placement)| placement.request_digest.0.as_slice()),
        &column(placed, |(change, _)| i64::from(last(change).seq)),
        &column(placed, |(change, _)| change.entries[0].at_micros),
        &column(placed, |(change, _)| last(change).at_micros),
    ];
    let made = transaction.execute(INSERT_ORDERS, row).await?;
    // An unknown commit of the same batch succeeded after its rows were loaded; a retry finds them
    // (R4).
    if made == placed.len() as u64 { Ok(()) } else { Err(Failure::Busy(Arc::new(MadeMeanwhile))) }
}

#[derive(Debug, thiserror::Error)]
#[error("an order was made meanwhile")]
struct MadeMeanwhile;

async fn insert_lines(
    transaction: &Transaction<'_>,
    placed: &[(&Change, &Placement)],
) -> Result<(), Failure> {
    let numbered = |(change, placement): &(&Change, &'_ Placement)| {
        let id = change.order_id.0;
        (1_i64..)
            .zip(placement.terms.lines.clone())
            .map(move |(line_no, line)| (id, line_no, line))
            .collect::<Vec<_>>()
    };
    let lines: Vec<(_, _, OrderLine)> = placed.iter().flat_map(numbered).collect();
    transaction
        .write(
            lines.len(),
            INSERT_LINES,
            [
                &column(&lines, |(id, ..)| *id),
                &column(&lines, |(_, line_no, _)| *line_no),
                &column(&lines, |(.., line)| line.product_id.as_str()),
                &column(&lines, |(.., line)| i64::from(line.quantity.get())),
                &column(&lines, |(.., line)| line.price_minor),
            ],
        )
        .await
}

async fn move_orders(
    transaction: &Transaction<'_>,
    moved: &[(&Change, Status)],
) -> Result<(), Failure> {
    transaction
        .write(
            moved.len(),
            MOVE_ORDERS,
            [
                &column(moved, |(change, _)| change.order_id.0),
                &column(moved, |(_, from)| from.as_str()),
                &column(moved, |(change, _)| change.to.as_str()),
                &column(moved, |(change, _)| i64::from(last(change).seq)),
                &column(moved, |(change, _)| last(change).at_micros),
            ],
        )
        .await
}

async fn insert_history(transaction: &Transaction<'_>, changes: &[Change]) -> Result<(), Failure> {
    let entries: Vec<_> = changes
        .iter()
        .flat_map(|change| change.entries.iter().map(|entry| (change.order_id.0, entry)))
        .collect();
    transaction
        .write(
            entries.len(),
            INSERT_HISTORY,
            [
                &column(&entries, |(id, _)| *id),
                &column(&entries, |(_, entry)| i64::from(entry.seq)),
                &column(&entries, |(_, entry)| entry.status.as_str()),
                &column(&entries, |(_, entry)| entry.reason.as_deref()),
                &column(&entries, |(_, entry)| entry.at_micros),
                &column(&entries, |(_, entry)| {
                    entry.answer.as_ref().map(|answer| answer.decided_at_micros)
                }),
                &column(&entries, |(_, entry)| {
                    entry.answer.as_ref().and_then(|answer| parts_text(&answer.allocations))
                }),
                &column(&entries, |(_, entry)| {
                    entry.answer.as_ref().and_then(|answer| parts_text(&answer.shortages))
                }),
            ],
        )
        .await
}

async fn delete_pending(
    transaction: &Transaction<'_>,
    over: &[(&Change, StockCommandKind)],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 2] =
        [&column(over, |(change, _)| change.order_id.0), &column(over, |(_, kind)| kind.as_str())];
    transaction.write(over.len(), DELETE_PENDING, row).await
}

async fn insert_pending(
    transaction: &Transaction<'_>,
    sent: &[(&Change, &Pending)],
) -> Result<(), Failure> {
    transaction
        .write(
            sent.len(),
            INSERT_PENDING,
            [
                &column(sent, |(change, _)| change.order_id.0),
                &column(sent, |(_, pending)| pending.kind.as_str()),
                &column(sent, |(_, pending)| pending.since_micros),
                &column(sent, |(_, pending)| pending.next_attempt_at_micros),
                &column(sent, |(_, pending)| pending.traceparent.as_deref()),
            ],
        )
        .await
}
