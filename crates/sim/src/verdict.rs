//! The checks at the end of a world: all invariants over all rows, the clients' answers, all
//! messages, and repairs.

use crate::config::Fault;
use crate::coverage;
use crate::databases::{MovementRow, OrderRow, ReservationRow, StockRow};
use crate::states::{Violation, broken};
use crate::table;
use crate::world::World;

pub(crate) fn on(world: &World) -> Result<(), Violation> {
    world.monitor.check_all_orders();
    world.monitor.check_stock();
    {
        let databases = world.monitor.databases();
        world.history().check(&databases)?;
        world.published.check_all(&databases)?;
        let orphans = databases.orphans();
        if orphans > 0 {
            return broken("INV-7", format!("{orphans} rows belong to no order"));
        }
        let poisoned = databases.poisoned();
        if !poisoned.is_empty() {
            return broken("R16", format!("good commands were set aside: {poisoned:?}"));
        }
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
    let left = world.repairs.garbage_left();
    if left > 0 && without(&[Wipes]) {
        return broken("R16", format!("{left} pieces of garbage were delivered and not set aside"));
    }
    Ok(())
}

/// All rows that messages can change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    orders: Vec<OrderRow>,
    reservations: Vec<ReservationRow>,
    stock: Vec<StockRow>,
    movements: Vec<MovementRow>,
}

pub(crate) fn snapshot(world: &World) -> Snapshot {
    let databases = world.monitor.databases();
    Snapshot {
        orders: databases.orders(),
        reservations: databases.reservations(),
        stock: databases.stock(),
        movements: databases.movements(),
    }
}
