//! A store in memory that checks all that the decider says about stored rows, and the invariants.

use std::collections::BTreeMap;

use contract::commands::AllocateStock;
use contract::{OrderId, ProductId, Revision};

use super::inventory::{Possible, Reservation};
use super::script::{Line, parse, show, text_of};
use crate::decide::{
    Deadline, LoadedOrders, OrderChange, OrderCommand, OrderOutcome, OrdersDecision, Origin, decide,
};
use crate::history::{Entry, EntryKind, Event, fold, fold_prefix};
use crate::order::{Order, Terms};
use crate::status::{Purpose, Status};

/// When every command is decided, in microseconds since 1970 UTC.
pub(super) const NOW: i64 = 7;

/// Runs a script, one line after the other, and compares each outcome with the text after the
/// arrow. Then all commands of the script run again as a single batch, with the same result.
///
/// [`script`](super::script) says what the lines mean.
pub(super) fn check(script: &str) -> World {
    let mut world = World::default();
    for line in script.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let Some((command, expected)) = line.split_once("->") else {
            assert!(line.is_empty(), "a line without an arrow: {line}");
            continue;
        };
        let (seen, expected) = (world.step(command.trim()), expected.trim());
        let without_number = seen.split(" #").next().unwrap_or_default();
        let seen_as_asked = if expected.contains('#') { &seen } else { without_number };
        assert_eq!(seen_as_asked, expected, "after {line}");
    }
    let at_once = world.again(&[usize::MAX]);
    assert_eq!(at_once.outcomes, world.store.outcomes, "as one batch");
    at_once.assert_equal(&world.store);
    world
}

/// Orders, an Inventory, and the messages between them.
#[derive(Default)]
pub(super) struct World {
    pub(super) store: Store,
    inventory: BTreeMap<OrderId, Reservation>,
    answers: BTreeMap<(OrderId, Revision), Reservation>,
    possible: BTreeMap<OrderId, Possible>,
    commands: Vec<OrderCommand>,
}

impl World {
    /// Carries a line out, and returns its outcome as text.
    pub(super) fn step(&mut self, line: &str) -> String {
        if let Some(of) = line.strip_prefix("answer ") {
            self.step(&format!("carry-out {of}"));
            return self.step(&format!("late {}", &of[..1]));
        }
        match parse(line) {
            Line::Command(command) => self.decide(*command),
            Line::Show { what, order_id } => show(what, &self.store.orders[&order_id]),
            Line::CarryOut { order_id, stock } => {
                let Some(command) = self.store.newest_sent(order_id) else {
                    return "nothing sent".to_owned();
                };
                let before = self.inventory.get(&order_id);
                let after = Reservation::carry_out(before, command, stock);
                let after = after.unwrap_or_else(|why| panic!("R22: {why}: {line}"));
                self.answers.insert((order_id, command.intent.revision), after.clone());
                self.inventory.insert(order_id, after);
                "carried out".to_owned()
            }
            Line::Answer { order_id, revision, change } => {
                let newest = self.inventory.get(&order_id);
                let answer = match revision {
                    Some(revision) => self.answers.get(&(order_id, revision)),
                    None => newest,
                };
                let Some(reservation) = answer.cloned() else { return "no answer".to_owned() };
                let mut answer = reservation.answer(order_id);
                change(&mut answer);
                let outcome = self.decide(OrderCommand::Settle(Box::new(answer)));
                if matches!(self.store.last_outcome(), OrderOutcome::Settled { .. }) {
                    self.possible.entry(order_id).or_default().answered(&reservation);
                }
                outcome
            }
        }
    }

    fn decide(&mut self, command: OrderCommand) -> String {
        let before = self.store.sent.len();
        self.store.run(std::slice::from_ref(&command));
        self.commands.push(command);
        for sent in &self.store.sent[before..] {
            self.possible.entry(sent.order_id).or_default().send(sent);
        }
        self.store.outcomes.last().expect("the outcome of the command").clone()
    }

    /// All commands that were decided, oldest first.
    pub(super) fn commands(&self) -> &[OrderCommand] {
        &self.commands
    }

    /// Runs all commands again in batches with these many commands.
    pub(super) fn again(&self, batches: &[usize]) -> Store {
        let mut store = Store::default();
        let mut rest = self.commands.as_slice();
        for count in batches {
            let (batch, later) = rest.split_at((*count).min(rest.len()));
            store.run(batch);
            rest = later;
        }
        store.run(rest);
        store
    }
}

/// The rows of the Order Service.
#[derive(Default)]
pub(super) struct Store {
    keys: BTreeMap<String, OrderId>,
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) histories: BTreeMap<OrderId, Vec<Entry>>,
    kinds: BTreeMap<OrderId, Vec<EntryKind>>,
    pending: BTreeMap<OrderId, Revision>,
    deadlines: BTreeMap<OrderId, Deadline>,
    /// The commands that were published, oldest first.
    sent: Vec<AllocateStock>,
    /// The outcomes of all commands, as text.
    pub(super) outcomes: Vec<String>,
    last_outcome: Option<OrderOutcome>,
}

impl Store {
    /// Decides a batch, writes what it changes, and checks the rows.
    pub(super) fn run(&mut self, batch: &[OrderCommand]) {
        let loaded = LoadedOrders { keys: self.keys.clone(), orders: self.orders.clone() };
        let OrdersDecision { decided, changes } = decide(NOW, batch, loaded);
        assert_eq!(decided.len(), batch.len());
        for change in changes {
            self.write(change);
        }
        for one in decided {
            self.outcomes.push(text_of(&one.outcome));
            self.sent.extend(one.publish);
            self.last_outcome = Some(one.outcome);
        }
        self.check_rows();
    }

    fn write(&mut self, change: OrderChange) {
        let order_id = change.order_id;
        let (answered, ends, arms) =
            (change.answered(), change.ends_deadline(), change.new_deadline());
        let order = match change.from {
            Origin::Placed(placement) => {
                assert!(!self.orders.contains_key(&order_id));
                if let Some(key) = placement.key {
                    assert_eq!(self.keys.insert(key, order_id), None);
                }
                Order::placed(order_id, placement.terms, placement.digest)
            }
            Origin::Stored { last_seq, in_flight, has_deadline } => {
                assert_eq!(self.orders[&order_id].last_seq, last_seq, "R13: compare-and-set");
                assert_eq!(self.pending.get(&order_id).copied(), in_flight, "INV-7");
                assert_eq!(self.deadlines.contains_key(&order_id), has_deadline, "INV-7");
                self.orders[&order_id].clone()
            }
        };
        if answered.is_some() {
            assert_eq!(self.pending.remove(&order_id), answered, "INV-7");
        }
        if let Some(pending) = change.pending {
            assert_eq!(self.pending.insert(order_id, pending.revision), None, "INV-7");
        }
        if ends {
            assert!(self.deadlines.remove(&order_id).is_some(), "INV-7");
        }
        if let Some(deadline) = arms {
            assert_eq!(self.deadlines.insert(order_id, deadline), None, "INV-7");
        }
        assert_eq!(change.entries.len(), change.kinds.len());
        let history = self.histories.entry(order_id).or_default();
        history.extend(change.entries);
        self.kinds.entry(order_id).or_default().extend(change.kinds);
        let registers = fold(&order.terms, history).expect("INV-4, INV-10");
        let last_seq = u32::try_from(history.len() + 1).expect("few entries");
        let digest = change.to.and_then(|state| state.digest).unwrap_or(order.digest);
        let order = Order { registers, digest, last_seq, ..order };
        assert_eq!(change.to.unwrap_or_else(|| order.state()), order.state());
        self.orders.insert(order_id, order);
    }

    /// The pending commands, which a sweeper sends while Inventory is away.
    pub(super) fn pending(&self) -> Vec<(OrderId, Revision)> {
        self.pending.iter().map(|(order_id, revision)| (*order_id, *revision)).collect()
    }

    /// The outcome of the last command.
    pub(super) fn last_outcome(&self) -> &OrderOutcome {
        self.last_outcome.as_ref().expect("a command was decided")
    }

    /// What the entries of an order's history are.
    pub(super) fn kinds(&self, order_id: OrderId) -> &[EntryKind] {
        &self.kinds[&order_id]
    }

    /// The newest command of an order.
    pub(super) fn newest_sent(&self, order_id: OrderId) -> Option<&AllocateStock> {
        self.sent.iter().rev().find(|sent| sent.order_id == order_id)
    }

    /// Both have the same rows.
    pub(super) fn assert_equal(&self, other: &Self) {
        assert_eq!(self.orders, other.orders);
        assert_eq!(self.histories, other.histories);
        assert_eq!(self.kinds, other.kinds);
        assert_eq!(self.pending, other.pending);
        assert_eq!(self.deadlines, other.deadlines);
    }

    fn check_rows(&self) {
        for (order_id, order) in &self.orders {
            let (registers, status) = (&order.registers, order.status());
            let in_flight = registers.in_flight();
            assert_eq!(self.pending.get(order_id).copied(), in_flight, "INV-7");
            assert_eq!(in_flight.is_some(), status.is_in_flight());
            let deadline = self.deadlines.get(order_id).copied();
            assert_eq!(deadline, order.deadline(), "INV-7");
            assert_eq!(deadline.is_some(), status == Status::Reserved, "INV-7");
            assert_eq!(order.digest, registers.sent_intent().digest(), "R14");
            if let Some(revision) = in_flight {
                let sent = self.newest_sent(*order_id).expect("what is in flight was sent");
                assert_eq!((sent.intent.revision, sent.digest), (revision, order.digest), "R6");
                assert_eq!(sent.intent, registers.sent_intent());
            }
            check_history(&self.histories.get(order_id).cloned().unwrap_or_default());
            check_money(order);
            check_lines(order);
        }
    }

    /// Every prefix of every history folds, and the kinds in the changes are those of the history.
    pub(super) fn check_prefixes(&self) {
        for (order_id, history) in &self.histories {
            let terms = &self.orders[order_id].terms;
            let mut kinds = Vec::new();
            for (count, entry) in history.iter().enumerate() {
                let before = fold_prefix(terms, &history[..count]).expect("INV-4, INV-10");
                kinds.push(EntryKind::of(&before, entry));
            }
            assert_eq!(kinds, self.kinds[order_id]);
        }
    }
}

/// INV-4: revisions rise by one, final statuses are never left, and an order that is past
/// `reserved` stays past it.
fn check_history(history: &[Entry]) {
    let mut revision = 1;
    let mut last = Status::Received;
    let mut is_past_reserved = false;
    for entry in history {
        if last.is_final() {
            let moves = matches!(entry.event, Event::Intended(_) | Event::Settled { .. });
            assert!(entry.status == last && !moves, "INV-4: {last:?} is left by {entry:?}");
        }
        if let Event::Intended(intended) = &entry.event {
            revision += 1;
            assert_eq!(intended.revision.get(), revision, "INV-4");
            assert_eq!(Purpose::of_status(entry.status), Some(intended.purpose));
        }
        assert!(!(is_past_reserved && entry.status == Status::Reserved), "INV-9");
        is_past_reserved |= matches!(
            entry.status,
            Status::Confirmed | Status::Amending | Status::Fulfilling | Status::Fulfilled
        );
        last = entry.status;
    }
}

/// INV-9, where the value of what is kept is counted unit by unit.
fn check_money(order: &Order) {
    let registers = &order.registers;
    let amounts = |entries: &[crate::payment::MoneyEntry]| -> i64 {
        entries.iter().map(|entry| entry.amount_minor).sum()
    };
    let (paid, refunded) = (amounts(&registers.payments), amounts(&registers.refunds));
    let value = value_of(&order.terms, |product_id| registers.kept(product_id));
    let refund_due = if paid > 0 { (paid - refunded - value).max(0) } else { 0 };
    assert_eq!(order.state().refund_due_minor, refund_due, "INV-9");
    let balance = registers.balance(&order.terms);
    assert_eq!(balance.is_some(), order.terms.payment.is_some());
    assert!(refunded <= paid, "INV-9");
    let needs_no_money = matches!(
        order.status(),
        Status::Received
            | Status::Reserved
            | Status::Rejected
            | Status::Cancelling
            | Status::Cancelled
            | Status::Expiring
            | Status::Expired
    );
    assert!(balance.is_none() || needs_no_money || paid >= value, "INV-9: {order:?}");
}

fn value_of(terms: &Terms, kept: impl Fn(&ProductId) -> i64) -> i64 {
    let mut prices: BTreeMap<&ProductId, Vec<i64>> = BTreeMap::new();
    for line in &terms.lines {
        let units = usize::try_from(line.quantity.get()).expect("few units");
        let of_line = std::iter::repeat_n(line.price_minor, units);
        prices.entry(&line.product_id).or_default().extend(of_line);
    }
    let value = |(product_id, prices): (&&ProductId, &Vec<i64>)| -> i64 {
        let count = usize::try_from(kept(product_id)).expect("no fewer than 0");
        prices[..count].iter().sum()
    };
    prices.iter().map(value).sum()
}

/// INV-10.
fn check_lines(order: &Order) {
    let registers = &order.registers;
    let intent = &registers.intent;
    for line in &order.terms.ordered() {
        let product_id = &line.product_id;
        let (wanted, kept) = (intent.wanted.of(product_id), registers.kept(product_id));
        let (shipped, back) = (intent.shipped.of(product_id), intent.returned.of(product_id));
        assert!(0 <= kept && kept <= wanted && wanted <= line.quantity.into(), "INV-10");
        assert!(0 <= back && back <= shipped && shipped <= kept, "INV-10: {order:?}");
        let Some(facts) = registers.facts.as_ref().filter(|_| registers.in_flight().is_none())
        else {
            continue;
        };
        let granted = facts.allocated.of(product_id);
        match registers.purpose {
            Purpose::Expire => assert_eq!(granted, 0, "INV-10"),
            Purpose::Place | Purpose::Revive if facts.allocated.is_empty() => {}
            _ => assert_eq!(granted, wanted, "INV-10"),
        }
        for one in &intent.shipped {
            let allocated = facts.allocated.at(&one.product_id, &one.location_id);
            assert!(one.quantity.units() <= allocated, "INV-10");
        }
    }
}
