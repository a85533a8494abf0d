use super::*;
use crate::stock::MAX_LOCATIONS;

#[test]
fn receiving_adjusting_and_counting_change_the_units_on_hand() {
    check(
        "
        product MUG             -> created
        receive MUG 5           -> moved #1 5/0
        adjust  MUG -2          -> moved #2 3/0
        count   MUG 7           -> moved #3 7/0
        count   MUG 7           -> moved #4 7/0            // an unchanged count is a movement too
        count   MUG 8 expect 7  -> moved #5 8/0
        count   MUG 0           -> moved #6 0/0
        levels  MUG             -> main 0/0
    ",
    );
}

#[test]
fn a_count_that_expects_another_number_is_refused_as_stock_changed() {
    check(
        "
        stock   MUG 5
        count   MUG 9 expect 4  -> stock_changed
        count   MUG 1 expect 0 @main -> stock_changed
        levels  MUG             -> main 5/0
    ",
    );
}

#[test]
fn reserved_units_cannot_be_adjusted_or_counted_away() {
    check(
        "
        stock   MUG 5
        place A  MUG 3        -> allocated
        adjust  MUG -3          -> below_reserved
        count   MUG 2           -> below_reserved
        adjust  MUG -2          -> moved #3 3/3
        adjust  MUG -1          -> below_reserved
        adjust  MUG -1 @main    -> below_reserved
        count   MUG 3           -> moved #4 3/3
        fulfill A  MUG@main 3   -> allocated
        adjust  MUG -1          -> below_reserved          // nor below 0
        levels  MUG             -> main 0/0
    ",
    );
}

#[test]
fn quarantined_units_are_on_hand_and_cannot_be_sold() {
    check(
        "
        stock   MUG 5
        quarantine MUG 3        -> moved #2 5/0/3
        place   A  MUG 3        -> rejected MUG(3>2)
        place   B  MUG 2        -> allocated
        unquarantine MUG 1      -> moved #4 5/2/2
        place   C  MUG 1        -> allocated
        write_off MUG 2         -> moved #6 3/3
        levels  MUG             -> main 3/3
    ",
    );
}

/// Quarantine takes available units, and what leaves it must be in it.
#[test]
fn no_more_is_quarantined_than_is_available_and_no_more_leaves_than_is_there() {
    check(
        "
        stock   MUG 5
        place   A  MUG 2        -> allocated
        quarantine MUG 4        -> quantity_unavailable
        unquarantine MUG 1      -> quantity_unavailable
        write_off MUG 1         -> quantity_unavailable
        quarantine MUG 2        -> moved #3 5/2/2
        quarantine MUG 2        -> quantity_unavailable
        unquarantine MUG 3      -> quantity_unavailable
        write_off MUG 3         -> quantity_unavailable
        write_off MUG 2         -> moved #4 3/2
        quarantine TEE 1        -> product_not_found
        quarantine MUG 1 @SHOP  -> unknown_location
    ",
    );
    let mut stock = Stock::default();
    let change = |change, key: &str| movement_request("MUG", "main", change, key);
    let receive = Change::Receive(quantity(5));
    let decided = stock.run(&[
        put_product("MUG"),
        change(receive, "five"),
        change(Change::Quarantine(quantity(2)), "two"),
        change(Change::Quarantine(quantity(4)), "four"),
        change(Change::WriteOff(quantity(3)), "three"),
        change(Change::Unquarantine(quantity(3)), "three more"),
        change(Change::Adjust(-4), "four less"),
    ]);
    let refusals: Vec<_> = decided[3..].iter().map(|one| one.outcome.clone()).collect();
    let unavailable = |units| InventoryOutcome::Refused(Refusal::QuantityUnavailable { units });
    let below = Refusal::BelowReserved { reserved: 0, quarantined: 2 };
    let below = InventoryOutcome::Refused(below);
    assert_eq!(refusals, [unavailable(3), unavailable(2), unavailable(2), below]);
}

#[test]
fn quarantined_units_cannot_be_adjusted_or_counted_away() {
    check(
        "
        stock   MUG 5
        place   A  MUG 2        -> allocated
        quarantine MUG 2        -> moved #3 5/2/2
        adjust  MUG -2          -> below_reserved
        count   MUG 3           -> below_reserved
        import  MUG 3           -> below_reserved
        count   MUG 4           -> moved #4 4/2/2
        fulfill A  MUG@main 2   -> allocated
        adjust  MUG -1          -> below_reserved
        levels  MUG             -> main 2/0/2
    ",
    );
}

#[test]
fn whoever_moves_stock_by_hand_is_in_the_admin_log() {
    let mut stock = Stock::default();
    let change = |change, key: &str| movement_request("MUG", "main", change, key);
    stock.run(&[put_product("MUG"), change(Change::Receive(quantity(5)), "five")]);
    let acts = stock.acts(&[
        change(Change::Receive(quantity(5)), "five more"),
        change(Change::Quarantine(quantity(2)), "two"),
        change(Change::Unquarantine(quantity(1)), "one"),
        change(Change::WriteOff(quantity(1)), "another"),
        change(Change::WriteOff(quantity(1)), "refused"),
    ]);
    let kinds = acts.iter().map(|act| match act {
        AdminEvent::Stock(movement) => movement.kind.as_str(),
        other => panic!("{other:?}"),
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["quarantine", "unquarantine", "write_off"]);
}

#[test]
fn a_repeated_request_finds_its_movement_and_changes_nothing() {
    check(
        "
        stock   MUG 5
        receive MUG 2 key K     -> moved #2 7/0
        count   MUG 9 expect 7 key C -> moved #3 9/0
        receive MUG 2 key K     -> replayed #2 7/0
        count   MUG 9 expect 7 key C -> replayed #3 9/0    // not stock_changed
        receive MUG 3 key K     -> key_reused
        levels  MUG             -> main 9/0
    ",
    );
}

#[test]
fn refusals_have_a_fixed_precedence() {
    check(
        "
        stock   MUG 5
        receive MUG 1 key K     -> moved
        receive TEE 1 @NOWHERE key K -> key_reused
        receive TEE 1 @NOWHERE  -> product_not_found
        count   MUG -1 expect 4 @NOWHERE -> unknown_location
        count   MUG -1 expect 4 -> stock_changed
        count   MUG -1          -> below_reserved
    ",
    );
}

/// A refusal is not stored, so the next attempt with the same key is decided by itself.
#[test]
fn a_refused_request_does_not_use_up_its_key() {
    check(
        "
        product MUG
        adjust  MUG -1 key K    -> below_reserved
        receive MUG 5
        adjust  MUG -1 key K    -> moved #2 4/0
    ",
    );
}

#[test]
fn at_most_a_trillion_units_are_on_hand() {
    check(
        "
        product MUG
        adjust  MUG 1000000000001        -> out_of_range
        adjust  MUG 1000000000000        -> moved #1 1000000000000/0
        receive MUG 1                    -> out_of_range
        adjust  MUG 9223372036854775807  -> out_of_range
        adjust  MUG -9223372036854775808 -> below_reserved
        count   MUG -9223372036854775808 -> below_reserved
        levels  MUG                      -> main 1000000000000/0
    ",
    );
}

#[test]
fn a_product_is_created_once_and_then_replaced() {
    let put = |name: &str, low_stock_at| {
        InventoryCommand::PutProduct(PutProduct {
            product_id: product_id("MUG"),
            name: name.to_owned(),
            low_stock_at,
            precondition: Precondition::None,
            requester: Requester::default(),
        })
    };
    let mut stock = Stock::default();
    let mut answer = |now_micros: i64, command: InventoryCommand| {
        stock.now_micros = now_micros;
        match stock.run(&[command]).remove(0).outcome {
            InventoryOutcome::ProductPut { stock: ProductStock { product, .. }, created } => (
                created,
                product.low_stock_at,
                product.created_at_micros,
                product.updated_at_micros,
            ),
            other => panic!("not a product: {other:?}"),
        }
    };
    assert_eq!(answer(10, put("Mug", Some(3))), (true, Some(3), 10, 10));
    assert_eq!(answer(20, put("Mug", Some(3))), (false, Some(3), 10, 10), "nothing changed");
    assert_eq!(answer(30, put("Mug", None)), (false, None, 10, 30));
    assert_eq!(answer(40, put("Cup", None)), (false, None, 10, 40));
}

#[test]
fn a_product_and_a_location_are_replaced_only_if_they_are_as_the_client_has_seen_them() {
    let mut stock = Stock::default();
    let mut product = |name: &str, precondition: &Precondition| {
        let product_id = product_id("MUG");
        let (name, precondition) = (name.to_owned(), precondition.clone());
        let put = PutProduct {
            product_id,
            name,
            low_stock_at: None,
            precondition,
            requester: Requester::default(),
        };
        match stock.run(&[InventoryCommand::PutProduct(put)]).remove(0).outcome {
            InventoryOutcome::ProductPut { stock, created } => {
                Ok((created, stock.product.version()))
            }
            InventoryOutcome::Refused(refusal) => Err(refusal),
            other => panic!("not the outcome of a put: {other:?}"),
        }
    };
    let refused = Err(Refusal::PreconditionFailed);
    assert_eq!(product("Mug", &Precondition::Present), refused);
    assert_eq!(product("Mug", &Precondition::Version(Vec::new())), refused);
    let (created, first) = product("Mug", &Precondition::Absent).expect("it is new");
    assert!(created);
    assert_eq!(product("Cup", &Precondition::Absent), refused);
    assert_eq!(product("Mug", &Precondition::Absent), Ok((false, first)), "a repeat");
    let seen = Precondition::Version(vec![first]);
    let (_, second) = product("Cup", &seen).expect("it is as it was seen");
    assert_ne!(first, second);
    assert_eq!(product("Cup", &seen), Ok((false, second)), "a repeat");
    assert_eq!(product("Jug", &seen), refused);
    assert!(product("Jug", &Precondition::Version(vec![first, second])).is_ok());

    let mut location = |priority, precondition| {
        let location_id = "SHOP".parse().expect("an id");
        let location = Location { location_id, name: "Shop".to_owned(), priority };
        let put = PutLocation { location, precondition, requester: Requester::default() };
        match stock.run(&[InventoryCommand::PutLocation(put)]).remove(0).outcome {
            InventoryOutcome::LocationPut { location, .. } => Ok(location.version()),
            InventoryOutcome::Refused(refusal) => Err(refusal),
            other => panic!("not the outcome of a put: {other:?}"),
        }
    };
    let first = location(1, Precondition::Absent).expect("it is new");
    assert!(location(2, Precondition::Absent).is_err());
    assert!(location(2, Precondition::Version(vec![first])).is_ok());
    assert!(location(3, Precondition::Version(vec![first])).is_err());
    assert!(location(3, Precondition::Present).is_ok());
}

#[test]
fn the_outcome_of_a_put_product_has_its_stock() {
    let mut stock = Stock::default();
    let receive = movement_request(
        "MUG",
        "main",
        Change::Receive(Quantity::new(4).expect("a quantity")),
        "four",
    );
    let decided = stock.run(&[put_product("MUG"), receive, put_product("MUG")]);
    let levels = |at: usize| match &decided[at].outcome {
        InventoryOutcome::ProductPut { stock, .. } => describe_levels(&stock.levels),
        other => panic!("not a product: {other:?}"),
    };
    assert_eq!((levels(0).as_str(), levels(2).as_str()), ("", "main 4/0"));
}

#[test]
fn a_location_is_created_once_and_then_replaced() {
    check(
        "
        location SHOP 5         -> created
        location SHOP 5         -> replaced
        location SHOP 6         -> replaced
        location main 7         -> replaced
    ",
    );
}

#[test]
fn no_location_is_created_beyond_the_maximum() {
    let put = |name: &str, priority| {
        let location_id = name.parse().expect("an id");
        let location = Location { location_id, name: name.to_owned(), priority };
        InventoryCommand::PutLocation(PutLocation {
            location,
            precondition: Precondition::None,
            requester: Requester::default(),
        })
    };
    let mut stock = Stock::default();
    let names = (1..=MAX_LOCATIONS).map(|n| format!("L{n}"));
    let decided = stock.run(&names.map(|name| put(&name, 1)).collect::<Vec<_>>());
    let refused = InventoryOutcome::Refused(Refusal::TooManyLocations);
    let (last, others) = decided.split_last().expect("a thousand");
    assert_eq!(last.outcome, refused, "main is one of them");
    assert!(others.iter().all(|one| one.outcome != refused));
    let replaced = stock.run(&[put("L1", 2), put("L1001", 1)]);
    assert!(matches!(replaced[0].outcome, InventoryOutcome::LocationPut { created: false, .. }));
    assert_eq!(replaced[1].outcome, refused);
}

#[test]
fn only_a_put_of_a_location_changes_the_list_of_locations() {
    assert!(Touched::by(&[put_product("MUG"), put_location("SHOP", 1)]).changes_locations);
    assert!(!Touched::by(&[put_product("MUG")]).changes_locations);
}

#[test]
fn a_change_has_the_kind_of_its_movement() {
    let kinds = [
        Change::Receive(Quantity::new(1).expect("a quantity")),
        Change::Adjust(1),
        Change::Count { on_hand: 1, expected: None },
        Change::Quarantine(quantity(1)),
        Change::Unquarantine(quantity(1)),
        Change::WriteOff(quantity(1)),
    ];
    let names = kinds.map(|change| change.kind().as_str());
    assert_eq!(names, ["receive", "adjust", "count", "quarantine", "unquarantine", "write_off"]);
}

#[test]
fn only_commands_of_the_order_service_are_about_an_order() {
    let quantity = Quantity::new(1).expect("a quantity");
    let intent = Intent::placed(Wanted::sum([(product_id("MUG"), quantity)]).expect("one line"));
    assert!(allocate(order_id("A"), intent).is_of_order());
    let others = [
        put_product("MUG"),
        put_location("SHOP", 1),
        movement_request("MUG", "main", Change::Receive(quantity), "one"),
    ];
    assert!(others.iter().all(|command| !command.is_of_order()));
}

#[test]
fn a_location_is_written_only_if_it_changes() {
    let location =
        |priority| Location { location_id: LocationId::main(), name: "Main".to_owned(), priority };
    let loaded = LoadedInventory {
        locations: BTreeMap::from([(LocationId::main(), location(0))]),
        ..LoadedInventory::default()
    };
    for priority in [0, 1] {
        let put = PutLocation {
            location: location(priority),
            precondition: Precondition::None,
            requester: Requester::default(),
        };
        let InventoryDecision { changes, .. } =
            decide(7, &[InventoryCommand::PutLocation(put)], loaded.clone());
        assert_eq!(
            changes.locations,
            [location(1)].into_iter().filter(|_| priority == 1).collect::<Vec<_>>()
        );
    }
}
