//! The integer keys of products and locations, which stay inside the database (both engines).

use std::collections::BTreeMap;
use std::fmt;

use contract::{LocationId, ProductId};
use platform::failure::{Failure, Suspicion};
use serde::{Deserialize, Serialize};

/// The integer key of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ProductNo(pub(super) i32);

/// The integer key of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LocationNo(pub(super) i32);

impl fmt::Display for ProductNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LocationNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The products and locations that a transaction has read, by number and by id.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    product_ids: BTreeMap<ProductNo, ProductId>,
    product_numbers: BTreeMap<ProductId, ProductNo>,
    location_ids: BTreeMap<LocationNo, LocationId>,
    location_numbers: BTreeMap<LocationId, LocationNo>,
}

impl Numbers {
    /// Adds a product.
    pub(super) fn add_product(&mut self, number: ProductNo, id: ProductId) {
        self.product_numbers.insert(id.clone(), number);
        self.product_ids.insert(number, id);
    }

    /// Adds a location.
    pub(super) fn add_location(&mut self, number: LocationNo, id: LocationId) {
        self.location_numbers.insert(id.clone(), number);
        self.location_ids.insert(number, id);
    }

    /// The id of a product; `None` if it was not read.
    pub(super) fn product_id(&self, number: ProductNo) -> Option<&ProductId> {
        self.product_ids.get(&number)
    }

    /// The id of a location; `None` if it was not read.
    pub(super) fn location_id(&self, number: LocationNo) -> Option<&LocationId> {
        self.location_ids.get(&number)
    }

    /// The number under which a change of this product is written.
    ///
    /// # Errors
    ///
    /// [`Failure::Suspect`] if the product was neither loaded nor created by the batch.
    pub(super) fn product_no(&self, id: &ProductId) -> Result<ProductNo, Failure> {
        let unknown = Suspicion::Decision("it changes the stock of a product that does not exist");
        self.product_numbers.get(id).copied().ok_or_else(|| unknown.into())
    }

    /// The number under which a change at this location is written.
    ///
    /// # Errors
    ///
    /// [`Failure::Suspect`] if the location was neither loaded nor created by the batch.
    pub(super) fn location_no(&self, id: &LocationId) -> Result<LocationNo, Failure> {
        let unknown = Suspicion::Decision("it changes the stock at a location that does not exist");
        self.location_numbers.get(id).copied().ok_or_else(|| unknown.into())
    }

    /// Whether this product was read.
    pub(super) fn knows_product(&self, id: &ProductId) -> bool {
        self.product_numbers.contains_key(id)
    }

    /// Whether this location was read.
    pub(super) fn knows_location(&self, id: &LocationId) -> bool {
        self.location_numbers.contains_key(id)
    }
}
