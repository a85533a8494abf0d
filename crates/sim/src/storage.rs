//! The replicas' stores: the real stores behind the faults of a port.

use std::sync::Arc;

use async_trait::async_trait;
use contract::commands::AllocateStock;
use contract::{OrderId, ProductId};
use inventory::store::{
    HolderFilter, HolderPage, MovementAudit, MovementFilter, ProductFilter, StockAudit,
    StockAuditStore, StockEntry, StockFeedStore, StockPosition, StockStore, Stored,
};
use inventory_core::decide::{DecideInventory, DecidedInventory, InventoryCommand, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use orders::store::{
    Backlog, DeadlineLease, Filter, Lease, LeasedDeadlines, MadeDue, MadeEntry, OrderAudit,
    OrderAuditStore, OrderFeedStore, OrderHeader, OrderStore, OrderSummary, OrderView, Overdue,
    PendingFilter, PendingPage, ReadOrder, RowAudit, RowKey,
};
use orders_core::decide::{DecideOrders, DecidedOrder, OrderCommand, Receipt};
use platform::admin::Requester;
use platform::failure::{Chain, Failure};
use platform::journal::{Journal, Numbers, Position, Recorded};
use platform::quarantine::{QuarantineKind, Quarantined};

use crate::coverage::{self, Work};
use crate::describe;
use crate::node::Service;
use crate::port::About;
use crate::pre_state::PreState;
use crate::spoil;
use crate::states::broken;
use crate::world::World;
use side::{OfOrders, OfStock, SidePort};

mod journal_audit;
mod side;

pub(crate) type OrdersPort = SidePort<OfOrders>;
pub(crate) type StockPort = SidePort<OfStock>;

#[async_trait]
impl OrderStore for OrdersPort {
    fn parallel_batches(&self) -> usize {
        self.port.world.config.committers
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        _: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        let world = self.port.world.clone();
        let node = self.port.node;
        let works = batch.iter().map(Work::of_order).collect();
        let about = About { what: "a batch", rows: order_rows(&batch), works };
        let work = async move {
            let run = world.stores.orders.run(batch.clone(), coverage::decide_orders);
            let decided = ended(&world, Service::Orders, run.await)?;
            world.trace.event(|| format!("{node} commits {}", describe::orders(&batch, &decided)));
            let ids = decided
                .iter()
                .filter_map(|one| describe::receipt(&one.outcome))
                .map(|receipt| receipt.order_id);
            world.monitor.check_orders(ids.chain(batch.iter().map(OrderCommand::order_id)));
            Ok(decided)
        };
        self.port.transact(about, Box::pin(work)).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        let world = self.port.world.clone();
        let node = self.port.node;
        let work = async move {
            // Sweepers try again and again while nothing is pending.
            if world.monitor.databases().is_drained() {
                return Ok(Vec::new());
            }
            let commands = ended(&world, Service::Orders, world.stores.orders.lease(lease).await)?;
            if commands.is_empty() {
                world.monitor.databases().leased_nothing();
            }
            if let Some(first) = commands.first() {
                world.trace.event(|| {
                    format!(
                        "{node} leases {} commands, revision {} of {}",
                        commands.len(),
                        first.intent.revision,
                        first.order_id
                    )
                });
            }
            world.monitor.check_orders(commands.iter().map(|command| command.order_id));
            world.repairs.count(|repairs| repairs.resent += commands.len());
            Ok(commands)
        };
        self.port.transact(About::own("a lease"), Box::pin(work)).await
    }

    async fn lease_deadlines(&self, lease: DeadlineLease) -> Result<LeasedDeadlines, Failure> {
        let world = self.port.world.clone();
        let node = self.port.node;
        let work = async move {
            // Workers look again and again while no order waits for its payment.
            if world.monitor.databases().deadlines() == 0 {
                return Ok(LeasedDeadlines::default());
            }
            let leased = world.stores.orders.lease_deadlines(lease).await;
            let leased = ended(&world, Service::Orders, leased)?;
            if leased.taken() > 0 {
                world.trace.event(|| format!("{node} leases {} deadlines", leased.taken()));
            }
            world.monitor.check_orders(leased.due.iter().map(|due| due.order_id));
            Ok(leased)
        };
        let leased = self.port.transact(About::own("a lease of deadlines"), Box::pin(work)).await;
        if leased.as_ref().is_ok_and(|leased| leased.taken() > 0) {
            self.port.freeze().await;
        }
        leased
    }

    async fn overdue(&self) -> Result<Overdue, Failure> {
        let found = self.port.world.stores.orders.overdue();
        self.port.read("counting deadlines", found).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        let world = self.port.world.clone();
        let work = async move {
            let quarantine = world.stores.orders.quarantine(entries.clone());
            let not_kept = ended(&world, Service::Orders, quarantine.await)?;
            check_quarantined(&world, Service::Orders, &entries);
            Ok(not_kept)
        };
        self.port.transact(About::own("setting aside"), Box::pin(work)).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure> {
        let found = self.port.world.stores.orders.order(order_id);
        self.port.read("looking an order up", found).await
    }

    async fn header(&self, order_id: OrderId) -> Result<Option<OrderHeader>, Failure> {
        let found = self.port.world.stores.orders.header(order_id);
        self.port.read("looking a header up", found).await
    }

    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure> {
        let found = self.port.world.stores.orders.receipt(order_id);
        self.port.read("looking a receipt up", found).await
    }

    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure> {
        let found = self.port.world.stores.orders.orders(filter);
        self.port.read("listing orders", found).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let found = self.port.world.stores.orders.backlog();
        self.port.read("counting the backlog", found).await
    }

    async fn refunds_due(&self, limit: u32) -> Result<u64, Failure> {
        let found = self.port.world.stores.orders.refunds_due(limit);
        self.port.read("counting what is owed", found).await
    }

    async fn pending(&self, filter: PendingFilter) -> Result<PendingPage, Failure> {
        let found = self.port.world.stores.orders.pending(filter);
        self.port.read("listing pending commands", found).await
    }

    async fn make_due(&self, order_id: OrderId, requester: Requester) -> Result<MadeDue, Failure> {
        let world = self.port.world.clone();
        let work = async move {
            let made_due = world.stores.orders.make_due(order_id, requester);
            ended(&world, Service::Orders, made_due.await)
        };
        self.port.transact(About::own("making due"), Box::pin(work)).await
    }
}

#[async_trait]
impl OrderFeedStore for OrdersPort {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
        let found = self.port.world.stores.orders_feed.made(from, limit);
        self.port.read("reading the journal", found).await
    }

    async fn views(&self, entries: Vec<MadeEntry>) -> Result<Vec<ReadOrder>, Failure> {
        let found = self.port.world.stores.orders_feed.views(entries);
        self.port.read("reading the journal", found).await
    }
}

#[async_trait]
impl Journal for OrdersPort {
    async fn number(&self) -> Result<Numbers, Failure> {
        let journal = self.port.world.stores.orders_journal.clone();
        let work = async move { journal.number().await };
        self.port.transact(About::own("numbering"), Box::pin(work)).await
    }
}

#[async_trait]
impl StockFeedStore for StockPort {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockEntry>>, Failure> {
        let found = self.port.world.stores.inventory_feed.made(from, limit);
        self.port.read("reading the journal", found).await
    }
}

#[async_trait]
impl Journal for StockPort {
    async fn number(&self) -> Result<Numbers, Failure> {
        let journal = self.port.world.stores.inventory_journal.clone();
        let work = async move { journal.number().await };
        self.port.transact(About::own("numbering"), Box::pin(work)).await
    }
}

#[async_trait]
impl OrderAuditStore for OrdersPort {
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure> {
        let found = self.port.world.stores.orders_audit.orders_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        let found = self.port.world.stores.orders_audit.order_ids_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        let found = self.port.world.stores.orders_audit.last_order_id();
        self.port.read("auditing", found).await
    }

    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        let found = self.port.world.stores.orders_audit.orders_by_id(order_ids);
        self.port.read("auditing", found).await
    }

    async fn pending_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        let found = self.port.world.stores.orders_audit.pending_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_pending(&self) -> Result<Option<RowKey>, Failure> {
        let found = self.port.world.stores.orders_audit.last_pending();
        self.port.read("auditing", found).await
    }

    async fn deadlines_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        let found = self.port.world.stores.orders_audit.deadlines_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_deadline(&self) -> Result<Option<RowKey>, Failure> {
        let found = self.port.world.stores.orders_audit.last_deadline();
        self.port.read("auditing", found).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let found = self.port.world.stores.orders_audit.backlog();
        self.port.read("auditing", found).await
    }
}

#[async_trait]
impl StockStore for StockPort {
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        _: DecideInventory,
    ) -> Result<Vec<DecidedInventory>, Failure> {
        let world = self.port.world.clone();
        let node = self.port.node;
        let works = batch.iter().filter_map(Work::of_stock).collect();
        let about = About { what: "a batch", rows: stock_rows(&batch), works };
        let work = async move {
            let pre_state = PreState::before(&world.monitor.databases(), &batch);
            let run = world.stores.inventory.run(batch.clone(), coverage::decide_stock);
            let decided = ended(&world, Service::Inventory, run.await)?;
            world.trace.event(|| format!("{node} commits {}", describe::stock(&batch, &decided)));
            let ids = batch.iter().filter_map(|command| match command {
                InventoryCommand::Allocate(command) => Some(command.order_id),
                _ => None,
            });
            world.monitor.check_orders(ids);
            world.monitor.check_stock();
            world.monitor.require(pre_state.check(&world.monitor.databases(), &batch, &decided));
            Ok(decided)
        };
        self.port.transact(about, Box::pin(work)).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        let world = self.port.world.clone();
        let work = async move {
            let quarantine = world.stores.inventory.quarantine(entries.clone());
            let not_kept = ended(&world, Service::Inventory, quarantine.await)?;
            check_quarantined(&world, Service::Inventory, &entries);
            Ok(not_kept)
        };
        self.port.transact(About::own("setting aside"), Box::pin(work)).await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        let found = self.port.world.stores.inventory.product(product_id);
        self.port.read("looking a product up", found).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        let found = self.port.world.stores.inventory.products(filter);
        self.port.read("listing products", found).await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        let found = self.port.world.stores.inventory.movements(filter);
        self.port.read("listing movements", found).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        let found = self.port.world.stores.inventory.reservation(order_id);
        self.port.read("looking a reservation up", found).await
    }

    async fn holders(&self, filter: HolderFilter) -> Result<Option<HolderPage>, Failure> {
        let found = self.port.world.stores.inventory.holders(filter);
        self.port.read("listing holders", found).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        let found = self.port.world.stores.inventory.locations();
        self.port.read("listing locations", found).await
    }
}

#[async_trait]
impl StockAuditStore for StockPort {
    async fn movements_after(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored<i64, MovementAudit>>, Failure> {
        let found = self.port.world.stores.inventory_audit.movements_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_movement(&self) -> Result<Option<i64>, Failure> {
        let found = self.port.world.stores.inventory_audit.last_movement();
        self.port.read("auditing", found).await
    }

    async fn movements_by_number(
        &self,
        numbers: Vec<i64>,
    ) -> Result<Vec<Stored<i64, Movement>>, Failure> {
        let found = self.port.world.stores.inventory_audit.movements_by_number(numbers);
        self.port.read("auditing", found).await
    }

    async fn stock_after(
        &self,
        after: Option<StockPosition>,
        limit: u32,
    ) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure> {
        let found = self.port.world.stores.inventory_audit.stock_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_stock(&self) -> Result<Option<StockPosition>, Failure> {
        let found = self.port.world.stores.inventory_audit.last_stock();
        self.port.read("auditing", found).await
    }

    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        let found = self.port.world.stores.inventory_audit.reservations_after(after, limit);
        self.port.read("auditing", found).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        let found = self.port.world.stores.inventory_audit.last_order_id();
        self.port.read("auditing", found).await
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        let found = self.port.world.stores.inventory_audit.reservations_by_id(order_ids);
        self.port.read("auditing", found).await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        let found = self.port.world.stores.inventory_audit.known_products(product_ids);
        self.port.read("auditing", found).await
    }
}

/// Passes the result of a transaction on, once the monitor knows that it has ended.
fn ended<T>(world: &World, service: Service, result: Result<T, Failure>) -> Result<T, Failure> {
    world.monitor.databases().transaction_ended(service);
    if let Err(failure) = &result {
        world.trace.event(|| format!("the database of {service:?} fails: {}", Chain(failure)));
    }
    result
}

/// The rows that a batch of orders locks before it decides.
fn order_rows(batch: &[OrderCommand]) -> Vec<String> {
    let keys = batch.iter().filter_map(|command| command.key().map(ToOwned::to_owned));
    keys.chain(batch.iter().map(|command| command.order_id().to_string())).collect()
}

/// The rows that a batch of stock locks before it decides.
fn stock_rows(batch: &[InventoryCommand]) -> Vec<String> {
    let Touched { orders, requests, products, changes_locations } = Touched::by(batch);
    let orders = orders.iter().map(ToString::to_string);
    let products = products.iter().map(ToString::to_string);
    let requests = requests.iter().map(|request| format!("{request:?}"));
    let locations = changes_locations.then(|| "all locations".to_owned());
    orders.chain(products).chain(requests).chain(locations).collect()
}

/// Entries of the quarantine that are committed must be in the database, and only forged messages
/// are anomalies.
fn check_quarantined(world: &World, service: Service, entries: &[Quarantined]) {
    for entry in entries {
        let Quarantined { kind, subject, reason, bytes } = entry;
        world.trace.event(|| format!("set aside: {kind} {subject:?}, {reason}"));
        if !world.monitor.databases().has_quarantined(service, entry) {
            let what = format!("{entry:?} was set aside and is not there");
            world.monitor.require(broken("R16", what));
        }
        if *kind == QuarantineKind::Anomaly {
            if !spoil::are_forged(bytes) {
                let what = format!("a genuine message is an anomaly: {entry:?}");
                world.monitor.require(broken("R22", what));
            }
            coverage::mark(match service {
                Service::Orders => "a forged answer that is set aside",
                Service::Inventory => "a forged command that is set aside",
            });
        }
        world.repairs.quarantined(entry);
    }
}
