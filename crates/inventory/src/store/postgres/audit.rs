//! Reads for the audit, a page at a time, each page from one snapshot.
//!
//! A page is cut before its rows are joined, and the movements that its rows name are looked up
//! one by one (`LATERAL … LIMIT 1`). A planner that has not seen the table grow yet would rather
//! read it whole, for every page.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::Movement;
use platform::failure::Failure;
use platform::pairing::Identity;
use storage::postgres::{Readers, Transaction};
use tokio_postgres::Row;

use super::super::numbers::Numbers;
use super::super::packed::PackedReservation;
use super::super::{MovementAudit, StockAudit, StockAuditStore, StockPosition, Stored};
use super::load::{name, uuids};
use super::query::RESERVATIONS;
use super::rows::{self, movement_columns, movement_names, named_columns, reservation_columns};

const MOVEMENTS_AFTER: &str = concat!(
    "SELECT ",
    movement_columns!(),
    ", ",
    named_columns!("previous_one", "movements"),
    ", ",
    named_columns!("previous_of_its_product", "movements"),
    " FROM (SELECT * FROM movements WHERE movement_no > $1 ORDER BY movement_no LIMIT $2) AS movements",
    movement_names!(),
    "LEFT JOIN LATERAL (SELECT * FROM movements AS named WHERE named.movement_no = movements.previous LIMIT 1)
          AS previous_one ON true
     LEFT JOIN LATERAL (SELECT * FROM movements AS named WHERE named.movement_no = movements.previous_of_product LIMIT 1)
          AS previous_of_its_product ON true
     ORDER BY movements.movement_no"
);
const LAST_MOVEMENT: &str = "SELECT movement_no FROM movements ORDER BY movement_no DESC LIMIT 1";
pub(super) const MOVEMENTS: &str = concat!(
    "SELECT ",
    movement_columns!(),
    " FROM (SELECT * FROM movements WHERE movement_no = ANY($1::bigint[])) AS movements",
    movement_names!(),
    "ORDER BY movements.movement_no"
);
const STOCK_AFTER: &str = concat!(
    "SELECT stock.product_no, stock.location_no, products.product_id, locations.location_id, stock.on_hand,
            stock.reserved, stock.quarantined, stock.last_seq, stock.last_movement, ",
    named_columns!("last_one", "stock"),
    " FROM (SELECT * FROM stock WHERE (product_no, location_no) > ($1::integer, $2::integer)
            ORDER BY product_no, location_no LIMIT $3) AS stock
     LEFT JOIN products ON products.product_no = stock.product_no
     LEFT JOIN locations ON locations.location_no = stock.location_no
     LEFT JOIN LATERAL (SELECT * FROM movements AS named WHERE named.movement_no = stock.last_movement LIMIT 1)
          AS last_one ON true
     ORDER BY stock.product_no, stock.location_no"
);
const LAST_STOCK: &str =
    "SELECT product_no, location_no FROM stock ORDER BY product_no DESC, location_no DESC LIMIT 1";
const RESERVATIONS_AFTER: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id >= $1 ORDER BY order_id LIMIT $2"
);
const LAST_ORDER: &str = "SELECT order_id FROM reservations ORDER BY order_id DESC LIMIT 1";
const KNOWN: &str = "SELECT product_id FROM products WHERE product_id = ANY($1::text[])";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 8] = [
    MOVEMENTS_AFTER,
    LAST_MOVEMENT,
    MOVEMENTS,
    STOCK_AFTER,
    LAST_STOCK,
    RESERVATIONS_AFTER,
    LAST_ORDER,
    KNOWN,
];

/// Connections that read. There is no way to write through them.
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
impl StockAuditStore for PostgresAudit {
    async fn movements_after(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored<i64, MovementAudit>>, Failure> {
        self.readers.read(async |snapshot| movements_after(snapshot, after, limit).await).await
    }

    async fn last_movement(&self) -> Result<Option<i64>, Failure> {
        let rows = self.readers.read(async |snapshot| snapshot.query(LAST_MOVEMENT, []).await);
        rows.await?.first().map(|row| rows::column(row, "movement_no")).transpose()
    }

    async fn movements_by_number(
        &self,
        numbers: Vec<i64>,
    ) -> Result<Vec<Stored<i64, Movement>>, Failure> {
        let rows = self.readers.read(async |snapshot| snapshot.query(MOVEMENTS, [&numbers]).await);
        let rows = rows.await?;
        rows.iter()
            .map(|row| stored(rows::column(row, "movement_no")?, rows::movement(row)))
            .collect()
    }

    async fn stock_after(
        &self,
        after: Option<StockPosition>,
        limit: u32,
    ) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure> {
        self.readers.read(async |snapshot| stock_after(snapshot, after, limit).await).await
    }

    async fn last_stock(&self) -> Result<Option<StockPosition>, Failure> {
        let rows = self.readers.read(async |snapshot| snapshot.query(LAST_STOCK, []).await);
        rows.await?.first().map(rows::stock_position).transpose()
    }

    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        let page = async |snapshot: &Transaction<'_>| {
            let rows = snapshot.page(RESERVATIONS_AFTER, after.map(|id| id.0), limit).await?;
            reservations(snapshot, &rows).await
        };
        self.readers.read(page).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        let rows = self.readers.read(async |snapshot| snapshot.query(LAST_ORDER, []).await);
        rows.await?.first().map(rows::order_id).transpose()
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        let page = async |snapshot: &Transaction<'_>| {
            let rows = snapshot.query(RESERVATIONS, [&uuids(&order_ids)]).await?;
            reservations(snapshot, &rows).await
        };
        self.readers.read(page).await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        let ids: Vec<&str> = product_ids.iter().map(|id| id.as_str()).collect();
        let rows = self.readers.read(async |snapshot| snapshot.query(KNOWN, [&ids]).await).await?;
        let known: BTreeSet<&str> = rows
            .iter()
            .map(|row| rows::column(row, "product_id"))
            .collect::<Result<_, Failure>>()?;
        Ok(ids.iter().map(|id| known.contains(id)).collect())
    }
}

/// A row under its key. Only another failure than that of the row ends the page.
pub(super) fn stored<K, T>(key: K, row: Result<T, Failure>) -> Result<Stored<K, T>, Failure> {
    match row {
        Ok(_) | Err(Failure::Suspect(_)) => Ok(Stored { key, row }),
        Err(failure) => Err(failure),
    }
}

async fn movements_after(
    snapshot: &Transaction<'_>,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<Stored<i64, MovementAudit>>, Failure> {
    let after = after.unwrap_or(i64::MIN);
    let rows = snapshot.query(MOVEMENTS_AFTER, [&after, &i64::from(limit)]).await?;
    rows.iter().map(|row| stored(rows::column(row, "movement_no")?, movement_audit(row))).collect()
}

fn movement_audit(row: &Row) -> Result<MovementAudit, Failure> {
    Ok(MovementAudit {
        movement: rows::movement(row)?,
        previous: rows::named(row, "previous_one")?,
        previous_of_product: rows::named(row, "previous_of_its_product")?,
    })
}

async fn stock_after(
    snapshot: &Transaction<'_>,
    after: Option<StockPosition>,
    limit: u32,
) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure> {
    let StockPosition { product_no, location_no } = after.unwrap_or(StockPosition::BEFORE_ALL);
    let limit = i64::from(limit);
    let rows = snapshot.query(STOCK_AFTER, [&product_no, &location_no, &limit]).await?;
    rows.iter().map(|row| stored(rows::stock_position(row)?, stock_audit(row))).collect()
}

fn stock_audit(row: &Row) -> Result<StockAudit, Failure> {
    Ok(StockAudit {
        stock_key: rows::stock_key(row)?,
        level: rows::level(row)?,
        last: rows::named(row, "last_one")?,
    })
}

/// The reservations in rows of [`reservation_columns`], each under its order.
async fn reservations(
    snapshot: &Transaction<'_>,
    rows: &[Row],
) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
    let mut packed = Vec::with_capacity(rows.len());
    for row in rows {
        packed.push((rows::order_id(row)?, parse(row)));
    }
    let mut numbers = Numbers::default();
    let readable = packed.iter().filter_map(|(_, packed)| packed.as_ref().ok());
    name(snapshot, readable, &mut numbers).await?;
    let unpack = |(order_id, packed): (OrderId, Result<PackedReservation, Failure>)| {
        stored(order_id, packed.and_then(|packed| Ok(packed.unpack(&numbers)?)))
    };
    packed.into_iter().map(unpack).collect()
}

fn parse(row: &Row) -> Result<PackedReservation, Failure> {
    Ok(rows::reservation(row)?.parse()?)
}
