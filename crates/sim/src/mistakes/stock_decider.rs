//! Mistaken deciders of the Inventory Service.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use contract::commands::AllocateStock;
use contract::{OrderId, ProductId, Revision};
use inventory_core::decide::{InventoryCommand, InventoryDecision, LoadedInventory, decide};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Level, Levels};

type Reservations = BTreeMap<OrderId, Reservation>;

/// How long the forgetful decider remembers its answers.
const MEMORY_MICROS: i64 = 5_000_000;

/// A cancellation that comes before its placement is answered and not recorded.
pub(super) fn no_tombstone(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let mut decision = decide(now_micros, batch, loaded);
    let is_tombstone = |to: &Reservation| to.holdings.is_empty() && to.rejection.is_none();
    decision.changes.reservations.retain(|change| !is_tombstone(&change.to));
    decision
}

/// A repeated cancellation gives the units back again.
pub(super) fn release_twice(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: LoadedInventory,
) -> InventoryDecision {
    let found = loaded.reservations.clone();
    for command in first_commands(batch) {
        let Some(reservation) = loaded.reservations.get_mut(&command.order_id) else { continue };
        let repeats = command.digest == reservation.digest;
        if repeats && reservation.holdings.iter().any(|holding| holding.released > 0) {
            reservation.revision = Revision::FIRST;
            reservation.holdings.iter_mut().for_each(|holding| holding.released = 0);
        }
    }
    overwriting(&found, decide(now_micros, batch, loaded))
}

/// The Order Service's commands that are the first of the batch about their order.
pub(super) fn first_commands(batch: &[InventoryCommand]) -> impl Iterator<Item = &AllocateStock> {
    let mut seen = BTreeSet::new();
    let commands = batch.iter().filter_map(|command| match command {
        InventoryCommand::Allocate(command) => Some(&**command),
        _ => None,
    });
    commands.filter(move |command| seen.insert(command.order_id))
}

/// Lets the changes of reservations write over those that are stored.
fn overwriting(found: &Reservations, mut decision: InventoryDecision) -> InventoryDecision {
    for change in &mut decision.changes.reservations {
        change.from = found.get(&change.to.order_id).map(|found| found.revision);
    }
    decision
}

/// Of several movements of one row in one batch, only the last one is added to the level.
pub(super) fn deltas_not_summed(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes.stock {
        let is_its = |product: &_, location: &_| {
            *product == change.product_id && *location == change.location_id
        };
        let mut movements = decision.changes.movements.iter().rev();
        let last = movements.find(|last| is_its(&last.product_id, &last.location_id));
        let deltas = last.expect("a level changes by a movement").deltas;
        change.before.on_hand = change.after.on_hand - deltas.on_hand;
        change.before.reserved = change.after.reserved - deltas.reserved;
        change.before.quarantined = change.after.quarantined - deltas.quarantined;
    }
    decision
}

/// A command that was answered a while ago is decided again.
pub(super) fn forgets_answers(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: LoadedInventory,
) -> InventoryDecision {
    let found = loaded.reservations.clone();
    let is_remembered = |at_micros: i64| now_micros.saturating_sub(at_micros) < MEMORY_MICROS;
    loaded.reservations.retain(|_, reservation| is_remembered(reservation.updated_at_micros));
    overwriting(&found, decide(now_micros, batch, loaded))
}

/// A command is carried out although a newer one was.
pub(super) fn revision_ignored(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: LoadedInventory,
) -> InventoryDecision {
    let found = loaded.reservations.clone();
    for command in first_commands(batch) {
        let is_older = |found: &Reservation| command.intent.revision < found.revision;
        if loaded.reservations.get(&command.order_id).is_some_and(is_older) {
            loaded.reservations.remove(&command.order_id);
        }
    }
    overwriting(&found, decide(now_micros, batch, loaded))
}

/// No location can serve an order, although stock is available.
pub(super) fn everything_rejected(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: LoadedInventory,
) -> InventoryDecision {
    if batch.iter().all(InventoryCommand::is_of_order) {
        loaded.locations.clear();
    }
    decide(now_micros, batch, loaded)
}

thread_local! {
    /// The levels that this thread's batches have loaded.
    static OLD_STOCK: RefCell<BTreeMap<ProductId, Levels>> = RefCell::default();
}

/// Forgets the levels of another world.
pub(super) fn forget_stock() {
    OLD_STOCK.take();
}

/// Decides on the levels that the previous batch has read, and writes levels as absolute values.
pub(super) fn stock_read_before_lock(
    now_micros: i64,
    batch: &[InventoryCommand],
    found: LoadedInventory,
) -> InventoryDecision {
    let levels = OLD_STOCK.with_borrow(Clone::clone);
    let read = LoadedInventory { levels, ..LoadedInventory::default() };
    let decision = decide_on_old_levels(now_micros, batch, &found, &read);
    OLD_STOCK.with_borrow_mut(|old_stock| {
        for (product_id, levels) in found.levels {
            old_stock.entry(product_id).or_default().extend(levels);
        }
    });
    decision
}

/// Decides on the levels of `read`, as far as there are any, and writes the resulting levels as
/// absolute values. Everything else is right.
pub(super) fn decide_on_old_levels(
    now_micros: i64,
    batch: &[InventoryCommand],
    found: &LoadedInventory,
    read: &LoadedInventory,
) -> InventoryDecision {
    let mut mixed = found.clone();
    for (product_id, levels) in &mut mixed.levels {
        for (location_id, level) in levels {
            let old = read.levels.get(product_id).and_then(|levels| levels.get(location_id));
            let Level { on_hand, reserved, quarantined, .. } = *old.unwrap_or(level);
            *level = Level { on_hand, reserved, quarantined, ..*level };
        }
    }
    absolute(found, decide(now_micros, batch, mixed))
}

/// Decides on rows that were read earlier, and writes over those that are there.
pub(super) fn decide_on_old_stock(
    now_micros: i64,
    batch: &[InventoryCommand],
    found: &LoadedInventory,
    read: &LoadedInventory,
) -> InventoryDecision {
    let decision = overwriting(&found.reservations, decide(now_micros, batch, read.clone()));
    absolute(found, decision)
}

/// A store adds the difference to the stored level, so the sum is the level that was decided.
fn absolute(found: &LoadedInventory, mut decision: InventoryDecision) -> InventoryDecision {
    for change in &mut decision.changes.stock {
        let levels = found.levels.get(&change.product_id);
        if let Some(level) = levels.and_then(|levels| levels.get(&change.location_id)) {
            change.before = *level;
        }
    }
    decision
}
