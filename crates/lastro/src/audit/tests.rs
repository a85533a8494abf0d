//! The audit on real stores: two services with an order in every state are clean, and every kind of
//! damage is found.

use contract::{OrderId, Quantity};
use inventory_core::admin::Requester;
use inventory_core::decide as stock;
use inventory_core::stock::{RequestCause, RequestId};
use orders_core::changes::RequestKey;
use orders_core::decide as order;
use orders_core::money::Currency;
use orders_core::order::{OrderLine, PaymentTerms, Terms};
use platform::clock::{Clock, ManualClock, Timestamp};
use storage::postgres::{Roles, Server, Time, migrate};
use testbed::{fresh_database, write_past};

use super::*;

mod chaos;
mod permutations;

/// Both stores without a bus: the test passes the messages of one to the other.
struct Services {
    orders: Arc<dyn orders::store::OrderStore>,
    orders_audit: Arc<dyn OrderAuditStore>,
    inventory: Arc<dyn inventory::store::StockStore>,
    inventory_audit: Arc<dyn StockAuditStore>,
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

    /// The same on PostgreSQL, each service in a database of its own.
    async fn on_postgres() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(ManualClock::at(Timestamp(1_795_804_200_000_000)));
        let [orders, inventory] = [fresh_database().await, fresh_database().await];
        let server = |url: &str| Server::at(url, "the database", "test").expect("a URL");
        let roles = Roles { service: None, reader: None };
        migrate(&server(&orders), &orders::store::postgres::SCHEMA, roles).await.expect("new");
        let roles = Roles { service: None, reader: None };
        migrate(&server(&inventory), &inventory::store::postgres::SCHEMA, roles)
            .await
            .expect("new");
        let time = || Time::Given(clock.clone());
        let orders = orders::store::postgres::Postgres::open(server(&orders), time()).await;
        let orders = orders.expect("the database");
        let inventory =
            inventory::store::postgres::Postgres::open(server(&inventory), time()).await;
        let inventory = inventory.expect("the database");
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
    ) -> Option<contract::commands::AllocateStock> {
        let decided = self.orders.run(Arc::new([command]), order::decide).await.expect("executed");
        decided.into_iter().next().expect("one answer").publish
    }

    async fn stock(
        &self,
        command: stock::InventoryCommand,
    ) -> Option<contract::answers::StockAllocated> {
        let decided =
            self.inventory.run(Arc::new([command]), stock::decide).await.expect("executed");
        decided.into_iter().next().expect("one answer").publish
    }

    /// Executes an order command, hands the stock command to Inventory, and hands the answer back.
    async fn complete(&self, command: order::OrderCommand) {
        let command = self.order(command).await.expect("something to ask of the stock");
        let answer = self
            .stock(stock::InventoryCommand::Allocate(Box::new(command)))
            .await
            .expect("an answer");
        self.order(order::OrderCommand::Settle(Box::new(answer))).await;
    }

    async fn receive(&self, request: u8, units: u32) {
        let product_id: contract::ProductId = "mug".parse().expect("an id");
        let put = stock::PutProduct {
            product_id: product_id.clone(),
            name: "Mug".to_owned(),
            low_stock_at: None,
            precondition: stock::Precondition::None,
            requester: Requester::default(),
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
            requester: Requester::default(),
        })))
        .await;
    }

    async fn report(&self) -> Report {
        audit_once(self.orders_audit.clone(), self.inventory_audit.clone())
            .await
            .expect("both can be read")
    }
}

/// Services with orders in many states, a rejection for each reason, a tombstone, and an order that
/// was paid, shipped in part, cancelled in part and returned in part.
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
    for n in [9, 10] {
        services.complete(place_to_pay(n, "mug", 3)).await;
    }
    services.order(pay(10)).await;
    for change in [ship_one(10), cancel_one(10), return_one(10)] {
        services.complete(change).await;
    }
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
    let terms = Terms {
        customer_id: "1".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 100 * i64::from(units),
        lines: vec![line],
        payment: None,
    };
    let digest = contract::Intent::placed(terms.ordered()).digest();
    order::OrderCommand::Place(Box::new(order::Placement {
        order_id: id(n),
        key: None,
        terms,
        has_default_currency: false,
        digest,
        context: order::RequestContext::default(),
    }))
}

/// The same order, which waits for its payment.
fn place_to_pay(n: u128, product: &str, units: u32) -> order::OrderCommand {
    let order::OrderCommand::Place(mut placement) = place(n, product, units) else {
        unreachable!("it is a placement")
    };
    placement.terms.payment = Some(PaymentTerms { within_s: 60 });
    order::OrderCommand::Place(placement)
}

fn request(n: u128, request: order::OrderRequest) -> order::OrderCommand {
    let (request, context) = (Box::new(request), order::RequestContext::default());
    order::OrderCommand::Request { order_id: id(n), request, context }
}

fn cancel(n: u128) -> order::OrderCommand {
    request(n, order::OrderRequest::Cancel { reason: None })
}

fn fulfill(n: u128) -> order::OrderCommand {
    request(n, order::OrderRequest::Fulfill)
}

fn pay(n: u128) -> order::OrderCommand {
    request(n, order::OrderRequest::Pay { reference: "ch_1".to_owned(), amount_minor: None })
}

/// A shipment of one mug.
fn ship_one(n: u128) -> order::OrderCommand {
    let quantity = Quantity::new(1).expect("a quantity");
    let line = order::ShipmentLine { product_id: mug(), location_id: None, quantity };
    let lines = Some(vec![line]);
    request(n, order::OrderRequest::Ship { key: key("ship"), lines, tracking: None })
}

/// A cancellation of one mug.
fn cancel_one(n: u128) -> order::OrderCommand {
    let quantity = Quantity::new(1).expect("a quantity");
    let lines = vec![order::UnitsOfProduct { product_id: mug(), quantity }];
    request(n, order::OrderRequest::CancelLines { key: key("cancel"), lines, reason: None })
}

/// A return of one mug, to a location that Inventory does not know.
fn return_one(n: u128) -> order::OrderCommand {
    let line = order::ReturnLine {
        product_id: mug(),
        quantity: Quantity::new(1).expect("a quantity"),
        location_id: Some("closed".parse().expect("an id")),
        disposition: order::Disposition::Quarantine,
    };
    request(n, order::OrderRequest::Return { key: key("return"), lines: vec![line], reason: None })
}

fn mug() -> contract::ProductId {
    "mug".parse().expect("an id")
}

fn key(text: &str) -> RequestKey {
    RequestKey { key: text.to_owned(), digest: contract::Digest::of(text.as_bytes()) }
}

#[tokio::test]
async fn services_with_an_order_in_every_state_are_clean() {
    let report = busy_services().await.report().await;
    assert!(report.is_clean(), "{report}");
    let checked: Vec<u64> = report.findings().map(|(_, checked, _)| checked).collect();
    assert_eq!(checked, [13, 1, 9, 10, 19, 10, 2, 2, 19, 13, 45], "{report}");
    assert_eq!(report.backlog.commands, 2);
    assert!(report.to_string().contains("pending commands: 2, oldest 0.0 s"), "{report}");
}

#[test]
fn a_round_that_did_not_check_everything_is_not_clean() {
    let mut findings = Findings::default();
    findings.checked(INV_13, 29);
    findings.left_unchecked(INV_13, "entries were not counted");
    let mut report = Report::default();
    assert!(report.is_clean());
    report.absorb(findings);
    assert!(!report.is_clean() && report.has_no_violation());
    let printed = report.to_string();
    let says = INV_13.says;
    let lines = format!(
        "INV-13 PARTLY    {says} (29 journal entries)\n         entries were not counted\n"
    );
    assert!(printed.contains(&lines), "{printed}");
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
///
/// Orders 1 to 4 were reserved two units each; 1 was cancelled, 2 shipped, 3 is being cancelled. 5
/// was rejected for want of mugs, 6 because its product is unknown. 7 is received, and the
/// cancellation of 8 left a tombstone. 9 waits for its payment; of 10, which is paid, a unit was shipped
/// and came back, one was cancelled and one is held. Movements 1 and 2 are receipts.
fn damages() -> Vec<(&'static str, String, Invariant)> {
    [damages_of_stock(), damages_of_orders()].concat()
}

fn damages_of_stock() -> Vec<(&'static str, String, Invariant)> {
    let inventory = |sql: &str, invariant| ("inventory.db", sql.to_owned(), invariant);
    let reservation = |set: &str, order: u32, invariant| {
        let sql = format!("UPDATE reservations SET {set} WHERE order_id = x'{order:032x}'");
        ("inventory.db", sql, invariant)
    };
    vec![
        inventory("UPDATE movements SET reserved = 99 WHERE movement_no = 3", INV_2),
        inventory("UPDATE movements SET on_hand_delta = 11 WHERE movement_no = 1", INV_2),
        inventory("UPDATE movements SET previous = 1 WHERE movement_no = 3", INV_2),
        inventory("UPDATE movements SET previous_of_product = 1 WHERE movement_no = 3", INV_2),
        inventory("UPDATE movements SET seq = 9 WHERE movement_no = 3", INV_2),
        inventory("DELETE FROM movements WHERE movement_no = 4", INV_2),
        inventory("UPDATE stock SET on_hand = on_hand + 1", INV_2),
        inventory("UPDATE stock SET last_seq = last_seq - 1", INV_2),
        inventory("UPDATE stock SET last_movement = last_movement - 1", INV_2),
        inventory("UPDATE movements SET order_id = zeroblob(16) WHERE movement_no = 6", INV_3),
        inventory(
            "UPDATE movements SET order_id = x'00000000000000000000000000000004' WHERE movement_no = 5",
            INV_3,
        ),
        reservation("allocations = '[]'", 4, INV_3),
        reservation("allocations = '[]'", 4, INV_5),
        reservation("allocations = replace(allocations, ',2,0,0,', ',3,0,0,')", 4, INV_3),
        reservation("allocations = replace(allocations, ',2,0,0,', ',2,0,2,')", 4, INV_3),
        reservation("allocations = replace(allocations, '[6]', '[5]')", 4, INV_3),
        reservation("allocations = replace(allocations, '[6]', '[]')", 4, INV_3),
        reservation("shortages = NULL", 5, INV_5),
        reservation("shortages = replace(shortages, ',100,7,', ',100,1,')", 5, INV_8),
        reservation("shortages = replace(shortages, ',100,7,', ',2,7,')", 5, INV_8),
        reservation("digest = zeroblob(16)", 4, INV_5),
        reservation("revision = 2", 4, INV_5),
        inventory(
            "DELETE FROM reservations WHERE order_id = x'00000000000000000000000000000004'",
            INV_5,
        ),
    ]
}

fn damages_of_orders() -> Vec<(&'static str, String, Invariant)> {
    let order = |set: &str, number: u32, invariant| {
        ("orders.db", format!("UPDATE orders SET {set} WHERE order_no = {number}"), invariant)
    };
    let state = |set: &str, number: u32, invariant| {
        ("orders.db", format!("UPDATE order_states SET {set} WHERE order_no = {number}"), invariant)
    };
    vec![
        order("total_minor = 1", 1, INV_4),
        order("lines = replace(lines, ',2,', ',3,')", 1, INV_4),
        order("digest = zeroblob(16)", 4, INV_4),
        ("orders.db", "DELETE FROM orders WHERE order_no = 4".to_owned(), INV_5),
        state("status = 'rejected'", 4, INV_4),
        state("settled = 0", 4, INV_4),
        state("history = replace(history, '\"main\"', '\"shop\"')", 4, INV_5),
        state("history = replace(history, 'confirmed', 'rejected')", 1, INV_4),
        ("orders.db", "DELETE FROM order_states WHERE order_no = 4".to_owned(), INV_7),
        ("orders.db", "DELETE FROM pending_commands WHERE revision = 1".to_owned(), INV_7),
        ("orders.db", "UPDATE pending_commands SET revision = 7".to_owned(), INV_7),
        ("orders.db", "DELETE FROM payment_deadlines".to_owned(), INV_7),
        ("orders.db", "UPDATE payment_deadlines SET order_no = 10".to_owned(), INV_7),
        ("orders.db", "UPDATE payment_deadlines SET pay_by = pay_by - 1".to_owned(), INV_7),
        ("orders.db", "UPDATE payment_deadlines SET order_no = 99".to_owned(), INV_7),
        state("refund_due_minor = NULL", 10, INV_9),
        state("refund_due_minor = 99", 10, INV_9),
        state("history = replace(history, '\"amount\":300', '\"amount\":301')", 10, INV_9),
        state("history = replace(history, '\"closed\",0,1,0', '\"closed\",0,2,0')", 10, INV_10),
        state("history = replace(history, '\"closed\",0,1,0', '\"closed\",1,0,0')", 10, INV_5),
        state("history = replace(history, '\"main\"]]', '\"shop\"]]')", 10, INV_5),
    ]
}
