//! The rows of the stock and of the ledger, with ids in the place of numbers.

use contract::OrderId;
use rusqlite::Row;

use super::{StockKey, order_id};

pub(super) const SELECT_STOCK: &str =
    "SELECT product_id, location_id, on_hand, reserved, quarantined, last_seq AS seq, last_movement
    FROM stock LEFT JOIN products USING (product_no) LEFT JOIN locations USING (location_no)
    ORDER BY product_id, location_id";

pub(super) const SELECT_MOVEMENTS: &str =
    "SELECT movement_no, product_id, location_id, seq, previous, previous_of_product, kind,
        on_hand_delta, reserved_delta, coalesce(quarantined_delta, 0) AS quarantined_delta, on_hand,
        reserved, coalesce(quarantined, 0) AS quarantined, order_id, reference
    FROM movements LEFT JOIN products USING (product_no) LEFT JOIN locations USING (location_no)
    ORDER BY movement_no";

/// The level of a stock key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) quarantined: i64,
    pub(crate) seq: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StockRow {
    pub(crate) key: StockKey,
    pub(crate) level: Level,
    pub(crate) last_movement: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovementRow {
    pub(crate) number: i64,
    pub(crate) key: StockKey,
    pub(crate) previous: Option<i64>,
    pub(crate) previous_of_product: Option<i64>,
    pub(crate) kind: String,
    pub(crate) on_hand_delta: i64,
    pub(crate) reserved_delta: i64,
    pub(crate) quarantined_delta: i64,
    pub(crate) after: Level,
    /// `None` for a movement that a request made.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) reference: Option<String>,
}

impl StockRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { key: key(row)?, level: level(row)?, last_movement: row.get("last_movement")? })
    }
}

impl MovementRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get("movement_no")?,
            key: key(row)?,
            previous: row.get("previous")?,
            previous_of_product: row.get("previous_of_product")?,
            kind: row.get("kind")?,
            on_hand_delta: row.get("on_hand_delta")?,
            reserved_delta: row.get("reserved_delta")?,
            quarantined_delta: row.get("quarantined_delta")?,
            after: level(row)?,
            order_id: row.get::<_, Option<[u8; 16]>>("order_id")?.map(order_id),
            reference: row.get("reference")?,
        })
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<StockKey> {
    Ok((row.get("product_id")?, row.get("location_id")?))
}

fn level(row: &Row<'_>) -> rusqlite::Result<Level> {
    Ok(Level {
        on_hand: row.get("on_hand")?,
        reserved: row.get("reserved")?,
        quarantined: row.get("quarantined")?,
        seq: row.get("seq")?,
    })
}
