//! What holds for any commands in any batches.

use proptest::prelude::*;

use super::harness::World;

/// A line about one of two orders. Most are refused, and the others go everywhere.
fn any_line() -> impl Strategy<Value = String> {
    let order = prop::sample::select(vec!["A", "A", "A", "B"]);
    let key = prop::sample::select(vec!["k", "l", "m", "n", "o", "p", "q"]);
    let units = prop::sample::select(vec!["MUG 1", "MUG 2", "TEE 1", "MUG 1 TEE 1", "MUG 3"]);
    let at = prop::sample::select(vec!["", "@main", "@east", "@moon"]);
    let disposition = prop::sample::select(vec!["restock", "quarantine", "write_off"]);
    let verb = prop_oneof![
        2 => Just("place"),
        1 => Just("cancel"),
        1 => Just("fulfill"),
        2 => Just("expire"),
        3 => Just("pay"),
        1 => Just("refund"),
        2 => Just("cancel-lines"),
        4 => Just("ship"),
        1 => Just("ship-all"),
        1 => Just("track"),
        3 => Just("cancel-shipment"),
        3 => Just("return"),
        3 => Just("carry-out"),
        2 => Just("late"),
        6 => Just("answer"),
    ];
    let number = 1u32..12;
    (verb, order, key, units, at, disposition, number).prop_map(
        |(verb, order, key, units, at, disposition, number)| {
            let first = units.split(' ').next().unwrap_or_default();
            match verb {
                "place" if number % 3 == 0 => {
                    format!("place {order} MUG:3:1000 TEE:2:500 key={key}")
                }
                "place" => format!("place {order} MUG:2:1000 TEE:2:500 MUG:3:10 pay=900 key={key}"),
                "pay" if number < 3 => format!("pay {order} r{number} {number}00"),
                "pay" => format!("pay {order} r{}", number % 2),
                "refund" => format!("refund {order} {key} {number}00"),
                "cancel-lines" => format!("cancel-lines {order} {key} {units}"),
                "ship" => format!("ship {order} {key} {units}{at}"),
                "ship-all" => format!("ship {order} {key}"),
                "track" => format!("track {order} {number} {key}"),
                "cancel-shipment" => format!("cancel-shipment {order} {number}"),
                "return" => {
                    format!("return {order} {key} {first} {}{at} {disposition}", number % 3 + 1)
                }
                "carry-out" | "answer" => {
                    let stock = ["", "short", "split", "split"][number as usize % 4];
                    format!("{verb} {order} {stock}")
                }
                "late" if number > 10 => format!("late {order} of=other"),
                "late" => format!("late {order} {number}"),
                verb => format!("{verb} {order}"),
            }
        },
    )
}

/// Orders that Inventory has granted, so that more lines change something.
fn any_start() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::select(vec![
        vec![],
        vec!["place A MUG:3:1000 TEE:2:500", "answer A split"],
        vec!["place A MUG:2:1000 TEE:2:500 MUG:3:10 pay=900", "answer A split"],
        vec!["place A MUG:2:1000 TEE:2:500 MUG:3:10 pay=900", "answer A", "pay A r1"],
        vec!["place A MUG:5:1000 TEE:4:500", "answer A split", "ship A z MUG 2@main TEE 1"],
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// The world checks R14, R22, INV-4, INV-7, INV-9 and INV-10 after every command.
    #[test]
    fn any_commands_in_any_batches_keep_the_invariants(
        start in any_start(),
        lines in prop::collection::vec(any_line(), 1..50),
        batches in prop::collection::vec(1usize..9, 60),
    ) {
        let mut world = World::default();
        for line in start.into_iter().map(str::to_owned).chain(lines) {
            world.step(&line);
        }
        let in_batches = world.again(&batches);
        prop_assert_eq!(&in_batches.outcomes, &world.store.outcomes);
        in_batches.assert_equal(&world.store);
        world.store.check_prefixes();
    }
}
