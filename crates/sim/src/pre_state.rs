//! The part of Inventory's database that a batch depends on, read just before its transaction. The
//! decision of the batch must follow from it.

use std::collections::{BTreeMap, BTreeSet};

use inventory_core::decide::{DecidedInventory, InventoryCommand, InventoryOutcome, Touched};
use inventory_core::stock::RequestId;

use crate::databases::{Databases, ProductUnits, ShortRow};
use crate::states::{Violation, broken};

#[derive(Debug)]
pub(crate) struct PreState {
    /// The last movement of each ledger, by product and location.
    ledger_ends: BTreeMap<String, BTreeMap<String, i64>>,
    /// Products that existed already.
    known: BTreeSet<String>,
    /// Requests that had moved stock already.
    moved: BTreeSet<RequestId>,
}

impl PreState {
    /// Reads the rows that the batch refers to.
    pub(crate) fn before(databases: &Databases, batch: &[InventoryCommand]) -> Self {
        let touched = Touched::by(batch);
        let products: Vec<String> = touched.products.iter().map(ToString::to_string).collect();
        let ends = |product: &String| (product.clone(), databases.ledger_ends(product));
        let requests = touched.requests.into_iter();
        Self {
            ledger_ends: products.iter().map(ends).collect(),
            moved: requests.filter(|request| databases.has_moved(*request)).collect(),
            known: products.into_iter().filter(|id| databases.knows_product(id)).collect(),
        }
    }

    /// R4 of each movement and INV-8 of each rejection, right after the commit.
    pub(crate) fn check(
        &self,
        databases: &Databases,
        batch: &[InventoryCommand],
        decided: &[DecidedInventory],
    ) -> Result<(), Violation> {
        batch.iter().zip(decided).try_for_each(|(command, decided)| match command {
            InventoryCommand::Move(request) => {
                self.check_movement(request.cause.request_id, &decided.outcome)
            }
            InventoryCommand::Allocate(command) => {
                let is_short = |decided: &DecidedInventory| {
                    let answer = decided.publish.as_ref();
                    answer.is_some_and(|answer| !answer.facts.shortages.is_empty())
                };
                let is_new = decided.outcome == InventoryOutcome::Answered { repeated: false };
                if !is_new || !is_short(decided) {
                    return Ok(());
                }
                let order = databases.order(command.order_id);
                let rejection =
                    databases.reservation(command.order_id).and_then(|row| row.rejection);
                let short = rejection.map(|rejection| rejection.short).unwrap_or_default();
                let ordered = order.map(|order| order.ordered()).unwrap_or_default();
                if short.is_empty() {
                    let id = command.order_id;
                    return broken("INV-8", format!("order {id} is rejected, nothing was short"));
                }
                short.iter().try_for_each(|short| self.check_shortage(databases, short, &ordered))
            }
            InventoryCommand::PutProduct(_)
            | InventoryCommand::PutLocation(_)
            | InventoryCommand::Import(_)
            | InventoryCommand::Note(_)
            | InventoryCommand::Repair(_) => Ok(()),
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
    /// units. A product is called unknown if it was.
    fn check_shortage(
        &self,
        databases: &Databases,
        short: &ShortRow,
        ordered: &ProductUnits,
    ) -> Result<(), Violation> {
        let ShortRow { product_id, requested, reason, seen, .. } = short;
        let looked_at = |(location, end): (&String, &i64)| {
            seen.iter().any(|seen| seen.location_id == *location && seen.movement >= *end)
        };
        let ends = &self.ledger_ends[product_id];
        if !ends.iter().all(looked_at) {
            return broken("INV-8", format!("{short:?} overlooks some of {ends:?}"));
        }
        if ordered.get(product_id) != Some(requested) {
            return broken("INV-8", format!("{short:?} is not what was ordered: {ordered:?}"));
        }
        let is_true = match reason.as_str() {
            "out_of_stock" => databases.knows_product(product_id),
            "unknown_product" => !self.known.contains(product_id),
            // No world has as many locations.
            _ => false,
        };
        if is_true { Ok(()) } else { broken("INV-8", format!("the reason is not true: {short:?}")) }
    }
}
