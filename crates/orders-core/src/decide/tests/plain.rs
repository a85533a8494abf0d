//! Orders that are placed, and then cancelled or fulfilled as a whole.

use super::harness::{World, check};
use super::script::{Line, id_of, parse};
use crate::decide::{OrderCommand, OrderOutcome, Placement};
use crate::history::Event;

#[test]
fn a_fulfilled_order_cannot_be_cancelled() {
    check(
        "
        place A 2      -> placed received
        answer A       -> confirmed
        late A         -> stale              // a repeat
        fulfill A      -> fulfilling
        fulfill A      -> again fulfilling   // a repeat
        cancel A       -> not while fulfilling
        answer A       -> fulfilled
        late A         -> stale
        late A 1       -> stale
        fulfill A      -> again fulfilled
        cancel A       -> not while fulfilled
        shipments A    -> #3 shipped MUG 2@main
        ",
    );
}

#[test]
fn a_rejected_order_stays_rejected_and_keeps_its_shortages() {
    let world = check(
        "
        place A 2 key=k  -> placed received
        answer A short   -> rejected
        late A           -> stale
        cancel A         -> not while rejected
        fulfill A        -> not while rejected
        place B 2 key=k  -> replayed A rejected
        expire A         -> stale
        ",
    );
    let receipt = world.store.orders[&id_of("A")].receipt();
    assert_eq!((receipt.shortages.len(), receipt.balance), (1, None));
}

#[test]
fn a_cancellation_may_overtake_the_answer_to_the_placement() {
    check(
        "
        place A 2        -> placed received
        carry-out A      -> carried out
        cancel A         -> cancelling
        late A 1         -> stale            // Inventory allocated before it got the cancellation
        cancel A         -> again cancelling
        answer A         -> cancelled
        late A           -> stale
        late A 1         -> stale            // very late
        cancel A         -> again cancelled
        fulfill A        -> not while cancelled
        ",
    );
    check(
        "
        place A 2        -> placed received
        carry-out A short -> carried out
        cancel A         -> cancelling
        late A 1         -> stale
        answer A         -> cancelled
        ",
    );
    check(
        "
        place A 2        -> placed received
        cancel A         -> cancelling
        answer A         -> cancelled        // Inventory never got the placement
        ",
    );
}

#[test]
fn an_answer_that_no_healthy_history_explains_is_an_anomaly_and_changes_nothing() {
    check(
        "
        place A 2        -> placed received
        carry-out A      -> carried out
        late A to=Z      -> anomaly          // never placed
        late A of=other  -> anomaly
        late A more=1    -> anomaly
        late A less=1    -> anomaly
        late A           -> confirmed
        late A less=1    -> anomaly          // it contradicts the one before
        fulfill A        -> fulfilling
        carry-out A      -> carried out
        late A 1         -> stale
        late A less=1    -> anomaly
        late A           -> fulfilled
        ",
    );
}

#[test]
fn one_idempotency_key_creates_one_order() {
    check(
        "
        place A 2 key=k   -> placed received
        place B 2 key=k   -> replayed A received   // the same request again
        place C 3 key=k   -> key reused            // another request with the same key
        place C 2 key=k pay=900 -> key reused      // another way to pay
        place D 2         -> placed received       // without a key
        place E 2 key=l   -> placed received
        answer A          -> confirmed
        place F 2 key=k   -> replayed A confirmed  // its current status
        place A 2 key=k   -> placed confirmed      // a retry after a commit of unknown fate
        cancel B          -> not found             // B was never created
        fulfill B         -> not found
        pay B r           -> not found
        ship B k          -> not found
        expire B          -> stale
        ",
    );
}

#[test]
fn a_repeat_is_the_same_order_after_the_default_currency_changed() {
    let mut world = World::default();
    let mut place_in = |order: &str, code: &str, has_default_currency: bool| {
        let mut placement = placement(&format!("place {order} 2 key=k"));
        placement.terms.currency = code.parse().expect("a currency");
        placement.has_default_currency = has_default_currency;
        world.store.run(&[OrderCommand::Place(Box::new(placement))]);
        world.store.outcomes.last().expect("an outcome").clone()
    };
    assert_eq!(place_in("A", "BRL", true), "placed received");
    assert_eq!(place_in("B", "EUR", true), "replayed A received");
    assert_eq!(place_in("C", "EUR", false), "key reused");
    assert_eq!(place_in("D", "BRL", false), "replayed A received");
}

fn placement(line: &str) -> Placement {
    match command(line) {
        OrderCommand::Place(placement) => *placement,
        other => panic!("it is no placement: {other:?}"),
    }
}

fn command(line: &str) -> OrderCommand {
    match parse(line) {
        Line::Command(command) => *command,
        _ => panic!("it is no command: {line}"),
    }
}

#[test]
fn a_command_names_its_order_and_only_a_placement_has_a_key() {
    let mut world = World::default();
    world.step("place A 2 key=k");
    world.step("answer A");
    let answer = world.commands().last().expect("the answer").clone();
    for (command, key, is_answer, is_request) in [
        (command("place A 2 key=k"), Some("k"), false, true),
        (command("place A 2"), None, false, true),
        (command("cancel A"), None, false, true),
        (command("ship A k"), None, false, true),
        (command("expire A"), None, false, false),
        (answer, None, true, false),
    ] {
        assert_eq!((command.order_id(), command.key()), (id_of("A"), key), "{command:?}");
        assert_eq!((command.is_answer(), command.is_request()), (is_answer, is_request));
    }
}

#[test]
fn the_first_answer_of_inventory_settles_a_received_order() {
    let mut world = World::default();
    let mut settled = |line: &str| {
        world.step(line);
        world.store.last_outcome().settled_from_received()
    };
    for (name, answer) in [("A", ""), ("B", "short")] {
        assert_eq!(settled(&format!("place {name} 2")), None);
        assert_eq!(settled(&format!("answer {name} {answer}")), Some(id_of(name)));
        assert_eq!(settled(&format!("late {name}")), None, "once");
    }
    assert_eq!(settled("fulfill A"), None);
    assert_eq!(settled("answer A"), None);
    assert!(matches!(world.store.last_outcome(), OrderOutcome::Settled { .. }));
}

/// An entry says what changed, and nothing else.
#[test]
fn an_entry_keeps_what_changed() {
    let world = check(
        "
        place A 2                    -> placed received
        answer A                     -> confirmed
        ship A k MUG 1               -> amending
        answer A                     -> confirmed
        return A l MUG 1 restock     -> amending
        answer A                     -> confirmed
        fulfill A                    -> fulfilling
        answer A                     -> fulfilled
        place B 2 pay=900            -> placed received
        cancel B                     -> cancelling
        answer B                     -> cancelled
        place C 2 pay=900            -> placed received
        answer C                     -> reserved
        expire C                     -> expiring
        answer C                     -> expired
        ",
    );
    let changed = |event: &Event| match event {
        Event::Intended(intended) => {
            let registers = [
                ("wanted", intended.wanted.is_some()),
                ("shipped", intended.shipped.is_some()),
                ("returned", intended.returned.is_some()),
            ];
            registers.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect::<String>()
        }
        Event::Settled { allocated: Some(_), .. } => "allocated".to_owned(),
        _ => String::new(),
    };
    let of = |name: &str| -> Vec<String> {
        world.store.histories[&id_of(name)].iter().map(|entry| changed(&entry.event)).collect()
    };
    assert_eq!(of("A"), ["allocated", "shipped", "", "returned", "", "shipped", ""]);
    assert_eq!(of("B"), ["wanted", ""]);
    assert_eq!(of("C"), ["allocated", "", "allocated"]);
}
