//! What lists of a product's ledger have in common.

use contract::{LocationId, ProductId};
use web::Query;
use web::problem::Problem;

/// What a client asks a list of a product's ledger for.
#[derive(Debug)]
pub(super) struct LedgerQuery {
    pub(super) product_id: ProductId,
    pub(super) location_id: Option<LocationId>,
    /// What the cursor says, for the list to parse.
    pub(super) from: Option<String>,
    pub(super) limit: u32,
    /// The name of the list in its cursors: each ledger has lists of its own.
    pub(super) list: String,
}

impl LedgerQuery {
    /// Reads the parameters of the list with this name.
    ///
    /// # Errors
    ///
    /// As [`Query::finish`], and 404 `product_not_found` if no product can have the id.
    pub(super) fn read(list: &str, product_id: &str, mut query: Query) -> Result<Self, Problem> {
        let product_id: Result<ProductId, _> = product_id.parse();
        let location_id = query.optional("location_id", super::id_text::<LocationId>);
        let limit = u32::try_from(query.limit()).unwrap_or(u32::MAX);
        let product = product_id.as_ref().map_or("", ProductId::as_str);
        let location = location_id.as_ref().map_or("", LocationId::as_str);
        let list = format!("{list}/{product}/{location}");
        let from = query.cursor(&list);
        query.finish()?;
        let product_id = product_id.map_err(|_| super::product_not_found())?;
        Ok(Self { product_id, location_id, from, limit, list })
    }
}
