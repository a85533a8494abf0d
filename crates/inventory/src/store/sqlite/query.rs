//! Reads for requests, each of them on one snapshot.

use contract::ProductId;
use inventory_core::stock::{Movement, Product, ProductStock};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::super::{MovementFilter, ProductFilter};
use super::load;
use super::rows::{self, MOVEMENT_COLUMNS, PRODUCT_COLUMNS};

pub(super) fn product(
    connection: &Connection,
    id: &ProductId,
) -> rusqlite::Result<Option<ProductStock>> {
    let Some(product) = load::product(connection, id)? else { return Ok(None) };
    Ok(Some(ProductStock { product, levels: load::levels(connection, id)? }))
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
        self.sql.push_str(if self.values.is_empty() && self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
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
    let mut conditions = Conditions::default();
    if let Some(after) = &filter.after {
        conditions.and("product_id > ?", [text(after.as_str())]);
    }
    if let Some(sought) = &filter.text {
        let sought = sought.to_lowercase();
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
        let available = "(SELECT coalesce(sum(on_hand - reserved), 0) FROM stock \
                          WHERE stock.product_id = products.product_id)";
        conditions.and(&format!("{available} <= low_stock_at"), []);
    }
    let Conditions { sql, values } = conditions;
    let sql = format!(
        "SELECT {PRODUCT_COLUMNS} FROM products{sql} ORDER BY product_id LIMIT {}",
        filter.limit
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::product)?;
    found.map(|product| with_levels(connection, product?)).collect()
}

fn with_levels(connection: &Connection, product: Product) -> rusqlite::Result<ProductStock> {
    let levels = load::levels(connection, &product.product_id)?;
    Ok(ProductStock { product, levels })
}

pub(super) fn movements(
    connection: &Connection,
    filter: &MovementFilter,
) -> rusqlite::Result<Vec<Movement>> {
    let mut conditions = Conditions::default();
    conditions.and("product_id = ?", [text(filter.product_id.as_str())]);
    let order = match &filter.location_id {
        Some(location_id) => {
            conditions.and("location_id = ?", [text(location_id.as_str())]);
            if let Some(before) = &filter.before {
                conditions.and("seq < ?", [Value::Integer(before.seq)]);
            }
            "seq DESC"
        }
        None => {
            if let Some(before) = &filter.before {
                let moment = [
                    before.created_at_micros.into(),
                    text(before.location_id.as_str()),
                    before.seq.into(),
                ];
                conditions.and("(created_at, location_id, seq) < (?, ?, ?)", moment);
            }
            "created_at DESC, location_id DESC, seq DESC"
        }
    };
    let Conditions { sql, values } = conditions;
    let sql = format!(
        "SELECT {MOVEMENT_COLUMNS} FROM movements{sql} ORDER BY {order} LIMIT {}",
        filter.limit
    );
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::movement)?;
    found.collect()
}
