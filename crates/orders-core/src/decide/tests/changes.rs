//! Orders that change: cancellations of lines, shipments and returns.

use super::harness::{World, check};
use super::script::id_of;
use crate::changes::ShipmentState;

#[test]
fn what_is_shipped_is_never_cancelled() {
    check(
        "
        place A 5                -> placed received
        answer A                 -> confirmed
        ship A k MUG 2           -> amending
        cancel A                 -> not while amending
        cancel-lines A l MUG 4   -> unavailable line 0 has 3
        answer A                 -> confirmed
        cancel A                 -> not while confirmed
        cancel-lines A l MUG 3   -> fulfilling     // all that is left is out
        answer A                 -> fulfilled
        cancel-lines A m MUG 1   -> unavailable line 0 has 0
        units A                  -> MUG 2/2/0
        ",
    );
}

/// Whatever is under way, Inventory gives the units of a cancelled order back once.
#[test]
fn a_cancelled_order_has_nothing_in_the_end() {
    for before in [
        "",
        "answer A -> confirmed",
        "answer A short -> rejected",
        "answer A split -> confirmed",
        "answer A -> confirmed \n cancel-lines A k MUG 1 -> amending",
        "answer A -> confirmed \n cancel-lines A k MUG 1 -> amending \n answer A -> confirmed",
        "answer A -> confirmed \n ship A k MUG 1 -> amending \n cancel-shipment A 3 -> amending",
    ] {
        if before.contains("short") {
            check(&format!("place A 2 -> placed received \n {before} \n units A -> MUG 0/0/0"));
            continue;
        }
        let script = format!(
            "
            place A 2  -> placed received
            {before}
            cancel A   -> cancelling
            cancel A   -> again cancelling
            answer A   -> cancelled
            units A    -> MUG 0/0/0
            "
        );
        let world = check(&script);
        assert!(world.store.orders[&id_of("A")].registers.allocated().is_empty());
    }
}

#[test]
fn units_of_a_cancelled_shipment_cannot_be_returned() {
    check(
        "
        place A 2                  -> placed received
        answer A                   -> confirmed
        ship A k MUG 1             -> amending #3
        answer A                   -> confirmed
        cancel-shipment A 3        -> amending
        return A r MUG 1 restock   -> unavailable line 0 has 0
        answer A                   -> confirmed
        return A r MUG 1 restock   -> unavailable line 0 has 0
        cancel-shipment A 3        -> again confirmed
        shipments A                -> #3 cancelled MUG 1@main
        ",
    );
}

#[test]
fn a_shipment_of_which_units_came_back_cannot_be_cancelled() {
    check(
        "
        place A 3                  -> placed received
        answer A                   -> confirmed
        ship A k MUG 1             -> amending #3
        ship A l MUG 1             -> amending #4
        return A r MUG 2 restock   -> amending #5
        cancel-shipment A 3        -> unavailable line 0 has 0
        answer A                   -> confirmed
        cancel-shipment A 4        -> unavailable line 0 has 0
        ship A m MUG 1             -> fulfilling #7
        cancel-shipment A 3        -> amending     // which unit came back, nobody can tell
        cancel-shipment A 4        -> unavailable line 0 has 0
        answer A                   -> confirmed
        units A                    -> MUG 3/2/2
        ",
    );
}

#[test]
fn two_returns_of_the_last_unit_book_it_once() {
    check(
        "
        place A 2                     -> placed received
        answer A                      -> confirmed
        fulfill A                     -> fulfilling
        return A r MUG 2 restock      -> amending #4
        return A r MUG 2 restock      -> again amending #4
        return A s MUG 1 restock      -> unavailable line 0 has 0
        return A r MUG 1 restock      -> key reused
        answer A                      -> fulfilled
        return A r MUG 2 restock      -> again fulfilled #4
        units A                       -> MUG 2/2/2
        ",
    );
    check(
        "
        place A 2                                    -> placed received
        answer A                                     -> confirmed
        fulfill A                                    -> fulfilling
        return A r MUG 1 restock MUG 2 quarantine    -> unavailable line 1 has 1
        return A r MUG 1 restock MUG 1 write_off     -> amending
        answer A                                     -> fulfilled
        ",
    );
}

#[test]
fn a_double_click_ships_once() {
    check(
        "
        place A 5                -> placed received
        answer A                 -> confirmed
        ship A k MUG 1           -> amending #3
        ship A k MUG 1           -> again amending #3
        ship A k MUG 2           -> key reused
        cancel-lines A k MUG 1   -> key reused       // a key is of one request
        answer A                 -> confirmed
        ship A k MUG 1           -> again confirmed #3
        cancel-shipment A 3      -> amending
        ship A k MUG 1           -> again amending #3
        ship A l                 -> fulfilling #6
        ship A l                 -> again fulfilling #6
        ship A m                 -> unavailable
        cancel-lines A n MUG 1   -> unavailable line 0 has 0
        shipments A              -> #3 cancelling MUG 1@main, #6 shipping MUG 5@main
        answer A                 -> fulfilled
        shipments A              -> #3 cancelled MUG 1@main, #6 shipped MUG 5@main
        ",
    );
}

#[test]
fn the_value_of_an_order_falls_line_by_line_from_the_last_one() {
    let world = check(
        "
        place A MUG:2:1000 TEE:1:500 MUG:2:10 pay=900  -> placed received
        answer A                          -> reserved
        pay A r1                          -> confirmed
        cancel-lines A a MUG 1            -> amending
        money A                           -> refund_due of 2510: paid 2520, refunded 0, owed 10
        answer A                          -> confirmed
        cancel-lines A b MUG 2            -> amending
        money A                           -> refund_due of 1500: paid 2520, refunded 0, owed 1020
        cancel-lines A c MUG 1 TEE 1      -> cancelling
        money A                           -> refund_due of 0: paid 2520, refunded 0, owed 2520
        answer A                          -> cancelled
        ",
    );
    let cancellations = &world.store.orders[&id_of("A")].registers.cancellations;
    let amounts: Vec<_> = cancellations.iter().map(|one| (one.amount_minor, one.seq)).collect();
    assert_eq!(amounts, [(10, 4), (1010, 6), (1500, 7)]);
    let units = |one: &crate::changes::Cancellation| -> String {
        one.lines.iter().map(|(product, units)| format!("{product} {} ", units.get())).collect()
    };
    let lines: Vec<_> = cancellations.iter().map(units).collect();
    assert_eq!(lines, ["MUG 1 ", "MUG 2 ", "MUG 1 TEE 1 "]);
}

/// Two lines of the order and two lines of the shipment name the same product.
#[test]
fn a_cancelled_shipment_takes_back_its_own_units() {
    let world = check(
        "
        place A MUG:2:1000 TEE:2:500 MUG:2:10   -> placed received
        answer A split                          -> confirmed
        ship A k MUG 1@main MUG 2 TEE 1         -> amending #3
        ship A l TEE 1 MUG 1@main               -> fulfilling #4
        shipments A -> #3 shipping MUG 2@east MUG 1@main TEE 1@east, \
         #4 shipping MUG 1@main TEE 1@main
        cancel-shipment A 3                     -> amending
        units A                                 -> MUG 4/1/0 TEE 2/1/0
        answer A                                -> confirmed
        ship A m                                -> fulfilling #7
        shipments A -> #3 cancelled MUG 2@east MUG 1@main TEE 1@east, \
         #4 shipped MUG 1@main TEE 1@main, #7 shipping MUG 2@east MUG 1@main TEE 1@east
        answer A                                -> fulfilled
        ",
    );
    let shipments = &world.store.orders[&id_of("A")].registers.shipments;
    let settled = world.store.orders[&id_of("A")].registers.settled();
    let states: Vec<_> = shipments.iter().map(|one| one.state(settled)).collect();
    assert_eq!(states, [ShipmentState::Cancelled, ShipmentState::Shipped, ShipmentState::Shipped]);
}

/// A change names all that is out and all that is wanted, so that nothing is allocated again.
#[test]
fn a_change_after_a_partial_shipment_keeps_what_is_out() {
    let world = check(
        "
        place A MUG:3:1000 TEE:2:500   -> placed received
        answer A split                 -> confirmed
        ship A k MUG 2                 -> amending
        answer A                       -> confirmed
        cancel-lines A l TEE 1         -> amending
        ",
    );
    let sent = world.store.newest_sent(id_of("A")).expect("the command");
    let wanted: Vec<_> = sent.intent.wanted.iter().map(|line| line.quantity).collect();
    assert_eq!((wanted, sent.intent.shipped.total()), (vec![3, 1], 2));
}

#[test]
fn nothing_is_shipped_while_inventory_takes_units() {
    check(
        "
        place A 4                -> placed received
        answer A split           -> confirmed      // two at each location
        cancel-lines A a MUG 1   -> amending
        ship A k MUG 2@main      -> busy           // Inventory takes one of these
        ship A k                 -> busy
        fulfill A                -> busy
        cancel-lines A b MUG 1   -> amending
        answer A                 -> confirmed
        ship A k MUG 1@main      -> unavailable line 0 has 0
        ship A k MUG 3           -> unavailable line 0 has 2
        ship A k                 -> fulfilling
        shipments A              -> #6 shipping MUG 2@east
        answer A                 -> fulfilled
        ",
    );
}

/// The answer to the reduction is lost, and the order changes on.
#[test]
fn an_order_stays_busy_until_the_reduction_is_answered() {
    check(
        "
        place A 4                -> placed received
        answer A split           -> confirmed
        ship A k MUG 1@main      -> amending #3
        cancel-lines A a MUG 1   -> amending
        carry-out A              -> carried out
        cancel-shipment A 3      -> amending
        late A 3                 -> stale
        ship A l MUG 1           -> busy
        answer A                 -> confirmed
        ship A l MUG 1           -> amending
        answer A                 -> confirmed
        ",
    );
}

#[test]
fn lines_that_name_a_location_come_first() {
    check(
        "
        place A 4                          -> placed received
        answer A split                     -> confirmed
        ship A k MUG 2 MUG 2@east          -> fulfilling
        answer A                           -> fulfilled
        shipments A                        -> #3 shipped MUG 2@east MUG 2@main
        return A r MUG 2 restock MUG 2@east quarantine -> amending
        answer A                           -> fulfilled
        place B 4                          -> placed received
        answer B split                     -> confirmed
        ship B k MUG 2 MUG 3@east MUG 3    -> unavailable line 1 has 2 line 2 has 2
        ship B k MUG 1@moon                -> unavailable line 0 has 0
        ship B k CAP 1                     -> unavailable line 0 has 0
        cancel-lines B k CAP 1             -> unavailable line 0 has 0
        return B k CAP 1 restock           -> unavailable line 0 has 0
        ",
    );
}

#[test]
fn units_come_back_to_where_they_were_shipped_from_or_to_any_location() {
    let world = check(
        "
        place A 6                            -> placed received
        answer A split                       -> confirmed
        fulfill A                            -> fulfilling
        return A a MUG 1@main restock        -> amending
        return A b MUG 1@moon quarantine     -> amending
        return A c MUG 4 write_off           -> amending
        return A d MUG 1 restock             -> unavailable line 0 has 0
        answer A                             -> fulfilled
        ",
    );
    let registers = &world.store.orders[&id_of("A")].registers;
    let text = |entry: &contract::ReturnedUnits| {
        let (location, numbers) =
            (&entry.location_id, [entry.restocked, entry.quarantined, entry.written_off]);
        format!("{location} {numbers:?}")
    };
    let returned: Vec<_> = registers.intent.returned.iter().map(text).collect();
    assert_eq!(returned, ["east [0, 0, 3]", "main [1, 0, 1]", "moon [0, 1, 0]"]);
    let lines: Vec<Vec<_>> =
        registers.returns.iter().map(|one| one.lines.iter().map(text).collect()).collect();
    assert_eq!(lines[2], ["east [0, 0, 3]", "main [0, 0, 1]"]);
    let booked = &registers.facts.as_ref().expect("an answer").booked_at;
    assert_eq!((booked.len(), booked[0].booked_at.as_str()), (1, "east"));
}

#[test]
fn what_came_back_to_a_location_does_not_come_back_there_again() {
    let world = check(
        "
        place A 4                            -> placed received
        answer A split                       -> confirmed
        fulfill A                            -> fulfilling
        return A a MUG 1@east restock        -> amending
        return A b MUG 2 restock             -> amending
        return A c MUG 1 write_off           -> amending
        ",
    );
    let returned = &world.store.orders[&id_of("A")].registers.intent.returned;
    let text = |entry: &contract::ReturnedUnits| format!("{} {}", entry.location_id, entry.units());
    assert_eq!(returned.iter().map(text).collect::<Vec<_>>(), ["east 2", "main 2"]);
}

#[test]
fn a_fulfilled_order_takes_returns_and_a_cancelled_shipment() {
    check(
        "
        place A 2                   -> placed received
        answer A                    -> confirmed
        fulfill A                   -> fulfilling #3
        answer A                    -> fulfilled
        return A r MUG 1 restock    -> amending
        fulfill A                   -> again amending     // there is nothing left to ship
        cancel A                    -> not while amending
        answer A                    -> fulfilled
        ship A k                    -> unavailable
        cancel-shipment A 3         -> unavailable line 0 has 1
        place B 2                   -> placed received
        answer B                    -> confirmed
        fulfill B                   -> fulfilling #3
        cancel-shipment B 3         -> amending           // it had not left yet
        answer B                    -> confirmed
        fulfill B                   -> fulfilling #6
        answer B                    -> fulfilled
        cancel-shipment B 6         -> amending
        cancel B                    -> cancelling
        answer B                    -> cancelled
        ",
    );
}

/// While Inventory is away, all changes are one command (R21).
#[test]
fn ten_changes_in_an_outage_are_one_command() {
    let world = check(
        "
        place A 9                     -> placed received
        answer A split                -> confirmed
        ship A a MUG 3                -> amending #3
        ship A b MUG 2@main           -> amending #4
        return A c MUG 1 restock      -> amending
        return A d MUG 1@moon restock -> amending
        track A 4 BR123               -> amending
        cancel-shipment A 4           -> amending
        ship A e MUG 1@main           -> amending
        return A f MUG 1 write_off    -> amending
        cancel-lines A g MUG 2        -> amending
        cancel-lines A h MUG 1        -> amending
        return A i MUG 1 quarantine   -> amending
        ",
    );
    let order = &world.store.orders[&id_of("A")];
    let newest = order.registers.intent.revision;
    // The placement, and ten changes; to follow a shipment is none.
    assert_eq!(newest.get(), 11);
    // A sweeper sends one command for the order, and it has all registers.
    assert_eq!(world.store.pending(), [(id_of("A"), newest)]);
    let sent = order.registers.sent_intent();
    assert_eq!(sent.digest(), order.digest);
    let [wanted, shipped, returned] =
        [sent.wanted.total(), sent.shipped.total(), sent.returned.total()];
    assert_eq!([wanted, shipped, returned], [6, 4, 4]);
    check(
        "
        place A 9                     -> placed received
        answer A split                -> confirmed
        ship A a MUG 3                -> amending
        cancel-lines A g MUG 2        -> amending
        return A c MUG 1 restock      -> amending
        answer A                      -> confirmed   // Inventory got the newest command only
        units A                       -> MUG 7/3/1
        fulfill A                     -> fulfilling
        answer A                      -> fulfilled
        ",
    );
}

#[test]
fn inventory_is_not_asked_about_the_tracking_of_a_shipment() {
    let mut world = World::default();
    for (line, expected) in [
        ("place A 2", "placed received"),
        ("answer A", "confirmed"),
        ("ship A k MUG 1", "amending #3"),
        ("answer A", "confirmed"),
    ] {
        assert_eq!(world.step(line), expected);
    }
    let sent = world.store.newest_sent(id_of("A")).cloned();
    for (line, expected) in [
        ("track A 3 BR1", "confirmed #5"),
        ("track A 3 BR1", "again confirmed"),
        ("track A 3 BR2", "confirmed #6"),
        ("track A 4 BR1", "no such shipment"),
        ("cancel-shipment A 4", "no such shipment"),
    ] {
        assert_eq!(world.step(line), expected, "{line}");
    }
    assert_eq!(world.store.newest_sent(id_of("A")).cloned(), sent);
    let shipment = &world.store.orders[&id_of("A")].registers.shipments[0];
    let tracking = shipment.tracking.as_ref().expect("it can be followed");
    assert_eq!(tracking.number.as_deref(), Some("BR2"));
}

#[test]
fn a_change_that_cancels_the_last_unit_cancels_the_order() {
    check(
        "
        place A MUG:1:10 TEE:1:10       -> placed received
        answer A                        -> confirmed
        cancel-lines A k MUG 1          -> amending
        cancel-lines A l TEE 1          -> cancelling
        cancel-lines A l TEE 1          -> again cancelling
        cancel A                        -> again cancelling
        answer A                        -> cancelled
        cancel-lines A k MUG 1          -> again cancelled #3
        ",
    );
}
