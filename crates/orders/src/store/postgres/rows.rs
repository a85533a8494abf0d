//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::collections::BTreeMap;
use std::fmt::Display;

use contract::commands::StockCommandKind;
use contract::{Digest, OrderId};
use orders_core::money::Currency;
use orders_core::order::{Answered, CustomerId, Entry, OrderLine, Status, Terms};
use platform::failure::Failure;
use serde::de::DeserializeOwned;
use storage::Misfit;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::text;

/// What one of an order's rows cannot mean.
pub(super) fn misfit(
    table: &'static str,
    order_id: OrderId,
    column: &'static str,
    value: impl Display,
) -> Failure {
    Misfit::new(table, format_args!("of order {order_id}"), column, value).into()
}

/// A column by its name.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(storage::postgres::failure)
}

pub(super) fn order_id(row: &Row) -> Result<OrderId, Failure> {
    column::<Uuid>(row, "order_id").map(OrderId)
}

pub(super) fn digest(
    row: &Row,
    table: &'static str,
    id: OrderId,
    name: &'static str,
) -> Result<Digest, Failure> {
    let bytes: &[u8] = column(row, name)?;
    bytes
        .try_into()
        .map(Digest)
        .map_err(|_| misfit(table, id, name, format!("{} bytes long", bytes.len())))
}

/// A number that fits the domain's type.
fn number<T: TryFrom<i64>>(
    row: &Row,
    table: &'static str,
    id: OrderId,
    name: &'static str,
) -> Result<T, Failure> {
    let wide: i64 = column(row, name)?;
    wide.try_into().map_err(|_| misfit(table, id, name, wide))
}

pub(super) fn status(table: &'static str, id: OrderId, text: &str) -> Result<Status, Failure> {
    Status::parse(text).ok_or_else(|| misfit(table, id, "status", text))
}

pub(super) fn kind(id: OrderId, text: &str) -> Result<StockCommandKind, Failure> {
    StockCommandKind::parse(text).ok_or_else(|| misfit("pending_commands", id, "kind", text))
}

/// The columns that every read of `orders` selects, for [`OrderRow::read`].
macro_rules! order_columns {
    () => {
        "order_id, customer_id, status, currency, total_minor, digest, request_digest, last_seq, created_at, updated_at"
    };
}
pub(super) use order_columns;

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
    pub(super) fn read(row: &Row) -> Result<Self, Failure> {
        let id = order_id(row)?;
        let (customer, currency): (&str, &str) =
            (column(row, "customer_id")?, column(row, "currency")?);
        Ok(Self {
            order_id: id,
            customer_id: customer
                .parse()
                .map_err(|_| misfit("orders", id, "customer_id", customer))?,
            status: status("orders", id, column(row, "status")?)?,
            currency: currency.parse().map_err(|_| misfit("orders", id, "currency", currency))?,
            total_minor: column(row, "total_minor")?,
            digest: digest(row, "orders", id, "digest")?,
            request_digest: digest(row, "orders", id, "request_digest")?,
            last_seq: number(row, "orders", id, "last_seq")?,
            created_at_micros: column(row, "created_at")?,
            updated_at_micros: column(row, "updated_at")?,
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

/// The rows of each order.
pub(super) fn by_order(rows: &[Row]) -> Result<BTreeMap<OrderId, Vec<&Row>>, Failure> {
    let mut orders = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        orders.entry(order_id(row)?).or_default().push(row);
    }
    Ok(orders)
}

/// The lines of one of them, as they were sent. Rows of `order_id, product_id, quantity,
/// price_minor`, by line number.
pub(super) fn lines(
    orders: &BTreeMap<OrderId, Vec<&Row>>,
    id: OrderId,
) -> Result<Vec<OrderLine>, Failure> {
    orders.get(&id).into_iter().flatten().map(|row| line(id, row)).collect()
}

fn line(id: OrderId, row: &Row) -> Result<OrderLine, Failure> {
    let product: &str = column(row, "product_id")?;
    let quantity: u32 = number(row, "order_lines", id, "quantity")?;
    Ok(OrderLine {
        product_id: product
            .parse()
            .map_err(|_| misfit("order_lines", id, "product_id", product))?,
        quantity: quantity
            .try_into()
            .map_err(|_| misfit("order_lines", id, "quantity", quantity))?,
        price_minor: column(row, "price_minor")?,
    })
}

/// An entry of a history. A row of `order_id, seq, status, reason, at, decided_at, allocations,
/// shortages`.
pub(super) fn entry(row: &Row) -> Result<Entry, Failure> {
    let id = order_id(row)?;
    Ok(Entry {
        seq: number(row, "order_history", id, "seq")?,
        status: status("order_history", id, column(row, "status")?)?,
        reason: column(row, "reason")?,
        at_micros: column(row, "at")?,
        answer: answered(id, row)?,
    })
}

fn answered(id: OrderId, row: &Row) -> Result<Option<Answered>, Failure> {
    let Some(decided_at_micros) = column(row, "decided_at")? else { return Ok(None) };
    Ok(Some(Answered {
        decided_at_micros,
        allocations: parts(id, "allocations", column(row, "allocations")?)?,
        shortages: parts(id, "shortages", column(row, "shortages")?)?,
    }))
}

/// A step of a history. A row of `order_id, seq, status`.
pub(super) fn step(row: &Row) -> Result<(OrderId, (u32, Status)), Failure> {
    let id = order_id(row)?;
    Ok((
        id,
        (
            number(row, "order_history", id, "seq")?,
            status("order_history", id, column(row, "status")?)?,
        ),
    ))
}

/// Parts of an answer in a history.
pub(super) fn parts<T: DeserializeOwned>(
    id: OrderId,
    column: &'static str,
    text: Option<&str>,
) -> Result<Vec<T>, Failure> {
    text::parts(text).map_err(|error| misfit("order_history", id, column, error))
}
