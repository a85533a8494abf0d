//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contract::OrderId;
use orders_core::order::Status;
use platform::failure::Failure;
use storage::postgres::{Readers, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{AuditStore, Backlog, OrderAudit, PendingAudit};
use super::load::LINES;
use super::query;
use super::rows::{self, OrderRow, order_columns};

const AFTER: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders WHERE order_id >= $1 ORDER BY order_id LIMIT $2"
);
const IDS: &str = "SELECT order_id FROM orders WHERE order_id >= $1 ORDER BY order_id LIMIT $2";
const LAST: &str = "SELECT order_id
     FROM ((SELECT order_id FROM orders ORDER BY order_id DESC LIMIT 1)
           UNION ALL (SELECT order_id FROM pending_commands ORDER BY order_id DESC LIMIT 1)) AS highest
     ORDER BY order_id DESC LIMIT 1";
const OF: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders WHERE order_id = ANY($1::uuid[]) ORDER BY order_id"
);
const STEPS: &str =
    "SELECT order_id, seq, status FROM order_history WHERE order_id = ANY($1::uuid[])
     ORDER BY order_id, seq";
const PENDING: &str =
    "SELECT order_id, kind FROM pending_commands WHERE order_id = ANY($1::uuid[])";
const ALL_PENDING: &str = "SELECT pending_commands.order_id, kind, since, updated_at
     FROM pending_commands LEFT JOIN orders ON orders.order_id = pending_commands.order_id
     WHERE pending_commands.order_id >= $1 ORDER BY pending_commands.order_id LIMIT $2";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 7] = [AFTER, IDS, LAST, OF, STEPS, PENDING, ALL_PENDING];

/// Connections that read; there is no way to write through them.
#[derive(Debug)]
pub struct PostgresAudit {
    readers: Readers,
}

impl PostgresAudit {
    pub(super) fn new(readers: Readers) -> Self {
        Self { readers }
    }
}

#[async_trait]
impl AuditStore for PostgresAudit {
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
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<PendingAudit>, Failure> {
        self.readers.read(async |snapshot| pending(snapshot, after, limit).await).await
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

async fn pending(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<PendingAudit>, Failure> {
    let command = |row: &Row| {
        Ok(PendingAudit {
            order_id: rows::order_id(row)?,
            kind: rows::column(row, "kind")?,
            since_micros: rows::column(row, "since")?,
            moved_at_micros: rows::column(row, "updated_at")?,
        })
    };
    snapshot.page(ALL_PENDING, after.map(|id| id.0), limit).await?.iter().map(command).collect()
}

async fn of(snapshot: &Transaction<'_>, order_ids: &[OrderId]) -> Result<Vec<OrderAudit>, Failure> {
    let ids: Vec<Uuid> = order_ids.iter().map(|id| id.0).collect();
    let rows = snapshot.query(OF, [&ids]).await?;
    complete(snapshot, &rows).await
}

/// These orders with all that belongs to them.
async fn complete(snapshot: &Transaction<'_>, rows: &[Row]) -> Result<Vec<OrderAudit>, Failure> {
    let rows: Vec<OrderRow> = rows.iter().map(OrderRow::read).collect::<Result<_, _>>()?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.order_id.0).collect();
    let (lines, steps, pending) = tokio::try_join!(
        snapshot.query(LINES, [&ids]),
        snapshot.query(STEPS, [&ids]),
        snapshot.query(PENDING, [&ids]),
    )?;
    let lines = rows::by_order(&lines)?;
    let mut histories = BTreeMap::<_, Vec<(u32, Status)>>::new();
    for step in &steps {
        let (id, step) = rows::step(step)?;
        histories.entry(id).or_default().push(step);
    }
    let kind = |row: &Row| {
        let id = rows::order_id(row)?;
        Ok::<_, Failure>((id, rows::kind(id, rows::column(row, "kind")?)?))
    };
    let pending: BTreeMap<_, _> = pending.iter().map(kind).collect::<Result<_, _>>()?;
    let audit = |row: OrderRow| {
        Ok(OrderAudit {
            order_id: row.order_id,
            status: row.status,
            digest: row.digest,
            total_minor: row.total_minor,
            terms: row.terms(rows::lines(&lines, row.order_id)?),
            history: histories.remove(&row.order_id).unwrap_or_default(),
            pending: pending.get(&row.order_id).copied(),
        })
    };
    rows.into_iter().map(audit).collect()
}
