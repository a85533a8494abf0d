//! A model of the Order Service and of a bus that loses and repeats: whatever the one admits,
//! Inventory can carry out in every state that the other leaves it in (R22).

use contract::Facts;
use proptest::prelude::*;

use super::stock::Stock;
use super::*;
use crate::reservation::Reservation;

const PRODUCTS: [&str; 2] = ["MUG", "TEE"];
const LOCATIONS: [&str; 3] = ["main", "SHOP", "NOWHERE"];

/// Why the last revision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Place,
    Amend,
    Cancel,
    Expire,
    Revive,
}

/// An order, as the Order Service has it.
#[derive(Clone, Debug)]
struct Order {
    name: String,
    ordered: Wanted,
    purpose: Purpose,
    /// What Inventory is sent, by revision.
    intents: Vec<Intent>,
    /// The facts that settled the order last.
    facts: Option<Facts>,
    is_paid: bool,
}

/// What a client, a clock or the bus does. Numbers choose among what is possible.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ship(usize, u32),
    Unship(usize, u32),
    CancelSome(usize, u32),
    CancelAll(usize),
    Return(usize, u32),
    Expire(usize),
    Pay(usize),
    /// Inventory gets the intent that is this many revisions old, and its answer may be lost.
    Deliver(usize, usize, bool),
    Move(usize, usize, Change),
}

impl Order {
    fn placed(name: &str, lines: &[(&str, u32)], is_paid: bool) -> Self {
        let ordered = lines.iter().map(|(name, units)| (product_id(name), quantity(*units)));
        let ordered = Wanted::sum(ordered).expect("lines of an order");
        Self {
            name: name.to_owned(),
            purpose: Purpose::Place,
            intents: vec![Intent::placed(ordered.clone())],
            ordered,
            facts: None,
            is_paid,
        }
    }

    fn intent(&self) -> &Intent {
        self.intents.last().expect("an order has an intent")
    }

    /// The facts of the newest revision, if they are known.
    fn settled(&self) -> Option<&Facts> {
        self.facts.as_ref().filter(|facts| facts.revision == self.intent().revision)
    }

    fn has_nothing(&self) -> bool {
        self.settled().is_some_and(|facts| facts.allocated.is_empty())
    }

    /// Whether a part of the order can be shipped, cancelled or returned.
    fn can_change(&self) -> bool {
        match self.purpose {
            Purpose::Place | Purpose::Revive => {
                self.is_paid && self.settled().is_some() && !self.has_nothing()
            }
            Purpose::Amend => true,
            Purpose::Cancel | Purpose::Expire => false,
        }
    }

    fn revise(&mut self, purpose: Purpose, change: impl FnOnce(&mut Intent)) {
        let mut intent = self.intent().clone();
        intent.revision = intent.revision.next();
        change(&mut intent);
        self.purpose = if intent.wanted.total() == 0 && purpose == Purpose::Amend {
            Purpose::Cancel
        } else {
            purpose
        };
        self.intents.push(intent);
    }

    /// Units at a location that the facts give to the order and the intent does not ship, unless a
    /// reduction is on its way.
    fn ship(&mut self, pick: u32) {
        let Some(facts) = self.facts.as_ref().filter(|_| self.can_change()) else { return };
        let intent = self.intent();
        let is_reduced =
            |line: &WantedLine| i64::from(line.quantity) < facts.allocated.of(&line.product_id);
        if intent.wanted.iter().any(is_reduced) {
            return;
        }
        let room = |part: &Allocation| {
            part.quantity.units() - intent.shipped.at(&part.product_id, &part.location_id)
        };
        let parts: Vec<_> = facts.allocated.iter().filter(|part| room(part) > 0).cloned().collect();
        let Some(part) = chosen(&parts, pick) else { return };
        let units = 1 + i64::from(pick / 8) % room(part);
        let shipped = with_units(&intent.shipped, part, units);
        self.revise(Purpose::Amend, |intent| intent.shipped = shipped);
    }

    /// Units at a location that are out, of which as many stay out as came back.
    fn unship(&mut self, pick: u32) {
        if !self.can_change() {
            return;
        }
        let intent = self.intent();
        let room = |part: &Allocation| {
            let product_id = &part.product_id;
            let out = intent.shipped.of(product_id) - intent.returned.of(product_id);
            part.quantity.units().min(out)
        };
        let parts: Vec<_> = intent.shipped.iter().filter(|part| room(part) > 0).cloned().collect();
        let Some(part) = chosen(&parts, pick) else { return };
        let units = 1 + i64::from(pick / 8) % room(part);
        let shipped = with_units(&intent.shipped, part, -units);
        self.revise(Purpose::Amend, |intent| intent.shipped = shipped);
    }

    fn cancel_some(&mut self, pick: u32) {
        if !self.can_change() {
            return;
        }
        let intent = self.intent();
        let room =
            |line: &WantedLine| i64::from(line.quantity) - intent.shipped.of(&line.product_id);
        let lines: Vec<_> = intent.wanted.iter().filter(|line| room(line) > 0).cloned().collect();
        let Some(line) = chosen(&lines, pick) else { return };
        let units = 1 + i64::from(pick / 8) % room(line);
        let less = |found: &WantedLine| {
            let units = if found.product_id == line.product_id { units } else { 0 };
            let quantity = u32::try_from(i64::from(found.quantity) - units).expect("units");
            WantedLine { product_id: found.product_id.clone(), quantity }
        };
        let wanted = intent.wanted.iter().map(less).collect::<Vec<_>>();
        let wanted = Wanted::try_from(wanted).expect("sorted lines");
        self.revise(Purpose::Amend, |intent| intent.wanted = wanted);
    }

    fn cancel_all(&mut self) {
        let is_over = self.purpose == Purpose::Cancel
            || (self.purpose == Purpose::Place && self.has_nothing());
        if !is_over && self.intent().shipped.is_empty() {
            let nothing = self.ordered.nothing();
            self.revise(Purpose::Cancel, |intent| intent.wanted = nothing);
        }
    }

    fn give_back(&mut self, pick: u32) {
        if !self.can_change() {
            return;
        }
        let intent = self.intent();
        let room = |product: &ProductId| intent.shipped.of(product) - intent.returned.of(product);
        let products: Vec<_> =
            PRODUCTS.map(product_id).into_iter().filter(|product| room(product) > 0).collect();
        let Some(product_id) = chosen(&products, pick) else { return };
        let units = u32::try_from(1 + i64::from(pick / 8) % room(product_id)).expect("units");
        let location_id: LocationId = LOCATIONS[pick as usize / 64 % 3].parse().expect("an id");
        let mut entries = Vec::from(intent.returned.clone());
        let is_same = |entry: &ReturnedUnits| {
            entry.product_id == *product_id && entry.location_id == location_id
        };
        let index = entries.iter().position(is_same).unwrap_or_else(|| {
            let (product_id, location_id) = (product_id.clone(), location_id.clone());
            let entry = ReturnedUnits {
                product_id,
                location_id,
                restocked: 0,
                quarantined: 0,
                written_off: 0,
            };
            entries.push(entry);
            entries.len() - 1
        });
        match pick / 256 % 3 {
            0 => entries[index].restocked += units,
            1 => entries[index].quarantined += units,
            _ => entries[index].written_off += units,
        }
        let returned = Returned::sorted(entries).expect("few entries");
        self.revise(Purpose::Amend, |intent| intent.returned = returned);
    }

    /// The deadline passes while the order has its units and is not paid.
    fn expire(&mut self) {
        let is_fresh = matches!(self.purpose, Purpose::Place);
        if is_fresh && !self.is_paid && self.settled().is_some() && !self.has_nothing() {
            let nothing = self.ordered.nothing();
            self.revise(Purpose::Expire, |intent| intent.wanted = nothing);
        }
    }

    /// A late payment asks for everything again.
    fn pay(&mut self) {
        let is_late = self.purpose == Purpose::Expire && !self.is_paid;
        self.is_paid = true;
        if is_late {
            let ordered = self.ordered.clone();
            self.revise(Purpose::Revive, |intent| intent.wanted = ordered);
        }
    }

    /// Inventory's facts settle the order, or are old (R20, R24).
    fn settle(&mut self, facts: &Facts) {
        if facts.revision != self.intent().revision {
            return;
        }
        let wanted = |line: &WantedLine| i64::from(line.quantity);
        let is_granted = self
            .intent()
            .wanted
            .iter()
            .all(|line| facts.allocated.of(&line.product_id) == wanted(line));
        let may_be_short = matches!(self.purpose, Purpose::Place | Purpose::Revive);
        let is_short = !facts.shortages.is_empty() && facts.allocated.is_empty();
        assert!(is_granted || may_be_short && is_short, "INV-10: {self:?} {facts:?}");
        self.facts = Some(facts.clone());
    }

    /// INV-5 and INV-10: Inventory is at one of the revisions, and its registers are those of it.
    fn check(&self, stock: &Stock) {
        let Some(reservation) = stock.reservation(&self.name) else {
            return assert_eq!(self.facts, None, "INV-5");
        };
        let settled = self.facts.as_ref().map(|facts| facts.revision);
        assert!(settled <= Some(reservation.revision), "INV-5");
        let at = reservation.revision.get() as usize - 1;
        let intent = &self.intents[at];
        assert_eq!(reservation.shipped(), intent.shipped, "INV-10");
        assert_eq!(reservation.returned(), intent.returned, "INV-10");
        for line in &intent.wanted {
            let granted = reservation.granted(&line.product_id);
            let is_short = granted == 0 && !reservation.facts().shortages.is_empty();
            assert!(granted == i64::from(line.quantity) || is_short, "INV-10: {reservation:?}");
        }
    }
}

fn chosen<T>(from: &[T], pick: u32) -> Option<&T> {
    from.get((pick as usize) % from.len().max(1))
}

/// The shipped units with more or fewer at one stock key.
fn with_units(shipped: &Allocations, part: &Allocation, more: i64) -> Allocations {
    let units = shipped.at(&part.product_id, &part.location_id) + more;
    let is_other = |found: &&Allocation| {
        (&found.product_id, &found.location_id) != (&part.product_id, &part.location_id)
    };
    let mut parts: Vec<_> = shipped.iter().filter(is_other).cloned().collect();
    if units > 0 {
        let quantity = quantity(u32::try_from(units).expect("units"));
        parts.push(Allocation { quantity, ..part.clone() });
    }
    Allocations::sorted(parts).expect("few entries")
}

/// A stock of both products at two locations.
fn stocked(units: u32) -> Stock {
    let mut stock = Stock::default();
    stock.run(&[put_location("SHOP", 1), put_product("MUG"), put_product("TEE")]);
    for product in PRODUCTS {
        for location in &LOCATIONS[..2] {
            let some = Change::Receive(quantity(units));
            let key = format!("{product} at {location}");
            stock.run(&[movement_request(product, location, some, &key)]);
        }
    }
    stock
}

/// Orders of both products, some of which are to be paid.
fn orders() -> Vec<Order> {
    vec![
        Order::placed("A", &[("MUG", 5), ("TEE", 2)], true),
        Order::placed("B", &[("TEE", 6)], false),
        Order::placed("C", &[("MUG", 4), ("TEE", 3)], false),
        Order::placed("D", &[("MUG", 2)], true),
    ]
}

struct Shop {
    stock: Stock,
    orders: Vec<Order>,
    requests: u32,
}

impl Shop {
    fn take(&mut self, step: Step) {
        match step {
            Step::Ship(at, pick) => self.orders[at].ship(pick),
            Step::Unship(at, pick) => self.orders[at].unship(pick),
            Step::CancelSome(at, pick) => self.orders[at].cancel_some(pick),
            Step::CancelAll(at) => self.orders[at].cancel_all(),
            Step::Return(at, pick) => self.orders[at].give_back(pick),
            Step::Expire(at) => self.orders[at].expire(),
            Step::Pay(at) => self.orders[at].pay(),
            Step::Deliver(at, age, lost) => self.deliver(at, age, lost),
            Step::Move(product, location, change) => {
                self.requests += 1;
                let key = format!("request {}", self.requests);
                let (product, location) = (PRODUCTS[product], LOCATIONS[location]);
                self.stock.run(&[movement_request(product, location, change, &key)]);
            }
        }
    }

    fn deliver(&mut self, at: usize, age: usize, lost: bool) {
        let order = &mut self.orders[at];
        let intent = order.intents[order.intents.len().saturating_sub(1 + age)].clone();
        let revision = intent.revision;
        let decided = self.stock.run(&[allocate(order_id(&order.name), intent)]);
        let answer = decided[0].publish.as_ref();
        let answer = answer.unwrap_or_else(|| panic!("R22: {:?} {order:?}", decided[0].outcome));
        assert!(answer.facts.revision >= revision, "R21");
        if !lost {
            order.settle(&answer.facts);
        }
    }

    fn check(&self) {
        self.stock.audit();
        self.orders.iter().for_each(|order| order.check(&self.stock));
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let order = 0usize..4;
    let of = |make: fn(usize, u32) -> Step| {
        (0usize..4, any::<u32>()).prop_map(move |(at, pick)| make(at, pick))
    };
    let change = prop_oneof![
        (1u32..4).prop_map(|units| Change::Receive(quantity(units))),
        (-3i64..0).prop_map(Change::Adjust),
        (0i64..9).prop_map(|on_hand| Change::Count { on_hand, expected: None }),
        (1u32..3).prop_map(|units| Change::Quarantine(quantity(units))),
        (1u32..3).prop_map(|units| Change::Unquarantine(quantity(units))),
        (1u32..3).prop_map(|units| Change::WriteOff(quantity(units))),
    ];
    let delivery = (order.clone(), 0usize..4, prop::bool::weighted(0.2));
    prop_oneof![
        4 => of(Step::Ship),
        2 => of(Step::Unship),
        2 => of(Step::CancelSome),
        3 => of(Step::Return),
        1 => order.clone().prop_map(Step::CancelAll),
        2 => order.clone().prop_map(Step::Expire),
        2 => order.prop_map(Step::Pay),
        9 => delivery.prop_map(|(at, age, lost)| Step::Deliver(at, age.saturating_sub(1), lost)),
        2 => (0usize..2, 0usize..2, change).prop_map(|(product, location, change)| {
            Step::Move(product, location, change)
        }),
    ]
}

/// What a client does with an order that was shipped, cancelled and returned in parts.
fn any_change() -> impl Strategy<Value = (u8, u32)> {
    (0u8..4, any::<u32>())
}

fn change(order: &mut Order, (what, pick): (u8, u32)) {
    match what {
        0 => order.ship(pick),
        1 => order.unship(pick),
        2 => order.cancel_some(pick),
        _ => order.give_back(pick),
    }
}

/// The registers of an order that design fixes: of each product, what it has and what is out.
fn registers(stock: &Stock) -> (Vec<i64>, Allocations, Returned) {
    let reservation = stock.reservation("A").expect("a reservation");
    let granted = PRODUCTS.map(|product| reservation.granted(&product_id(product)));
    (granted.to_vec(), reservation.shipped(), reservation.returned())
}

/// What each location has of a product, on hand and quarantined, and what is reserved over all.
type Units = (Vec<(LocationId, [i64; 2])>, i64);

fn units(stock: &Stock) -> [Units; 2] {
    PRODUCTS.map(|product| {
        let levels = stock.levels(&product_id(product));
        let held =
            levels.iter().map(|(at, level)| (at.clone(), [level.on_hand, level.quarantined]));
        (held.collect(), levels.values().map(|level| level.reserved).sum())
    })
}

proptest! {
    /// INV-1, INV-3, INV-8, INV-10 and INV-11 hold at every step, and no intent is an anomaly.
    #[test]
    fn whatever_orders_admits_inventory_can_carry_out(
        steps in prop::collection::vec(any_step(), 1..80)
    ) {
        let mut shop = Shop { stock: stocked(6), orders: orders(), requests: 0 };
        for step in steps {
            shop.take(step);
            shop.check();
        }
        // A calm walk settles everything.
        for at in 0..shop.orders.len() {
            shop.take(Step::Deliver(at, 0, false));
            prop_assert!(shop.orders[at].settled().is_some());
        }
        shop.check();
    }

    /// R21: Inventory need not see every revision.
    #[test]
    fn any_of_the_revisions_lead_where_the_last_one_leads_alone(
        changes in prop::collection::vec(any_change(), 1..12),
        seen in prop::collection::vec(any::<bool>(), 12),
    ) {
        let placed = Order::placed("A", &[("MUG", 8), ("TEE", 7)], true);
        let mut shop = Shop { stock: stocked(6), orders: vec![placed], requests: 0 };
        shop.take(Step::Deliver(0, 0, false));
        let order = &mut shop.orders[0];
        changes.into_iter().for_each(|one| change(order, one));
        let Some((last, others)) = order.intents[1..].split_last() else { return Ok(()) };

        let run = |stock: &mut Stock, intent: &Intent| {
            let decided = stock.run(&[allocate(order_id("A"), intent.clone())]);
            assert!(decided[0].publish.is_some(), "{:?}", decided[0]);
            stock.audit();
        };
        let mut alone = shop.stock.clone();
        run(&mut alone, last);
        let mut after_others = shop.stock.clone();
        for (intent, seen) in others.iter().zip(seen) {
            if seen {
                run(&mut after_others, intent);
            }
        }
        run(&mut after_others, last);
        prop_assert_eq!(registers(&alone), registers(&after_others));
        prop_assert_eq!(units(&alone), units(&after_others));
        // Where nothing comes back to the order, its units are at the same locations too.
        let falls = |pair: &[Intent]| {
            pair[0].shipped.iter().any(|part| {
                pair[1].shipped.at(&part.product_id, &part.location_id) < part.quantity.units()
            })
        };
        if !order.intents.windows(2).any(falls) {
            let facts = |stock: &Stock| stock.reservation("A").map(Reservation::facts);
            prop_assert_eq!(facts(&alone), facts(&after_others));
        }
    }

    /// All that an order had is there again once it is cancelled, whatever it went through.
    #[test]
    fn an_order_that_is_cancelled_leaves_the_units_that_it_found(
        changes in prop::collection::vec(any_change(), 1..12),
        seen in prop::collection::vec(any::<bool>(), 12),
    ) {
        let before = stocked(6);
        let placed = Order::placed("A", &[("MUG", 8), ("TEE", 7)], true);
        let mut shop = Shop { stock: before.clone(), orders: vec![placed], requests: 0 };
        shop.take(Step::Deliver(0, 0, false));
        for ((what, pick), seen) in changes.into_iter().zip(seen) {
            // Without returns, whose units are there twice once their shipment is cancelled.
            change(&mut shop.orders[0], (what % 3, pick));
            if seen {
                shop.take(Step::Deliver(0, 0, false));
            }
        }
        let order = &mut shop.orders[0];
        if order.purpose == Purpose::Cancel {
            return Ok(());
        }
        let nothing = order.ordered.nothing();
        order.revise(Purpose::Cancel, |intent| {
            intent.shipped = Allocations::default();
            intent.wanted = nothing;
        });
        shop.take(Step::Deliver(0, 0, false));
        shop.check();
        prop_assert_eq!(units(&shop.stock), units(&before));
    }
}
