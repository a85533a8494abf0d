//! What lies where, and why: products, locations, levels, and the movements that explain them.

use std::collections::BTreeMap;

use contract::{Digest, LocationId, OrderId, ProductId};

/// The most units that may ever lie on hand in one place.
pub const MAX_ON_HAND: i64 = 1_000_000_000_000;

/// Something that can lie in stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub product_id: ProductId,
    pub name: String,
    /// At this many available units, or fewer, the product counts as low on stock.
    pub low_stock_at: Option<i64>,
    pub created_at_micros: i64,
    pub updated_at_micros: i64,
}

/// Somewhere stock can lie. Orders are served from low priorities first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub location_id: LocationId,
    pub name: String,
    pub priority: u32,
}

/// How much of one product lies in one place: the sum of its movements there (INV-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What a count would find.
    pub on_hand: i64,
    /// Promised to orders and not shipped yet; never more than is on hand (INV-1).
    pub reserved: i64,
    /// The number of the last movement; 0 when nothing ever moved.
    pub last_seq: i64,
}

/// One product's levels. A place where it never moved is missing.
pub type Levels = BTreeMap<LocationId, Level>;

/// A product and all of its stock, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductStock {
    pub product: Product,
    pub levels: Levels,
}

/// By how much a movement changes a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deltas {
    pub on_hand: i64,
    pub reserved: i64,
}

/// Why a level cannot change as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffLimits {
    BelowReserved,
    AboveMaximum,
}

impl Level {
    /// What may still be promised.
    pub fn available(self) -> i64 {
        self.on_hand - self.reserved
    }

    /// The level after one more movement.
    ///
    /// **Errors:** `0 ≤ reserved ≤ on_hand ≤ MAX_ON_HAND` would not hold (INV-1).
    pub fn after(self, deltas: Deltas) -> Result<Self, OffLimits> {
        let on_hand = self.on_hand.saturating_add(deltas.on_hand);
        let reserved = self.reserved.saturating_add(deltas.reserved);
        if reserved < 0 || on_hand < reserved {
            Err(OffLimits::BelowReserved)
        } else if on_hand > MAX_ON_HAND {
            Err(OffLimits::AboveMaximum)
        } else {
            Ok(Self { on_hand, reserved, last_seq: self.last_seq + 1 })
        }
    }
}

/// What kind of thing happened to a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MovementKind {
    /// Units came in.
    Receive,
    /// Somebody corrected the level by a difference.
    Adjust,
    /// Somebody counted.
    Count,
    /// An order was promised units.
    Reserve,
    /// An order gave its units back.
    Release,
    /// An order's units left.
    Ship,
}

impl MovementKind {
    pub const ALL: [Self; 6] = [Self::Receive, Self::Adjust, Self::Count, Self::Reserve, Self::Release, Self::Ship];

    /// As tables and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Adjust => "adjust",
            Self::Count => "count",
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Ship => "ship",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Names a request that moves stock: unique, and the same through all retries of the request (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

/// Whose doing a movement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Order(OrderId),
    Request(RequestCause),
}

/// What a request tells about itself, for whoever asks "why is it 47?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCause {
    pub request_id: RequestId,
    /// Of all that was asked for: the same id with another digest is another request.
    pub digest: Digest,
    pub reason: Option<String>,
    pub reference: Option<String>,
    pub actor: Option<String>,
}

/// One line of a level's ledger. Never changed and never removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub product_id: ProductId,
    pub location_id: LocationId,
    pub kind: MovementKind,
    pub deltas: Deltas,
    /// The level after the movement; its `last_seq` is the movement's number, gap-free from 1 (INV-2).
    pub after: Level,
    pub cause: Cause,
    pub created_at_micros: i64,
}

impl Movement {
    /// Its number in the ledger of its product and location.
    pub fn seq(&self) -> i64 {
        self.after.last_seq
    }
}
