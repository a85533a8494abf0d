//! INV-1 to INV-3: every stock row against its ledger and against the reservations.

use inventory::core::stock::{Level, Movement};
use inventory::store::{Place, StockAudit, Store, Stretch};
use platform::batcher::Failure;

use super::{Invariant, PAGE, Report};

/// Movements of one read.
const STRETCH: u32 = 5_000;

pub(super) async fn check(inventory: &dyn Store, report: &mut Report) -> Result<(), Failure> {
    let mut after: Option<Place> = None;
    loop {
        let rows = inventory.audit_stock(after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.product_id.clone(), last.location_id.clone()));
        for row in &rows {
            check_held(row, report);
            check_ledger(inventory, row, report).await?;
        }
    }
}

/// The row and what is held there come from one snapshot, so they agree exactly.
fn check_held(row: &StockAudit, report: &mut Report) {
    report.checked(Invariant::Inv3, 1);
    report.demand(Invariant::Inv3, row.level.reserved == row.held, || {
        format!(
            "{} at {}: {} reserved, but reservations hold {}",
            row.product_id, row.location_id, row.level.reserved, row.held
        )
    });
}

/// Replays the ledger up to the movement that the row says was its last: what came later is not its business.
async fn check_ledger(inventory: &dyn Store, row: &StockAudit, report: &mut Report) -> Result<(), Failure> {
    let mut level = Level::default();
    while level.last_seq < row.level.last_seq {
        let movements = inventory
            .audit_movements(Stretch {
                product_id: row.product_id.clone(),
                location_id: row.location_id.clone(),
                after_seq: level.last_seq,
                up_to_seq: row.level.last_seq,
                limit: STRETCH,
            })
            .await?;
        if movements.is_empty() {
            break;
        }
        for movement in &movements {
            level = replay(level, movement, report);
        }
    }
    report.checked(Invariant::Inv2, 1);
    report.demand(Invariant::Inv2, row.level.last_seq == row.newest_seq, || {
        format!(
            "{} at {}: the row knows of {} movements, its ledger of {}",
            row.product_id, row.location_id, row.level.last_seq, row.newest_seq
        )
    });
    report.demand(Invariant::Inv2, level == row.level, || {
        format!("{} at {}: the row says {:?}, its movements {level:?}", row.product_id, row.location_id, row.level)
    });
    Ok(())
}

fn replay(before: Level, movement: &Movement, report: &mut Report) -> Level {
    let after = Level {
        on_hand: before.on_hand + movement.deltas.on_hand,
        reserved: before.reserved + movement.deltas.reserved,
        last_seq: before.last_seq + 1,
    };
    let place = || format!("{} at {}, movement {}", movement.product_id, movement.location_id, movement.seq());
    report.checked(Invariant::Inv1, 1);
    report.demand(Invariant::Inv1, 0 <= after.reserved && after.reserved <= after.on_hand, || {
        format!("{}: {} reserved of {} on hand", place(), after.reserved, after.on_hand)
    });
    report.demand(Invariant::Inv2, after == movement.after, || {
        format!("{}: it says {:?}, the ones before add up to {after:?}", place(), movement.after)
    });
    // A gap is told once; the rest of the ledger is judged from where it goes on.
    movement.after
}
