//! The end of a world: all invariants over all rows, what clients were told, what was ever sent, and how much healing
//! was needed.

use std::collections::{BTreeMap, BTreeSet};

use contract::inventory::{ANSWERS_CHANNEL, Answer, Outcome};
use contract::{OrderId, codec};

use crate::books::{Level, ReservationRow};
use crate::cells;
use crate::config::Fault;
use crate::invariants;
use crate::states::{Violation, broken};
use crate::table;
use crate::world::World;

pub(crate) async fn on(world: &World) -> Result<(), Violation> {
    let ledgers = {
        let books = world.books();
        let of_orders = books.orders().into_iter().map(|row| row.order_id);
        let ids: BTreeSet<OrderId> = of_orders.chain(books.reservations().iter().map(|row| row.order_id)).collect();
        ids.into_iter().try_for_each(|order_id| invariants::check_order(&books, order_id))?;
        invariants::check_stock(&books)?;
        world.history().check(&books)?;
        invariants::check_ledgers(&books)?
    };
    let reservations = world.stores.inventory.audit_after(None, u32::MAX).await.expect("the file is there");
    reservations.iter().try_for_each(|reservation| invariants::check_rejection(reservation, &ledgers))?;
    check_log(world)?;
    if let Some(cell) = cells::with(table::broken) {
        return broken("INV-5", cell);
    }
    check_repairs(world)
}

/// Inventory's first answer about an order is its only one, whoever repeats it (R12).
fn check_log(world: &World) -> Result<(), Violation> {
    let mut first: BTreeMap<OrderId, Outcome> = BTreeMap::new();
    for payload in world.broker.log(ANSWERS_CHANNEL) {
        for answer in codec::decode::<Answer>(&payload).into_iter().flatten() {
            if matches!(answer.outcome, Outcome::StockReleased | Outcome::StockShipped) {
                continue;
            }
            let before = first.entry(answer.order_id).or_insert_with(|| answer.outcome.clone());
            if *before != answer.outcome {
                return broken(
                    "INV-5",
                    format!("{} was answered {before:?} and {:?}", answer.order_id, answer.outcome),
                );
            }
        }
    }
    Ok(())
}

/// A repair without the fault that it is for hides a bug.
fn check_repairs(world: &World) -> Result<(), Violation> {
    use Fault::{
        Aborts, Clocks, Crashes, Delays, DiskErrors, Forgeries, Garbage, LateCommits, Loss, LostAcks, Outages,
        Slowness, UnknownDone, UnknownNotDone, Versions, Wipes,
    };
    let repairs = world.repairs();
    let config = &world.config;
    let slow = [Delays, Slowness, Clocks, Aborts, UnknownDone, UnknownNotDone, LateCommits, DiskErrors];
    let lossy = [Loss, Outages, Wipes, Versions, Crashes, Garbage, LostAcks];
    let without = |faults: &[Fault]| !config.has_any(faults);
    if repairs.resent > 0 && without(&[slow.as_slice(), &lossy].concat()) {
        return broken("repairs", format!("{repairs:?} although nothing is lost and nothing is slow"));
    }
    if repairs.watchdog > 0 && without(&[Wipes]) {
        return broken("repairs", format!("{repairs:?} although the broker keeps everything"));
    }
    if repairs.malformed > 0 && without(&[Garbage]) || repairs.anomalies > 0 && without(&[Forgeries]) {
        return broken("repairs", format!("{repairs:?} although every message is genuine"));
    }
    if repairs.poisoned > 0 {
        return broken("repairs", format!("{repairs:?}: a genuine message could not be executed"));
    }
    let (sent, set_aside) = world.garbage();
    if sent > 0 && set_aside == 0 && without(&[Wipes, Loss, Outages]) {
        return broken("R16", format!("{sent} pieces of garbage were sent, and none was set aside"));
    }
    Ok(())
}

/// All that messages can change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    orders: Vec<(OrderId, u32)>,
    reservations: Vec<String>,
    stock: Vec<((String, String), Level)>,
}

pub(crate) fn snapshot(world: &World) -> Snapshot {
    let books = world.books();
    let reservation = |row: ReservationRow| format!("{} {:?}", row.order_id, row.state);
    Snapshot {
        orders: books.orders().into_iter().map(|row| (row.order_id, row.last_seq)).collect(),
        reservations: books.reservations().into_iter().map(reservation).collect(),
        stock: books.stock().into_iter().map(|row| (row.place, row.level)).collect(),
    }
}
