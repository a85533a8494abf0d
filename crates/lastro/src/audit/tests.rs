//! The audit on real stores: two services with an order in every state are clean, and every kind of
//! damage is found.

use contract::{OrderId, Quantity};
use inventory_core::decide as stock;
use inventory_core::stock::{RequestCause, RequestId};
use orders_core::decide as order;
use orders_core::money::Currency;
use orders_core::order::{OrderLine, Terms};
use platform::clock::{Clock, ManualClock, Timestamp};
use testbed::write_past;

use super::*;

mod chaos;
mod permutations;

/// Both stores without a bus: the test passes the messages of one to the other.
struct Services {
    orders: Arc<dyn orders::store::Store>,
    orders_audit: Arc<dyn OrdersStore>,
    inventory: Arc<dyn inventory::store::Store>,
    inventory_audit: Arc<dyn InventoryStore>,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Services {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(Timestamp(1_795_804_200_000_000)));
        let shared: Arc<dyn Clock> = clock.clone();
        let open = |name: &str| folder.path().join(name);
        let orders = orders::store::sqlite::Sqlite::open(&open("orders.db"), shared.clone())
            .expect("a new file");
        let inventory = inventory::store::sqlite::Sqlite::open(&open("inventory.db"), shared)
            .expect("a new file");
        Self {
            orders_audit: Arc::new(orders.audit()),
            orders: Arc::new(orders),
            inventory_audit: Arc::new(inventory.audit()),
            inventory: Arc::new(inventory),
            clock,
            folder,
        }
    }

    async fn order(
        &self,
        command: order::OrderCommand,
    ) -> Option<contract::commands::StockCommand> {
        let decided = self.orders.run(Arc::new([command]), order::decide).await.expect("executed");
        decided.into_iter().next().expect("one answer").publish
    }

    async fn stock(
        &self,
        command: stock::InventoryCommand,
    ) -> Option<contract::answers::StockAnswer> {
        let decided =
            self.inventory.run(Arc::new([command]), stock::decide).await.expect("executed");
        decided.into_iter().next().expect("one answer").publish
    }

    /// Executes an order command, hands the stock command to Inventory, and hands the answer back.
    async fn complete(&self, command: order::OrderCommand) {
        let command = self.order(command).await.expect("something to ask of the stock");
        let answer =
            self.stock(stock::InventoryCommand::Stock(Box::new(command))).await.expect("an answer");
        self.order(order::OrderCommand::Settle(Box::new(answer))).await;
    }

    async fn receive(&self, request: u8, units: u32) {
        let product_id: contract::ProductId = "mug".parse().expect("an id");
        let put = stock::PutProduct {
            product_id: product_id.clone(),
            name: "Mug".to_owned(),
            low_stock_at: None,
        };
        self.stock(stock::InventoryCommand::PutProduct(put)).await;
        self.stock(stock::InventoryCommand::Move(Box::new(stock::MovementRequest {
            product_id,
            location_id: contract::LocationId::main(),
            change: stock::Change::Receive(Quantity::new(units).expect("a quantity")),
            cause: RequestCause {
                request_id: RequestId([request; 16]),
                digest: contract::Digest([request; 16]),
                reason: None,
                reference: None,
                actor: None,
            },
        })))
        .await;
    }

    async fn report(&self) -> Report {
        audit_once(self.orders_audit.clone(), self.inventory_audit.clone())
            .await
            .expect("both can be read")
    }
}

/// Services with an order in every state, a rejection for each reason, and a tombstone.
async fn busy_services() -> Services {
    let services = Services::new();
    services.receive(1, 10).await;
    services.receive(2, 5).await;
    for n in 1..=4 {
        services.complete(place(n, "mug", 2)).await;
    }
    services.complete(place(5, "mug", 100)).await;
    services.complete(place(6, "unheard-of", 1)).await;
    services.complete(cancel(1)).await;
    services.complete(fulfill(2)).await;
    services.order(cancel(3)).await;
    services.order(place(7, "mug", 1)).await;
    services.order(place(8, "mug", 1)).await;
    services.complete(cancel(8)).await;
    services
}

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn place(n: u128, product: &str, units: u32) -> order::OrderCommand {
    let line = OrderLine {
        product_id: product.parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
        price_minor: 100,
    };
    let mut terms = Terms {
        customer_id: "1".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 100 * i64::from(units),
        lines: vec![line],
        digest: contract::Digest([0; 16]),
    };
    terms.digest = terms.stock_lines().digest();
    let request_digest = terms.digest;
    order::OrderCommand::Place(Box::new(order::Placement {
        order_id: id(n),
        key: None,
        request_digest,
        terms,
        traceparent: None,
    }))
}

fn cancel(n: u128) -> order::OrderCommand {
    order::OrderCommand::Cancel { order_id: id(n), reason: None, traceparent: None }
}

fn fulfill(n: u128) -> order::OrderCommand {
    order::OrderCommand::Fulfill { order_id: id(n), traceparent: None }
}

#[tokio::test]
async fn services_with_an_order_in_every_state_are_clean() {
    let report = busy_services().await.report().await;
    assert!(report.is_clean(), "{report}");
    let checked: Vec<u64> = report.findings().map(|(_, checked, _)| checked).collect();
    assert_eq!(checked, [8, 1, 1, 8, 15, 8, 2], "{report}");
    assert_eq!(report.backlog.commands, 2);
    assert!(report.to_string().contains("pending commands: 2, oldest 0.0 s"), "{report}");
}

#[tokio::test]
async fn every_kind_of_damage_is_found_and_named() {
    for (file, sql, invariant) in damages() {
        let services = busy_services().await;
        write_past(&services.folder.path().join(file), &sql);
        let report = services.report().await;
        assert!(report.tally(invariant).violations > 0, "{sql}\n{report}");
        assert!(report.to_string().contains("VIOLATED"), "{report}");
    }
}

/// Each damages one of the databases of [`busy_services`]: the file, the statement, the invariant.
fn damages() -> [(&'static str, String, Invariant); 20] {
    let order_1 = "order_id = x'00000000000000000000000000000001'";
    let order_2 = "order_id = x'00000000000000000000000000000002'";
    let order_4 = "order_id = x'00000000000000000000000000000004'";
    let order_5 = "order_id = x'00000000000000000000000000000005'";
    [
        ("inventory.db", "UPDATE movements SET reserved = 99 WHERE seq = 3".to_owned(), INV_2),
        (
            "inventory.db",
            "UPDATE movements SET reserved_delta = 99 WHERE seq = 3".to_owned(),
            INV_1,
        ),
        ("inventory.db", "DELETE FROM movements WHERE seq = 4".to_owned(), INV_2),
        ("inventory.db", "UPDATE stock SET on_hand = on_hand + 1".to_owned(), INV_2),
        ("inventory.db", "UPDATE stock SET last_seq = last_seq - 1".to_owned(), INV_2),
        ("inventory.db", format!("DELETE FROM allocations WHERE {order_2}"), INV_5),
        (
            "inventory.db",
            format!("UPDATE reservations SET shortages = '[]' WHERE {order_5}"),
            INV_8,
        ),
        ("inventory.db", format!("DELETE FROM allocations WHERE {order_4}"), INV_3),
        (
            "inventory.db",
            format!("UPDATE reservations SET state = 'shipped' WHERE {order_4}"),
            INV_5,
        ),
        (
            "inventory.db",
            format!("UPDATE reservations SET digest = zeroblob(16) WHERE {order_4}"),
            INV_5,
        ),
        ("inventory.db", format!("DELETE FROM reservations WHERE {order_4}"), INV_5),
        (
            "inventory.db",
            format!(
                "UPDATE reservations SET shortages = replace(shortages, '\"available\":7', '\"available\":1') WHERE {order_5}"
            ),
            INV_8,
        ),
        (
            "inventory.db",
            format!(
                "UPDATE reservations SET shortages = replace(shortages, '100', '3') WHERE {order_5}"
            ),
            INV_8,
        ),
        ("orders.db", format!("UPDATE orders SET status = 'rejected' WHERE {order_4}"), INV_4),
        ("orders.db", format!("DELETE FROM order_history WHERE {order_1} AND seq = 2"), INV_4),
        ("orders.db", format!("UPDATE orders SET total_minor = 1 WHERE {order_1}"), INV_4),
        ("orders.db", format!("UPDATE order_lines SET quantity = 3 WHERE {order_1}"), INV_5),
        ("orders.db", "DELETE FROM pending_commands WHERE kind = 'ReserveStock'".to_owned(), INV_7),
        ("orders.db", "UPDATE pending_commands SET kind = 'ShipStock'".to_owned(), INV_7),
        ("orders.db", format!("DELETE FROM orders WHERE {order_4}"), INV_5),
    ]
}
