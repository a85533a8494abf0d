//! The row of one reservation, with ids in the place of numbers.

use std::collections::BTreeMap;

use contract::OrderId;
use inventory_core::reservation::ReservationState;
use rusqlite::Row;
use serde::Deserialize;

use super::{Names, StockKey, StockUnits, order_id, unpack};
use crate::fold::Back;

pub(super) const SELECT: &str =
    "SELECT order_id, revision, digest, allocations, shortages, returns, updated_at
    FROM reservations";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReservationRow {
    pub(crate) order_id: OrderId,
    pub(crate) revision: i64,
    pub(crate) digest: Vec<u8>,
    pub(crate) holdings: Vec<HoldingRow>,
    pub(crate) rejection: Option<RejectionRow>,
    /// What came back, by product and location as the client named it.
    pub(crate) returns: Vec<ReturnRow>,
    pub(crate) updated_at: i64,
}

/// What the order was promised at one stock key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldingRow {
    pub(crate) key: StockKey,
    pub(crate) promised: i64,
    pub(crate) released: i64,
    pub(crate) shipped: i64,
    pub(crate) movements: Vec<i64>,
}

/// What came back to one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnRow {
    /// The product, and the location as the client named it.
    pub(crate) key: StockKey,
    /// The units that were restocked, quarantined and written off.
    pub(crate) units: [i64; 3],
    /// The location where they are on hand.
    pub(crate) booked_at: String,
    pub(crate) movements: Vec<i64>,
}

/// Why the order was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RejectionRow {
    pub(crate) revision: i64,
    pub(crate) short: Vec<ShortRow>,
}

/// A product that was short when an order was rejected (INV-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShortRow {
    pub(crate) product_id: String,
    pub(crate) requested: i64,
    pub(crate) available: i64,
    pub(crate) reason: String,
    pub(crate) seen: Vec<SeenRow>,
}

/// A point in a ledger, on which a rejection is based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenRow {
    pub(crate) location_id: String,
    pub(crate) movement: i64,
}

#[derive(Deserialize)]
struct PackedHolding(i64, i64, i64, i64, i64, Vec<i64>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedRejection {
    revision: i64,
    short: Vec<PackedShort>,
}

/// The product's number; the location as the client named it; the units that were restocked,
/// quarantined and written off; the number of the location where they are; the movements.
#[derive(Deserialize)]
struct PackedReturn(i64, String, i64, i64, i64, i64, Vec<i64>);

#[derive(Deserialize)]
struct PackedShort(String, i64, i64, String, Vec<(i64, i64)>);

impl ReservationRow {
    pub(super) fn read(row: &Row<'_>, names: &Names) -> rusqlite::Result<Self> {
        let holdings: Vec<PackedHolding> = unpack(&row.get::<_, String>("allocations")?);
        let shortages: Option<String> = row.get("shortages")?;
        let rejection = shortages.map(|text| RejectionRow::unpacked(unpack(&text), names));
        let returns: Option<String> = row.get("returns")?;
        let returns: Vec<PackedReturn> = returns.as_deref().map(unpack).unwrap_or_default();
        Ok(Self {
            order_id: order_id(row.get("order_id")?),
            revision: row.get("revision")?,
            digest: row.get("digest")?,
            holdings: holdings.into_iter().map(|packed| packed.named(names)).collect(),
            rejection,
            returns: returns.into_iter().map(|packed| packed.named(names)).collect(),
            updated_at: row.get("updated_at")?,
        })
    }

    /// The units that belong to the order, shipped or not.
    pub(crate) fn allocated(&self) -> StockUnits {
        self.units(|holding| holding.promised - holding.released)
    }

    /// The units that were ever promised.
    pub(crate) fn promised(&self) -> StockUnits {
        self.units(|holding| holding.promised)
    }

    /// The units that left the stock.
    pub(crate) fn shipped(&self) -> StockUnits {
        self.units(|holding| holding.shipped)
    }

    /// What came back, as the client named it.
    pub(crate) fn returned(&self) -> Back {
        self.returns.iter().map(|back| (back.key.clone(), back.units)).collect()
    }

    /// Where units that came back to unknown locations are booked.
    pub(crate) fn booked_at(&self) -> BTreeMap<StockKey, String> {
        let elsewhere = self.returns.iter().filter(|back| back.booked_at != back.key.1);
        elsewhere.map(|back| (back.key.clone(), back.booked_at.clone())).collect()
    }

    /// The products that were short at this revision.
    pub(crate) fn short_at(&self, revision: i64) -> &[ShortRow] {
        let rejection = self.rejection.as_ref().filter(|found| found.revision == revision);
        rejection.map(|found| found.short.as_slice()).unwrap_or_default()
    }

    /// The state in which clients see the reservation.
    pub(crate) fn state(&self) -> ReservationState {
        let allocated: i64 = self.allocated().values().sum();
        let shipped: i64 = self.shipped().values().sum();
        if allocated == 0 && !self.short_at(self.revision).is_empty() {
            ReservationState::Rejected
        } else if allocated == 0 {
            ReservationState::Released
        } else if allocated == shipped {
            ReservationState::Shipped
        } else {
            ReservationState::Reserved
        }
    }

    /// Units by stock key, without zeros.
    fn units(&self, of: impl Fn(&HoldingRow) -> i64) -> StockUnits {
        let units = self.holdings.iter().map(|holding| (holding.key.clone(), of(holding)));
        units.filter(|(_, units)| *units != 0).collect()
    }
}

impl PackedHolding {
    fn named(self, names: &Names) -> HoldingRow {
        let Self(product, location, promised, released, shipped, movements) = self;
        let key = (names.product(product), names.location(location));
        HoldingRow { key, promised, released, shipped, movements }
    }
}

impl PackedReturn {
    fn named(self, names: &Names) -> ReturnRow {
        let Self(product, location_id, restocked, quarantined, written_off, at, movements) = self;
        ReturnRow {
            key: (names.product(product), location_id),
            units: [restocked, quarantined, written_off],
            booked_at: names.location(at),
            movements,
        }
    }
}

impl RejectionRow {
    fn unpacked(packed: PackedRejection, names: &Names) -> Self {
        let short = packed.short.into_iter().map(|short| short.named(names)).collect();
        Self { revision: packed.revision, short }
    }
}

impl PackedShort {
    fn named(self, names: &Names) -> ShortRow {
        let Self(product_id, requested, available, reason, seen) = self;
        let seen = seen.into_iter().map(|(location, movement)| SeenRow {
            location_id: names.location(location),
            movement,
        });
        ShortRow { product_id, requested, available, reason, seen: seen.collect() }
    }
}
