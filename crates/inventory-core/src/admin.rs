//! Administrative acts: what people change by hand, for the audit log.

use crate::stock::{Location, Movement, Product};

/// Who asks for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// Who it is; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
}

/// A change that was made by hand, and by whom. A request that changed nothing is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAct {
    /// Who made it.
    pub requester: Requester,
    /// When it was decided, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// What was changed.
    pub change: AdminChange,
}

/// What an administrative act changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminChange {
    /// A product was created or replaced.
    Product {
        /// The product before; `None` if there was none.
        before: Option<Product>,
        /// The product after.
        after: Product,
    },
    /// A location was created or replaced.
    Location {
        /// The location before; `None` if there was none.
        before: Option<Location>,
        /// The location after.
        after: Location,
    },
    /// Stock was adjusted or counted. To receive stock is no administrative act.
    Stock(Movement),
}
