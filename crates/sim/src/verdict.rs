//! The checks at the end of a world: all invariants over all rows, the clients' answers, all
//! messages, and repairs.

use std::collections::BTreeSet;

use contract::OrderId;

use crate::config::Fault;
use crate::coverage;
use crate::databases::{Level, ReservationRow};
use crate::invariants;
use crate::log;
use crate::states::{Violation, broken};
use crate::table;
use crate::world::World;

pub(crate) fn on(world: &World) -> Result<(), Violation> {
    {
        let databases = world.monitor.databases();
        let of_orders = databases.orders().into_iter().map(|row| row.order_id);
        let reservations = databases.reservations();
        let ids: BTreeSet<OrderId> =
            of_orders.chain(reservations.iter().map(|row| row.order_id)).collect();
        ids.into_iter().try_for_each(|order_id| invariants::check_order(&databases, order_id))?;
        invariants::check_stock(&databases)?;
        world.history().check(&databases)?;
        let ledgers = invariants::check_ledgers(&databases)?;
        reservations
            .iter()
            .try_for_each(|row| invariants::check_rejection(&databases, row, &ledgers))?;
        log::check(&world.broker, &databases)?;
    }
    if let Some(cell) = coverage::with(table::broken) {
        return broken("INV-5", cell);
    }
    check_repairs(world)
}

/// A repair without the fault that calls for it would hide a bug.
fn check_repairs(world: &World) -> Result<(), Violation> {
    use Fault::{
        Aborts, Clocks, Crashes, Delays, DiskErrors, Forgeries, Garbage, LateCommits, Loss,
        Outages, Slowness, UnknownDone, UnknownNotDone, Versions, Wipes,
    };
    let repairs = world.repairs.repairs();
    let config = &world.config;
    let slow =
        [Delays, Slowness, Clocks, Aborts, UnknownDone, UnknownNotDone, LateCommits, DiskErrors];
    let lossy = [Loss, Outages, Wipes, Versions, Crashes];
    let without = |faults: &[Fault]| !config.has_any(faults);
    if repairs.resent > 0 && without(&[slow.as_slice(), &lossy].concat()) {
        return broken(
            "repairs",
            format!("{repairs:?} although nothing is lost and nothing is slow"),
        );
    }
    if repairs.watchdog > 0 && without(&[Wipes]) {
        return broken("repairs", format!("{repairs:?} although the broker keeps everything"));
    }
    if repairs.malformed > 0 && without(&[Garbage])
        || repairs.anomalies > 0 && without(&[Forgeries])
    {
        return broken("repairs", format!("{repairs:?} although every message is genuine"));
    }
    if repairs.poisoned > 0 {
        return broken("repairs", format!("{repairs:?}: a genuine message could not be executed"));
    }
    let left = world.repairs.garbage_left();
    if left > 0 && without(&[Wipes]) {
        return broken("R16", format!("{left} pieces of garbage were delivered and not set aside"));
    }
    Ok(())
}

/// All rows that messages can change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    orders: Vec<(OrderId, u32)>,
    reservations: Vec<String>,
    stock: Vec<((String, String), Level)>,
}

pub(crate) fn snapshot(world: &World) -> Snapshot {
    let databases = world.monitor.databases();
    let reservation = |row: ReservationRow| format!("{} {:?}", row.order_id, row.state);
    Snapshot {
        orders: databases.orders().into_iter().map(|row| (row.order_id, row.last_seq)).collect(),
        reservations: databases.reservations().into_iter().map(reservation).collect(),
        stock: databases.stock().into_iter().map(|row| (row.key, row.level)).collect(),
    }
}
