//! The rows of an order as the second opinion reads them: see [`crate::fold`].

use std::collections::BTreeMap;

use contract::{Allocations, BookedAt, Returned, Shortage, Wanted};
use orders_core::changes;
use orders_core::history::{Entry, Event, Intended};
use orders_core::order::Terms;

use crate::fold::{
    Answer, Back, Content, Made, NewIntent, ProductUnits, Registers, Short, Step, StockKey,
    StockUnits, Tracking,
};
use crate::states::{Violation, broken};

/// Adds up the entries after the first.
///
/// # Errors
///
/// The invariant that an entry breaks.
pub(super) fn fold(terms: &Terms, entries: &[Entry]) -> Result<Registers, Violation> {
    // A step has no number: on disk it follows from the place of the entry.
    if let Some((entry, seq)) = entries.iter().zip(2..).find(|(entry, seq)| entry.seq != *seq) {
        return broken("INV-4", format!("entry {seq} has the number {}", entry.seq));
    }
    let steps = entries.iter().map(step).collect::<Vec<_>>();
    Registers::of(content(terms), &steps)
}

fn content(terms: &Terms) -> Content {
    let lines = terms
        .lines
        .iter()
        .map(|line| (line.product_id.to_string(), line.quantity.units(), line.price_minor));
    let pays_within_s = terms.payment.map(|payment| i64::from(payment.within_s));
    Content { lines: lines.collect(), pays_within_s, created_at: 0 }
}

fn step(entry: &Entry) -> Step {
    let made = match &entry.event {
        Event::Intended(intended) => Made::Intent(new_intent(intended)),
        Event::Settled { decided_at_micros, allocated, shortages, booked_at } => {
            Made::Answer(Answer {
                decided_at: *decided_at_micros,
                allocated: allocated.as_ref().map(units),
                shortages: short(shortages),
                booked_at: booked_at.as_deref().map(booked),
            })
        }
        Event::Paid { reference, amount_minor, .. } => {
            Made::Payment { reference: reference.clone(), amount: *amount_minor }
        }
        Event::Refunded { reference, amount_minor, .. } => {
            Made::Refund { reference: reference.clone(), amount: *amount_minor }
        }
        Event::Tracked { shipment, tracking: how, .. } => {
            Made::Tracking { shipment: i64::from(*shipment), tracking: tracking(how) }
        }
    };
    Step { status: entry.status, at: entry.at_micros, made }
}

fn new_intent(intended: &Intended) -> NewIntent {
    NewIntent {
        revision: i64::from(intended.revision.get()),
        wanted: intended.wanted.as_ref().map(products),
        shipped: intended.shipped.as_ref().map(units),
        returned: intended.returned.as_ref().map(back),
        key: intended.key.as_ref().map(|key| key.key.clone()),
        cancelled_shipment: intended.cancelled_shipment.map(i64::from),
        tracking: intended.tracking.as_ref().map(tracking),
    }
}

fn tracking(tracking: &changes::Tracking) -> Tracking {
    let changes::Tracking { carrier, number, url } = tracking.clone();
    Tracking { carrier, number, url }
}

pub(super) fn products(wanted: &Wanted) -> ProductUnits {
    let line = |line: &contract::WantedLine| (line.product_id.to_string(), line.quantity.into());
    wanted.iter().map(line).collect()
}

pub(super) fn units(allocations: &Allocations) -> StockUnits {
    let unit = |part: &contract::Allocation| {
        ((part.product_id.to_string(), part.location_id.to_string()), part.quantity.units())
    };
    allocations.iter().map(unit).collect()
}

pub(super) fn back(returned: &Returned) -> Back {
    let entry = |entry: &contract::ReturnedUnits| {
        let units = [entry.restocked, entry.quarantined, entry.written_off].map(i64::from);
        ((entry.product_id.to_string(), entry.location_id.to_string()), units)
    };
    returned.iter().map(entry).collect()
}

pub(super) fn booked(booked_at: &[BookedAt]) -> BTreeMap<StockKey, String> {
    let entry = |at: &BookedAt| {
        ((at.product_id.to_string(), at.location_id.to_string()), at.booked_at.to_string())
    };
    booked_at.iter().map(entry).collect()
}

pub(super) fn short(shortages: &[Shortage]) -> Vec<Short> {
    let short = |short: &Shortage| {
        let reason = short.reason.as_str().to_owned();
        (short.product_id.to_string(), short.requested.units(), short.available, reason)
    };
    shortages.iter().map(short).collect()
}
