//! Clocks that jump by hours and years, stand still and differ, in every form: only delays change.

use std::sync::Arc;

use testbed::{
    CLOCK_STATES, ClockState, Deployment, Environment, Form, Load, PATIENCE, Random, YEAR,
    clocks_for, order, parse_time, set_clocks, stocked,
};

tried_on!(every form:
    clocks_that_jump_stand_still_and_differ_cost_no_order
    what_was_lost_before_a_clock_jumped_is_sent_again_after
);

const STOCK: u32 = 1_000_000;
/// The number of orders that are accepted in each state of the clocks.
const ORDERS: u64 = 150;
async fn clocks_that_jump_stand_still_and_differ_cost_no_order(form: Form) {
    let environment = Environment { clocks: clocks_for(form), ..Environment::of(form).await };
    let shop = Arc::new(stocked(Deployment::open_as(form, environment).await, STOCK).await);
    let load = Load::on(&shop, &mut Random::seeded("clocks"));
    load.has_accepted(ORDERS).await;
    for state in CLOCK_STATES {
        set_clocks(&shop, state).await;
        load.has_accepted(load.accepted() + ORDERS).await;
        if form.has_files() {
            // The program's clock determines the stored times, and not only those of the log.
            let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
            let created_at = shop.order(&id).await["created_at"].as_str().and_then(parse_time);
            assert!(
                created_at.is_some_and(|at| state[0].explains(at)),
                "{state:?}: {created_at:?}"
            );
        }
    }
    load.end_with_nothing_refused().await.check(&shop).await;
    let metrics = shop.metrics().await;
    assert!(
        metrics
            .lines()
            .filter(|line| line.starts_with("anomalies_total{"))
            .all(|line| line.ends_with(" 0"))
    );
}

/// A lost command is due to be sent again after the clock has jumped: it may be sent early, but not
/// late.
async fn what_was_lost_before_a_clock_jumped_is_sent_again_after(form: Form) {
    let environment = Environment { clocks: clocks_for(form), ..Environment::of(form).await };
    let mut shop = stocked(Deployment::open_as(form, environment).await, STOCK).await;
    for hours in [1, -1, YEAR, -YEAR] {
        let held = shop.hold_inventory().await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
        }
        shop.programs.kill();
        shop.programs.ended(PATIENCE).await;
        drop(held);
        if let Some(broker) = &mut shop.environment.broker {
            broker.wipe().await;
        }
        shop.environment.clocks.iter().for_each(|clock| ClockState::Off(hours).set(clock));
        shop.reopen().await;
        set_clocks(&shop, [ClockState::Off(hours); 2]).await;
        for id in ids {
            shop.order_once(&id, "confirmed").await;
        }
    }
    shop.must_verify().await;
}
