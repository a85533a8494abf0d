//! What the Inventory Service has done for an order.
//!
//! Facts are never refused: the Order Service takes them, or recognizes them as old, or as a
//! contradiction that no healthy history explains.

use serde::{Deserialize, Serialize};

use crate::allocation::Allocations;
use crate::ids::ProductId;
use crate::quantity::Quantity;
use crate::returned::BookedAt;
use crate::revision::Revision;

/// All that an order has of the stock, and the revision that this answers (R20).
///
/// The Inventory Service owns it and sends it as a whole. All numbers are absolute. At one revision
/// the facts never shrink (R24).
///
/// Inventory grants an order that asks for more than it has all of that or nothing. So `allocated` is
/// what is wanted, or it is empty with `shortages` that say why: at revision 1, and at a later one
/// that wants units which the order does not have any more.
///
/// A shortage stays true for ever: Inventory keeps the points of the ledger that it rests on, and the
/// audit reads them again (INV-8).
///
/// Orders compares the facts of an answer with those that it knows. Facts of a lower revision are
/// old, and it drops them. Facts of the same revision must be equal, member by member (R24); if
/// not, they are an anomaly.
///
/// ```
/// use contract::{Allocation, Allocations, Facts, LocationId, Quantity, Revision};
///
/// let mug = |units| -> Result<Allocations, Box<dyn std::error::Error>> {
///     let (product_id, location_id) = ("mug".parse()?, LocationId::main());
///     let quantity = Quantity::new(units)?;
///     Ok(Allocations::sorted(vec![Allocation { product_id, location_id, quantity }])?)
/// };
/// let known = Facts { allocated: mug(2)?, ..Facts::nothing(Revision::FIRST) };
/// let repeat = known.clone();
/// assert_eq!(repeat, known);
/// let contradiction = Facts { allocated: mug(1)?, ..known.clone() };
/// assert!(contradiction.revision == known.revision && contradiction != known);
/// // Less at a higher revision is no contradiction: the order was cancelled.
/// let cancelled = Facts::nothing(known.revision.next());
/// assert!(cancelled.revision > known.revision);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The revision of the intent that Inventory carried out last.
    pub revision: Revision,
    /// The units that belong to the order, shipped or not.
    pub allocated: Allocations,
    /// One entry per product that was short at this revision, sorted by product. Empty unless the
    /// order asked for more at this revision and got nothing.
    ///
    /// In JSON, each is an object with `product_id`, `requested`, `available` and `reason`, in this
    /// order.
    pub shortages: Vec<Shortage>,
    /// Where units that came back were booked, if Inventory does not know the location that they
    /// came back to; one entry per product and location of the returns, sorted by both.
    pub booked_at: Vec<BookedAt>,
}

impl Facts {
    /// The facts of an order that has nothing.
    pub fn nothing(revision: Revision) -> Self {
        Self {
            revision,
            allocated: Allocations::default(),
            shortages: Vec::new(),
            booked_at: Vec::new(),
        }
    }
}

/// Why a product was short.
///
/// In JSON, it is the name that [`as_str`](Self::as_str) returns. A reader takes no other name, so
/// a new reason needs a new schema version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortageReason {
    /// The product exists, and fewer units were available than requested.
    OutOfStock,
    /// The Inventory Service has no product with this id. Nothing of it was available.
    UnknownProduct,
    /// The units were available, but from more stock keys than an order may have
    /// ([`MAX_ALLOCATIONS`](crate::MAX_ALLOCATIONS)). Every product of the order then has this
    /// reason.
    TooManyAllocations,
}

impl ShortageReason {
    /// All reasons, in the order of the variants.
    pub const ALL: [Self; 3] = [Self::OutOfStock, Self::UnknownProduct, Self::TooManyAllocations];

    /// The name in messages, tables and the API, in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::UnknownProduct => "unknown_product",
            Self::TooManyAllocations => "too_many_allocations",
        }
    }
}

/// A product of which an order could not have the requested units when it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Shortage {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// How many units the order asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub requested: Quantity,
    /// How many units were available, summed over all locations. Less than `requested`, unless the
    /// reason is `too_many_allocations`.
    pub available: i64,
    /// Why the product was short.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "out_of_stock"))]
    pub reason: ShortageReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_the_names_in_messages() {
        for reason in ShortageReason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("JSON"), reason.as_str());
        }
    }
}
