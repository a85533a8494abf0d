//! Reads both databases without the services' code, at one moment: no task runs meanwhile.

use std::collections::BTreeMap;

use contract::OrderId;
use contract::commands::StockCommandKind;
use inventory_core::reservation::StateName;
use inventory_core::stock::RequestId;
use orders_core::order::Status;
use platform::quarantine::Quarantined;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, params};
use serde::Deserialize;
use uuid::Uuid;

use crate::node::Service;

#[derive(Debug)]
pub(crate) struct Databases {
    orders: Connection,
    inventory: Connection,
}

#[derive(Clone, Debug)]
pub(crate) struct OrderRow {
    pub(crate) order_id: OrderId,
    pub(crate) status: Status,
    pub(crate) customer_id: String,
    pub(crate) total_minor: i64,
    pub(crate) key: Option<String>,
    pub(crate) digest: Vec<u8>,
    pub(crate) last_seq: u32,
    pub(crate) history: Vec<(u32, Status)>,
    pub(crate) pending: Option<StockCommandKind>,
}

#[derive(Clone, Debug)]
pub(crate) struct ReservationRow {
    pub(crate) order_id: OrderId,
    pub(crate) state: StateName,
    pub(crate) digest: Vec<u8>,
}

/// A product that was short when an order was rejected (INV-8).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ShortageRow {
    pub(crate) product_id: String,
    pub(crate) requested: i64,
    pub(crate) available: i64,
    /// The points of the ledgers that the rejection is based on.
    pub(crate) seen: Vec<SeenRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SeenRow {
    pub(crate) location_id: String,
    pub(crate) seq: i64,
}

/// A stock level, the sum of its ledger, and the sum of its reservations.
#[derive(Clone, Debug)]
pub(crate) struct StockRow {
    pub(crate) key: (String, String),
    pub(crate) level: Level,
    pub(crate) ledger: Level,
    pub(crate) movements: i64,
    pub(crate) held: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) last_seq: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct MovementRow {
    pub(crate) key: (String, String),
    pub(crate) on_hand_delta: i64,
    pub(crate) reserved_delta: i64,
    pub(crate) after: Level,
    pub(crate) reference: Option<String>,
}

const ORDER: &str = "SELECT order_id, status, customer_id, total_minor, idempotency_key,
        digest, last_seq,
        (SELECT kind FROM pending_commands AS pending WHERE pending.order_id = orders.order_id)
            AS pending,
        (SELECT group_concat(seq || ' ' || status, ',')
            FROM (SELECT seq, status FROM order_history AS history
            WHERE history.order_id = orders.order_id ORDER BY seq)) AS history
    FROM orders";
const RESERVATION: &str = "SELECT order_id, state, digest FROM reservations";

impl Databases {
    pub(crate) fn open(folder: &std::path::Path) -> rusqlite::Result<Self> {
        let open = |name: &str| {
            let connection =
                Connection::open_with_flags(folder.join(name), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.pragma_update(None, "query_only", "on")?;
            Ok::<_, rusqlite::Error>(connection)
        };
        Ok(Self { orders: open("orders.db")?, inventory: open("inventory.db")? })
    }

    pub(crate) fn order(&self, order_id: OrderId) -> Option<OrderRow> {
        one(&self.orders, &format!("{ORDER} WHERE order_id = ?1"), order_id, order_row)
    }

    pub(crate) fn orders(&self) -> Vec<OrderRow> {
        all(&self.orders, &format!("{ORDER} ORDER BY order_id"), [], order_row)
    }

    pub(crate) fn reservation(&self, order_id: OrderId) -> Option<ReservationRow> {
        one(
            &self.inventory,
            &format!("{RESERVATION} WHERE order_id = ?1"),
            order_id,
            reservation_row,
        )
    }

    pub(crate) fn reservations(&self) -> Vec<ReservationRow> {
        all(&self.inventory, &format!("{RESERVATION} ORDER BY order_id"), [], reservation_row)
    }

    /// (product, units) that were ordered, summed and sorted.
    pub(crate) fn lines(&self, order_id: OrderId) -> Vec<(String, i64)> {
        units_of(&self.orders, "order_lines", order_id)
    }

    /// (product, units) that were allocated, summed and sorted.
    pub(crate) fn allocated(&self, order_id: OrderId) -> Vec<(String, i64)> {
        units_of(&self.inventory, "allocations", order_id)
    }

    /// (product, location, units) that were allocated, sorted.
    pub(crate) fn allocations(&self, order_id: OrderId) -> Vec<(String, String, i64)> {
        let sql = "SELECT product_id, location_id, quantity FROM allocations
            WHERE order_id = ?1 ORDER BY product_id, location_id";
        all(&self.inventory, sql, [order_id.0.as_bytes()], |row| {
            Ok((row.get("product_id")?, row.get("location_id")?, row.get("quantity")?))
        })
    }

    /// Why an order was rejected. The shortages stay after a release.
    pub(crate) fn shortages(&self, order_id: OrderId) -> Vec<ShortageRow> {
        let sql = "SELECT shortages FROM reservations WHERE order_id = ?1";
        let text: Option<Option<String>> =
            one(&self.inventory, sql, order_id, |row| row.get("shortages"));
        let parse = |text: String| serde_json::from_str(&text).expect("the text of shortages");
        text.flatten().map(parse).unwrap_or_default()
    }

    /// The last movement of a product's ledgers, by location.
    pub(crate) fn ledger_ends(&self, product_id: &str) -> BTreeMap<String, i64> {
        let sql = "SELECT location_id, max(seq) AS newest FROM movements
            WHERE product_id = ?1 GROUP BY location_id";
        all(&self.inventory, sql, [product_id], |row| {
            Ok((row.get("location_id")?, row.get("newest")?))
        })
    }

    /// Whether the service's quarantine has this entry, or an equal one.
    pub(crate) fn has_quarantined(&self, service: Service, entry: &Quarantined) -> bool {
        let connection = match service {
            Service::Orders => &self.orders,
            Service::Inventory => &self.inventory,
        };
        let sql = "SELECT EXISTS (SELECT 1 FROM quarantine
            WHERE kind = ?1 AND reason = ?2 AND subject IS ?3
            AND (subject IS NOT NULL OR bytes = ?4)) AS found";
        let key = params![entry.kind.as_str(), entry.reason, entry.subject, entry.bytes];
        connection.query_row(sql, key, |row| row.get("found")).expect("a row of the schema")
    }

    /// Whether a request has moved stock already.
    pub(crate) fn has_moved(&self, request: RequestId) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM movements WHERE request_id = ?1) AS found";
        let found = self.inventory.query_row(sql, [request.0], |row| row.get("found"));
        found.expect("the schema is known")
    }

    pub(crate) fn stock(&self) -> Vec<StockRow> {
        let sql = "SELECT s.product_id, s.location_id, s.on_hand, s.reserved, s.last_seq,
                (SELECT coalesce(sum(a.quantity), 0)
                 FROM allocations AS a JOIN reservations AS r USING (order_id)
                 WHERE r.state = 'reserved' AND a.product_id = s.product_id
                     AND a.location_id = s.location_id) AS held,
                sums.on_hand_sum, sums.reserved_sum, sums.newest, sums.movements
            FROM stock AS s LEFT JOIN (
                SELECT product_id, location_id, sum(on_hand_delta) AS on_hand_sum,
                sum(reserved_delta) AS reserved_sum, max(seq) AS newest, count(*) AS movements
                FROM movements GROUP BY product_id, location_id
            ) AS sums USING (product_id, location_id)";
        all(&self.inventory, sql, [], |row| {
            Ok(StockRow {
                key: key(row)?,
                level: level(row, "last_seq")?,
                held: row.get("held")?,
                ledger: Level {
                    on_hand: or_zero(row, "on_hand_sum")?,
                    reserved: or_zero(row, "reserved_sum")?,
                    last_seq: or_zero(row, "newest")?,
                },
                movements: or_zero(row, "movements")?,
            })
        })
    }

    /// All ledgers, one after the other, each from its beginning.
    pub(crate) fn movements(&self) -> Vec<MovementRow> {
        let sql =
            "SELECT product_id, location_id, on_hand_delta, reserved_delta, on_hand, reserved,
                seq, reference
            FROM movements ORDER BY product_id, location_id, seq";
        all(&self.inventory, sql, [], |row| {
            Ok(MovementRow {
                key: key(row)?,
                on_hand_delta: row.get("on_hand_delta")?,
                reserved_delta: row.get("reserved_delta")?,
                after: level(row, "seq")?,
                reference: row.get("reference")?,
            })
        })
    }

    pub(crate) fn pending(&self) -> i64 {
        let sql = "SELECT count(*) AS commands FROM pending_commands";
        let count = self.orders.query_row(sql, [], |row| row.get("commands"));
        count.expect("the schema is known")
    }
}

/// Product and location.
fn key(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get("product_id")?, row.get("location_id")?))
}

/// `seq` is the column with the number of the last movement.
fn level(row: &Row<'_>, seq: &str) -> rusqlite::Result<Level> {
    Ok(Level {
        on_hand: row.get("on_hand")?,
        reserved: row.get("reserved")?,
        last_seq: row.get(seq)?,
    })
}

fn or_zero(row: &Row<'_>, name: &str) -> rusqlite::Result<i64> {
    row.get::<_, Option<i64>>(name).map(Option::unwrap_or_default)
}

fn units_of(connection: &Connection, table: &str, order_id: OrderId) -> Vec<(String, i64)> {
    let sql = format!(
        "SELECT product_id, sum(quantity) AS units FROM {table}
            WHERE order_id = ?1 GROUP BY product_id ORDER BY product_id"
    );
    all(connection, &sql, [order_id.0.as_bytes()], |row| {
        Ok((row.get("product_id")?, row.get("units")?))
    })
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    order_id: OrderId,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Option<T> {
    let mut statement = connection.prepare_cached(sql).expect("the schema is known");
    statement
        .query_row(params![order_id.0.as_bytes()], read)
        .optional()
        .expect("a row of the schema")
}

fn all<T, C: FromIterator<T>>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> C {
    let mut statement = connection.prepare_cached(sql).expect("the schema is known");
    let rows = statement.query_map(parameters, read).and_then(Iterator::collect);
    rows.expect("rows of the schema")
}

fn order_row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let history: Option<String> = row.get("history")?;
    let entry = |text: &str| {
        let (seq, status) = text.split_once(' ').expect("a number and a name");
        (seq.parse().expect("a number"), status_named(status))
    };
    Ok(OrderRow {
        order_id: OrderId(Uuid::from_bytes(row.get("order_id")?)),
        status: status_named(&row.get::<_, String>("status")?),
        customer_id: row.get("customer_id")?,
        total_minor: row.get("total_minor")?,
        key: row.get("idempotency_key")?,
        digest: row.get("digest")?,
        last_seq: row.get("last_seq")?,
        history: history.iter().flat_map(|text| text.split(',')).map(entry).collect(),
        pending: row
            .get::<_, Option<String>>("pending")?
            .map(|kind| StockCommandKind::parse(&kind).expect("a kind of the schema")),
    })
}

fn reservation_row(row: &Row<'_>) -> rusqlite::Result<ReservationRow> {
    let state: String = row.get("state")?;
    Ok(ReservationRow {
        order_id: OrderId(Uuid::from_bytes(row.get("order_id")?)),
        state: StateName::parse(&state).expect("a state of the schema"),
        digest: row.get("digest")?,
    })
}

fn status_named(text: &str) -> Status {
    Status::parse(text).expect("a status of the schema")
}
