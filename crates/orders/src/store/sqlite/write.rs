//! Writes a decision down, and compares every row count with what was predicted (R11).

use contract::OrderId;
use orders_core::decide::{Change, Pending, Placement};
use orders_core::order::Entry;
use platform::failure::{Failure, Suspicion};
use rusqlite::{Connection, params};
use storage::sqlite::exactly_one;

use super::super::text::parts_text;

pub(super) fn apply(connection: &Connection, changes: &[Change]) -> Result<(), Failure> {
    for change in changes {
        match (&change.placed, change.from) {
            (Some(placement), _) => insert(connection, change, placement)?,
            (None, Some(from)) => {
                compare_and_set(connection, change, from.as_str())?;
                if let Some(kind) = from.in_flight() {
                    let row = params![change.order_id.0.as_bytes(), kind.as_str()];
                    exactly_one(
                        connection,
                        "DELETE FROM pending_commands WHERE order_id = ?1 AND kind = ?2",
                        row,
                    )?;
                }
            }
            (None, None) => {
                return Err(Suspicion::Decision("a change of an order that never was").into());
            }
        }
        for entry in &change.entries {
            append(connection, change.order_id, entry)?;
        }
        if let Some(pending) = &change.pending {
            send(connection, change.order_id, pending)?;
        }
    }
    Ok(())
}

fn last_entry(change: &Change) -> Result<&Entry, Failure> {
    change.entries.last().ok_or_else(|| Suspicion::Decision("a change without an entry").into())
}

fn insert(connection: &Connection, change: &Change, placement: &Placement) -> Result<(), Failure> {
    let terms = &placement.terms;
    let last = last_entry(change)?;
    exactly_one(
        connection,
        "INSERT INTO orders (order_id, customer_id, status, currency, total_minor, digest, request_digest,
                             idempotency_key, last_seq, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            change.order_id.0.as_bytes(),
            terms.customer_id.as_str(),
            change.to.as_str(),
            terms.currency.code(),
            terms.total_minor,
            terms.digest.0,
            placement.request_digest.0,
            placement.key,
            last.seq,
            change.entries[0].at_micros,
            last.at_micros,
        ],
    )?;
    for (line_no, line) in (1u32..).zip(&terms.lines) {
        exactly_one(
            connection,
            "INSERT INTO order_lines (order_id, line_no, product_id, quantity, price_minor) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                change.order_id.0.as_bytes(),
                line_no,
                line.product_id.as_str(),
                line.quantity.get(),
                line.price_minor,
            ],
        )?;
    }
    Ok(())
}

fn compare_and_set(connection: &Connection, change: &Change, from: &str) -> Result<(), Failure> {
    let last = last_entry(change)?;
    exactly_one(
        connection,
        "UPDATE orders SET status = ?3, last_seq = ?4, updated_at = ?5 WHERE order_id = ?1 AND status = ?2",
        params![change.order_id.0.as_bytes(), from, change.to.as_str(), last.seq, last.at_micros],
    )
}

fn append(connection: &Connection, order_id: OrderId, entry: &Entry) -> Result<(), Failure> {
    let answer = entry.answer.as_ref();
    exactly_one(
        connection,
        "INSERT INTO order_history (order_id, seq, status, reason, at, decided_at, allocations, shortages)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            order_id.0.as_bytes(),
            entry.seq,
            entry.status.as_str(),
            entry.reason,
            entry.at_micros,
            answer.map(|answer| answer.decided_at_micros),
            answer.and_then(|answer| parts_text(&answer.allocations)),
            answer.and_then(|answer| parts_text(&answer.shortages)),
        ],
    )
}

fn send(connection: &Connection, order_id: OrderId, pending: &Pending) -> Result<(), Failure> {
    exactly_one(
        connection,
        "INSERT INTO pending_commands (order_id, kind, attempt, since, sent_at, next_attempt_at, traceparent)
         VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)",
        params![
            order_id.0.as_bytes(),
            pending.kind.as_str(),
            pending.since_micros,
            pending.next_attempt_at_micros,
            pending.traceparent,
        ],
    )
}
