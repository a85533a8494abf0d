//! Rows of this schema as values of the domain. What does not fit names its table and row.

use contract::{Digest, OrderId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::super::packed::{PackedOrder, PackedState, StoredOrder};

pub(super) fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(Uuid::from_bytes(bytes))
}

/// Selects whole orders, for [`stored_order`].
pub(super) const SELECT_ORDER: &str =
    "SELECT orders.order_no, order_id, customer_id, currency, total_minor, orders.digest AS first_digest, lines, options, actor, created_at,
            status, revision, settled, last_seq, order_states.digest AS digest, updated_at, refund_due_minor, history
     FROM orders LEFT JOIN order_states ON order_states.order_no = orders.order_no";

/// An order and its number.
pub(super) fn stored_order(row: &Row<'_>) -> rusqlite::Result<(i64, StoredOrder)> {
    let packed = PackedOrder {
        order_id: order_id(row.get("order_id")?),
        customer_id: row.get("customer_id")?,
        currency: row.get("currency")?,
        total_minor: row.get("total_minor")?,
        digest: Digest(row.get("first_digest")?),
        lines: row.get("lines")?,
        options: row.get("options")?,
        actor: row.get("actor")?,
        created_at_micros: row.get("created_at")?,
        state: packed_state(row)?,
    };
    Ok((row.get("order_no")?, packed.decode()?))
}

fn packed_state(row: &Row<'_>) -> rusqlite::Result<Option<PackedState>> {
    let Some(status) = row.get("status")? else { return Ok(None) };
    Ok(Some(PackedState {
        status,
        revision: row.get("revision")?,
        settled: row.get("settled")?,
        last_seq: row.get("last_seq")?,
        digest: row.get::<_, Option<[u8; 16]>>("digest")?.map(Digest),
        updated_at_micros: row.get("updated_at")?,
        refund_due_minor: row.get("refund_due_minor")?,
        history: row.get("history")?,
    }))
}

/// Finds orders by their ids.
pub(super) struct OrdersById<'c>(CachedStatement<'c>);

impl<'c> OrdersById<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = format!("{SELECT_ORDER} WHERE order_id = ?1");
        connection.prepare_cached(&sql).map(Self)
    }

    pub(super) fn find(&mut self, id: OrderId) -> rusqlite::Result<Option<(i64, StoredOrder)>> {
        self.0.query_row(params![id.0.as_bytes()], stored_order).optional()
    }
}

/// One order by its id.
pub(super) fn order_by_id(
    connection: &Connection,
    id: OrderId,
) -> rusqlite::Result<Option<(i64, StoredOrder)>> {
    OrdersById::prepare(connection)?.find(id)
}

/// One order by its number.
pub(super) fn order_by_number(
    connection: &Connection,
    order_no: i64,
) -> rusqlite::Result<Option<StoredOrder>> {
    let sql = format!("{SELECT_ORDER} WHERE orders.order_no = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row(params![order_no], stored_order).optional()?;
    Ok(found.map(|(_, order)| order))
}

/// What the quarantine calls the order with this number: its id, as far as it can be read.
pub(super) fn subject(connection: &Connection, order_no: i64) -> rusqlite::Result<String> {
    let mut statement =
        connection.prepare_cached("SELECT order_id FROM orders WHERE order_no = ?1")?;
    let id = statement.query_row([order_no], |row| row.get("order_id")).optional()?;
    Ok(id.map_or_else(|| format!("order_no {order_no}"), |id| order_id(id).to_string()))
}
