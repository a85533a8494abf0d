//! Starts a replica: the service's own code assembles it, on the ports of this world.

use std::sync::Arc;
use std::time::Duration;

use inventory::audit::InventoryAudit;
use orders::audit::OrdersAudit;
use orders::worker::deadlines::Deadlines;
use orders::worker::sweep::Sweeper;
use orders_core::money::Currency;
use platform::audit::{Audit, Findings, JournalAudit, ReadBudget, Violation};
use platform::failure::Failure;
use platform::journal::Numbering;
use tokio_util::sync::CancellationToken;
use web::program::Context;

use crate::connection::Connection;
use crate::coverage;
use crate::node::{Node, NodeIds, Service};
use crate::port::Port;
use crate::random::Random;
use crate::states::broken;
use crate::storage::{OrdersPort, StockPort};
use crate::world::World;

/// The pause between two steps of an audit.
const AUDIT_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn boot(world: &Arc<World>, node: Node) {
    let life = world.replicas.count_start(node);
    world.trace.event(|| format!("{node} starts, for the {life}. time"));
    let clock = world.clocks.of(node);
    let random = Random::of(world.config.seed, &format!("{node}, life {life}"));
    let ids = Arc::new(NodeIds::new(clock.clone(), random));
    let mut context = Context::new(clock, ids.clone());
    let port = Port::of(world.clone(), node);
    let router = match node.service {
        Service::Orders => start_orders(&port, &mut context),
        Service::Inventory => start_inventory(&port, &mut context),
    };
    world.replicas.serve(node, (world.wrappers.router)(router, &ids));
}

fn start_orders(port: &Port, context: &mut Context) -> axum::Router {
    let wrappers = &port.world.wrappers;
    let bus = (wrappers.bus)(Connection::of(port.clone()));
    let store = (wrappers.orders_store)(Arc::new(OrdersPort::of(port.clone())), &bus);
    let audit_store = Arc::new(OrdersPort::of(port.clone()));
    let pairing = port.world.pairing(Service::Orders).clone();
    let database = orders::Opened {
        store,
        audit: audit_store.clone(),
        feed: audit_store.clone(),
        journal: audit_store,
        pairing,
        // Only operators read them, and the clients of this world are none.
        quarantine: port.world.stores.orders_quarantine.clone(),
        admin_log: port.world.stores.orders_admin_log.clone(),
    };
    let (audits, currency) = (Vec::new(), Currency::BRL);
    let dependencies = orders::Dependencies { database, bus, audits, currency };
    let parts = orders::assemble(dependencies, context);
    let forever = CancellationToken::new;
    for _ in 0..port.world.config.committers {
        work(port, "the committer", parts.committer.clone().run(forever()));
    }
    work(port, "the consumer", parts.consumer.run(forever()));
    work(port, "the listener", parts.listener.run(forever()));
    work(port, "the sweeper", sweep(port.clone(), parts.sweeper));
    work(port, "the deadlines", expire(port.clone(), parts.deadlines));
    work(port, "the numbering", number(port.clone(), parts.numbering));
    let orders_audit = OrdersAudit::new(Arc::new(OrdersPort::of(port.clone())), ReadBudget::SHORT);
    work(port, "the auditor", audit(port.clone(), Box::new(orders_audit)));
    let journal_audit =
        JournalAudit::new(Arc::new(OrdersPort::of(port.clone())), ReadBudget::SHORT);
    work(port, "the auditor of the journal", audit(port.clone(), Box::new(journal_audit)));
    let relay = parts.relay.run(forever());
    work(port, "the relay", async { relay.await.map_err(|never| match never {}) });
    parts.api.router
}

fn start_inventory(port: &Port, context: &mut Context) -> axum::Router {
    let bus = (port.world.wrappers.bus)(Connection::of(port.clone()));
    let store = Arc::new(StockPort::of(port.clone()));
    let pairing = port.world.pairing(Service::Inventory).clone();
    let database = inventory::Opened {
        store: store.clone(),
        audit: store.clone(),
        feed: store.clone(),
        journal: store,
        pairing,
        quarantine: port.world.stores.inventory_quarantine.clone(),
        admin_log: port.world.stores.inventory_admin_log.clone(),
    };
    let parts = inventory::assemble(inventory::Dependencies { database, bus }, context);
    let forever = CancellationToken::new;
    work(port, "the committer", parts.committer.run(forever()));
    work(port, "the consumer", parts.consumer.run(forever()));
    work(port, "the numbering", number(port.clone(), parts.numbering));
    let stock_audit = InventoryAudit::new(Arc::new(StockPort::of(port.clone())), ReadBudget::SHORT);
    work(port, "the auditor", audit(port.clone(), Box::new(stock_audit)));
    let journal_audit = JournalAudit::new(Arc::new(StockPort::of(port.clone())), ReadBudget::SHORT);
    work(port, "the auditor of the journal", audit(port.clone(), Box::new(journal_audit)));
    let relay = parts.relay.run(forever());
    work(port, "the relay", async { relay.await.map_err(|never| match never {}) });
    parts.api.router
}

/// Runs a worker. As in a real process, a worker that fails ends the process (R18).
fn work(
    port: &Port,
    name: &'static str,
    worker: impl Future<Output = Result<(), Failure>> + Send + 'static,
) {
    let world = port.world.clone();
    let node = port.node;
    port.world.executor.spawn(Some(node), async move {
        if worker.await.is_err() {
            coverage::mark("a process that ends because its storage failed");
            world.crash(node, name);
        }
    });
}

/// Runs the sweeper's ticks by a timer alone. Its own loop waits for answers as well.
async fn sweep(port: Port, sweeper: Sweeper) -> Result<(), Failure> {
    let pause = Duration::from_millis(port.world.config.sweep_pause_ms);
    loop {
        tokio::time::sleep(port.world.trace.stretch(pause)).await;
        if let Err(failure @ Failure::Fatal(_)) = sweeper.tick().await {
            return Err(failure);
        }
    }
}

/// Runs the ticks of the deadlines by a timer alone, so that idle days pass quickly.
async fn expire(port: Port, deadlines: Deadlines) -> Result<(), Failure> {
    let pause = Duration::from_millis(port.world.config.sweep_pause_ms);
    loop {
        tokio::time::sleep(port.world.trace.stretch(pause)).await;
        if let Err(failure @ Failure::Fatal(_)) = deadlines.tick().await {
            return Err(failure);
        }
    }
}

/// Runs the ticks of the numbering by a timer alone. Here a transaction numbers its own row, so they
/// change nothing.
async fn number(port: Port, numbering: Numbering) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(port.world.trace.stretch(AUDIT_PAUSE)).await;
        if let Err(failure @ Failure::Fatal(_)) = numbering.tick().await {
            return Err(failure);
        }
    }
}

/// Runs the service's own audit, step by step. A finding is either a violation or a false alarm;
/// both fail the world.
async fn audit(port: Port, mut auditor: Box<dyn Audit>) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(port.world.trace.stretch(AUDIT_PAUSE)).await;
        let mut findings = Findings::default();
        if let Err(failure @ Failure::Fatal(_)) = auditor.step(&mut findings).await {
            return Err(failure);
        }
        for Violation { invariant, offender } in findings.violations {
            port.world
                .monitor
                .require(broken(invariant.name, format!("the audit of {}: {offender}", port.node)));
        }
    }
}
