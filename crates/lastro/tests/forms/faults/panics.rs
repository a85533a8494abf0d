//! Bugs in the services: a panic costs one request, or the process, and never an order.

use std::sync::Arc;

use testbed::{Deployment, Form, Load, PATIENCE, Random, WAIT, order, stocked};

tried_on!(every form:
    a_panic_in_a_handler_costs_its_request_and_nothing_else
    a_panic_in_a_committer_ends_the_process_and_loses_nothing
);

async fn a_panic_in_a_handler_costs_its_request_and_nothing_else(form: Form) {
    let shop = Deployment::in_form_with_fault(form, "panic orders.handling 2").await;
    shop.stock("MUG", 50).await;
    let mut verdicts = Vec::new();
    // Three requests for each program: the second request of the first program panics.
    let requests = 3 * shop.programs.orders.len();
    for _ in 0..requests {
        verdicts
            .push(shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await.verdict());
    }
    verdicts.sort_unstable();
    assert_eq!(verdicts, [vec!["200"; requests - 1], vec!["500 internal"]].concat());
    let sold = i64::try_from(requests - 1).expect("a few");
    assert_eq!(shop.levels("MUG").await, [50, sold, 50 - sold]);
    shop.must_verify().await;
}

async fn a_panic_in_a_committer_ends_the_process_and_loses_nothing(form: Form) {
    for point in ["orders.committed", "inventory.committed"] {
        let mut random = Random::seeded(point);
        let shop = Deployment::in_form_with_fault(
            form,
            &format!("panic {point} {}", 1 + random.below(20)),
        )
        .await;
        let shared = Arc::new(stocked(shop, 500).await);
        let load = Load::on(&shared, &mut random);
        testbed::eventually(PATIENCE, "a process ends", || async {
            shared.programs.one_has_ended().then_some(())
        })
        .await;
        let mut record = load.end().await;
        let mut shop = Arc::into_inner(shared).expect("no client is left");
        assert_eq!(shop.programs.exit_codes_of_ended().await, [Some(1)], "{}", shop.programs.log());
        shop.environment.fault = None;
        shop.restart_ended().await;
        record.check(&Arc::new(shop)).await;
    }
}
