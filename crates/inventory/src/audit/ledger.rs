//! Reads stretches of one ledger within the budget of a step.

use inventory_core::stock::Movement;
use platform::audit::Findings;
use platform::failure::Failure;

use crate::store::{AuditStore, LedgerRange, StockKey};

/// Counts rows that were read and subtracts them from the budget.
pub(super) fn take(left: &mut u32, findings: &mut Findings, rows: usize) {
    findings.read(rows);
    *left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
}

pub(super) async fn read(
    store: &dyn AuditStore,
    (product_id, location_id): &StockKey,
    after_seq: i64,
    up_to_seq: i64,
    limit: u32,
) -> Result<Vec<Movement>, Failure> {
    let product_id = product_id.clone();
    let location_id = location_id.clone();
    store.ledger(LedgerRange { product_id, location_id, after_seq, up_to_seq, limit }).await
}
