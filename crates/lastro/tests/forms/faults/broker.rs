//! The broker is away, wiped, paused or cut off, and every single order is still accepted.

use std::sync::Arc;

use testbed::{
    Deployment, Form, Load, Nats, Operator, PATIENCE, Random, eventually, order, stocked,
};

tried_on!(forms with a broker:
    orders_are_accepted_while_the_broker_is_away_at_the_start
    a_broker_that_dies_under_load_costs_no_order
    a_broker_that_is_wiped_under_load_costs_no_order
    streams_and_consumers_deleted_under_load_cost_no_order
    a_broker_that_stands_still_under_load_costs_no_order_and_no_memory
);

tried_on!(forms of separate services:
    an_inventory_that_is_cut_off_from_the_broker_costs_no_order
    an_inventory_that_is_away_costs_no_order
);

/// The number of orders that are accepted before, during and after each fault.
const ORDERS: u64 = 150;
/// How much a process may grow while the broker takes no messages.
const MAX_GROWTH_BYTES: u64 = 64 << 20;

/// A shop under load, and its broker, which the test may break.
struct Busy {
    shop: Arc<Deployment>,
    broker: Nats,
    load: Load,
}

impl Busy {
    async fn at(shop: Deployment, test: &str) -> Self {
        let mut shop = stocked(shop, 100_000).await;
        let broker = shop.environment.broker.take().expect("the form has a broker");
        let shop = Arc::new(shop);
        let load = Load::on(&shop, &mut Random::seeded(test));
        let busy = Self { shop, broker, load };
        busy.accepts_more().await;
        busy
    }

    /// Waits until more orders are accepted.
    async fn accepts_more(&self) {
        self.load.has_accepted(self.load.accepted() + ORDERS).await;
    }

    /// Checks after the fault that no order was refused or lost, and that all of them settle.
    async fn check(self) {
        self.accepts_more().await;
        let mut record = self.load.end_with_nothing_refused().await;
        record.check(&self.shop).await;
        let anomalies = self.shop.metrics().await;
        let mut anomalies = anomalies.lines().filter(|line| line.starts_with("anomalies_total{"));
        assert!(anomalies.all(|line| line.ends_with(" 0")), "an anomaly");
    }
}

async fn orders_are_accepted_while_the_broker_is_away_at_the_start(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1000).await;
    shop.environment.broker.as_mut().expect("a broker").kill().await;
    shop.reopen().await;
    let mut ids = Vec::new();
    for _ in 0..ORDERS {
        ids.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
    let ready = eventually(PATIENCE, "it tells that it is degraded", || async {
        Some(shop.get("/readyz").await.ok()).filter(|ready| ready["status"] == "degraded")
    });
    let reported = ready.await["checks"].to_string();
    assert!(
        reported.contains("the broker cannot be reached; messages wait and are sent later"),
        "{reported}"
    );
    shop.environment.broker.as_mut().expect("a broker").restart().await;
    for id in ids {
        shop.order_once(&id, "confirmed").await;
    }
    shop.must_verify().await;
}

async fn a_broker_that_dies_under_load_costs_no_order(form: Form) {
    let mut busy = Busy::at(Deployment::in_form(form).await, "broker dies").await;
    for _ in 0..2 {
        busy.broker.kill().await;
        busy.accepts_more().await;
        busy.broker.restart().await;
        busy.accepts_more().await;
    }
    busy.check().await;
}

async fn a_broker_that_is_wiped_under_load_costs_no_order(form: Form) {
    let mut busy = Busy::at(Deployment::in_form(form).await, "broker wiped").await;
    for _ in 0..2 {
        busy.broker.wipe().await;
        busy.accepts_more().await;
    }
    busy.check().await;
}

async fn streams_and_consumers_deleted_under_load_cost_no_order(form: Form) {
    let busy = Busy::at(Deployment::in_form(form).await, "deleted").await;
    let operator = Operator::of(&busy.broker).await;
    operator.delete_consumers().await;
    busy.accepts_more().await;
    operator.delete_streams().await;
    busy.accepts_more().await;
    operator.delete_consumers().await;
    busy.check().await;
}

async fn a_broker_that_stands_still_under_load_costs_no_order_and_no_memory(form: Form) {
    let busy = Busy::at(Deployment::in_form(form).await, "broker paused").await;
    let memory = busy.shop.programs.resident_bytes();
    busy.broker.pause().await;
    for _ in 0..3 {
        busy.accepts_more().await;
    }
    let grown = busy.shop.programs.resident_bytes().saturating_sub(memory);
    busy.broker.resume();
    assert!(grown < MAX_GROWTH_BYTES, "memory has grown by {grown} bytes");
    busy.check().await;
}

async fn an_inventory_that_is_cut_off_from_the_broker_costs_no_order(form: Form) {
    let busy = Busy::at(Deployment::in_form_with_link(form).await, "cut off").await;
    let link = busy.shop.environment.link.as_ref().expect("a link");
    link.cut();
    busy.accepts_more().await;
    link.mend();
    busy.accepts_more().await;
    link.hold_up();
    busy.accepts_more().await;
    link.mend();
    busy.check().await;
}

async fn an_inventory_that_is_away_costs_no_order(form: Form) {
    let busy = Busy::at(Deployment::in_form_with_link(form).await, "inventory away").await;
    assert!(busy.shop.programs.kill_inventory());
    busy.accepts_more().await;
    let Busy { shop, broker, load } = busy;
    // The clients must release the shop before its programs can be changed.
    let mut record = load.end_with_nothing_refused().await;
    let mut shop = Arc::into_inner(shop).expect("no client is left");
    shop.environment.broker = Some(broker);
    shop.restart_ended().await;
    record.check(&Arc::new(shop)).await;
}
