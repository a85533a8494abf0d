//! Rows of this schema as values of the domain. What does not fit names its table and row.

use contract::commands::StockCommandKind;
use contract::{Digest, OrderId};
use orders_core::money::Currency;
use orders_core::order::{Answered, CustomerId, Entry, OrderLine, Status, Terms};
use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;
use storage::Misfit;
use uuid::Uuid;

use super::super::text;

/// What one of an order's rows cannot mean.
pub(super) fn misfit(
    table: &'static str,
    order_id: OrderId,
    column: &'static str,
    value: impl std::fmt::Display,
) -> rusqlite::Error {
    Misfit::new(table, format_args!("of order {order_id}"), column, value).into()
}

pub(super) fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(Uuid::from_bytes(bytes))
}

pub(super) fn status(table: &'static str, id: OrderId, text: &str) -> rusqlite::Result<Status> {
    Status::parse(text).ok_or_else(|| misfit(table, id, "status", text))
}

pub(super) fn kind(id: OrderId, text: &str) -> rusqlite::Result<StockCommandKind> {
    StockCommandKind::parse(text).ok_or_else(|| misfit("pending_commands", id, "kind", text))
}

/// The columns that every read of `orders` selects, for [`OrderRow::read`].
pub(super) const ORDER_COLUMNS: &str = "order_id, customer_id, status, currency, total_minor, digest, request_digest, last_seq, created_at, updated_at";

/// A row of `orders`.
pub(super) struct OrderRow {
    pub order_id: OrderId,
    pub customer_id: CustomerId,
    pub status: Status,
    pub currency: Currency,
    pub total_minor: i64,
    pub digest: Digest,
    pub request_digest: Digest,
    pub last_seq: u32,
    pub created_at_micros: i64,
    pub updated_at_micros: i64,
}

impl OrderRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id = order_id(row.get("order_id")?);
        let (customer, currency): (String, String) =
            (row.get("customer_id")?, row.get("currency")?);
        Ok(Self {
            order_id: id,
            customer_id: customer
                .parse()
                .map_err(|_| misfit("orders", id, "customer_id", customer))?,
            status: status("orders", id, &row.get::<_, String>("status")?)?,
            currency: currency.parse().map_err(|_| misfit("orders", id, "currency", currency))?,
            total_minor: row.get("total_minor")?,
            digest: Digest(row.get("digest")?),
            request_digest: Digest(row.get("request_digest")?),
            last_seq: row.get("last_seq")?,
            created_at_micros: row.get("created_at")?,
            updated_at_micros: row.get("updated_at")?,
        })
    }

    pub(super) fn terms(&self, lines: Vec<OrderLine>) -> Terms {
        Terms {
            customer_id: self.customer_id.clone(),
            currency: self.currency,
            total_minor: self.total_minor,
            lines,
            digest: self.digest,
        }
    }
}

/// The lines of one order as they were sent.
pub(super) fn lines(connection: &Connection, id: OrderId) -> rusqlite::Result<Vec<OrderLine>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_id, quantity, price_minor FROM order_lines WHERE order_id = ?1 ORDER BY line_no",
    )?;
    let mut rows = statement.query(params![id.0.as_bytes()])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let (product, quantity): (String, u32) = (row.get("product_id")?, row.get("quantity")?);
        lines.push(OrderLine {
            product_id: product
                .parse()
                .map_err(|_| misfit("order_lines", id, "product_id", product))?,
            quantity: quantity
                .try_into()
                .map_err(|_| misfit("order_lines", id, "quantity", quantity))?,
            price_minor: row.get("price_minor")?,
        });
    }
    Ok(lines)
}

/// The history of one order, from its first entry on.
pub(super) fn history(connection: &Connection, id: OrderId) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, status, reason, at, decided_at, allocations, shortages FROM order_history
         WHERE order_id = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![id.0.as_bytes()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Entry {
            seq: row.get("seq")?,
            status: status("order_history", id, &row.get::<_, String>("status")?)?,
            reason: row.get("reason")?,
            at_micros: row.get("at")?,
            answer: answered(id, row)?,
        });
    }
    Ok(entries)
}

fn answered(id: OrderId, row: &Row<'_>) -> rusqlite::Result<Option<Answered>> {
    let Some(decided_at_micros) = row.get("decided_at")? else { return Ok(None) };
    let allocations: Option<String> = row.get("allocations")?;
    let shortages: Option<String> = row.get("shortages")?;
    Ok(Some(Answered {
        decided_at_micros,
        allocations: parts(id, "allocations", allocations.as_deref())?,
        shortages: parts(id, "shortages", shortages.as_deref())?,
    }))
}

/// Parts of an answer in a history.
pub(super) fn parts<T: DeserializeOwned>(
    id: OrderId,
    column: &'static str,
    text: Option<&str>,
) -> rusqlite::Result<Vec<T>> {
    text::parts(text).map_err(|error| misfit("order_history", id, column, error))
}
