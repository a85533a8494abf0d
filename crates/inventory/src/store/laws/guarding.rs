//! Laws of guarding: a decision that does not fit the database is not written, and leaves nothing.

use inventory_core::decide::{DecideInventory, InventoryDecision, LoadedInventory};
use inventory_core::reservation::ReservationState;
use inventory_core::stock::Level;

use super::*;

impl Fresh {
    /// Runs a batch with a decider that is wrong, which must be refused.
    async fn refuses(&self, batch: Vec<InventoryCommand>, decide: DecideInventory) {
        let refused = self.store.run(batch.into(), decide).await;
        assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    }
}

fn levels(loaded: &mut LoadedInventory) -> impl Iterator<Item = &mut Level> {
    loaded.levels.values_mut().flat_map(|levels| levels.values_mut())
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(fresh: Fresh) {
    /// Decides well, but moves the last movement twice.
    fn twice(now: i64, batch: &[InventoryCommand], loaded: LoadedInventory) -> InventoryDecision {
        let mut decision = decide(now, batch, loaded);
        let last = decision.changes.movements.last().expect("a movement").clone();
        decision.changes.movements.push(last);
        decision
    }
    fresh.run(stocked("MUG", 5).to_vec()).await;
    let batch = [stocked("TEE", 1).to_vec(), vec![place(1, &[("MUG", 1)])]].concat();
    fresh.refuses(batch.clone(), twice).await;
    assert!(fresh.store.product(product("TEE")).await.expect("a read").is_none());
    assert!(fresh.store.reservation(id(1)).await.expect("a read").is_none());
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 0)]);
    fresh.run(batch).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 1)]);
}

/// Decides on levels of one movement ago.
fn behind(now: i64, batch: &[InventoryCommand], mut loaded: LoadedInventory) -> InventoryDecision {
    levels(&mut loaded).for_each(|level| level.last_movement -= 1);
    decide(now, batch, loaded)
}

/// Decides on levels whose number of movements is another one.
fn miscounted(
    now: i64,
    batch: &[InventoryCommand],
    mut loaded: LoadedInventory,
) -> InventoryDecision {
    levels(&mut loaded).for_each(|level| level.last_seq += 1);
    decide(now, batch, loaded)
}

/// Decides as if nothing had ever moved.
fn blank(now: i64, batch: &[InventoryCommand], mut loaded: LoadedInventory) -> InventoryDecision {
    loaded.levels.clear();
    decide(now, batch, loaded)
}

/// Gives a number again.
fn again(now: i64, batch: &[InventoryCommand], mut loaded: LoadedInventory) -> InventoryDecision {
    let last = levels(&mut loaded).map(|level| level.last_movement).max();
    loaded.next_movement = last.expect("a level");
    decide(now, batch, loaded)
}

/// A level moves only from the movement that the decision saw, so no two movements continue the
/// same one (INV-2).
pub(crate) async fn a_ledger_that_would_fork_is_refused(fresh: Fresh) {
    fresh.run(stocked("MUG", 5).to_vec()).await;
    fresh.run(vec![received("MUG", "main", 2)]).await;
    let ledger = fresh.ledger("MUG").await;
    for decider in [behind, miscounted, blank, again] {
        fresh.refuses(vec![received("MUG", "main", 1)], decider).await;
        assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 7, 0)]);
        assert_eq!(fresh.ledger("MUG").await, ledger);
    }
}

pub(crate) async fn a_reservation_moves_only_from_the_revision_that_the_decision_saw(fresh: Fresh) {
    /// Decides as if every order were one revision behind.
    fn behind(
        now: i64,
        batch: &[InventoryCommand],
        mut loaded: LoadedInventory,
    ) -> InventoryDecision {
        loaded.reservations.values_mut().for_each(|found| found.revision = Revision::FIRST);
        decide(now, batch, loaded)
    }
    /// Decides as if it had never heard of any order.
    fn forgetful(
        now: i64,
        batch: &[InventoryCommand],
        mut loaded: LoadedInventory,
    ) -> InventoryDecision {
        loaded.reservations.clear();
        decide(now, batch, loaded)
    }
    let one = [("MUG", 1)];
    fresh.run(stocked("MUG", 5).to_vec()).await;
    fresh.run(vec![place(1, &one), cancel(1, &one), place(2, &one)]).await;
    let before = [fresh.reservation(1).await, fresh.reservation(2).await];
    assert_eq!(before[0].state(), ReservationState::Released);
    fresh.refuses(vec![cancel(1, &one)], behind).await;
    for command in [place(1, &one), place(2, &one), cancel(2, &one)] {
        fresh.refuses(vec![command], forgetful).await;
    }
    assert_eq!([fresh.reservation(1).await, fresh.reservation(2).await], before);
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 1)]);
}

pub(crate) async fn a_decision_that_oversells_is_refused_by_the_database(fresh: Fresh) {
    /// Decides as if there were ten more of everything, and writes it as differences.
    fn optimistic(
        now: i64,
        batch: &[InventoryCommand],
        mut loaded: LoadedInventory,
    ) -> InventoryDecision {
        levels(&mut loaded).for_each(|level| level.on_hand += 10);
        decide(now, batch, loaded)
    }
    fresh.run(stocked("MUG", 1).to_vec()).await;
    fresh.refuses(vec![place(1, &[("MUG", 2)])], optimistic).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 1, 0)]);
}

pub(crate) async fn a_decision_that_sells_quarantined_units_is_refused_by_the_database(
    fresh: Fresh,
) {
    /// Decides as if nothing were quarantined, and writes it as differences.
    fn blind(
        now: i64,
        batch: &[InventoryCommand],
        mut loaded: LoadedInventory,
    ) -> InventoryDecision {
        levels(&mut loaded).for_each(|level| level.quarantined = 0);
        decide(now, batch, loaded)
    }
    fresh.run(stocked("MUG", 3).to_vec()).await;
    fresh.run(vec![moved("MUG", "main", Change::Quarantine(quantity(2)), "two")]).await;
    fresh.refuses(vec![place(1, &[("MUG", 2)])], blind).await;
    fresh.refuses(vec![moved("MUG", "main", Change::Adjust(-2), "lost")], blind).await;
    fresh.run(vec![place(1, &[("MUG", 1)])]).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 3, 1)]);
}

pub(crate) async fn a_decision_about_what_does_not_exist_is_refused(fresh: Fresh) {
    /// Decides as if another product and another location existed as well.
    fn inventive(
        now: i64,
        batch: &[InventoryCommand],
        mut loaded: LoadedInventory,
    ) -> InventoryDecision {
        let shop = Location { location_id: location("SHOP"), name: String::new(), priority: 1 };
        loaded.locations.insert(shop.location_id.clone(), shop);
        let mug = loaded.products[&product("MUG")].clone();
        let tee = inventory_core::stock::Product { product_id: product("TEE"), ..mug };
        loaded.products.insert(tee.product_id.clone(), tee);
        decide(now, batch, loaded)
    }
    fresh.run(vec![put("MUG")]).await;
    for [name, at] in [["TEE", "main"], ["MUG", "SHOP"]] {
        fresh.refuses(vec![put("MUG"), received(name, at, 1)], inventive).await;
    }
    assert_eq!(fresh.audit.last_movement().await.expect("a read"), None);
}

pub(crate) async fn a_panicking_decider_leaves_nothing_behind_and_the_store_working(fresh: Fresh) {
    fn broken(_: i64, _: &[InventoryCommand], _: LoadedInventory) -> InventoryDecision {
        panic!("a bug in the decider (this test wants it)")
    }
    fresh.refuses(stocked("MUG", 5).to_vec(), broken).await;
    fresh.run(stocked("MUG", 5).to_vec()).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 0)]);
}
