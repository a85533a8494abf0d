//! Administrative events: what people change by hand or may not, for the admin log.

use crate::reservation::Reservation;
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

/// What happened, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAct {
    /// Who asked for it.
    pub requester: Requester,
    /// When it was decided, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// What happened.
    pub event: AdminEvent,
}

/// What belongs into the admin log. A request that was let in and changed nothing does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminEvent {
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
    /// A client moved stock by hand. To receive stock is no administrative act.
    Stock(Movement),
    /// An operator let Inventory carry out what the Order Service would send.
    Repaired {
        /// The reservation before; `None` if there was none.
        before: Option<Reservation>,
        /// The reservation after.
        after: Reservation,
    },
    /// It has happened outside of the stock.
    Noted(Note),
}

/// A request to record in the admin log that an import began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportNote {
    /// Who asked for it.
    pub requester: Requester,
    /// What happened.
    pub note: Note,
}

/// An event that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An import began to count stock.
    ImportBegan {
        /// The key of the import, which is the reference of its movements.
        key: String,
        /// Why the stock was counted, in the client's words.
        reason: String,
    },
    /// An import ended. If it is missing, the service ended first.
    ImportEnded {
        /// The key of the import.
        key: String,
        /// Whether the whole file was read.
        is_complete: bool,
        /// The rows that were answered.
        rows: u64,
        /// The rows that changed a product or its stock.
        changed: u64,
        /// The rows that were refused.
        failed: u64,
        /// The SHA-256 of what was read, in hexadecimal digits.
        sha256: String,
    },
}
