use std::collections::BTreeMap;

use contract::answers::StockAllocated;
use contract::{
    Allocation, Allocations, Digest, Facts, Intent, LocationId, OrderId, Quantity, Revision,
    Shortage, ShortageReason,
};
use proptest::prelude::*;

use super::{
    LoadedOrders, OrderChange, OrderCommand, OrderOutcome, OrdersDecision, Origin, Placement,
    RequestContext, decide,
};
use crate::history::{Entry, Event, fold};
use crate::money::Currency;
use crate::order::{Order, OrderLine, Terms};
use crate::registers::Registers;
use crate::status::Request;

/// Runs a script, one command per line, and compares each outcome with the text after the arrow.
///
/// `place A 2` orders two mugs as order A (`key=k` sets an idempotency key). `cancel A` and
/// `fulfill A` are requests. `reserved A`, `rejected A`, `released A` and `shipped A` are answers
/// of Inventory (`other-intent` gives them a wrong digest). The script runs with each line as a
/// batch, and again as a single batch, which must have the same result.
fn check(script: &str) {
    let commands: Vec<(OrderCommand, &str)> = script.lines().filter_map(parse).collect();
    let mut store = Store::default();
    for (command, expected) in &commands {
        let seen = store.run(std::slice::from_ref(command));
        assert_eq!(seen, [*expected], "after {command:?}");
    }
    let mut at_once = Store::default();
    let batch: Vec<_> = commands.iter().map(|(command, _)| command.clone()).collect();
    let expected: Vec<_> = commands.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(at_once.run(&batch), expected, "as one batch");
    assert_eq!(at_once.orders, store.orders);
    assert_eq!(at_once.pending, store.pending);
}

/// A store in memory that checks everything that the decider says about stored rows.
#[derive(Default)]
struct Store {
    keys: BTreeMap<String, OrderId>,
    orders: BTreeMap<OrderId, Order>,
    histories: BTreeMap<OrderId, Vec<Entry>>,
    pending: BTreeMap<OrderId, Revision>,
    published: Vec<(OrderId, Revision)>,
}

impl Store {
    fn run(&mut self, batch: &[OrderCommand]) -> Vec<String> {
        let loaded = LoadedOrders { keys: self.keys.clone(), orders: self.orders.clone() };
        let OrdersDecision { decided, changes } = decide(7, batch, loaded);
        assert_eq!(decided.len(), batch.len());
        for change in changes {
            self.write(change);
        }
        self.published.extend(
            decided
                .iter()
                .filter_map(|one| one.publish.as_ref())
                .map(|command| (command.order_id, command.intent.revision)),
        );
        self.check_invariants();
        decided.into_iter().map(|one| text_of(&one.outcome)).collect()
    }

    fn write(&mut self, change: OrderChange) {
        let order_id = change.order_id;
        let order = match change.from {
            Origin::Placed(placement) => {
                assert!(!self.orders.contains_key(&order_id));
                if let Some(key) = placement.key {
                    assert_eq!(self.keys.insert(key, order_id), None);
                }
                Order::placed(order_id, placement.terms, placement.digest)
            }
            Origin::Stored { last_seq, in_flight } => {
                assert_eq!(self.orders[&order_id].last_seq, last_seq, "compare-and-set");
                assert_eq!(self.pending.remove(&order_id), in_flight, "INV-7");
                self.orders[&order_id].clone()
            }
        };
        self.pending.extend(change.pending.map(|pending| (order_id, pending.revision)));
        let history = self.histories.entry(order_id).or_default();
        history.extend(change.entries);
        let registers = fold(&order.terms, history).expect("INV-4, INV-10");
        let last_seq = u32::try_from(history.len() + 1).expect("few entries");
        let digest = change.to.and_then(|state| state.digest).unwrap_or(order.digest);
        let order = Order { registers, digest, last_seq, ..order };
        assert_eq!(change.to.unwrap_or_else(|| order.state()), order.state());
        self.orders.insert(order_id, order);
    }

    fn check_invariants(&self) {
        for (order_id, order) in &self.orders {
            let in_flight = order.registers.in_flight();
            assert_eq!(self.pending.get(order_id).copied(), in_flight, "INV-7");
            assert_eq!(order.digest, order.registers.intent.digest(), "R14");
            if let Some(revision) = in_flight {
                assert!(self.published.contains(&(*order_id, revision)));
            }
        }
    }
}

fn text_of(outcome: &OrderOutcome) -> String {
    match outcome {
        OrderOutcome::Placed(receipt) => format!("placed {}", receipt.status.as_str()),
        OrderOutcome::Replayed(receipt) => {
            format!("replayed {} {}", name_of(receipt.order_id), receipt.status.as_str())
        }
        OrderOutcome::KeyReused => "key reused".to_owned(),
        OrderOutcome::Accepted(receipt) | OrderOutcome::Settled(receipt) => {
            receipt.status.as_str().to_owned()
        }
        OrderOutcome::NotFound => "not found".to_owned(),
        OrderOutcome::InvalidTransition(status) => format!("not while {}", status.as_str()),
        OrderOutcome::Stale => "stale".to_owned(),
        OrderOutcome::Anomaly(_) => "anomaly".to_owned(),
    }
}

fn id_of(name: &str) -> OrderId {
    OrderId(uuid::Uuid::from_u128(u128::from(name.as_bytes()[0])))
}

fn name_of(order_id: OrderId) -> char {
    char::from(order_id.0.as_bytes()[15])
}

fn terms(units: u32) -> Terms {
    let line = OrderLine {
        product_id: "MUG".parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
        price_minor: 1999,
    };
    Terms {
        customer_id: "123456".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 1999 * i64::from(units),
        lines: vec![line],
    }
}

fn parse(line: &str) -> Option<(OrderCommand, &str)> {
    let line = line.split("//").next().expect("split returns at least one part").trim();
    let (command, expected) = line.split_once("->")?;
    let words: Vec<&str> = command.split_whitespace().collect();
    let order_id = id_of(words[1]);
    let command = match words[0] {
        "place" => place(
            order_id,
            words[2].parse().expect("units"),
            words.iter().find_map(|w| w.strip_prefix("key=")),
        ),
        "cancel" => OrderCommand::Cancel {
            order_id,
            reason: Some("changed my mind".to_owned()),
            context: RequestContext::default(),
        },
        "fulfill" => OrderCommand::Fulfill { order_id, context: RequestContext::default() },
        answer => settle(order_id, answer, words.contains(&"other-intent")),
    };
    Some((command, expected.trim()))
}

fn place(order_id: OrderId, units: u32, key: Option<&str>) -> OrderCommand {
    let key = key.map(str::to_owned);
    let terms = terms(units);
    let digest = Intent::placed(terms.ordered()).digest();
    OrderCommand::Place(Box::new(Placement {
        order_id,
        key,
        terms,
        has_default_currency: false,
        digest,
        context: RequestContext::default(),
    }))
}

/// The answer of a healthy Inventory to the intent that each word stands for.
fn settle(order_id: OrderId, answer: &str, other_intent: bool) -> OrderCommand {
    let quantity = Quantity::new(2).expect("a quantity");
    let product_id: contract::ProductId = "MUG".parse().expect("an id");
    let allocation =
        Allocation { product_id: product_id.clone(), location_id: LocationId::main(), quantity };
    let allocated = Allocations::sorted(vec![allocation]).expect("one stock key");
    let shortage = Shortage {
        product_id,
        requested: quantity,
        available: 1,
        reason: ShortageReason::OutOfStock,
    };
    let mut registers = Registers::placed(terms(2).ordered());
    let grant = Facts { revision: Revision::FIRST, allocated, shortages: Vec::new() };
    let (intent, facts) = match answer {
        "reserved" => (registers.intent, grant),
        "rejected" => {
            let allocated = Allocations::default();
            (registers.intent, Facts { allocated, shortages: vec![shortage], ..grant })
        }
        "released" => {
            let intent = registers.next_intent(Request::Cancel);
            let facts =
                Facts { revision: intent.revision, allocated: Allocations::default(), ..grant };
            (intent, facts)
        }
        "shipped" => {
            registers.facts = Some(grant.clone());
            let intent = registers.next_intent(Request::Fulfill);
            let facts = Facts { revision: intent.revision, ..grant };
            (intent, facts)
        }
        other => panic!("no such command: {other}"),
    };
    OrderCommand::Settle(Box::new(StockAllocated {
        schema: 1,
        order_id,
        facts,
        digest: if other_intent { Digest([9; 16]) } else { intent.digest() },
        attempt: 1,
        decided_at_micros: 5,
        sent_at_micros: 6,
        traceparent: None,
    }))
}

#[test]
fn a_fulfilled_order_never_changes_again() {
    check(
        "
        place A 2      -> placed received
        reserved A     -> confirmed
        reserved A     -> stale              // a repeat
        fulfill A      -> fulfilling
        fulfill A      -> fulfilling         // a repeat
        cancel A       -> not while fulfilling
        shipped A      -> fulfilled
        shipped A      -> stale
        fulfill A      -> fulfilled
        cancel A       -> not while fulfilled
        ",
    );
}

#[test]
fn a_rejected_order_stays_rejected_and_keeps_its_shortages() {
    check(
        "
        place A 2 key=k  -> placed received
        rejected A       -> rejected
        rejected A       -> stale
        cancel A         -> not while rejected
        fulfill A        -> not while rejected
        place B 2 key=k  -> replayed A rejected
        ",
    );
    let mut store = Store::default();
    store.run(&[place(id_of("A"), 2, None), settle(id_of("A"), "rejected", false)]);
    assert_eq!(store.orders[&id_of("A")].receipt().shortages.len(), 1);
}

#[test]
fn a_cancellation_may_overtake_the_answer_to_the_reservation() {
    check(
        "
        place A 2      -> placed received
        cancel A       -> cancelling
        reserved A     -> stale              // Inventory reserved before it received the release
        cancel A       -> cancelling
        released A     -> cancelled
        released A     -> stale
        rejected A     -> stale              // very late
        cancel A       -> cancelled
        fulfill A      -> not while cancelled
        ",
    );
}

#[test]
fn an_answer_that_no_healthy_history_explains_is_an_anomaly_and_changes_nothing() {
    check(
        "
        reserved Z               -> anomaly  // never placed
        place A 2                -> placed received
        shipped A                -> anomaly
        released A               -> anomaly
        reserved A other-intent   -> anomaly
        reserved A               -> confirmed
        rejected A               -> anomaly
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
        place D 2         -> placed received       // without a key
        place E 2 key=l   -> placed received
        reserved A        -> confirmed
        place F 2 key=k   -> replayed A confirmed  // its current status
        place A 2 key=k   -> placed confirmed      // a retry after a commit of unknown fate
        cancel B          -> not found             // B was never created
        fulfill B         -> not found
        ",
    );
}

#[test]
fn a_repeat_is_the_same_order_after_the_default_currency_changed() {
    let mut store = Store::default();
    let mut place_in = |order: &str, code: &str, has_default_currency: bool| {
        let OrderCommand::Place(mut placement) = place(id_of(order), 2, Some("k")) else {
            unreachable!("it is a placement")
        };
        placement.terms.currency = code.parse().expect("a currency");
        placement.has_default_currency = has_default_currency;
        store.run(&[OrderCommand::Place(placement)]).remove(0)
    };
    assert_eq!(place_in("A", "BRL", true), "placed received");
    assert_eq!(place_in("B", "EUR", true), "replayed A received");
    assert_eq!(place_in("C", "EUR", false), "key reused");
    assert_eq!(place_in("D", "BRL", false), "replayed A received");
}

#[test]
fn a_command_names_its_order_and_only_a_placement_has_a_key() {
    let a = id_of("A");
    let commands = [
        (place(a, 2, Some("k")), Some("k")),
        (place(a, 2, None), None),
        (
            OrderCommand::Cancel { order_id: a, reason: None, context: RequestContext::default() },
            None,
        ),
        (OrderCommand::Fulfill { order_id: a, context: RequestContext::default() }, None),
        (settle(a, "released", false), None),
    ];
    for (command, key) in commands {
        assert_eq!((command.order_id(), command.key()), (a, key), "{command:?}");
        assert_eq!(
            command.is_request(),
            !matches!(command, OrderCommand::Settle(_)),
            "{command:?}"
        );
    }
}

#[test]
fn the_first_answer_of_inventory_settles_a_received_order() {
    let mut store = Store::default();
    let mut settled = |command: OrderCommand| {
        let loaded = LoadedOrders { keys: BTreeMap::new(), orders: store.orders.clone() };
        let decision = decide(7, std::slice::from_ref(&command), loaded);
        store.run(&[command]);
        decision.decided[0].outcome.settled_from_received()
    };
    for (name, answer) in [("A", "reserved"), ("B", "rejected")] {
        assert_eq!(settled(place(id_of(name), 2, None)), None);
        assert_eq!(settled(settle(id_of(name), answer, false)), Some(id_of(name)));
        assert_eq!(settled(settle(id_of(name), answer, false)), None, "once");
    }
    assert_eq!(
        settled(OrderCommand::Fulfill { order_id: id_of("A"), context: RequestContext::default() }),
        None
    );
    assert_eq!(settled(settle(id_of("A"), "shipped", false)), None);
}

/// An entry says what changed, and nothing else.
#[test]
fn an_entry_keeps_what_changed() {
    let mut store = Store::default();
    let a = id_of("A");
    let b = id_of("B");
    store.run(&[
        place(a, 2, None),
        settle(a, "reserved", false),
        OrderCommand::Fulfill { order_id: a, context: RequestContext::default() },
        settle(a, "shipped", false),
        place(b, 2, None),
        OrderCommand::Cancel {
            order_id: b,
            reason: Some("no".to_owned()),
            context: RequestContext::default(),
        },
        settle(b, "released", false),
    ]);
    let events = |order_id| store.histories[&order_id].iter().map(|entry| &entry.event);
    let changed = |event: &Event| match event {
        Event::Intended { wanted, shipped, .. } => (wanted.is_some(), shipped.is_some()),
        Event::Settled { allocated, shortages, .. } => (allocated.is_some(), !shortages.is_empty()),
    };
    let of_a: Vec<_> = events(a).map(changed).collect();
    assert_eq!(of_a, [(true, false), (false, true), (false, false)]);
    let of_b: Vec<_> = events(b).map(changed).collect();
    assert_eq!(of_b, [(true, false), (false, false)]);
}

fn any_command() -> impl Strategy<Value = OrderCommand> {
    let order = prop::sample::select(vec!["A", "B", "C"]);
    let verb = prop::sample::select(vec![
        "place", "cancel", "fulfill", "reserved", "reserved", "rejected", "released", "shipped",
    ]);
    let key = prop::option::of(prop::sample::select(vec!["k", "l"]));
    (order, verb, key, 2u32..4, prop::bool::weighted(0.05)).prop_map(
        |(order, verb, key, units, other)| match verb {
            "place" => place(id_of(order), units, key),
            "cancel" => OrderCommand::Cancel {
                order_id: id_of(order),
                reason: None,
                context: RequestContext::default(),
            },
            "fulfill" => {
                OrderCommand::Fulfill { order_id: id_of(order), context: RequestContext::default() }
            }
            answer => settle(id_of(order), answer, other),
        },
    )
}

proptest! {
    /// The store checks INV-4 and INV-7 after every batch.
    #[test]
    fn any_commands_in_any_batches_keep_the_invariants(
        commands in prop::collection::vec(any_command(), 1..60),
        cuts in prop::collection::vec(1usize..8, 60),
    ) {
        let mut in_batches = Store::default();
        let mut outcomes = Vec::new();
        let mut rest = commands.as_slice();
        for cut in cuts {
            let (batch, later) = rest.split_at(cut.min(rest.len()));
            outcomes.extend(in_batches.run(batch));
            rest = later;
        }
        let mut one_by_one = Store::default();
        let alone: Vec<_> =
            commands.iter().flat_map(|command| one_by_one.run(std::slice::from_ref(command))).collect();
        prop_assert_eq!(outcomes, alone);
        prop_assert_eq!(in_batches.orders, one_by_one.orders);
    }
}
