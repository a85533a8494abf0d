//! Writes a decision, and compares every row count with what was predicted (R11).

use inventory_core::decide::{InventoryChanges, ReservationChange, StockChange};
use inventory_core::stock::{Cause, Location, Movement, Product};
use platform::failure::Failure;
use rusqlite::{Connection, params};
use storage::sqlite::{OneRow, exactly_one};
use storage::{admin_log, journal};

use super::super::admin_log::entry;
use super::super::moved;
use super::super::numbers::{LocationNo, Numbers, ProductNo};
use super::super::packed::{allocations_text, returns_text, shortages_text};
use super::super::search_key::search_key;

const UPDATE_STOCK: &str =
    "UPDATE stock SET on_hand = on_hand + ?5, reserved = reserved + ?6, last_seq = ?7, last_movement = ?8
     WHERE product_no = ?1 AND location_no = ?2 AND last_movement = ?3 AND last_seq = ?4";
/// As above, for a change of the quarantined units, which are few.
const UPDATE_QUARANTINE: &str =
    "UPDATE stock SET on_hand = on_hand + ?5, reserved = reserved + ?6, last_seq = ?7, last_movement = ?8,
                      quarantined = quarantined + ?9
     WHERE product_no = ?1 AND location_no = ?2 AND last_movement = ?3 AND last_seq = ?4";
const INSERT_RESERVATION: &str =
    "INSERT INTO reservations (order_id, revision, digest, allocations, shortages, created_at, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
/// As above, for an order that was placed, shipped and returned within the batch.
const INSERT_RETURNED_RESERVATION: &str =
    "INSERT INTO reservations (order_id, revision, digest, allocations, shortages, created_at, updated_at, returns)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const INSERT_MOVEMENT: &str =
    "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
                            on_hand_delta, reserved_delta, on_hand, reserved, created_at,
                            order_id, request_id, request_digest, reason, reference, actor)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
/// As above, for a movement where units are quarantined.
const INSERT_QUARANTINE_MOVEMENT: &str =
    "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
                            on_hand_delta, reserved_delta, on_hand, reserved, created_at,
                            order_id, request_id, request_digest, reason, reference, actor,
                            quarantined_delta, quarantined)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             nullif(?19, 0), nullif(?20, 0))";

/// Writes the changes. `numbers` are those of the loaded products and locations; the numbers of new
/// ones are added.
pub(super) fn apply(
    connection: &Connection,
    changes: &InventoryChanges,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    for product in &changes.products {
        put_product(connection, product, numbers)?;
    }
    for location in &changes.locations {
        put_location(connection, location, numbers)?;
    }
    let mut update = OneRow::prepare(connection, UPDATE_STOCK)?;
    for change in &changes.stock {
        move_level(connection, &mut update, change, numbers)?;
    }
    let mut insert = OneRow::prepare(connection, INSERT_RESERVATION)?;
    for change in &changes.reservations {
        record(connection, &mut insert, change, numbers)?;
    }
    let mut inserts = Movements::prepare(connection)?;
    for movement in &changes.movements {
        inserts.append(movement, numbers)?;
    }
    let mut entries = changes.acts.iter().map(entry);
    entries.try_for_each(|entry| admin_log::insert_sqlite(connection, &entry))?;
    journal::append_sqlite(connection, &moved::pack(&changes.stock))
}

fn put_product(
    connection: &Connection,
    product: &Product,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    let id = &product.product_id;
    if numbers.knows_product(id) {
        return exactly_one(
            connection,
            "UPDATE products SET name = ?2, search_name = ?3, low_stock_at = ?4, updated_at = ?5 WHERE product_no = ?1",
            params![
                numbers.product_no(id)?.0,
                product.name,
                search_key(&product.name),
                product.low_stock_at,
                product.updated_at_micros,
            ],
        );
    }
    exactly_one(
        connection,
        "INSERT INTO products (product_id, name, search_name, low_stock_at, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id.as_str(),
            product.name,
            search_key(&product.name),
            product.low_stock_at,
            product.created_at_micros,
            product.updated_at_micros,
        ],
    )?;
    numbers.add_product(ProductNo(inserted(connection)?), id.clone());
    Ok(())
}

fn put_location(
    connection: &Connection,
    location: &Location,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    let id = &location.location_id;
    if numbers.knows_location(id) {
        return exactly_one(
            connection,
            "UPDATE locations SET name = ?2, priority = ?3 WHERE location_no = ?1",
            params![numbers.location_no(id)?.0, location.name, location.priority],
        );
    }
    exactly_one(
        connection,
        "INSERT INTO locations (location_id, name, priority) VALUES (?1, ?2, ?3)",
        params![id.as_str(), location.name, location.priority],
    )?;
    numbers.add_location(LocationNo(inserted(connection)?), id.clone());
    Ok(())
}

/// The number that the database gave to the row that was just inserted.
fn inserted(connection: &Connection) -> Result<i32, Failure> {
    i32::try_from(connection.last_insert_rowid()).map_err(Failure::suspect)
}

fn move_level(
    connection: &Connection,
    update: &mut OneRow<'_>,
    change: &StockChange,
    numbers: &Numbers,
) -> Result<(), Failure> {
    let product = numbers.product_no(&change.product_id)?;
    let location = numbers.location_no(&change.location_id)?;
    let StockChange { before, after, .. } = change;
    if before.last_seq == 0 {
        return exactly_one(
            connection,
            "INSERT INTO stock (product_no, location_no, on_hand, reserved, last_seq, last_movement, quarantined)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                product.0,
                location.0,
                after.on_hand,
                after.reserved,
                after.last_seq,
                after.last_movement,
                after.quarantined,
            ],
        );
    }
    let deltas = change.deltas();
    let row = params![
        product.0,
        location.0,
        before.last_movement,
        before.last_seq,
        deltas.on_hand,
        deltas.reserved,
        after.last_seq,
        after.last_movement,
        deltas.quarantined,
    ];
    match deltas.quarantined {
        0 => update.write(&row[..8]),
        _ => exactly_one(connection, UPDATE_QUARANTINE, row),
    }
}

fn record(
    connection: &Connection,
    insert: &mut OneRow<'_>,
    change: &ReservationChange,
    numbers: &Numbers,
) -> Result<(), Failure> {
    let ReservationChange { from, to } = change;
    let allocations = allocations_text(to, numbers)?;
    let shortages = shortages_text(to, numbers)?;
    let returns = returns_text(to, numbers)?;
    match from {
        None => {
            let row = params![
                to.order_id.0.as_bytes(),
                to.revision.get(),
                to.digest.0,
                allocations,
                shortages,
                to.created_at_micros,
                to.updated_at_micros,
                returns,
            ];
            match returns {
                None => insert.write(&row[..7]),
                Some(_) => exactly_one(connection, INSERT_RETURNED_RESERVATION, row),
            }
        }
        Some(from) => exactly_one(
            connection,
            "UPDATE reservations SET revision = ?3, digest = ?4, allocations = ?5, shortages = ?6, updated_at = ?7,
                                     returns = ?8
             WHERE order_id = ?1 AND revision = ?2",
            params![
                to.order_id.0.as_bytes(),
                from.get(),
                to.revision.get(),
                to.digest.0,
                allocations,
                shortages,
                to.updated_at_micros,
                returns,
            ],
        ),
    }
}

/// The two statements that append movements, each prepared once for a batch. Units that are
/// quarantined are in every later movement of their level.
struct Movements<'c> {
    connection: &'c Connection,
    plain: OneRow<'c>,
    /// `None` until the batch has such a movement.
    quarantined: Option<OneRow<'c>>,
}

impl<'c> Movements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, Failure> {
        let plain = OneRow::prepare(connection, INSERT_MOVEMENT)?;
        Ok(Self { connection, plain, quarantined: None })
    }

    fn append(&mut self, movement: &Movement, numbers: &Numbers) -> Result<(), Failure> {
        let (order, request) = match &movement.cause {
            Cause::Order(order_id) => (Some(order_id.0.into_bytes()), None),
            Cause::Request(cause) => (None, Some(cause)),
        };
        let row = params![
            movement.number(),
            numbers.product_no(&movement.product_id)?.0,
            numbers.location_no(&movement.location_id)?.0,
            movement.seq(),
            movement.previous,
            movement.previous_of_product,
            movement.kind.as_str(),
            movement.deltas.on_hand,
            movement.deltas.reserved,
            movement.after.on_hand,
            movement.after.reserved,
            movement.created_at_micros,
            order,
            request.map(|cause| cause.request_id.0),
            request.map(|cause| cause.digest.0),
            request.and_then(|cause| cause.reason.as_deref()),
            request.and_then(|cause| cause.reference.as_deref()),
            request.and_then(|cause| cause.actor.as_deref()),
            movement.deltas.quarantined,
            movement.after.quarantined,
        ];
        if (movement.deltas.quarantined, movement.after.quarantined) == (0, 0) {
            return self.plain.write(&row[..18]);
        }
        let quarantined = match &mut self.quarantined {
            Some(prepared) => prepared,
            none => none.insert(OneRow::prepare(self.connection, INSERT_QUARANTINE_MOVEMENT)?),
        };
        quarantined.write(row)
    }
}
