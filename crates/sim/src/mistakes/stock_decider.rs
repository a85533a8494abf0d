//! Mistaken deciders of the Inventory Service.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use contract::ProductId;
use contract::commands::{StockCommand, StockCommandKind};
use inventory_core::decide::{Decision, InventoryCommand, Loaded, decide};
use inventory_core::reservation::{Before, State, StateName};
use inventory_core::stock::{Level, Levels};

/// How long the forgetful decider remembers its answers.
const MEMORY_MICROS: i64 = 5_000_000;

/// A release that comes before its reservation is answered and not recorded.
pub(super) fn no_tombstone(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: Loaded,
) -> Decision {
    let mut decision = decide(now_micros, batch, loaded);
    let is_tombstone = |state: &State| matches!(state, State::Released(Before::Absent));
    decision.changes.reservations.retain(|change| !is_tombstone(&change.to.state));
    decision
}

/// A repeated release gives the units back again.
pub(super) fn release_twice(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: Loaded,
) -> Decision {
    let mut again = BTreeSet::new();
    for command in first_commands(batch) {
        let Some(found) = loaded.reservations.get_mut(&command.order_id) else { continue };
        if command.kind == StockCommandKind::ReleaseStock
            && command.digest == found.digest
            && let State::Released(Before::Reserved(allocations)) = &found.state
        {
            found.state = State::Reserved(allocations.clone());
            again.insert(command.order_id);
        }
    }
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes.reservations {
        if again.contains(&change.to.order_id) {
            change.from = Some(StateName::Released);
        }
    }
    decision
}

/// The Order Service's commands that are the first of the batch about their order.
fn first_commands(batch: &[InventoryCommand]) -> impl Iterator<Item = &StockCommand> {
    let mut seen = BTreeSet::new();
    let commands = batch.iter().filter_map(|command| match command {
        InventoryCommand::Stock(command) => Some(&**command),
        _ => None,
    });
    commands.filter(move |command| seen.insert(command.order_id))
}

/// Of several movements of one row in one batch, only the last one is added to the level.
pub(super) fn deltas_not_summed(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: Loaded,
) -> Decision {
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
    }
    decision
}

/// A command that was answered a while ago is decided again.
pub(super) fn forgets_answers(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: Loaded,
) -> Decision {
    let found = loaded.reservations.clone();
    let is_remembered = |at_micros: i64| now_micros.saturating_sub(at_micros) < MEMORY_MICROS;
    loaded.reservations.retain(|_, reservation| is_remembered(reservation.updated_at_micros));
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes.reservations {
        // The row exists and is overwritten.
        change.from = found.get(&change.to.order_id).map(|found| found.state.name());
    }
    decision
}

/// No location can serve an order, although stock is available.
pub(super) fn everything_rejected(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: Loaded,
) -> Decision {
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
    loaded: Loaded,
) -> Decision {
    let read_now = loaded.levels.clone();
    let decision = OLD_STOCK
        .with_borrow(|old_stock| decide_on_old_stock(now_micros, batch, loaded, old_stock));
    OLD_STOCK.with_borrow_mut(|old_stock| {
        for (product_id, levels) in read_now {
            old_stock.entry(product_id).or_default().extend(levels);
        }
    });
    decision
}

/// Decides on `old_stock`, as far as there is any, and writes the resulting levels as absolute
/// values.
pub(super) fn decide_on_old_stock(
    now_micros: i64,
    batch: &[InventoryCommand],
    mut loaded: Loaded,
    old_stock: &BTreeMap<ProductId, Levels>,
) -> Decision {
    let read_now = loaded.levels.clone();
    for (product_id, levels) in &mut loaded.levels {
        for (location_id, level) in levels {
            let old = old_stock.get(product_id).and_then(|levels| levels.get(location_id));
            let Level { on_hand, reserved, .. } = *old.unwrap_or(level);
            *level = Level { on_hand, reserved, ..*level };
        }
    }
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes.stock {
        let levels = read_now.get(&change.product_id);
        // A store adds the difference to the stored level, so the sum is the value that was
        // decided.
        if let Some(level) = levels.and_then(|levels| levels.get(&change.location_id)) {
            change.before = *level;
        }
    }
    decision
}
