use proptest::prelude::*;

use super::stock::Stock;
use super::*;

/// Commands with few names, so that duplicates, replays and contradictions are frequent.
fn any_command() -> impl Strategy<Value = InventoryCommand> {
    let product = prop::sample::select(vec!["MUG", "TEE", "PIN"]);
    let location = prop::sample::select(vec!["main", "SHOP", "BARN"]);
    let verb = prop::sample::select(vec!["place", "cancel", "fulfill"]);
    let change = prop_oneof![
        (1u32..6).prop_map(|units| Change::Receive(quantity(units))),
        (-3i64..3).prop_map(Change::Adjust),
        (0i64..9, prop::option::of(0i64..9))
            .prop_map(|(on_hand, expected)| Change::Count { on_hand, expected }),
        (1u32..3).prop_map(|units| Change::Quarantine(quantity(units))),
        (1u32..3).prop_map(|units| Change::Unquarantine(quantity(units))),
        (1u32..3).prop_map(|units| Change::WriteOff(quantity(units))),
    ];
    let order = (verb, 0u32..6, prop::bool::weighted(0.05));
    let request = (product.clone(), location.clone(), change, 0u32..40);
    prop_oneof![
        8 => order.prop_map(|(verb, order, altered)| order_command(verb, order, altered)),
        4 => request.prop_map(|(product, at, change, key)| movement_request(product, at, change, &key.to_string())),
        1 => product.prop_map(put_product),
        1 => (location, 0u32..3).prop_map(|(location, priority)| put_location(location, priority)),
    ]
}

/// What an order wants follows from its number. An altered command wants something else. Units are
/// shipped from main, whether they were allocated there or not.
fn order_command(verb: &str, order: u32, altered: bool) -> InventoryCommand {
    let mut lines = vec![(product_id("MUG"), quantity(1 + order % 3 + u32::from(altered)))];
    if order.is_multiple_of(2) {
        lines.push((product_id("TEE"), quantity(1 + order / 2)));
    }
    let shipped = lines.iter().map(|(product_id, quantity)| Allocation {
        product_id: product_id.clone(),
        location_id: LocationId::main(),
        quantity: *quantity,
    });
    let shipped = Allocations::sorted(shipped.collect()).expect("two stock keys");
    let wanted = Wanted::sum(lines).expect("few lines");
    let intent = match verb {
        "place" => Intent::placed(wanted),
        "cancel" => cancelled(&wanted),
        _ => fulfilled(wanted, shipped),
    };
    allocate(order_id(&order.to_string()), intent)
}

/// Commands, cut into batches.
fn any_batches() -> impl Strategy<Value = Vec<Vec<InventoryCommand>>> {
    prop::collection::vec(prop::collection::vec(any_command(), 1..12), 1..8)
}

proptest! {
    /// INV-1, INV-2, INV-3 and INV-8 hold after every batch, and facts never shrink (R24).
    #[test]
    fn any_commands_in_any_batches_keep_the_invariants(batches in any_batches()) {
        let mut stock = Stock::default();
        for (batch, now_micros) in batches.iter().zip(1..) {
            stock.now_micros = now_micros;
            stock.run(batch);
            stock.audit();
        }
    }

    #[test]
    fn a_batch_has_the_same_outcomes_as_its_commands_one_by_one(batches in any_batches()) {
        let mut batched = Stock::default();
        let mut single = Stock::default();
        for batch in batches {
            let decided = batched.run(&batch);
            let alone = |command| single.run(std::slice::from_ref(command));
            let one_by_one: Vec<_> = batch.iter().flat_map(alone).collect();
            prop_assert_eq!(decided, one_by_one);
            prop_assert_eq!(&batched, &single);
        }
    }

    /// R12: after every order has ended, repeated commands change nothing.
    #[test]
    fn repeated_commands_change_no_stock_of_an_order_that_has_ended(batches in any_batches()) {
        let mut stock = Stock::default();
        batches.iter().for_each(|batch| drop(stock.run(batch)));
        let finish = |stock: &mut Stock| {
            for order in 0..6 {
                stock.run(&[order_command("cancel", order, false)]);
            }
        };
        finish(&mut stock);
        let before = stock.clone();
        for order in 0..6 {
            for verb in ["place", "cancel", "fulfill"] {
                stock.run(&[order_command(verb, order, false)]);
            }
        }
        finish(&mut stock);
        prop_assert_eq!(before, stock);
    }
}
