//! INV-2: each stock row equals its last movement. The two come from one snapshot.

use platform::audit::Findings;
use platform::failure::Failure;

use super::INV_2;
use crate::store::{StockAudit, StockPosition, Stored};

/// Judges the stock rows of a page.
///
/// # Errors
///
/// Any failure of a row but [`Failure::Suspect`].
pub(super) fn check(
    rows: Vec<Stored<StockPosition, StockAudit>>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    findings.checked(INV_2, rows.len());
    for Stored { key, row } in rows {
        let Some(row) = findings.readable(INV_2, format!("the stock of {key}"), row)? else {
            continue;
        };
        if let Err(why) = check_row(&row) {
            let (product_id, location_id) = &row.stock_key;
            findings.violated(INV_2, format!("{product_id} at {location_id}: {why}"));
        }
    }
    Ok(())
}

fn check_row(row: &StockAudit) -> Result<(), String> {
    let number = row.level.last_movement;
    match row.last {
        None => Err(format!("its last movement, {number}, does not exist")),
        Some(last) if !last.same_product || !last.same_location => {
            Err(format!("movement {number} is of another stock key"))
        }
        Some(last) if last.level != row.level => {
            Err(format!("the row says {:?}, its last movement {:?}", row.level, last.level))
        }
        Some(_) => Ok(()),
    }
}
