//! The judgement of a dry run.

use std::collections::HashMap;

use contract::ProductId;
use inventory_core::decide::{
    InventoryCommand, InventoryOutcome, LoadedInventory, Touched, decide,
};
use inventory_core::stock::Product;
use platform::failure::Failure;

use super::task::hash;
use crate::store::{ProductFilter, StockStore};

/// What the rows of a dry run would have changed so far, as far as later rows depend on it.
///
/// That is the names of products. No later row sees a level: a file names a product at a location
/// once. A file has a limit of rows, and so has this.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    /// The names that rows gave, by the hash of the product's id.
    names: HashMap<u64, Box<str>>,
}

impl Rehearsal {
    /// What the commands would lead to with the stock as it is now, after those before them.
    ///
    /// # Errors
    ///
    /// [`Failure`] of a read.
    pub(super) async fn rehearse(
        &mut self,
        store: &dyn StockStore,
        commands: &[InventoryCommand],
    ) -> Result<Vec<InventoryOutcome>, Failure> {
        let mut loaded = LoadedInventory { next_movement: 1, ..LoadedInventory::default() };
        for location in store.locations().await? {
            loaded.locations.insert(location.location_id.clone(), location);
        }
        let ids: Vec<_> = Touched::by(commands).products.into_iter().collect();
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let filter = ProductFilter { ids: Some(ids.clone()), limit, ..ProductFilter::default() };
        for found in store.products(filter).await? {
            let id = found.product.product_id.clone();
            loaded.products.insert(id.clone(), found.product);
            loaded.levels.insert(id, found.levels);
        }
        for id in ids {
            self.rename(id, &mut loaded);
        }
        // The time stands in no answer.
        let decision = decide(0, commands, loaded);
        for Product { product_id, name, .. } in decision.changes.products {
            self.names.insert(hash(&product_id), name.into());
        }
        Ok(decision.decided.into_iter().map(|one| one.outcome).collect())
    }

    /// Gives the product the name that it would have, and creates it if a row would have done so.
    fn rename(&self, product_id: ProductId, loaded: &mut LoadedInventory) {
        let Some(name) = self.names.get(&hash(&product_id)) else { return };
        loaded.levels.entry(product_id.clone()).or_default();
        let product = loaded.products.entry(product_id).or_insert_with_key(|id| Product {
            product_id: id.clone(),
            name: String::new(),
            low_stock_at: None,
            created_at_micros: 0,
            updated_at_micros: 0,
        });
        product.name = name.to_string();
    }
}
