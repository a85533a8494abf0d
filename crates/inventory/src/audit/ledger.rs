//! Reads stretches of one ledger, within what a step may read.

use inventory_core::stock::Movement;
use platform::audit::Findings;
use platform::failure::Failure;

use crate::store::{AuditStore, StockKey, Stretch};

/// What was read counts, and is no longer left.
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
    let (product_id, location_id) = (product_id.clone(), location_id.clone());
    store.ledger(Stretch { product_id, location_id, after_seq, up_to_seq, limit }).await
}
