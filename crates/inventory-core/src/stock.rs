//! Stock: products, locations, levels, and the movements that explain the levels.

use std::collections::BTreeMap;

use contract::{Digest, LocationId, OrderId, ProductId};

/// The most units of a product that may be on hand at one location.
pub const MAX_ON_HAND: i64 = 1_000_000_000_000;

/// The most locations that may exist (R17): every batch reads them all.
pub const MAX_LOCATIONS: usize = 1000;

/// A product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The id.
    pub product_id: ProductId,
    /// The name, for people.
    pub name: String,
    /// The product is low on stock at this many available units or fewer; `None` for never.
    pub low_stock_at: Option<i64>,
    /// When the product was created, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// When its name or threshold last changed, in microseconds since 1970 UTC.
    pub updated_at_micros: i64,
}

impl Product {
    /// What tells this name and threshold from others, whatever the stock is.
    pub fn version(&self) -> Digest {
        // A name has no control characters.
        let threshold = self.low_stock_at.map(|units| units.to_string()).unwrap_or_default();
        Digest::of(format!("{}\0{threshold}", self.name).as_bytes())
    }
}

/// A location that holds stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The id.
    pub location_id: LocationId,
    /// The name, for people.
    pub name: String,
    /// Locations with a lower number serve orders first.
    pub priority: u32,
}

impl Location {
    /// What tells this name and priority from others.
    pub fn version(&self) -> Digest {
        Digest::of(format!("{}\0{}", self.name, self.priority).as_bytes())
    }
}

/// The stock of one product at one location: the sum of its movements there (INV-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// The units that are there, reserved or not.
    pub on_hand: i64,
    /// The units that are reserved for orders and not shipped.
    pub reserved: i64,
    /// The units that cannot be sold until somebody has looked at them. Together with `reserved`,
    /// they are at most `on_hand` (INV-1).
    pub quarantined: i64,
    /// How many movements there were.
    pub last_seq: i64,
    /// The number of the last movement; 0 without movements.
    pub last_movement: i64,
}

/// The levels of one product by location, without locations where it never moved.
pub type Levels = BTreeMap<LocationId, Level>;

/// A product and its stock at all locations, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductStock {
    /// The product.
    pub product: Product,
    /// Its levels.
    pub levels: Levels,
}

/// The change of a level by a movement, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deltas {
    /// The change of the units on hand.
    pub on_hand: i64,
    /// The change of the reserved units.
    pub reserved: i64,
    /// The change of the quarantined units.
    pub quarantined: i64,
}

/// Why a level cannot change by the deltas. A retry fails again until the level has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// `on_hand` would be less than `reserved` and `quarantined` together, or one of the two less
    /// than 0.
    BelowReserved,
    /// `on_hand` would exceed [`MAX_ON_HAND`].
    AboveMaximum,
}

impl Level {
    /// The units that can be reserved for further orders.
    pub fn available(self) -> i64 {
        self.on_hand - self.reserved - self.quarantined
    }

    /// Returns the level after one more movement, which has this number.
    ///
    /// # Errors
    ///
    /// [`LevelError`] if `0 ≤ reserved`, `0 ≤ quarantined` and
    /// `reserved + quarantined ≤ on_hand ≤ MAX_ON_HAND` would not hold (INV-1).
    pub fn after(self, deltas: Deltas, movement: i64) -> Result<Self, LevelError> {
        let on_hand = self.on_hand.saturating_add(deltas.on_hand);
        let reserved = self.reserved.saturating_add(deltas.reserved);
        let quarantined = self.quarantined.saturating_add(deltas.quarantined);
        if reserved < 0 || quarantined < 0 || on_hand < reserved.saturating_add(quarantined) {
            Err(LevelError::BelowReserved)
        } else if on_hand > MAX_ON_HAND {
            Err(LevelError::AboveMaximum)
        } else {
            let last_seq = self.last_seq + 1;
            Ok(Self { on_hand, reserved, quarantined, last_seq, last_movement: movement })
        }
    }
}

/// The kind of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MovementKind {
    /// Units came in.
    Receive,
    /// A client corrected the units on hand by a difference.
    Adjust,
    /// A client counted the units on hand.
    Count,
    /// Units were reserved for an order.
    Reserve,
    /// The reserved units of an order became available again.
    Release,
    /// The reserved units of an order left the stock.
    Ship,
    /// Units of an order are on hand and reserved again, because their shipment was cancelled.
    Unship,
    /// Units of an order came back from the customer.
    Return,
    /// A client set available units apart, which cannot be sold until somebody has looked at them.
    Quarantine,
    /// Quarantined units became available again.
    Unquarantine,
    /// Quarantined units left the stock for good.
    WriteOff,
}

impl MovementKind {
    /// All kinds, in the order of the variants.
    pub const ALL: [Self; 11] = [
        Self::Receive,
        Self::Adjust,
        Self::Count,
        Self::Reserve,
        Self::Release,
        Self::Ship,
        Self::Unship,
        Self::Return,
        Self::Quarantine,
        Self::Unquarantine,
        Self::WriteOff,
    ];

    /// The name in tables and in the API, in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Adjust => "adjust",
            Self::Count => "count",
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Ship => "ship",
            Self::Unship => "unship",
            Self::Return => "return",
            Self::Quarantine => "quarantine",
            Self::Unquarantine => "unquarantine",
            Self::WriteOff => "write_off",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The unique id of a request that moves stock. All retries of the request have the same id (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

/// What caused a movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command of the Order Service about this order.
    Order(OrderId),
    /// A request of a client.
    Request(RequestCause),
}

/// What a request says about itself, so that people can find out why a level is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCause {
    /// The id of the request.
    pub request_id: RequestId,
    /// The digest of the request's content. The same id with another digest is another request.
    pub digest: Digest,
    /// Why the stock moved, in the client's words.
    pub reason: Option<String>,
    /// A document of the client, such as the number of a delivery note.
    pub reference: Option<String>,
    /// Who moved the stock, in the client's words.
    pub actor: Option<String>,
}

/// One entry in the ledger, which is append-only.
///
/// Movements form chains: each names the one before it at its stock key, and the one before it of
/// its product (INV-2). The numbers of a product's movements rise in the order of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The movement before this one at the same product and location; `None` for the first.
    pub previous: Option<i64>,
    /// The movement before this one of the same product, at any location; `None` for the first.
    pub previous_of_product: Option<i64>,
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// What kind of movement it is.
    pub kind: MovementKind,
    /// The change of the level.
    pub deltas: Deltas,
    /// The level after the movement. Its `last_movement` is the number of this movement.
    pub after: Level,
    /// What caused the movement.
    pub cause: Cause,
    /// When the movement was decided, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
}

impl Movement {
    /// The number of the movement, by which others name it.
    pub fn number(&self) -> i64 {
        self.after.last_movement
    }

    /// The place of the movement in the ledger of its stock key, from 1 without gaps (INV-2).
    pub fn seq(&self) -> i64 {
        self.after.last_seq
    }
}
