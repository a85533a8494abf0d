//! Orders that change, on two replicas.

use super::*;
use crate::store::laws::changing::{Revised, revise};
use crate::store::laws::moved;
use inventory_core::decide::{Change, Refusal};

/// Two of a product wanted, and shipped, where something comes back.
const OUT: u32 = 2;

impl Shop {
    /// On hand, reserved and quarantined.
    async fn units(&self, name: &str) -> [i64; 3] {
        let stock = self.race.witness.product(name.parse().expect("an id")).await;
        let stock = stock.expect("a read").expect("a product");
        let level = stock.levels.values().next().copied().unwrap_or_default();
        [level.on_hand, level.reserved, level.quarantined]
    }

    /// An order of both units of the run's product, which are shipped.
    async fn has_shipped(&self, run: u32) {
        let product = product(run);
        let lines = [(product.as_str(), OUT)];
        let order = number(run, 1);
        let orders = vec![place(order, &lines), fulfill(order, &lines)];
        self.has([stocked(&product, OUT).to_vec(), orders].concat()).await;
    }
}

/// A revision of the run's order of two units.
fn revision(run: u32, number_of: u32, wants: u32, ships: u32, back: [u32; 3]) -> InventoryCommand {
    let product = product(run);
    let ships = [(product.as_str(), "main", ships)];
    let returns = [(product.as_str(), "main", back)];
    let revised = Revised {
        wants: &[(product.as_str(), wants)],
        ships: if ships[0].2 == 0 { &[] } else { &ships },
        returns: if back == [0; 3] { &[] } else { &returns },
    };
    revise(number(run, 1), number_of, revised)
}

/// One revision that two replicas got, such as after a lost acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_return_that_two_replicas_got_counts_once() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has_shipped(run).await;
    let batches = |run| [(); 2].map(|()| vec![revision(run, 3, 2, 2, [1, 1, 0])]);
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[0]), facts(&both[1]));
        assert_eq!(shop.units(&product(run)).await, [2, 0, 1]);
        assert_eq!(shop.level(&product(run)).await.2, 4, "one movement");
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// The later return says all that the earlier one says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_returns_of_one_order_add_up_to_what_the_later_one_says() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has_shipped(run).await;
    let batches =
        |run| [vec![revision(run, 3, 2, 2, [1, 0, 0])], vec![revision(run, 4, 2, 2, [1, 0, 1])]];
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[1]).revision.get(), 4);
        assert_eq!(shop.units(&product(run)).await, [1, 0, 0]);
        let movements = if facts(&both[0]).revision.get() == 3 { 5 } else { 4 };
        assert_eq!(shop.level(&product(run)).await.2, movements, "{both:?}");
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!((stored.returned().total(), &stored.facts()), (2, facts(&both[1])));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// One unit is shipped, and the other one cancelled, whichever replica is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shipment_beside_a_cancellation_of_the_rest_frees_nothing_that_is_shipped() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| {
        let placed = place(number(run, 1), &[(&product(run), 2)]);
        shop.has([stocked(&product(run), 2).to_vec(), vec![placed]].concat()).await;
    };
    let batches =
        |run| [vec![revision(run, 2, 2, 1, [0; 3])], vec![revision(run, 3, 1, 1, [0; 3])]];
    let check = async |run, both: Both| {
        assert_eq!(facts(&both[1]).revision.get(), 3);
        assert_eq!(facts(&both[1]).allocated.total(), 1);
        // Both receive, reserve, ship and release, at once or one after the other.
        assert_eq!(shop.level(&product(run)).await, (1, 0, 4), "{both:?}");
        let stored = shop.reservation(number(run, 1)).await;
        assert_eq!((stored.shipped().total(), stored.state()), (1, ReservationState::Shipped));
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// The unit whose shipment is cancelled is the order's all the time, so no other order gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_beside_a_cancelled_shipment_never_gets_its_unit() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has_shipped(run).await;
    let batches = |run| {
        let other = place(number(run, 2), &[(&product(run), 1)]);
        [vec![revision(run, 3, 2, 1, [0; 3])], vec![other]]
    };
    let check = async |run, both: Both| {
        assert!(is_rejected(&both[1][0]), "{both:?}");
        assert_eq!(facts(&both[0]).allocated.total(), 2);
        assert_eq!(shop.units(&product(run)).await, [1, 1, 0]);
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}

/// The last unit is sold or set apart, and not both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_is_reserved_or_quarantined_and_never_both() {
    let shop = Shop::open(&ONE_BY_ONE).await;
    let prepare = async |run| shop.has(stocked(&product(run), 1).to_vec()).await;
    let batches = |run| {
        let one = Change::Quarantine(contract::Quantity::new(1).expect("a quantity"));
        let apart = moved(&product(run), "main", one, &format!("{run} apart"));
        [vec![place(number(run, 1), &[(&product(run), 1)])], vec![apart]]
    };
    let check = async |run, both: Both| {
        let refused = InventoryOutcome::Refused(Refusal::QuantityUnavailable { units: 0 });
        let is_apart = both[1][0].outcome != refused;
        assert_ne!(is_allocated(&both[0][0]), is_apart, "{both:?}");
        let expected = if is_apart { [1, 0, 1] } else { [1, 1, 0] };
        assert_eq!(shop.units(&product(run)).await, expected);
    };
    shop.every_order(prepare, batches, check).await;
    assert_eq!(shop.reruns(), 0);
}
