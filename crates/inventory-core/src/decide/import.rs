//! Rows of an import: a count and the name of the product, in one command.

use super::batch_state::BatchState;
use super::command::ImportRow;
use super::decision::{Imported, InventoryOutcome, Refusal};
use crate::admin::AdminEvent;
use crate::stock::{Cause, Deltas, Level, LevelError, MovementKind, Product};

impl BatchState {
    /// Counts a product and gives it its name, or finds the count that the row made before. A row
    /// without a name keeps the name; the threshold is always kept.
    ///
    /// A repeated row changes no name: somebody may have renamed the product since. A count is not
    /// an act of its own in the admin log: the ledger has it with its actor and reason, and the
    /// import as a whole is in the log. A new name is an act, because no other record has the old
    /// one.
    ///
    /// # Errors
    ///
    /// All reasons, of which there is at least one: a key that was used for another row, or what
    /// does not exist, or a level that cannot be.
    pub(super) fn import(&mut self, row: &ImportRow) -> Result<InventoryOutcome, Vec<Refusal>> {
        let found = self.product(&row.product_id).cloned();
        if let Some(movement) = self.movement_of(row.cause.request_id).cloned() {
            let same = matches!(&movement.cause, Cause::Request(cause) if cause.digest == row.cause.digest);
            let Some(product) = found.filter(|_| same) else {
                return Err(vec![Refusal::KeyReused]);
            };
            return Ok(imported(Imported {
                movement,
                name_before: Some(product.name.clone()),
                name: product.name,
                replayed: true,
            }));
        }
        let name_before = found.as_ref().map(|product| product.name.clone());
        let name = row.name.clone().or_else(|| name_before.clone());
        let is_known = self.location(&row.location_id).is_some();
        let Some(name) = name.filter(|_| is_known) else {
            let lacks_product = found.is_none() && row.name.is_none();
            let no_product = lacks_product.then_some(Refusal::ProductNotFound);
            let no_location = (!is_known).then_some(Refusal::UnknownLocation);
            return Err(no_product.into_iter().chain(no_location).collect());
        };
        let level = self.level(&row.product_id, &row.location_id);
        let on_hand = row.on_hand.saturating_sub(level.on_hand);
        let deltas = Deltas { on_hand, ..Deltas::default() };
        let stock_key = (&row.product_id, &row.location_id);
        let cause = Cause::Request(row.cause.clone());
        let movement =
            self.move_stock(stock_key, MovementKind::Count, deltas, cause).map_err(|error| {
                match error {
                    LevelError::BelowReserved => {
                        let Level { reserved, quarantined, .. } = level;
                        vec![Refusal::BelowReserved { reserved, quarantined }]
                    }
                    LevelError::AboveMaximum => vec![Refusal::OutOfRange],
                }
            })?;
        if name_before.as_ref() != Some(&name) {
            self.name_product(row, found, &name);
        }
        Ok(imported(Imported { movement, name, name_before, replayed: false }))
    }

    /// Creates the product of a row, or gives it another name.
    fn name_product(&mut self, row: &ImportRow, before: Option<Product>, name: &str) {
        let now = self.now_micros;
        let product = Product {
            product_id: row.product_id.clone(),
            name: name.to_owned(),
            low_stock_at: before.as_ref().and_then(|before| before.low_stock_at),
            created_at_micros: before.as_ref().map_or(now, |before| before.created_at_micros),
            updated_at_micros: now,
        };
        self.record_product(product.clone());
        if before.is_some() {
            self.record_act(&row.requester, AdminEvent::Product { before, after: product });
        }
    }
}

fn imported(imported: Imported) -> InventoryOutcome {
    InventoryOutcome::Imported(Box::new(imported))
}
