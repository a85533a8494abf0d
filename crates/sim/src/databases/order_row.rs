//! The rows of one order.

use contract::OrderId;
use orders_core::status::Status;
use rusqlite::Row;
use serde::{Deserialize, Deserializer};

use super::{ProductUnits, StockUnits, order_id, unpack};

pub(super) const SELECT: &str = "SELECT orders.order_id AS order_id, customer_id, total_minor,
        idempotency_key, orders.digest AS first_digest, lines, created_at, status,
        order_states.revision AS revision, settled, last_seq, order_states.digest AS digest,
        updated_at, history, pending_commands.revision AS pending_revision, since
    FROM orders LEFT JOIN order_states USING (order_no) LEFT JOIN pending_commands USING (order_no)";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) order_id: OrderId,
    pub(crate) customer_id: String,
    pub(crate) total_minor: i64,
    pub(crate) key: Option<String>,
    /// The digest of the first intent.
    pub(crate) first_digest: Vec<u8>,
    /// Product, units and price in minor units, as the client sent them.
    pub(crate) lines: Vec<(String, i64, i64)>,
    pub(crate) created_at: i64,
    /// `None` until the first answer or change.
    pub(crate) state: Option<StateRow>,
    pub(crate) pending: Option<PendingRow>,
}

/// The row of `order_states`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub(crate) status: Status,
    pub(crate) revision: i64,
    pub(crate) settled: i64,
    pub(crate) last_seq: i64,
    pub(crate) digest: Option<Vec<u8>>,
    pub(crate) updated_at: i64,
    /// The entries after the first.
    pub(crate) history: Vec<EntryRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PendingRow {
    pub(crate) revision: i64,
    pub(crate) since: i64,
}

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryRow {
    #[serde(deserialize_with = "status")]
    pub(crate) status: Status,
    pub(crate) at: i64,
    pub(crate) reason: Option<String>,
    pub(crate) revision: Option<i64>,
    pub(crate) wanted: Option<Vec<(String, i64)>>,
    pub(crate) shipped: Option<Vec<(String, String, i64)>>,
    pub(crate) decided_at: Option<i64>,
    pub(crate) allocated: Option<Vec<(String, String, i64)>>,
    /// Product, requested and available units, and the reason.
    #[serde(default)]
    pub(crate) shortages: Vec<(String, i64, i64, String)>,
}

impl OrderRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let status: Option<String> = row.get("status")?;
        let state = status.map(|status| StateRow::read(row, &status)).transpose()?;
        let pending: Option<i64> = row.get("pending_revision")?;
        let since: Option<i64> = row.get("since")?;
        Ok(Self {
            order_id: order_id(row.get("order_id")?),
            customer_id: row.get("customer_id")?,
            total_minor: row.get("total_minor")?,
            key: row.get("idempotency_key")?,
            first_digest: row.get("first_digest")?,
            lines: unpack(&row.get::<_, String>("lines")?),
            created_at: row.get("created_at")?,
            state,
            pending: pending.zip(since).map(|(revision, since)| PendingRow { revision, since }),
        })
    }

    /// The entries of the history after the first.
    pub(crate) fn history(&self) -> &[EntryRow] {
        self.state.as_ref().map(|state| state.history.as_slice()).unwrap_or_default()
    }

    /// Whether the order has or had the status.
    pub(crate) fn was(&self, status: Status) -> bool {
        status == Status::Received || self.history().iter().any(|entry| entry.status == status)
    }

    /// The ordered units, summed by product.
    pub(crate) fn ordered(&self) -> ProductUnits {
        let mut sums = ProductUnits::new();
        for (product_id, units, _) in &self.lines {
            *sums.entry(product_id.clone()).or_default() += units;
        }
        sums
    }
}

impl StateRow {
    fn read(row: &Row<'_>, status: &str) -> rusqlite::Result<Self> {
        Ok(Self {
            status: status_named(status),
            revision: row.get("revision")?,
            settled: row.get("settled")?,
            last_seq: row.get("last_seq")?,
            digest: row.get("digest")?,
            updated_at: row.get("updated_at")?,
            history: unpack(&row.get::<_, String>("history")?),
        })
    }
}

impl EntryRow {
    /// The units that shall be shipped from this entry on, if it says so.
    pub(crate) fn shipped(&self) -> Option<StockUnits> {
        self.shipped.as_deref().map(stock_units)
    }

    /// The units that belong to the order from this entry on, if it says so.
    pub(crate) fn allocated(&self) -> Option<StockUnits> {
        self.allocated.as_deref().map(stock_units)
    }
}

fn stock_units(parts: &[(String, String, i64)]) -> StockUnits {
    let units = parts
        .iter()
        .map(|(product, location, units)| ((product.clone(), location.clone()), *units));
    units.collect()
}

fn status<'de, D: Deserializer<'de>>(text: D) -> Result<Status, D::Error> {
    Ok(status_named(&String::deserialize(text)?))
}

fn status_named(text: &str) -> Status {
    Status::parse(text).expect("a status of the schema")
}
