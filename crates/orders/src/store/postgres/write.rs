//! Writes a decision, a statement per table, and compares every row count with what was predicted
//! (R11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::{OrderId, Revision};
use orders_core::decide::{Deadline, OrderChange, OrderState, Origin, Pending, Placement};
use platform::failure::{Failure, Suspicion};
use storage::journal;
use storage::postgres::{Parameter, Transaction};
use uuid::Uuid;

use super::super::made;
use super::super::packed::{refund_due, write_entries, write_lines, write_options};
use super::load::Claimed;

pub(super) const INSERT_ORDERS: &str =
    "INSERT INTO orders (order_id, customer_id, currency, total_minor, digest, lines, options, actor, created_at)
     SELECT id, customer_id, currency, total_minor, digest, lines::json, options::json, actor, created_at
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[])
          AS placed (id, customer_id, currency, total_minor, digest, lines, options, actor, created_at)
     ON CONFLICT (order_id) DO NOTHING";

/// The first state of an order. Another change that came first has inserted the row already, so
/// nothing is inserted (R13).
pub(super) const INSERT_STATES: &str =
    "INSERT INTO order_states (order_id, status, revision, settled, last_seq, digest, updated_at, refund_due_minor, history)
     SELECT id, status::order_status, revision, settled, last_seq, digest, at, refund_due, ('[' || entries || ']')::json
     FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::bigint[],
                 $9::bigint[], $10::text[])
          AS changed (id, before, status, revision, settled, last_seq, digest, at, refund_due, entries)
     WHERE before = 1 ON CONFLICT (order_id) DO NOTHING";

/// A later state, if the history still ends with the entry that the decision saw (R13). Each order
/// is in the arrays once.
pub(super) const UPDATE_STATES: &str =
    "UPDATE order_states
     SET status = changed.status::order_status, revision = changed.revision, settled = changed.settled,
         last_seq = changed.last_seq, digest = changed.digest, updated_at = changed.at,
         refund_due_minor = changed.refund_due,
         history = (left(history::text, -1) || ',' || changed.entries || ']')::json
     FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::bigint[],
                 $9::bigint[], $10::text[])
          AS changed (id, before, status, revision, settled, last_seq, digest, at, refund_due, entries)
     WHERE order_id = changed.id AND order_states.last_seq = changed.before AND changed.before > 1";

pub(super) const DELETE_PENDING: &str =
    "DELETE FROM pending_commands USING unnest($1::uuid[], $2::bigint[]) AS done (id, revision)
     WHERE order_id = done.id AND pending_commands.revision = done.revision";

pub(super) const INSERT_PENDING: &str =
    "INSERT INTO pending_commands (order_id, revision, attempt, since, sent_at, next_attempt_at, traceparent)
     SELECT id, revision, 1, since, since, next, trace
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])
          AS sent (id, revision, since, next, trace)";

pub(super) const DELETE_DEADLINES: &str =
    "DELETE FROM payment_deadlines WHERE order_id = ANY($1::uuid[])";

pub(super) const INSERT_DEADLINES: &str =
    "INSERT INTO payment_deadlines (order_id, armed_at, pay_by, next_attempt_at)
     SELECT id, armed_at, pay_by, pay_by FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS armed (id, armed_at, pay_by)";

/// A placed order with its request.
type Placed<'a> = (&'a OrderChange, &'a Placement);

/// A change of state: where it begins, and what it leads to.
struct Changed<'a> {
    change: &'a OrderChange,
    last_seq: u32,
    state: OrderState,
}

/// Writes the changes. `claimed` are the keys that the batch claimed: each must belong to an order
/// that the decision makes (INV-6).
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    changes: &[OrderChange],
    claimed: &Claimed,
) -> Result<(), Failure> {
    let distinct: BTreeSet<OrderId> = changes.iter().map(|change| change.order_id).collect();
    if distinct.len() != changes.len() {
        return Err(suspect("two changes of one order"));
    }
    let placed: Vec<Placed<'_>> = changes.iter().filter_map(placed).collect();
    keys_are_those_of_new_orders(&placed, claimed)?;
    let changed: Vec<Changed<'_>> = changes.iter().filter_map(changed).collect();
    let first = changed.iter().filter(|changed| changed.last_seq == 1).count();
    let over: Vec<(OrderId, Revision)> = changes.iter().filter_map(over).collect();
    let sent: Vec<(OrderId, &Pending)> = changes.iter().filter_map(sent).collect();
    let disarmed: Vec<Uuid> = changes.iter().filter_map(disarmed).collect();
    let armed: Vec<(OrderId, Deadline)> = changes.iter().filter_map(armed).collect();
    let states = StateColumns::of(&changed);
    let made = made::pack(changes);
    let (orders, inserted, updated, deleted, pending, ended, begun, recorded) = tokio::join!(
        biased;
        insert_orders(transaction, &placed),
        transaction.write(first, INSERT_STATES, states.parameters()),
        transaction.write(changed.len() - first, UPDATE_STATES, states.parameters()),
        delete_pending(transaction, &over),
        insert_pending(transaction, &sent),
        transaction.write(disarmed.len(), DELETE_DEADLINES, [&disarmed]),
        insert_deadlines(transaction, &armed),
        journal::append_postgres(transaction, &made),
    );
    let rows = orders.and(inserted).and(updated).and(deleted).and(pending);
    rows.and(ended).and(begun).and(recorded)
}

fn suspect(reason: &'static str) -> Failure {
    Suspicion::Decision(reason).into()
}

fn placed(change: &OrderChange) -> Option<Placed<'_>> {
    match &change.from {
        Origin::Placed(placement) => Some((change, placement)),
        Origin::Stored { .. } => None,
    }
}

fn changed(change: &OrderChange) -> Option<Changed<'_>> {
    let last_seq = match change.from {
        Origin::Placed(_) => 1,
        Origin::Stored { last_seq, .. } => last_seq,
    };
    change.to.map(|state| Changed { change, last_seq, state })
}

/// The pending command that is answered or overtaken.
fn over(change: &OrderChange) -> Option<(OrderId, Revision)> {
    change.answered().map(|revision| (change.order_id, revision))
}

fn sent(change: &OrderChange) -> Option<(OrderId, &Pending)> {
    change.pending.as_ref().map(|pending| (change.order_id, pending))
}

fn disarmed(change: &OrderChange) -> Option<Uuid> {
    change.ends_deadline().then_some(change.order_id.0)
}

fn armed(change: &OrderChange) -> Option<(OrderId, Deadline)> {
    change.new_deadline().map(|deadline| (change.order_id, deadline))
}

fn keys_are_those_of_new_orders(placed: &[Placed<'_>], claimed: &Claimed) -> Result<(), Failure> {
    let made: BTreeMap<&String, OrderId> = placed
        .iter()
        .filter_map(|(change, placement)| Some((placement.key.as_ref()?, change.order_id)))
        .collect();
    if made.into_iter().eq(claimed.iter().map(|(key, id)| (key, *id))) {
        Ok(())
    } else {
        Err(suspect("the claimed keys are not those of the new orders"))
    }
}

/// One array of a statement's parameters.
fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

async fn insert_orders(
    transaction: &Transaction<'_>,
    placed: &[Placed<'_>],
) -> Result<(), Failure> {
    if placed.is_empty() {
        return Ok(());
    }
    let row: [Parameter<'_>; 9] = [
        &column(placed, |(change, _)| change.order_id.0),
        &column(placed, |(_, placement)| placement.terms.customer_id.as_str()),
        &column(placed, |(_, placement)| placement.terms.currency.code()),
        &column(placed, |(_, placement)| placement.terms.total_minor),
        &column(placed, |(_, placement)| Uuid::from_bytes(placement.digest.0)),
        &column(placed, |(_, placement)| write_lines(&placement.terms.lines)),
        &column(placed, |(_, placement)| {
            write_options(&placement.terms, placement.context.trace_id())
        }),
        &column(placed, |(_, placement)| placement.context.actor.as_deref()),
        &column(placed, |(change, _)| change.at_micros),
    ];
    let made = transaction.execute(INSERT_ORDERS, row).await?;
    // An unknown commit of the same batch succeeded after its rows were loaded; a retry finds them
    // (R4).
    if made == placed.len() as u64 { Ok(()) } else { Err(Failure::Busy(Arc::new(MadeMeanwhile))) }
}

#[derive(Debug, thiserror::Error)]
#[error("an order was made meanwhile")]
struct MadeMeanwhile;

/// The columns of changed states, which both statements about states take.
struct StateColumns {
    ids: Vec<Uuid>,
    before: Vec<i64>,
    statuses: Vec<&'static str>,
    revisions: Vec<i64>,
    settled: Vec<i64>,
    last_seqs: Vec<i64>,
    digests: Vec<Option<Uuid>>,
    at: Vec<i64>,
    refunds_due: Vec<Option<i64>>,
    entries: Vec<String>,
}

impl StateColumns {
    fn of(changed: &[Changed<'_>]) -> Self {
        let settled = |state: &OrderState| state.settled.map_or(0, Revision::get);
        Self {
            ids: column(changed, |one| one.change.order_id.0),
            before: column(changed, |one| i64::from(one.last_seq)),
            statuses: column(changed, |one| one.state.status.as_str()),
            revisions: column(changed, |one| i64::from(one.state.revision.get())),
            settled: column(changed, |one| i64::from(settled(&one.state))),
            last_seqs: column(changed, |one| i64::from(one.state.last_seq)),
            digests: column(changed, |one| one.state.digest.map(|d| Uuid::from_bytes(d.0))),
            at: column(changed, |one| one.change.at_micros),
            refunds_due: column(changed, |one| refund_due(&one.state)),
            entries: column(changed, |one| write_entries(&one.change.entries)),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 10] {
        [
            &self.ids,
            &self.before,
            &self.statuses,
            &self.revisions,
            &self.settled,
            &self.last_seqs,
            &self.digests,
            &self.at,
            &self.refunds_due,
            &self.entries,
        ]
    }
}

async fn delete_pending(
    transaction: &Transaction<'_>,
    over: &[(OrderId, Revision)],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 2] =
        [&column(over, |(id, _)| id.0), &column(over, |(_, revision)| i64::from(revision.get()))];
    transaction.write(over.len(), DELETE_PENDING, row).await
}

async fn insert_pending(
    transaction: &Transaction<'_>,
    sent: &[(OrderId, &Pending)],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 5] = [
        &column(sent, |(id, _)| id.0),
        &column(sent, |(_, pending)| i64::from(pending.revision.get())),
        &column(sent, |(_, pending)| pending.since_micros),
        &column(sent, |(_, pending)| pending.next_attempt_at_micros),
        &column(sent, |(_, pending)| pending.traceparent.as_deref()),
    ];
    transaction.write(sent.len(), INSERT_PENDING, row).await
}

async fn insert_deadlines(
    transaction: &Transaction<'_>,
    armed: &[(OrderId, Deadline)],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 3] = [
        &column(armed, |(id, _)| id.0),
        &column(armed, |(_, deadline)| deadline.armed_at_micros),
        &column(armed, |(_, deadline)| deadline.pay_by_micros),
    ];
    transaction.write(armed.len(), INSERT_DEADLINES, row).await
}
