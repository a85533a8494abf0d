//! Who holds units of a product: the orders behind what is reserved.
//!
//! The ledger of the product is read from its newest movement on. At the newest movement of an order
//! at a stock key, its reservation says what it holds there. The search ends as soon as what was
//! found adds up to what is reserved, which is at the oldest holder.

use std::collections::BTreeMap;

use contract::{LocationId, OrderId, ProductId};
use inventory_core::reservation::{Holding, Reservation};
use inventory_core::stock::{Cause, Levels, Movement};

use super::MovementFilter;

/// How many movements one page looks at.
const SCANNED: u32 = 2000;
/// How many of them are read at once.
const AT_ONCE: u32 = 200;

/// Which holders to list.
#[derive(Clone, Debug)]
pub struct HolderFilter {
    /// The product.
    pub product_id: ProductId,
    /// Only units at this location.
    pub location_id: Option<LocationId>,
    /// Where the page before this one ended; `None` for the first page.
    pub from: Option<HolderPosition>,
    /// The most holders to return.
    pub limit: u32,
}

/// Where a page of holders begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderPosition {
    /// The number of the movement to go on with.
    pub movement: i64,
    /// At most this many units are held by the orders that follow.
    pub units: i64,
}

/// An order that holds units of a product at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The order.
    pub order_id: OrderId,
    /// The location.
    pub location_id: LocationId,
    /// The units that are reserved for it.
    pub quantity: i64,
    /// When they were reserved, in microseconds since the epoch.
    pub since_micros: i64,
}

/// A page of holders, those whose units moved last first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HolderPage {
    /// The holders. They may be fewer than asked for, also if a page follows.
    pub holders: Vec<Holder>,
    /// Where the next page begins, if there is one.
    pub next: Option<HolderPosition>,
    /// Whether the position that the page was to begin with is one of this ledger.
    pub begins: bool,
}

/// The search for a page, without its reads.
#[derive(Debug)]
pub(super) struct HolderSearch {
    filter: HolderFilter,
    page: HolderPage,
    /// Where the ledger goes on; `None` at its end.
    next: Option<i64>,
    has_begun: bool,
    /// How many units are still to be found, at most. Later pages know it from earlier ones: units
    /// that were released meanwhile are not found any more, and then the ledger ends the search.
    units: i64,
    scanned: u32,
}

impl HolderSearch {
    /// Begins a page, in the snapshot of these levels.
    pub(super) fn new(filter: HolderFilter, levels: &Levels) -> Self {
        let is_counted = |at: &LocationId| filter.location_id.as_ref().is_none_or(|it| it == at);
        let reserved: i64 = levels
            .iter()
            .filter(|(location_id, _)| is_counted(location_id))
            .map(|(_, level)| level.reserved)
            .sum();
        let units = filter.from.map_or(reserved, |from| from.units.min(reserved));
        let next = filter.from.map(|from| from.movement);
        let page = HolderPage { begins: true, ..HolderPage::default() };
        Self { filter, page, next, has_begun: false, units, scanned: 0 }
    }

    /// The movements to read next; `None` if the page is complete.
    pub(super) fn movements(&self) -> Option<MovementFilter> {
        let is_at_end = self.has_begun && self.next.is_none();
        let is_full = self.page.holders.len() >= self.filter.limit as usize;
        if is_at_end || is_full || self.units <= 0 || self.scanned >= SCANNED {
            return None;
        }
        Some(MovementFilter {
            product_id: self.filter.product_id.clone(),
            location_id: self.filter.location_id.clone(),
            from: self.next,
            limit: AT_ONCE,
        })
    }

    /// The orders of movements, whose reservations are to be read.
    pub(super) fn orders(movements: &[Movement]) -> Vec<OrderId> {
        let of = |movement: &Movement| match movement.cause {
            Cause::Order(order_id) => Some(order_id),
            Cause::Request(_) => None,
        };
        let mut orders: Vec<OrderId> = movements.iter().filter_map(of).collect();
        orders.sort_unstable();
        orders.dedup();
        orders
    }

    /// Takes the movements that were read, with the reservations of their orders.
    pub(super) fn take(
        &mut self,
        asked: &MovementFilter,
        movements: &[Movement],
        reservations: &BTreeMap<OrderId, Reservation>,
    ) {
        self.page.begins &= self.has_begun || self.next.is_none() || !movements.is_empty();
        self.has_begun = true;
        self.next = None;
        for movement in movements {
            self.scanned += 1;
            self.next = asked.next_of(movement);
            if let Some(holder) = holder(movement, reservations) {
                self.units -= holder.quantity;
                self.page.holders.push(holder);
                if self.page.holders.len() >= self.filter.limit as usize {
                    return;
                }
            }
        }
    }

    /// The page.
    pub(super) fn finish(self) -> HolderPage {
        let Self { page, next, units, .. } = self;
        let next = next.filter(|_| units > 0);
        let next = next.map(|movement| HolderPosition { movement, units });
        HolderPage { next, ..page }
    }
}

/// What the order of a movement holds at its stock key, if the movement is its newest there.
fn holder(movement: &Movement, reservations: &BTreeMap<OrderId, Reservation>) -> Option<Holder> {
    let Cause::Order(order_id) = movement.cause else { return None };
    let reservation = reservations.get(&order_id)?;
    let is_here = |holding: &&Holding| {
        holding.product_id == movement.product_id && holding.location_id == movement.location_id
    };
    let holding = reservation.holdings.iter().find(is_here)?;
    let is_newest = holding.movements.last() == Some(&movement.number());
    (is_newest && holding.held() > 0).then(|| Holder {
        order_id,
        location_id: movement.location_id.clone(),
        quantity: holding.held(),
        since_micros: reservation.created_at_micros,
    })
}
