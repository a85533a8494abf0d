//! Reads both databases without the services' code, at one moment: no task runs meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use contract::OrderId;
use inventory_core::stock::RequestId;
use platform::quarantine::Quarantined;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use storage::sqlite::{OpenError, open_reader};

use crate::node::Service;
use crate::version::Versions;

pub(crate) use crate::fold::{ProductUnits, StockKey, StockUnits};
#[cfg(test)]
pub(crate) use order_row::StateRow;
pub(crate) use order_row::{OrderRow, PendingRow};
pub(crate) use reservation_row::{HoldingRow, ReservationRow, ReturnRow, ShortRow};
pub(crate) use stock_row::{Level, MovementRow, StockRow};

mod order_row;
mod reservation_row;
mod stock_row;

#[derive(Debug)]
pub(crate) struct Databases {
    orders: Connection,
    inventory: Connection,
    versions: Versions,
    /// The names at a version of Inventory's database.
    names: RefCell<Option<(i64, Arc<Names>)>>,
    /// The version of Orders' database at which a lease took nothing, as nothing was pending.
    drained: Cell<Option<i64>>,
}

/// The ids of products and locations, by the numbers that Inventory's rows have instead.
#[derive(Debug)]
pub(crate) struct Names {
    products: BTreeMap<i64, String>,
    locations: BTreeMap<i64, String>,
}

impl Names {
    fn product(&self, number: i64) -> String {
        self.products.get(&number).expect("a product of the database").clone()
    }

    fn location(&self, number: i64) -> String {
        self.locations.get(&number).expect("a location of the database").clone()
    }
}

impl Databases {
    pub(crate) fn open(folder: &std::path::Path, versions: Versions) -> Result<Self, OpenError> {
        Ok(Self {
            orders: open_reader(&folder.join("orders.db"))?,
            inventory: open_reader(&folder.join("inventory.db"))?,
            versions,
            names: RefCell::default(),
            drained: Cell::default(),
        })
    }

    /// Takes notice of what a transaction of the service may have changed. Called after each.
    pub(crate) fn transaction_ended(&self, service: Service) {
        let sql = "PRAGMA data_version";
        let version = one(self.of(service), sql, [], |row| row.get("data_version"));
        self.versions.of(service).set(version.expect("a database has a version"));
    }

    pub(crate) fn order(&self, order_id: OrderId) -> Option<OrderRow> {
        let sql = format!("{} WHERE orders.order_id = ?1", order_row::SELECT);
        one(&self.orders, &sql, [order_id.0.as_bytes()], OrderRow::read)
    }

    /// All orders, by id.
    pub(crate) fn orders(&self) -> Vec<OrderRow> {
        let sql = format!("{} ORDER BY orders.order_id", order_row::SELECT);
        all(&self.orders, &sql, [], OrderRow::read)
    }

    pub(crate) fn reservation(&self, order_id: OrderId) -> Option<ReservationRow> {
        let sql = format!("{} WHERE order_id = ?1", reservation_row::SELECT);
        let names = self.names();
        let read = |row: &Row<'_>| ReservationRow::read(row, &names);
        one(&self.inventory, &sql, [order_id.0.as_bytes()], read)
    }

    /// All reservations, by order id.
    pub(crate) fn reservations(&self) -> Vec<ReservationRow> {
        let sql = format!("{} ORDER BY order_id", reservation_row::SELECT);
        let names = self.names();
        all(&self.inventory, &sql, [], |row| ReservationRow::read(row, &names))
    }

    /// The rows of a journal with a number above `after`, by number.
    pub(crate) fn journal(&self, service: Service, after: i64) -> Vec<(i64, Vec<u8>)> {
        let sql = "SELECT no, entries FROM journal WHERE no > ?1 ORDER BY no";
        let read = |row: &Row<'_>| Ok((row.get("no")?, row.get("entries")?));
        all(self.of(service), sql, [after], read)
    }

    pub(crate) fn stock(&self) -> Vec<StockRow> {
        all(&self.inventory, stock_row::SELECT_STOCK, [], StockRow::read)
    }

    /// The whole ledger, by the numbers of the movements.
    pub(crate) fn movements(&self) -> Vec<MovementRow> {
        all(&self.inventory, stock_row::SELECT_MOVEMENTS, [], MovementRow::read)
    }

    /// The number of a product's last movement at each location where it ever moved.
    pub(crate) fn ledger_ends(&self, product_id: &str) -> BTreeMap<String, i64> {
        let sql = "SELECT location_id, max(movement_no) AS last
            FROM movements JOIN products USING (product_no) JOIN locations USING (location_no)
            WHERE product_id = ?1 GROUP BY location_id";
        all(&self.inventory, sql, [product_id], |row| {
            Ok((row.get("location_id")?, row.get("last")?))
        })
    }

    pub(crate) fn knows_product(&self, product_id: &str) -> bool {
        let sql = "SELECT count(*) AS count FROM products WHERE product_id = ?1";
        count(&self.inventory, sql, [product_id]) > 0
    }

    /// Whether a request has moved stock already.
    pub(crate) fn has_moved(&self, request: RequestId) -> bool {
        let sql = "SELECT count(*) AS count FROM movements WHERE request_id = ?1";
        count(&self.inventory, sql, [request.0]) > 0
    }

    /// Whether the service's quarantine has this entry, or an equal one.
    pub(crate) fn has_quarantined(&self, service: Service, entry: &Quarantined) -> bool {
        let sql = "SELECT count(*) AS count FROM quarantine
            WHERE kind = ?1 AND reason = ?2 AND subject IS ?3
            AND (subject IS NOT NULL OR bytes = ?4)";
        let key = params![entry.kind.as_str(), entry.reason, entry.subject, entry.bytes];
        count(self.of(service), sql, key) > 0
    }

    /// Messages and commands that could not be executed even alone, with the reasons.
    pub(crate) fn poisoned(&self) -> Vec<String> {
        let sql = "SELECT reason FROM quarantine WHERE kind = 'poisoned'";
        let of =
            |service| all::<String, Vec<_>>(self.of(service), sql, [], |row| row.get("reason"));
        [of(Service::Orders), of(Service::Inventory)].concat()
    }

    /// The number of commands in flight.
    pub(crate) fn pending(&self) -> i64 {
        count(&self.orders, "SELECT count(*) AS count FROM pending_commands", [])
    }

    /// The number of deadlines of payments.
    pub(crate) fn deadlines(&self) -> i64 {
        count(&self.orders, "SELECT count(*) AS count FROM payment_deadlines", [])
    }

    /// Whether a lease has found nothing pending, and Orders' database has not changed since.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.get() == Some(self.versions.orders.get())
    }

    /// Takes notice of a lease that took nothing.
    pub(crate) fn leased_nothing(&self) {
        if self.pending() == 0 {
            self.drained.set(Some(self.versions.orders.get()));
        }
    }

    /// The number of rows that belong to an order that does not exist.
    pub(crate) fn orphans(&self) -> i64 {
        let sql = "SELECT count(*) AS count FROM (
                SELECT order_no FROM pending_commands UNION ALL SELECT order_no FROM order_states
                UNION ALL SELECT order_no FROM payment_deadlines
            ) WHERE order_no NOT IN (SELECT order_no FROM orders)";
        count(&self.orders, sql, [])
    }

    fn of(&self, service: Service) -> &Connection {
        match service {
            Service::Orders => &self.orders,
            Service::Inventory => &self.inventory,
        }
    }

    fn names(&self) -> Arc<Names> {
        let version = self.versions.inventory.get();
        let mut known = self.names.borrow_mut();
        if let Some((_, names)) = known.as_ref().filter(|(at, _)| *at == version) {
            return names.clone();
        }
        let products = "SELECT product_no AS number, product_id AS id FROM products";
        let locations = "SELECT location_no AS number, location_id AS id FROM locations";
        let named = |row: &Row<'_>| Ok((row.get("number")?, row.get("id")?));
        let names = Arc::new(Names {
            products: all(&self.inventory, products, [], named),
            locations: all(&self.inventory, locations, [], named),
        });
        known.insert((version, names)).1.clone()
    }
}

fn count(connection: &Connection, sql: &str, parameters: impl Params) -> i64 {
    one(connection, sql, parameters, |row| row.get("count")).expect("a count has a row")
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Option<T> {
    let mut statement = connection.prepare_cached(sql).expect("the schema is known");
    statement.query_row(parameters, read).optional().expect("a row of the schema")
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

/// Reads a packed column, which is JSON.
fn unpack<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the column {text}"))
}

fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(uuid::Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use platform::quarantine::QuarantineKind;

    use super::*;
    use crate::boot;
    use crate::config::Config;
    use crate::world::World;
    use crate::wrappers::Wrappers;

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_took_nothing_is_forgotten_once_the_database_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let world = World::new(Config::of(0), Wrappers::NONE, boot::boot, folder.path(), false);
        let databases = || world.monitor.databases();
        let set_aside = async |reason: &str| {
            let entry = Quarantined {
                subject: None,
                kind: QuarantineKind::Malformed,
                reason: reason.to_owned(),
                bytes: reason.as_bytes().to_vec(),
            };
            world.stores.orders.quarantine(vec![entry]).await.expect("a commit");
            databases().transaction_ended(Service::Orders);
        };
        set_aside("one").await;
        assert!(!databases().is_drained());
        databases().leased_nothing();
        assert!(databases().is_drained());
        databases().transaction_ended(Service::Orders);
        assert!(databases().is_drained(), "nothing has changed");
        set_aside("another one").await;
        assert!(!databases().is_drained());
    }
}
