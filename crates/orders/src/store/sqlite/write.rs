//! Writes a decision and compares every row count with what was predicted (R11).

use contract::Revision;
use orders_core::decide::{Deadline, OrderChange, OrderState, Origin, Pending, Placement};
use platform::failure::{Failure, Suspicion};
use rusqlite::{Connection, params};
use storage::journal;
use storage::sqlite::{OneRow, exactly_one};

use super::super::made;
use super::super::packed::{refund_due, write_entries, write_lines, write_options};
use super::load::OrderNumbers;

pub(super) fn apply(
    connection: &Connection,
    changes: &[OrderChange],
    numbers: &OrderNumbers,
) -> Result<(), Failure> {
    let mut statements = Statements::prepare(connection)?;
    for change in changes {
        match &change.from {
            Origin::Placed(placement) => statements.place(change, placement)?,
            Origin::Stored { last_seq, .. } => {
                let number = numbers.get(&change.order_id).copied();
                let number = number
                    .ok_or(Suspicion::Decision("a change of an order that does not exist"))?;
                statements.change_state(number, *last_seq, change)?;
                statements.change_pending(number, change.answered(), change.pending.as_ref())?;
                change_deadline(connection, number, change)?;
            }
        }
    }
    journal::append_sqlite(connection, &made::pack(changes))
}

/// The statements of a plain order, prepared once for a batch.
struct Statements<'c> {
    connection: &'c Connection,
    insert_order: OneRow<'c>,
    insert_state: OneRow<'c>,
    insert_pending: OneRow<'c>,
    delete_pending: OneRow<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, Failure> {
        Ok(Self {
            connection,
            insert_order: OneRow::prepare(
                connection,
                "INSERT INTO orders (order_id, customer_id, currency, total_minor, digest, idempotency_key, lines, options, actor, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            insert_state: OneRow::prepare(
                connection,
                "INSERT INTO order_states (order_no, status, revision, settled, last_seq, digest, updated_at, refund_due_minor, history)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, '[' || ?9 || ']') ON CONFLICT (order_no) DO NOTHING",
            )?,
            insert_pending: OneRow::prepare(
                connection,
                "INSERT INTO pending_commands (order_no, revision, attempt, since, sent_at, next_attempt_at, traceparent)
                 VALUES (?1, ?2, 1, ?3, ?3, ?4, ?5)",
            )?,
            delete_pending: OneRow::prepare(
                connection,
                "DELETE FROM pending_commands WHERE order_no = ?1 AND revision = ?2",
            )?,
        })
    }

    /// Inserts the order, and what the same batch changed about it.
    fn place(&mut self, change: &OrderChange, placement: &Placement) -> Result<(), Failure> {
        let terms = &placement.terms;
        self.insert_order.write(params![
            change.order_id.0.as_bytes(),
            terms.customer_id.as_str(),
            terms.currency.code(),
            terms.total_minor,
            placement.digest.0,
            placement.key,
            write_lines(&terms.lines),
            write_options(terms, placement.context.trace_id()),
            placement.context.actor,
            change.at_micros,
        ])?;
        let number = self.connection.last_insert_rowid();
        if let Some(state) = &change.to {
            self.insert_state(number, state, change)?;
        }
        self.change_pending(number, None, change.pending.as_ref())?;
        change_deadline(self.connection, number, change)
    }

    /// Adds the entries to the history, if it still ends with `last_seq` (R13).
    fn change_state(
        &mut self,
        number: i64,
        last_seq: u32,
        change: &OrderChange,
    ) -> Result<(), Failure> {
        let state = change.to.as_ref().ok_or(Suspicion::Decision("a change without a state"))?;
        if last_seq == 1 {
            return self.insert_state(number, state, change);
        }
        exactly_one(
            self.connection,
            "UPDATE order_states
             SET status = ?3, revision = ?4, settled = ?5, last_seq = ?6, digest = ?7, updated_at = ?8,
                 refund_due_minor = ?9, history = substr(history, 1, length(history) - 1) || ',' || ?10 || ']'
             WHERE order_no = ?1 AND last_seq = ?2",
            params![
                number,
                last_seq,
                state.status.as_str(),
                state.revision.get(),
                state.settled.map_or(0, Revision::get),
                state.last_seq,
                state.digest.map(|digest| digest.0),
                change.at_micros,
                refund_due(state),
                write_entries(&change.entries),
            ],
        )
    }

    /// Another change that came first has inserted the row already, so nothing is inserted (R13).
    fn insert_state(
        &mut self,
        number: i64,
        state: &OrderState,
        change: &OrderChange,
    ) -> Result<(), Failure> {
        self.insert_state.write(params![
            number,
            state.status.as_str(),
            state.revision.get(),
            state.settled.map_or(0, Revision::get),
            state.last_seq,
            state.digest.map(|digest| digest.0),
            change.at_micros,
            refund_due(state),
            write_entries(&change.entries),
        ])
    }

    /// Deletes the pending command that is answered or overtaken, and inserts the one that the batch
    /// made (INV-7).
    fn change_pending(
        &mut self,
        number: i64,
        answered: Option<Revision>,
        made: Option<&Pending>,
    ) -> Result<(), Failure> {
        if let Some(revision) = answered {
            self.delete_pending.write(params![number, revision.get()])?;
        }
        let Some(pending) = made else { return Ok(()) };
        self.insert_pending.write(params![
            number,
            pending.revision.get(),
            pending.since_micros,
            pending.next_attempt_at_micros,
            pending.traceparent,
        ])
    }
}

/// Deletes the deadline that is over, or inserts the one that the batch made (INV-7).
fn change_deadline(
    connection: &Connection,
    number: i64,
    change: &OrderChange,
) -> Result<(), Failure> {
    if change.ends_deadline() {
        exactly_one(
            connection,
            "DELETE FROM payment_deadlines WHERE order_no = ?1",
            params![number],
        )?;
    }
    let Some(Deadline { armed_at_micros, pay_by_micros }) = change.new_deadline() else {
        return Ok(());
    };
    exactly_one(
        connection,
        "INSERT INTO payment_deadlines (order_no, armed_at, pay_by, next_attempt_at) VALUES (?1, ?2, ?3, ?3)",
        params![number, armed_at_micros, pay_by_micros],
    )
}
