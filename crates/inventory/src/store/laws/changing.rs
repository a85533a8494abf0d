//! Laws of orders that change: what was shipped, taken back, returned, released and reserved again
//! is what is stored, and what is answered again.

use contract::{BookedAt, Facts, Returned, ReturnedUnits, WantedLine};
use inventory_core::decide::Refusal;
use inventory_core::reservation::{ReservationState, ReturnedStock};
use inventory_core::stock::{Level, MovementKind};

use super::*;
use crate::store::ProductFilter;

/// What an order wants, ships and got back: `(product, units)` or `(product, location, units)`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Revised<'it> {
    pub(crate) wants: &'it [(&'it str, u32)],
    pub(crate) ships: &'it [(&'it str, &'it str, u32)],
    /// The units that were restocked, quarantined and written off.
    pub(crate) returns: &'it [(&'it str, &'it str, [u32; 3])],
}

/// A revision of an order.
pub(crate) fn revise(n: u128, revision: u32, revised: Revised<'_>) -> InventoryCommand {
    let line =
        |(name, units): &(&str, u32)| WantedLine { product_id: product(name), quantity: *units };
    let shipped = |(name, at, units): &(&str, &str, u32)| Allocation {
        product_id: product(name),
        location_id: location(at),
        quantity: quantity(*units),
    };
    let wanted = Wanted::try_from(revised.wants.iter().map(line).collect::<Vec<_>>());
    let intent = Intent {
        revision: Revision::try_from(revision).expect("from 1"),
        wanted: wanted.expect("sorted lines"),
        shipped: Allocations::sorted(revised.ships.iter().map(shipped).collect())
            .expect("one entry per stock key"),
        returned: Returned::sorted(revised.returns.iter().map(returned).collect())
            .expect("one entry per stock key"),
    };
    allocate(n, intent)
}

fn returned((name, at, units): &(&str, &str, [u32; 3])) -> ReturnedUnits {
    let [restocked, quarantined, written_off] = *units;
    let (product_id, location_id) = (product(name), location(at));
    ReturnedUnits { product_id, location_id, restocked, quarantined, written_off }
}

impl Fresh {
    /// Runs a command, and again, which must repeat the facts and change nothing.
    async fn twice(&self, n: u128, command: InventoryCommand) -> Facts {
        let first = self.run(vec![command.clone()]).await;
        let stored = self.reservation(n).await;
        let again = self.run(vec![command]).await;
        assert_eq!(again[0].outcome, InventoryOutcome::Answered { repeated: true });
        let facts = answer(&first[0]).facts.clone();
        assert_eq!((&answer(&again[0]).facts, &stored.facts()), (&facts, &facts));
        assert_eq!(self.reservation(n).await, stored);
        facts
    }

    /// The level of a product at a location.
    async fn level(&self, name: &str, at: &str) -> Level {
        let stock = self.store.product(product(name)).await.expect("a read").expect("a product");
        stock.levels.get(&location(at)).copied().unwrap_or_default()
    }

    /// On hand, reserved and quarantined.
    async fn units(&self, name: &str, at: &str) -> [i64; 3] {
        let Level { on_hand, reserved, quarantined, .. } = self.level(name, at).await;
        [on_hand, reserved, quarantined]
    }
}

pub(crate) async fn an_order_is_shipped_in_parts_and_taken_back(fresh: Fresh) {
    fresh.run([stocked("MUG", 2).to_vec(), vec![put_location("SHOP", 1)]].concat()).await;
    fresh.run(vec![received("MUG", "SHOP", 3)]).await;
    let wants = &[("MUG", 4)][..];
    let two = fresh.twice(7, place(7, wants)).await.allocated;
    assert_eq!(two.len(), 2);
    let part = Revised { wants, ships: &[("MUG", "SHOP", 1), ("MUG", "main", 2)], returns: &[] };
    assert_eq!(fresh.twice(7, revise(7, 2, part)).await.allocated, two);
    assert_eq!(fresh.units("MUG", "SHOP").await, [2, 1, 0]);
    let back = Revised { ships: &[("MUG", "SHOP", 2)], ..part };
    assert_eq!(fresh.twice(7, revise(7, 3, back)).await.allocated, two);
    assert_eq!(fresh.units("MUG", "SHOP").await, [1, 0, 0]);
    assert_eq!(fresh.units("MUG", "main").await, [2, 2, 0], "they are the order's again");
    let stored = fresh.reservation(7).await;
    let shipped: Vec<_> = stored.holdings.iter().map(|holding| holding.shipped).collect();
    assert_eq!((shipped, stored.state()), (vec![2, 0], ReservationState::Reserved));
    let kinds: Vec<_> = fresh.ledger("MUG").await.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds[..2], [MovementKind::Unship, MovementKind::Ship], "newest first");
}

pub(crate) async fn what_came_back_reads_back_with_where_it_is_booked(fresh: Fresh) {
    fresh.run([stocked("MUG", 5), stocked("TEE", 2)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1)]).await;
    let wants = &[("MUG", 4), ("TEE", 1)][..];
    let out = Revised { wants, ships: &[("MUG", "main", 4), ("TEE", "main", 1)], returns: &[] };
    fresh.run(vec![place(7, wants), revise(7, 2, out)]).await;
    let returns = &[
        ("MUG", "NOWHERE", [1, 0, 0]),
        ("MUG", "SHOP", [0, 2, 0]),
        ("TEE", "SHOP", [0, 0, 1]),
    ][..];
    let facts = fresh.twice(7, revise(7, 3, Revised { returns, ..out })).await;
    let elsewhere = BookedAt {
        product_id: product("MUG"),
        location_id: location("NOWHERE"),
        booked_at: LocationId::main(),
    };
    assert_eq!(facts.booked_at, [elsewhere]);
    assert_eq!(fresh.units("MUG", "main").await, [2, 0, 0]);
    assert_eq!(fresh.units("MUG", "SHOP").await, [2, 0, 2], "its first movement there");
    assert_eq!(fresh.units("TEE", "SHOP").await, [0, 0, 0], "a movement by nothing");

    let ledger = [fresh.ledger("MUG").await, fresh.ledger("TEE").await].concat();
    let of = |name: &str, at: &str| {
        let its = |movement: &&Movement| {
            movement.kind == MovementKind::Return
                && (&movement.product_id, &movement.location_id) == (&product(name), &location(at))
        };
        let found: Vec<_> = ledger.iter().filter(its).map(Movement::number).collect();
        assert_eq!(found.len(), 1, "{name} at {at}");
        found
    };
    let booked = [of("MUG", "main"), of("MUG", "SHOP"), of("TEE", "SHOP")];
    let places = ["main", "SHOP", "SHOP"].map(location);
    let expected: Vec<_> = returns
        .iter()
        .zip(places)
        .zip(booked)
        .map(|((entry, booked_at), movements)| ReturnedStock {
            units: returned(entry),
            booked_at,
            movements,
        })
        .collect();
    assert_eq!(fresh.reservation(7).await.returns, expected);

    // More of the same, when somebody has made the location.
    fresh.run(vec![put_location("NOWHERE", 0)]).await;
    let more = &[
        ("MUG", "NOWHERE", [1, 1, 0]),
        ("MUG", "SHOP", [0, 2, 0]),
        ("TEE", "SHOP", [0, 0, 1]),
    ][..];
    fresh.twice(7, revise(7, 4, Revised { returns: more, ..out })).await;
    let stored = fresh.reservation(7).await;
    assert_eq!(
        (&stored.returns[0].booked_at, stored.returns[0].movements.len()),
        (&LocationId::main(), 2)
    );
    assert_eq!(fresh.units("MUG", "main").await, [3, 0, 1]);
    assert_eq!(fresh.level("MUG", "NOWHERE").await, Level::default());
}

/// A batch may have all commands of an order.
pub(crate) async fn an_order_that_is_placed_shipped_and_returned_in_one_batch_reads_back(
    fresh: Fresh,
) {
    let decided = fresh.run(a_return()).await;
    let stored = fresh.reservation(4).await;
    assert_eq!(&stored.facts(), &answer(&decided[4]).facts);
    assert_eq!((stored.returns.len(), stored.returned().total()), (1, 2));
    assert_eq!(fresh.units("TEE", "main").await, [2, 0, 1]);
}

pub(crate) async fn what_is_wanted_no_more_is_released_from_the_last_location(fresh: Fresh) {
    fresh.run([stocked("MUG", 2).to_vec(), vec![put_location("SHOP", 1)]].concat()).await;
    fresh.run(vec![received("MUG", "SHOP", 3)]).await;
    fresh.twice(7, place(7, &[("MUG", 5)])).await;
    let less = Revised { wants: &[("MUG", 3)], ..Revised::default() };
    assert_eq!(fresh.twice(7, revise(7, 2, less)).await.allocated.total(), 3);
    let at = async |location: &str| fresh.units("MUG", location).await;
    assert_eq!([at("main").await, at("SHOP").await], [[2, 2, 0], [3, 1, 0]]);
    let shipped = Revised { wants: &[("MUG", 1)], ships: &[("MUG", "SHOP", 1)], returns: &[] };
    assert_eq!(fresh.twice(7, revise(7, 3, shipped)).await.allocated.total(), 1);
    assert_eq!([at("main").await, at("SHOP").await], [[2, 0, 0], [2, 0, 0]]);
}

/// Revision 2 is an expiry, and the next ones are payments that come late.
pub(crate) async fn an_order_that_asks_again_gets_everything_or_a_shortage_of_its_own(
    fresh: Fresh,
) {
    fresh.run(stocked("MUG", 2).to_vec()).await;
    let both = Revised { wants: &[("MUG", 2)], ..Revised::default() };
    let none = Revised { wants: &[("MUG", 0)], ..Revised::default() };
    fresh.twice(7, place(7, both.wants)).await;
    assert!(fresh.twice(7, revise(7, 2, none)).await.allocated.is_empty());
    fresh.run(vec![place(8, &[("MUG", 1)])]).await;
    let short = fresh.twice(7, revise(7, 3, both)).await;
    assert_eq!((short.allocated.len(), short.shortages[0].available), (0, 1));
    let stored = fresh.reservation(7).await;
    assert_eq!(stored.state(), ReservationState::Rejected);
    let last = fresh.ledger("MUG").await[0].number();
    assert_eq!(stored.shortfalls()[0].seen[0].movement, last);
    fresh.run(vec![cancel(8, &[("MUG", 1)])]).await;
    assert_eq!(fresh.twice(7, revise(7, 4, both)).await.allocated.total(), 2);
    let stored = fresh.reservation(7).await;
    assert_eq!((stored.holdings[0].promised, stored.holdings[0].released), (4, 2));
    assert_eq!(stored.shortfalls().len(), 1, "as it was at revision 3");
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 2, 2)]);
}

pub(crate) async fn quarantined_units_read_back_wherever_stock_is_shown(fresh: Fresh) {
    fresh.run([stocked("MUG", 9), stocked("TEE", 3)].concat()).await;
    let some = quantity(3);
    let first = fresh.run(vec![moved("MUG", "main", Change::Quarantine(some), "set apart")]).await;
    let InventoryOutcome::Moved { movement, .. } = &first[0].outcome else { panic!("{first:?}") };
    assert_eq!((movement.deltas.quarantined, movement.after.quarantined), (3, 3));
    // A plain order beside them, in one batch with movements of other products.
    fresh.run(vec![place(1, &[("MUG", 6), ("TEE", 1)]), place(2, &[("MUG", 1)])]).await;
    assert!(fresh.reservation(2).await.rejection.is_some(), "no order can have them");
    let one = |units| quantity(units);
    fresh
        .run(vec![
            moved("MUG", "main", Change::Unquarantine(one(1)), "one is fine"),
            moved("TEE", "main", Change::Adjust(-1), "lost"),
            moved("MUG", "main", Change::WriteOff(one(2)), "two are broken"),
        ])
        .await;
    assert_eq!(fresh.units("MUG", "main").await, [7, 6, 0]);
    let quarantined: Vec<_> = fresh
        .ledger("MUG")
        .await
        .iter()
        .map(|entry| (entry.kind.as_str(), entry.deltas.quarantined, entry.after.quarantined))
        .collect();
    assert_eq!(
        quarantined,
        [
            ("write_off", -2, 0),
            ("unquarantine", -1, 2),
            ("reserve", 0, 3),
            ("quarantine", 3, 3),
            ("receive", 0, 0)
        ]
    );
    let again = fresh.run(vec![moved("MUG", "main", Change::Quarantine(some), "set apart")]).await;
    assert!(is_replay(&again[0]));
    let too_many = fresh.run(vec![moved("MUG", "main", Change::Quarantine(some), "more")]).await;
    let refusal = Refusal::QuantityUnavailable { units: 1 };
    assert_eq!(too_many[0].outcome, InventoryOutcome::Refused(refusal));
}

pub(crate) async fn a_product_is_low_on_stock_if_its_units_are_quarantined(fresh: Fresh) {
    fresh.run(vec![put_named("MUG", "Mug", Some(4)), received("MUG", "main", 6)]).await;
    let is_low = async || {
        let filter = ProductFilter { low_stock: true, limit: 9, ..ProductFilter::default() };
        !fresh.store.products(filter).await.expect("a page").is_empty()
    };
    assert!(!is_low().await);
    fresh.run(vec![moved("MUG", "main", Change::Quarantine(quantity(2)), "two")]).await;
    assert!(is_low().await);
}
