//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contract::OrderId;
use orders_core::decide::Deadline;
use platform::failure::Failure;
use platform::pairing::Identity;
use storage::postgres::{Readers, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{Backlog, OrderAudit, OrderAuditStore, RowAudit, RowKey};
use super::query;
use super::rows::{self, ORDERS, select_order};

const AFTER: &str = select_order!("WHERE orders.order_id >= $1 ORDER BY orders.order_id LIMIT $2");
const IDS: &str = "SELECT order_id FROM orders WHERE order_id >= $1 ORDER BY order_id LIMIT $2";
const LAST: &str = "SELECT order_id FROM orders ORDER BY order_id DESC LIMIT 1";
const PENDING: &str =
    "SELECT order_id, revision, since FROM pending_commands WHERE order_id = ANY($1::uuid[])";
const DEADLINES: &str =
    "SELECT order_id, armed_at, pay_by FROM payment_deadlines WHERE order_id = ANY($1::uuid[])";

/// Reads a table of which an order has at most one row, with whether the order exists.
macro_rules! all_of {
    ($table:literal) => {
        concat!(
            "SELECT of_it.order_id, orders.order_id IS NOT NULL AS has_order
             FROM ",
            $table,
            " AS of_it LEFT JOIN orders ON orders.order_id = of_it.order_id
             WHERE of_it.order_id >= $1 ORDER BY of_it.order_id LIMIT $2"
        )
    };
}

const ALL_PENDING: &str = all_of!("pending_commands");
const ALL_DEADLINES: &str = all_of!("payment_deadlines");
const LAST_PENDING: &str = "SELECT order_id FROM pending_commands ORDER BY order_id DESC LIMIT 1";
const LAST_DEADLINE: &str = "SELECT order_id FROM payment_deadlines ORDER BY order_id DESC LIMIT 1";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 9] =
    [AFTER, IDS, LAST, PENDING, DEADLINES, ALL_PENDING, ALL_DEADLINES, LAST_PENDING, LAST_DEADLINE];

/// Connections that read; there is no way to write through them.
#[derive(Debug)]
pub struct PostgresAudit {
    pub(super) readers: Readers,
}

impl PostgresAudit {
    pub(super) fn new(readers: Readers) -> Self {
        Self { readers }
    }

    /// What the database says about itself.
    ///
    /// # Errors
    ///
    /// It cannot be read now.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        self.readers.identity().await
    }
}

#[async_trait]
impl OrderAuditStore for PostgresAudit {
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure> {
        self.readers.read(async |snapshot| orders_after(snapshot, after, limit).await).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.readers.read(async |snapshot| ids(snapshot, after, limit).await).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.readers.read(async |snapshot| last(snapshot).await).await
    }

    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        self.readers.read(async |snapshot| of(snapshot, &order_ids).await).await
    }

    async fn pending_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.readers.read(async |snapshot| all(ALL_PENDING, snapshot, after, limit).await).await
    }

    async fn last_pending(&self) -> Result<Option<RowKey>, Failure> {
        self.readers.read(async |snapshot| last_of(LAST_PENDING, snapshot).await).await
    }

    async fn deadlines_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.readers.read(async |snapshot| all(ALL_DEADLINES, snapshot, after, limit).await).await
    }

    async fn last_deadline(&self) -> Result<Option<RowKey>, Failure> {
        self.readers.read(async |snapshot| last_of(LAST_DEADLINE, snapshot).await).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        self.readers.read(async |snapshot| query::backlog(snapshot).await).await
    }
}

async fn orders_after(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<OrderAudit>, Failure> {
    complete(snapshot, &snapshot.page(AFTER, after.map(|id| id.0), limit).await?).await
}

async fn ids(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<OrderId>, Failure> {
    snapshot.page(IDS, after.map(|id| id.0), limit).await?.iter().map(rows::order_id).collect()
}

async fn last(snapshot: &Transaction<'_>) -> Result<Option<OrderId>, Failure> {
    snapshot.query(LAST, []).await?.first().map(rows::order_id).transpose()
}

async fn all(
    sql: &str,
    snapshot: &Transaction<'_>,
    after: Option<RowKey>,
    limit: u32,
) -> Result<Vec<RowAudit>, Failure> {
    let command = |row: &Row| {
        let order_id = rows::order_id(row)?;
        Ok(RowAudit {
            key: row_key(order_id),
            name: format!("order {order_id}"),
            has_order: rows::column(row, "has_order")?,
        })
    };
    let after = after.map(|key| Uuid::from_u128(key.0));
    snapshot.page(sql, after, limit).await?.iter().map(command).collect()
}

async fn last_of(sql: &str, snapshot: &Transaction<'_>) -> Result<Option<RowKey>, Failure> {
    let last = snapshot.query(sql, []).await?;
    Ok(last.first().map(rows::order_id).transpose()?.map(row_key))
}

fn row_key(order_id: OrderId) -> RowKey {
    RowKey(order_id.0.as_u128())
}

async fn of(snapshot: &Transaction<'_>, order_ids: &[OrderId]) -> Result<Vec<OrderAudit>, Failure> {
    let ids: Vec<Uuid> = order_ids.iter().map(|id| id.0).collect();
    let rows = snapshot.query(ORDERS, [&ids]).await?;
    complete(snapshot, &rows).await
}

/// These orders with their pending commands and deadlines.
async fn complete(snapshot: &Transaction<'_>, rows: &[Row]) -> Result<Vec<OrderAudit>, Failure> {
    let ids: Vec<Uuid> =
        rows.iter().map(|row| rows::order_id(row).map(|id| id.0)).collect::<Result<_, _>>()?;
    let (pending, deadlines) =
        tokio::try_join!(snapshot.query(PENDING, [&ids]), snapshot.query(DEADLINES, [&ids]))?;
    let command = |row: &Row| {
        let command = (rows::column(row, "revision")?, rows::column(row, "since")?);
        Ok::<_, Failure>((rows::order_id(row)?, command))
    };
    let pending: BTreeMap<_, _> = pending.iter().map(command).collect::<Result<_, _>>()?;
    let deadline = |row: &Row| {
        let armed_at_micros = rows::column(row, "armed_at")?;
        let deadline = Deadline { armed_at_micros, pay_by_micros: rows::column(row, "pay_by")? };
        Ok::<_, Failure>((rows::order_id(row)?, deadline))
    };
    let deadlines: BTreeMap<_, _> = deadlines.iter().map(deadline).collect::<Result<_, _>>()?;
    let audit = |row: &Row| {
        let stored = rows::stored_order(row)?;
        let pending = pending.get(&stored.order_id).copied();
        let deadline = deadlines.get(&stored.order_id).copied();
        Ok(stored.audit(pending, deadline))
    };
    rows.iter().map(audit).collect()
}
