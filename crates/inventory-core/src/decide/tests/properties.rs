use proptest::prelude::*;

use super::*;

/// Commands with few names, so that duplicates, replays and contradictions are frequent.
fn any_command() -> impl Strategy<Value = InventoryCommand> {
    let product = prop::sample::select(vec!["MUG", "TEE", "PIN"]);
    let location = prop::sample::select(vec!["main", "SHOP", "BARN"]);
    let kind = prop::sample::select(StockCommandKind::ALL.to_vec());
    let change = prop_oneof![
        (1u32..6).prop_map(|units| Change::Receive(Quantity::new(units).expect("a quantity"))),
        (-3i64..3).prop_map(Change::Adjust),
        (0i64..9, prop::option::of(0i64..9))
            .prop_map(|(on_hand, expected)| Change::Count { on_hand, expected }),
    ];
    let order = (kind, 0u32..6, prop::bool::weighted(0.05));
    let request = (product.clone(), location.clone(), change, 0u32..40);
    prop_oneof![
        8 => order.prop_map(|(kind, order, altered)| order_command(kind, order, altered)),
        4 => request.prop_map(|(product, at, change, key)| movement_request(product, at, change, &key.to_string())),
        1 => product.prop_map(put_product),
        1 => (location, 0u32..3).prop_map(|(location, priority)| put_location(location, priority)),
    ]
}

/// The lines of an order follow from its number. An altered command has other lines.
fn order_command(kind: StockCommandKind, order: u32, altered: bool) -> InventoryCommand {
    let quantity = |units| Quantity::new(units).expect("a quantity");
    let mut lines = vec![(product_id("MUG"), quantity(1 + order % 3 + u32::from(altered)))];
    if order.is_multiple_of(2) {
        lines.push((product_id("TEE"), quantity(1 + order / 2)));
    }
    stock_command(kind, order_id(&order.to_string()), StockLines::sum(lines).expect("few lines"))
}

/// Commands, cut into batches.
fn any_batches() -> impl Strategy<Value = Vec<Vec<InventoryCommand>>> {
    prop::collection::vec(prop::collection::vec(any_command(), 1..12), 1..8)
}

proptest! {
    /// INV-1, INV-2, INV-3 and INV-8 hold after every batch.
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
                stock.run(&[order_command(StockCommandKind::ReleaseStock, order, false)]);
            }
        };
        finish(&mut stock);
        let before = stock.clone();
        for order in 0..6 {
            for kind in StockCommandKind::ALL {
                stock.run(&[order_command(kind, order, false)]);
            }
        }
        finish(&mut stock);
        prop_assert_eq!(before, stock);
    }
}
