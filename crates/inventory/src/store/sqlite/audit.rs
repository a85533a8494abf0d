//! Reads for the audit, a page at a time, each page from one snapshot.

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::Movement;
use platform::failure::Failure;
use platform::pairing::Identity;
use rusqlite::{Connection, OptionalExtension, Row, params};
use storage::sqlite::{Readers, failure};

use super::super::numbers::Numbers;
use super::super::{MovementAudit, StockAudit, StockAuditStore, StockPosition, Stored};
use super::load;
use super::rows::{self, MOVEMENT_COLUMNS, MOVEMENTS, RESERVATION_COLUMNS, named_columns};

/// The readers of one file. There is no way to write through them.
#[derive(Debug)]
pub struct SqliteAudit {
    pub(super) readers: Readers,
}

impl SqliteAudit {
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
impl StockAuditStore for SqliteAudit {
    async fn movements_after(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored<i64, MovementAudit>>, Failure> {
        self.readers.read(move |connection| movements_after(connection, after, limit)).await
    }

    async fn last_movement(&self) -> Result<Option<i64>, Failure> {
        self.readers.read(last_movement).await
    }

    async fn movements_by_number(
        &self,
        numbers: Vec<i64>,
    ) -> Result<Vec<Stored<i64, Movement>>, Failure> {
        self.readers.read(move |connection| movements_by_number(connection, numbers)).await
    }

    async fn stock_after(
        &self,
        after: Option<StockPosition>,
        limit: u32,
    ) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure> {
        self.readers.read(move |connection| stock_after(connection, after, limit)).await
    }

    async fn last_stock(&self) -> Result<Option<StockPosition>, Failure> {
        self.readers.read(last_stock).await
    }

    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        self.readers.read(move |connection| reservations_after(connection, after, limit)).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.readers.read(last_order_id).await
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        self.readers.read(move |connection| reservations_by_id(connection, order_ids)).await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        self.readers.read(move |connection| known_products(connection, &product_ids)).await
    }
}

/// A row under its key. Only an error of the engine ends the page.
pub(super) fn stored<K, T>(key: K, row: rusqlite::Result<T>) -> rusqlite::Result<Stored<K, T>> {
    match row {
        Err(error) if error.sqlite_error().is_some() => Err(error),
        row => Ok(Stored { key, row: row.map_err(failure) }),
    }
}

fn movements_after(
    connection: &Connection,
    after: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<Stored<i64, MovementAudit>>> {
    let previous = named_columns("previous_one", "movements");
    let of_product = named_columns("previous_of_its_product", "movements");
    let sql = format!(
        "SELECT {MOVEMENT_COLUMNS}, {previous}, {of_product} FROM {MOVEMENTS}
         LEFT JOIN movements AS previous_one ON previous_one.movement_no = movements.previous
         LEFT JOIN movements AS previous_of_its_product
                   ON previous_of_its_product.movement_no = movements.previous_of_product
         WHERE movements.movement_no > ?1 ORDER BY movements.movement_no LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after.unwrap_or(i64::MIN), limit], |row| {
        stored(row.get("movement_no")?, movement_audit(row))
    })?;
    rows.collect()
}

fn movement_audit(row: &Row<'_>) -> rusqlite::Result<MovementAudit> {
    Ok(MovementAudit {
        movement: rows::movement(row)?,
        previous: rows::named(row, "previous_one")?,
        previous_of_product: rows::named(row, "previous_of_its_product")?,
    })
}

fn last_movement(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT max(movement_no) AS last FROM movements")?;
    statement.query_row([], |row| row.get("last"))
}

fn movements_by_number(
    connection: &Connection,
    mut numbers: Vec<i64>,
) -> rusqlite::Result<Vec<Stored<i64, Movement>>> {
    numbers.sort_unstable();
    numbers.dedup();
    let sql =
        format!("SELECT {MOVEMENT_COLUMNS} FROM {MOVEMENTS} WHERE movements.movement_no = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        let row = statement.query_row(params![number], |row| stored(number, rows::movement(row)));
        found.extend(row.optional()?);
    }
    Ok(found)
}

fn stock_after(
    connection: &Connection,
    after: Option<StockPosition>,
    limit: u32,
) -> rusqlite::Result<Vec<Stored<StockPosition, StockAudit>>> {
    let last = named_columns("last_one", "stock");
    let sql = format!(
        "SELECT stock.product_no, stock.location_no, products.product_id, locations.location_id, stock.on_hand,
                stock.reserved, stock.quarantined, stock.last_seq, stock.last_movement, {last}
         FROM stock LEFT JOIN products ON products.product_no = stock.product_no
                    LEFT JOIN locations ON locations.location_no = stock.location_no
                    LEFT JOIN movements AS last_one ON last_one.movement_no = stock.last_movement
         WHERE (stock.product_no, stock.location_no) > (?1, ?2)
         ORDER BY stock.product_no, stock.location_no LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let StockPosition { product_no, location_no } = after.unwrap_or(StockPosition::BEFORE_ALL);
    let rows = statement.query_map(params![product_no, location_no, limit], |row| {
        stored(rows::stock_position(row)?, stock_audit(row))
    })?;
    rows.collect()
}

fn stock_audit(row: &Row<'_>) -> rusqlite::Result<StockAudit> {
    Ok(StockAudit {
        stock_key: rows::stock_key(row)?,
        level: rows::level(row)?,
        last: rows::named(row, "last_one")?,
    })
}

fn last_stock(connection: &Connection) -> rusqlite::Result<Option<StockPosition>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_no, location_no FROM stock ORDER BY product_no DESC, location_no DESC LIMIT 1",
    )?;
    statement.query_row([], rows::stock_position).optional()
}

fn reservations_after(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<Stored<OrderId, Reservation>>> {
    let sql = format!(
        "SELECT {RESERVATION_COLUMNS} FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2"
    );
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut numbers = Numbers::default();
    let rows = statement.query_map(params![lowest, limit], |row| {
        let order_id = rows::order_id(row.get("order_id")?);
        stored(order_id, reservation(connection, row, &mut numbers))
    })?;
    rows.collect()
}

fn reservation(
    connection: &Connection,
    row: &Row<'_>,
    numbers: &mut Numbers,
) -> rusqlite::Result<Reservation> {
    load::unpack(connection, rows::reservation(row)?.parse()?, numbers)
}

fn last_order_id(connection: &Connection) -> rusqlite::Result<Option<OrderId>> {
    let mut statement =
        connection.prepare_cached("SELECT max(order_id) AS last FROM reservations")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<[u8; 16]>>("last"))?.map(rows::order_id))
}

fn reservations_by_id(
    connection: &Connection,
    mut order_ids: Vec<OrderId>,
) -> rusqlite::Result<Vec<Stored<OrderId, Reservation>>> {
    order_ids.sort_unstable();
    order_ids.dedup();
    let mut numbers = Numbers::default();
    let mut reservations = load::Reservations::prepare(connection)?;
    let mut found = Vec::with_capacity(order_ids.len());
    for order_id in order_ids {
        let row = reservations.find(order_id, &mut numbers).transpose();
        found.extend(row.map(|row| stored(order_id, row)).transpose()?);
    }
    Ok(found)
}

fn known_products(
    connection: &Connection,
    product_ids: &[ProductId],
) -> rusqlite::Result<Vec<bool>> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM products WHERE product_id = ?1")?;
    product_ids.iter().map(|id| statement.exists(params![id.as_str()])).collect()
}
