//! Every order in which the messages of two orders can arrive, repeats included. Each permutation
//! has its own product, and the n-th messages of all permutations arrive as one batch.

use std::collections::BTreeMap;

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::*;

/// The number of orders in which six messages can arrive.
const PERMUTATIONS: u128 = 720;
/// The number of commands in one transaction.
const BATCH: usize = 500;

/// One of the two orders of a permutation.
#[derive(Clone, Copy)]
enum Which {
    A,
    B,
}
use Which::{A, B};

/// The requests for the two orders, and how often each of their commands arrives.
struct Scenario {
    /// Orders that are confirmed before anything else happens.
    confirmed: &'static [Which],
    cancelled: &'static [Which],
    fulfilled: &'static [Which],
    /// Each message is the first (0) or second (1) command of an order.
    messages: [(Which, usize); 6],
}

#[tokio::test]
async fn two_orders_for_one_unit_that_are_both_cancelled() {
    let messages = [(A, 0), (A, 0), (A, 1), (A, 1), (B, 0), (B, 1)];
    check(Scenario { confirmed: &[], cancelled: &[A, B], fulfilled: &[], messages }).await;
}

#[tokio::test]
async fn two_orders_for_one_unit_of_which_one_is_cancelled() {
    let messages = [(A, 0), (A, 0), (A, 1), (A, 1), (B, 0), (B, 0)];
    check(Scenario { confirmed: &[], cancelled: &[A], fulfilled: &[], messages }).await;
}

#[tokio::test]
async fn an_order_that_is_shipped_while_another_one_wants_its_unit() {
    let messages = [(A, 0), (A, 0), (A, 1), (A, 1), (B, 0), (B, 0)];
    check(Scenario { confirmed: &[A], cancelled: &[], fulfilled: &[A], messages }).await;
}

#[tokio::test]
async fn an_order_that_is_cancelled_after_it_was_confirmed_while_another_one_wants_its_unit() {
    let messages = [(A, 0), (A, 0), (A, 1), (A, 1), (B, 0), (B, 0)];
    check(Scenario { confirmed: &[A], cancelled: &[A], fulfilled: &[], messages }).await;
}

async fn check(scenario: Scenario) {
    let services = Services::new();
    let everyone: Vec<u128> = (0..PERMUTATIONS).collect();
    let number =
        |permutation: u128, which: Which| 2 * permutation + if matches!(which, A) { 1 } else { 2 };
    let of_all = |who: &[Which]| -> Vec<u128> {
        who.iter()
            .flat_map(|which| everyone.iter().map(|permutation| number(*permutation, *which)))
            .collect()
    };
    stock_one_each(&services).await;
    let reserves =
        ask(&services, of_all(&[A, B]).into_iter().map(|n| place(n, &product(n), 1)).collect())
            .await;
    let early = of_all(scenario.confirmed).into_iter().map(|n| reserves[&id(n)].clone());
    let mut answers = carry_out(&services, early.collect()).await;
    settle(&services, answers.clone()).await;
    let mut later =
        ask(&services, of_all(scenario.cancelled).into_iter().map(cancel).collect()).await;
    later.extend(
        ask(&services, of_all(scenario.fulfilled).into_iter().map(fulfill).collect()).await,
    );
    let sent = [reserves, later];
    for step in 0..6 {
        let arriving = everyone.iter().map(|permutation| {
            let (which, command_number) = scenario.messages[nth_permutation(*permutation)[step]];
            sent[command_number][&id(number(*permutation, which))].clone()
        });
        answers.extend(carry_out(&services, arriving.collect()).await);
        check_report(&services, &format!("after message {step}")).await;
    }
    // The last answer first, and then all answers again.
    settle(&services, answers.iter().rev().cloned().collect()).await;
    check_report(&services, "after the answers").await;
    settle(&services, answers).await;
    let report = services.report().await;
    assert!(report.is_clean(), "in the end\n{report}");
    assert_eq!(report.backlog.commands, 0, "everything was answered\n{report}");
}

/// Both orders of a permutation want the same product.
fn product(n: u128) -> String {
    format!("P{}", (n - 1) / 2)
}

/// The indices 0 to 5 in the order with the number `n` (its Lehmer code).
fn nth_permutation(mut n: u128) -> [usize; 6] {
    let mut left: Vec<usize> = (0..6).collect();
    std::array::from_fn(|at| {
        let width = 6 - at as u128;
        let index = usize::try_from(n % width).expect("an index");
        n /= width;
        left.remove(index)
    })
}

async fn stock_one_each(services: &Services) {
    let products: Vec<contract::ProductId> =
        (0..PERMUTATIONS).map(|n| format!("P{n}").parse().expect("an id")).collect();
    let puts = products.iter().map(|product_id| {
        let (product_id, name) = (product_id.clone(), "one of its kind".to_owned());
        stock::InventoryCommand::PutProduct(stock::PutProduct {
            product_id,
            name,
            low_stock_at: None,
            precondition: stock::Precondition::None,
            requester: Requester::default(),
        })
    });
    let receipts = products.iter().zip(1_u128..).map(|(product_id, n)| {
        let cause = RequestCause {
            request_id: RequestId(n.to_be_bytes()),
            digest: contract::Digest(n.to_be_bytes()),
            reason: None,
            reference: None,
            actor: None,
        };
        let (product_id, location_id) = (product_id.clone(), contract::LocationId::main());
        let change = stock::Change::Receive(Quantity::new(1).expect("a quantity"));
        stock::InventoryCommand::Move(Box::new(stock::MovementRequest {
            product_id,
            location_id,
            change,
            cause,
            requester: Requester::default(),
        }))
    });
    let commands: Vec<_> = puts.chain(receipts).collect();
    for batch in commands.chunks(BATCH) {
        services.inventory.run(batch.into(), stock::decide).await.expect("executed");
    }
}

/// Requests these changes, and returns the commands that the Order Service sends.
async fn ask(
    services: &Services,
    commands: Vec<order::OrderCommand>,
) -> BTreeMap<OrderId, AllocateStock> {
    let mut sent = BTreeMap::new();
    for batch in commands.chunks(BATCH) {
        let decided = services.orders.run(batch.into(), order::decide).await.expect("executed");
        let published = decided.into_iter().map(|one| one.publish.expect("a command"));
        sent.extend(published.map(|command| (command.order_id, command)));
    }
    sent
}

async fn carry_out(services: &Services, commands: Vec<AllocateStock>) -> Vec<StockAllocated> {
    let commands: Vec<_> = commands
        .into_iter()
        .map(|command| stock::InventoryCommand::Allocate(Box::new(command)))
        .collect();
    let mut answers = Vec::new();
    for batch in commands.chunks(BATCH) {
        let decided = services.inventory.run(batch.into(), stock::decide).await.expect("executed");
        answers
            .extend(decided.into_iter().map(|one| one.publish.expect("an answer, and no anomaly")));
    }
    answers
}

async fn settle(services: &Services, answers: Vec<StockAllocated>) {
    let commands: Vec<_> =
        answers.into_iter().map(|answer| order::OrderCommand::Settle(Box::new(answer))).collect();
    for batch in commands.chunks(BATCH) {
        let decided = services.orders.run(batch.into(), order::decide).await.expect("executed");
        let anomalies =
            decided.iter().filter(|one| matches!(one.outcome, order::OrderOutcome::Anomaly(_)));
        assert_eq!(anomalies.count(), 0, "an anomaly");
    }
}

async fn check_report(services: &Services, when: &str) {
    let report = services.report().await;
    assert!(report.is_clean(), "{when}\n{report}");
}
