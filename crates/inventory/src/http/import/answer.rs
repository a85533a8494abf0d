//! The lines of the answer to an import.

use inventory_core::decide::{Imported, InventoryOutcome, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::problem::{Document, FaultCode, Problem};

use super::super::codes;
use super::rows::{Row, RowFault};

/// A row of counted stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(super) struct NewCountRow {
    #[schema(example = "789", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    product_id: String,
    /// The name of the product. Without it, the product must exist, and keeps its name.
    #[schema(example = "Blue mug", min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The units counted, in digits alone.
    #[schema(example = 12, minimum = 0, maximum = 1_000_000_000)]
    quantity: i64,
    /// `main` if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
}

/// A line of the answer: of a row that is counted, of a row that is refused, or the last one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ImportLine {
    Counted(CountedRow),
    Refused(RefusedRow),
    Done(ImportDone),
    Stopped(ImportStopped),
}

/// A row that is counted, or that would be counted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountedRow {
    /// The number of the row's first line in the file, from 1.
    line: u32,
    #[schema(example = "789")]
    product_id: String,
    #[schema(example = "main")]
    location_id: String,
    #[schema(inline)]
    pub(super) result: RowResult,
    /// Units on hand before the count.
    on_hand_before: i64,
    /// Units on hand after the count.
    on_hand: i64,
    /// The name of the product after the row.
    #[schema(example = "Blue mug")]
    name: String,
    /// The name that was replaced, if there was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name_before: Option<String>,
}

/// `created`: so is the product. `unchanged`: the units and the name were as the row says.
/// `replayed`: an earlier import with this key had counted the row, and nothing changed now.
/// `counted`: all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RowResult {
    Counted,
    Created,
    Unchanged,
    Replayed,
}

/// A row that is refused. It changed nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedRow {
    /// The number of the row's first line in the file, from 1.
    line: u32,
    /// The id as the row has it, if it has one.
    product_id: Option<String>,
    /// The id as the row has it, or `main`.
    location_id: Option<String>,
    /// Every fault of the row.
    errors: Vec<RowError>,
}

/// A fault of a row.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RowError {
    /// The column; null if the row as a whole is at fault.
    #[schema(example = "quantity")]
    column: Option<String>,
    code: FaultCode,
    /// One sentence that says what is wrong.
    detail: String,
    /// Of `below_reserved`: the units that are reserved for orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reserved: Option<i64>,
    /// Of `below_reserved`: the units that are quarantined, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    quarantined: Option<i64>,
}

/// The last line of an import that read the whole file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportDone {
    /// True.
    done: bool,
    dry_run: bool,
    /// All rows: `changed`, `unchanged` and `failed`.
    rows: u64,
    /// Rows that are `counted` or `created`.
    changed: u64,
    /// Rows that are `unchanged` or `replayed`.
    unchanged: u64,
    /// Rows that are `replayed`.
    replayed: u64,
    /// Rows that are refused.
    failed: u64,
}

/// How many rows there were, as in [`ImportDone`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) replayed: u64,
    pub(super) failed: u64,
}

/// The last line of an import that stopped. What the lines before it say is done. The same request
/// finishes it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportStopped {
    /// False.
    done: bool,
    #[schema(value_type = Problem)]
    problem: Document,
}

impl ImportLine {
    /// The line of a row that was decided.
    pub(super) fn of(row: Row, outcome: &InventoryOutcome) -> Self {
        match outcome {
            InventoryOutcome::Imported(imported) => {
                Self::Counted(CountedRow::of(row.line, imported))
            }
            InventoryOutcome::RowRefused(refusals) => {
                Self::Refused(RefusedRow::of(row, refusals.iter().map(RowError::of_refusal)))
            }
            other => unreachable!("a row leads to no {other:?}"),
        }
    }

    /// The line of a row with faults.
    pub(super) fn refused(row: Row, faults: Vec<RowFault>) -> Self {
        Self::Refused(RefusedRow::of(row, faults.into_iter().map(RowError::of_fault)))
    }

    pub(super) fn done(dry_run: bool, tally: Tally) -> Self {
        let Tally { rows, changed, unchanged, replayed, failed } = tally;
        Self::Done(ImportDone { done: true, dry_run, rows, changed, unchanged, replayed, failed })
    }

    pub(super) fn stopped(problem: &Problem, request_id: &str) -> Self {
        Self::Stopped(ImportStopped { done: false, problem: problem.document(request_id) })
    }

    /// Adds the line to others.
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, self).expect("strings and numbers always serialize");
        lines.push(b'\n');
    }
}

impl CountedRow {
    fn of(line: u32, imported: &Imported) -> Self {
        let Imported { movement, name, name_before, replayed } = imported;
        let replaced = name_before.as_ref().filter(|before| *before != name);
        let result = match (replayed, name_before) {
            (true, _) => RowResult::Replayed,
            (false, None) => RowResult::Created,
            (false, Some(_)) if movement.deltas.on_hand == 0 && replaced.is_none() => {
                RowResult::Unchanged
            }
            (false, Some(_)) => RowResult::Counted,
        };
        Self {
            line,
            product_id: movement.product_id.to_string(),
            location_id: movement.location_id.to_string(),
            result,
            on_hand_before: movement.after.on_hand - movement.deltas.on_hand,
            on_hand: movement.after.on_hand,
            name: name.clone(),
            name_before: replaced.cloned(),
        }
    }
}

impl RefusedRow {
    fn of(row: Row, errors: impl Iterator<Item = RowError>) -> Self {
        let Row { line, product_id, location_id, .. } = row;
        Self { line, product_id, location_id, errors: errors.collect() }
    }
}

impl RowError {
    fn of_fault(fault: RowFault) -> Self {
        let RowFault { column, code, detail } = fault;
        Self { column, code, detail, reserved: None, quarantined: None }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let (column, code, detail) = match refusal {
            Refusal::KeyReused => {
                let detail = "this Idempotency-Key was used for another row on this line; use a new key for another file";
                return Self::of_fault(RowFault {
                    column: None,
                    code: codes::ROW_KEY_REUSED,
                    detail: detail.to_owned(),
                });
            }
            Refusal::ProductNotFound => (
                "product_id",
                codes::UNKNOWN_PRODUCT,
                "is of no product; with a name, it is created",
            ),
            Refusal::UnknownLocation => {
                ("location_id", codes::UNKNOWN_LOCATION, "must be the id of an existing location")
            }
            Refusal::BelowReserved { reserved, quarantined } => {
                let quarantined = Some(*quarantined).filter(|units| *units > 0);
                let detail = match quarantined {
                    None => format!(
                        "must be at least {reserved}, the units that are reserved for orders"
                    ),
                    Some(units) => format!(
                        "must be at least {}: {reserved} units are reserved for orders, and {units} are quarantined",
                        reserved + units
                    ),
                };
                let fault = RowFault::of("quantity", codes::ROW_BELOW_RESERVED, &detail);
                return Self { reserved: Some(*reserved), quarantined, ..Self::of_fault(fault) };
            }
            Refusal::OutOfRange => {
                ("quantity", FaultCode::OUT_OF_RANGE, "must not be above the maximum of a location")
            }
            Refusal::PreconditionFailed
            | Refusal::TooManyLocations
            | Refusal::StockChanged { .. }
            | Refusal::QuantityUnavailable { .. } => {
                unreachable!("a row is not refused as {refusal:?}")
            }
        };
        Self::of_fault(RowFault::of(column, code, detail))
    }
}

impl RowResult {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Replayed => "replayed",
        }
    }
}
