//! Reads for requests, each of them on one snapshot.

use std::collections::BTreeMap;

use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::journal::{Position, Recorded};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use storage::journal;

use super::super::holders::HolderSearch;
use super::super::moved;
use super::super::numbers::Numbers;
use super::super::search_key::search_key;
use super::super::{HolderFilter, HolderPage, MovementFilter, ProductFilter, StockEntry};
use super::audit::stored;
use super::load;
use super::rows::{self, MOVEMENT_COLUMNS, MOVEMENTS, PRODUCT_COLUMNS};

pub(super) fn product(
    connection: &Connection,
    id: &ProductId,
) -> rusqlite::Result<Option<ProductStock>> {
    let Some((number, product)) = load::Products::prepare(connection)?.find(id)? else {
        return Ok(None);
    };
    Ok(Some(ProductStock { product, levels: load::Stock::prepare(connection)?.levels(number)? }))
}

pub(super) fn reservation(
    connection: &Connection,
    order_id: OrderId,
) -> rusqlite::Result<Option<Reservation>> {
    load::Reservations::prepare(connection)?.find(order_id, &mut Numbers::default())
}

pub(super) fn locations(connection: &Connection) -> rusqlite::Result<Vec<Location>> {
    let mut statement = connection.prepare_cached(
        "SELECT location_no, location_id, name, priority FROM locations ORDER BY priority, location_id",
    )?;
    let rows = statement.query_map([], |row| rows::location(row).map(|(_, location)| location))?;
    rows.collect()
}

/// Entries of the journal, each with its last movement.
pub(super) fn made(
    connection: &Connection,
    from: Position,
    limit: u32,
) -> rusqlite::Result<Vec<Recorded<StockEntry>>> {
    let entries = journal::read_sqlite(connection, from, limit, moved::unpack)?;
    let sql =
        format!("SELECT {MOVEMENT_COLUMNS} FROM {MOVEMENTS} WHERE movements.movement_no = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut movements = Vec::with_capacity(entries.len());
    for number in moved::numbers(&entries) {
        let row = statement.query_row(params![number], |row| stored(number, rows::movement(row)));
        movements.extend(row.optional()?);
    }
    Ok(moved::entries(entries, movements))
}

/// Conditions that are joined by AND, each with the values that it speaks of.
#[derive(Default)]
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Every `?` of the condition stands for one of the values, in order.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.values.extend(values);
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

pub(super) fn products(
    connection: &Connection,
    filter: &ProductFilter,
) -> rusqlite::Result<Vec<ProductStock>> {
    let (sql, values) = product_page(filter);
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::product)?;
    let with_levels = |found: rusqlite::Result<_>| {
        let (number, product) = found?;
        Ok(ProductStock { product, levels: load::Stock::prepare(connection)?.levels(number)? })
    };
    found.map(with_levels).collect()
}

/// The statement of a page, with its values. The inner query reads indexes alone: a search that
/// finds little looks at every product.
pub(super) fn product_page(filter: &ProductFilter) -> (String, Vec<Value>) {
    let Conditions { sql, values } = conditions(filter);
    let sql = format!(
        "SELECT {PRODUCT_COLUMNS} FROM products WHERE product_no IN
             (SELECT product_no FROM products{sql} ORDER BY product_id LIMIT {})
         ORDER BY product_id",
        filter.limit
    );
    (sql, values)
}

fn conditions(filter: &ProductFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(after) = &filter.after {
        conditions.and("product_id > ?", [text(after.as_str())]);
    }
    if let Some(sought) = &filter.text {
        let sought = search_key(sought);
        // Without LIKE, in which some characters would have a meaning of their own.
        conditions.and(
            "(instr(lower(product_id), ?) = 1 OR instr(search_name, ?) > 0)",
            [text(&sought), text(&sought)],
        );
    }
    if let Some(ids) = &filter.ids {
        let marks = vec!["?"; ids.len()].join(", ");
        conditions.and(&format!("product_id IN ({marks})"), ids.iter().map(|id| text(id.as_str())));
    }
    if filter.low_stock {
        let available = "(SELECT coalesce(sum(on_hand - reserved - quarantined), 0) FROM stock \
                          WHERE stock.product_no = products.product_no)";
        conditions.and("low_stock_at IS NOT NULL", []);
        conditions.and(&format!("{available} <= low_stock_at"), []);
    }
    conditions
}

/// Follows the chain of the ledger: one look-up per movement.
pub(super) fn movements(
    connection: &Connection,
    filter: &MovementFilter,
) -> rusqlite::Result<Vec<Movement>> {
    let sql =
        format!("SELECT {MOVEMENT_COLUMNS} FROM {MOVEMENTS} WHERE movements.movement_no = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut next = match filter.from {
        None => newest(connection, filter)?,
        from => from,
    };
    let mut page = Vec::new();
    while let Some(number) = next
        && page.len() < filter.limit as usize
    {
        let found = statement.query_row(params![number], rows::movement).optional()?;
        next = found.as_ref().and_then(|movement| filter.next_of(movement));
        page.extend(found);
    }
    Ok(filter.checked(page)?)
}

/// The orders that hold a product: two look-ups per movement, back to the oldest holder.
pub(super) fn holders(
    connection: &Connection,
    filter: HolderFilter,
) -> rusqlite::Result<Option<HolderPage>> {
    let Some(stock) = product(connection, &filter.product_id)? else { return Ok(None) };
    let mut search = HolderSearch::new(filter, &stock.levels);
    let mut numbers = Numbers::default();
    while let Some(asked) = search.movements() {
        let movements = movements(connection, &asked)?;
        let mut reservations = BTreeMap::new();
        for order_id in HolderSearch::orders(&movements) {
            let found = load::Reservations::prepare(connection)?.find(order_id, &mut numbers)?;
            reservations.extend(found.map(|reservation| (order_id, reservation)));
        }
        search.take(&asked, &movements, &reservations);
    }
    Ok(Some(search.finish()))
}

/// The newest movement of the ledger, which its stock rows know.
fn newest(connection: &Connection, filter: &MovementFilter) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT max(last_movement) AS newest FROM stock
         WHERE product_no = (SELECT product_no FROM products WHERE product_id = ?1)
               AND (?2 IS NULL OR location_no = (SELECT location_no FROM locations WHERE location_id = ?2))",
    )?;
    let location_id = filter.location_id.as_ref().map(|id| id.as_str());
    statement.query_row(params![filter.product_id.as_str(), location_id], |row| row.get("newest"))
}
