//! The part of Inventory's database that a batch depends on, read just before its transaction. The
//! decision of the batch must follow from it.

use std::collections::{BTreeMap, BTreeSet};

use contract::answers::StockOutcome;
use inventory_core::decide::{Decided, InventoryCommand, InventoryOutcome, Touched};
use inventory_core::stock::RequestId;

use crate::databases::{Databases, ShortageRow};
use crate::states::{Violation, broken};

#[derive(Debug)]
pub(crate) struct PreState {
    /// The last movement of each ledger, by product and location.
    ledger_ends: BTreeMap<String, BTreeMap<String, i64>>,
    /// Requests that had moved stock already.
    moved: BTreeSet<RequestId>,
}

impl PreState {
    /// Reads the rows that the batch refers to.
    pub(crate) fn before(databases: &Databases, batch: &[InventoryCommand]) -> Self {
        let touched = Touched::by(batch);
        let products = touched.products.iter().map(ToString::to_string);
        let requests = touched.requests.into_iter();
        Self {
            ledger_ends: products
                .map(|product| (product.clone(), databases.ledger_ends(&product)))
                .collect(),
            moved: requests.filter(|request| databases.has_moved(*request)).collect(),
        }
    }

    /// R4 of each movement and INV-8 of each rejection, right after the commit.
    pub(crate) fn check(
        &self,
        databases: &Databases,
        batch: &[InventoryCommand],
        decided: &[Decided],
    ) -> Result<(), Violation> {
        batch.iter().zip(decided).try_for_each(|(command, Decided { outcome, publish })| {
            match (command, outcome) {
                (InventoryCommand::Move(request), _) => {
                    self.check_movement(request.cause.request_id, outcome)
                }
                (
                    InventoryCommand::Stock(command),
                    InventoryOutcome::Answered { repeated: false },
                ) => {
                    let is_rejected =
                        |answer: &_| matches!(answer, StockOutcome::StockRejected { .. });
                    if !publish.as_ref().is_some_and(|answer| is_rejected(&answer.outcome)) {
                        return Ok(());
                    }
                    let lines = databases.lines(command.order_id);
                    let shortages = databases.shortages(command.order_id);
                    if shortages.is_empty() {
                        return broken(
                            "INV-8",
                            format!("order {} is rejected and nothing was short", command.order_id),
                        );
                    }
                    shortages.iter().try_for_each(|shortage| self.check_shortage(shortage, &lines))
                }
                _ => Ok(()),
            }
        })
    }

    /// A repeated request gets its first answer, and not a refusal.
    fn check_movement(
        &self,
        request: RequestId,
        outcome: &InventoryOutcome,
    ) -> Result<(), Violation> {
        let is_replay = matches!(outcome, InventoryOutcome::Moved { replayed: true, .. });
        if self.moved.contains(&request) && !is_replay {
            return broken(
                "R4",
                format!("{request:?} has moved stock before, and is answered {outcome:?}"),
            );
        }
        Ok(())
    }

    /// A shortage considers every location, at its last movement or a later one, and the ordered
    /// units.
    fn check_shortage(
        &self,
        shortage: &ShortageRow,
        lines: &[(String, i64)],
    ) -> Result<(), Violation> {
        let ShortageRow { product_id, requested, seen, .. } = shortage;
        let looked_at = |(location, end): (&String, &i64)| {
            seen.iter().any(|seen| seen.location_id == *location && seen.seq >= *end)
        };
        let ends = &self.ledger_ends[product_id];
        if !ends.iter().all(looked_at) {
            return broken("INV-8", format!("{shortage:?} overlooks some of {ends:?}"));
        }
        if !lines.contains(&(product_id.clone(), *requested)) {
            return broken("INV-8", format!("{shortage:?} is not what was ordered: {lines:?}"));
        }
        Ok(())
    }
}
