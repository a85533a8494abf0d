//! Writes a decision down, and compares every row count with what was predicted (R11).

use inventory_core::decide::{Changes, ReservationChange, StockChange};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Location, Movement, Product};
use platform::failure::Failure;
use rusqlite::{Connection, params};
use storage::sqlite::exactly_one;

use super::super::text::shortages_text;

pub(super) fn apply(connection: &Connection, changes: &Changes) -> Result<(), Failure> {
    changes.products.iter().try_for_each(|product| put_product(connection, product))?;
    changes.locations.iter().try_for_each(|location| put_location(connection, location))?;
    changes.stock.iter().try_for_each(|change| move_level(connection, change))?;
    changes.reservations.iter().try_for_each(|change| record(connection, change))?;
    changes.movements.iter().try_for_each(|movement| append(connection, movement))
}

fn put_product(connection: &Connection, product: &Product) -> Result<(), Failure> {
    exactly_one(
        connection,
        "INSERT INTO products (product_id, name, search_name, low_stock_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (product_id) DO UPDATE SET name = excluded.name, search_name = excluded.search_name,
             low_stock_at = excluded.low_stock_at, updated_at = excluded.updated_at",
        params![
            product.product_id.as_str(),
            product.name,
            product.name.to_lowercase(),
            product.low_stock_at,
            product.created_at_micros,
            product.updated_at_micros,
        ],
    )
}

fn put_location(connection: &Connection, location: &Location) -> Result<(), Failure> {
    exactly_one(
        connection,
        "INSERT INTO locations (location_id, name, priority) VALUES (?1, ?2, ?3)
         ON CONFLICT (location_id) DO UPDATE SET name = excluded.name, priority = excluded.priority",
        params![location.location_id.as_str(), location.name, location.priority],
    )
}

fn move_level(connection: &Connection, change: &StockChange) -> Result<(), Failure> {
    let (product_id, location_id) = (change.product_id.as_str(), change.location_id.as_str());
    let StockChange { before, after, .. } = change;
    if before.last_seq == 0 {
        return exactly_one(
            connection,
            "INSERT INTO stock (product_id, location_id, on_hand, reserved, last_seq) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![product_id, location_id, after.on_hand, after.reserved, after.last_seq],
        );
    }
    let deltas = change.deltas();
    exactly_one(
        connection,
        "UPDATE stock SET on_hand = on_hand + ?4, reserved = reserved + ?5, last_seq = ?6
         WHERE product_id = ?1 AND location_id = ?2 AND last_seq = ?3",
        params![
            product_id,
            location_id,
            before.last_seq,
            deltas.on_hand,
            deltas.reserved,
            after.last_seq
        ],
    )
}

fn record(connection: &Connection, change: &ReservationChange) -> Result<(), Failure> {
    let ReservationChange { from, to } = change;
    match from {
        None => insert(connection, to),
        Some(from) => exactly_one(
            connection,
            "UPDATE reservations SET state = ?3, updated_at = ?4 WHERE order_id = ?1 AND state = ?2",
            params![
                to.order_id.0.as_bytes(),
                from.as_str(),
                to.state.name().as_str(),
                to.updated_at_micros
            ],
        ),
    }
}

fn insert(connection: &Connection, reservation: &Reservation) -> Result<(), Failure> {
    exactly_one(
        connection,
        "INSERT INTO reservations (order_id, state, digest, shortages, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            reservation.order_id.0.as_bytes(),
            reservation.state.name().as_str(),
            reservation.digest.0,
            shortages_text(reservation.state.shortfalls()),
            reservation.created_at_micros,
            reservation.updated_at_micros,
        ],
    )?;
    for allocation in reservation.state.allocations() {
        exactly_one(
            connection,
            "INSERT INTO allocations (order_id, product_id, location_id, quantity) VALUES (?1, ?2, ?3, ?4)",
            params![
                reservation.order_id.0.as_bytes(),
                allocation.product_id.as_str(),
                allocation.location_id.as_str(),
                allocation.quantity.get(),
            ],
        )?;
    }
    Ok(())
}

fn append(connection: &Connection, movement: &Movement) -> Result<(), Failure> {
    let (order, request) = match &movement.cause {
        Cause::Order(order_id) => (Some(order_id.0.into_bytes()), None),
        Cause::Request(cause) => (None, Some(cause)),
    };
    exactly_one(
        connection,
        "INSERT INTO movements (product_id, location_id, seq, kind, on_hand_delta, reserved_delta, on_hand, reserved,
                                order_id, request_id, request_digest, reason, reference, actor, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            movement.product_id.as_str(),
            movement.location_id.as_str(),
            movement.seq(),
            movement.kind.as_str(),
            movement.deltas.on_hand,
            movement.deltas.reserved,
            movement.after.on_hand,
            movement.after.reserved,
            order,
            request.map(|cause| cause.request_id.0),
            request.map(|cause| cause.digest.0),
            request.and_then(|cause| cause.reason.as_deref()),
            request.and_then(|cause| cause.reference.as_deref()),
            request.and_then(|cause| cause.actor.as_deref()),
            movement.created_at_micros,
        ],
    )
}
