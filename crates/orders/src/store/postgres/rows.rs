//! Rows of this schema as values of the domain. What does not fit names its table and row.

use contract::{Digest, OrderId};
use platform::failure::Failure;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::packed::{PackedOrder, PackedState, PackedSummary, StoredOrder};

/// A column by its name.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(storage::postgres::failure)
}

pub(super) fn order_id(row: &Row) -> Result<OrderId, Failure> {
    column::<Uuid>(row, "order_id").map(OrderId)
}

/// Selects whole orders, for [`stored_order`].
macro_rules! select_order {
    ($($rest:literal)+) => {
        concat!(
            "SELECT orders.order_id, customer_id, currency, total_minor, orders.digest AS first_digest,
                    lines::text, options::text, actor, created_at, status::text, revision, settled, last_seq,
                    order_states.digest AS digest, updated_at, refund_due_minor, history::text
             FROM orders LEFT JOIN order_states ON order_states.order_id = orders.order_id ",
            $($rest),+
        )
    };
}
pub(super) use select_order;

/// Reads whole orders by their ids.
pub(super) const ORDERS: &str =
    select_order!("WHERE orders.order_id = ANY($1::uuid[]) ORDER BY orders.order_id");

pub(super) fn stored_order(row: &Row) -> Result<StoredOrder, Failure> {
    let packed = PackedOrder {
        order_id: order_id(row)?,
        customer_id: column(row, "customer_id")?,
        currency: column(row, "currency")?,
        total_minor: column(row, "total_minor")?,
        digest: digest(column(row, "first_digest")?),
        lines: column(row, "lines")?,
        options: column(row, "options")?,
        actor: column(row, "actor")?,
        created_at_micros: column(row, "created_at")?,
        state: packed_state(row)?,
    };
    Ok(packed.decode()?)
}

fn packed_state(row: &Row) -> Result<Option<PackedState>, Failure> {
    let Some(status) = column(row, "status")? else { return Ok(None) };
    Ok(Some(PackedState {
        status,
        revision: column(row, "revision")?,
        settled: column(row, "settled")?,
        last_seq: column(row, "last_seq")?,
        digest: column::<Option<Uuid>>(row, "digest")?.map(digest),
        updated_at_micros: column(row, "updated_at")?,
        refund_due_minor: column(row, "refund_due_minor")?,
        history: column(row, "history")?,
    }))
}

fn digest(bytes: Uuid) -> Digest {
    Digest(bytes.into_bytes())
}

/// An order in a list. A row of `order_id, customer_id, currency, total_minor, created_at, status,
/// refund_due_minor, pay_by, updated_at`.
pub(super) fn summary(row: &Row) -> Result<PackedSummary, Failure> {
    let created_at_micros = column(row, "created_at")?;
    let updated_at_micros: Option<i64> = column(row, "updated_at")?;
    Ok(PackedSummary {
        order_id: order_id(row)?,
        customer_id: column(row, "customer_id")?,
        currency: column(row, "currency")?,
        total_minor: column(row, "total_minor")?,
        status: column(row, "status")?,
        refund_due_minor: column(row, "refund_due_minor")?,
        pay_by_micros: column(row, "pay_by")?,
        created_at_micros,
        updated_at_micros: updated_at_micros.unwrap_or(created_at_micros),
    })
}
