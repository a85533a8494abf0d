//! `/api/inventory/reservations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use contract::{Allocation, ReturnedUnits, Shortage};
use inventory_core::reservation::{Reservation, ReturnedStock};
use inventory_core::stock::Movement;
use platform::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use web::Query;
use web::problem::{Problem, ReadProblems};

use super::codes;
use super::movements::MovementView;
use crate::service::Service;

/// The stock reserved for an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reservation)]
pub(super) struct ReservationView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    /// `reserved`, `rejected`, `released` or `shipped`.
    #[schema(example = "reserved")]
    state: &'static str,
    /// How far the Inventory Service has followed the order: the revision of the order that it
    /// carried out last.
    revision: u32,
    /// What the order has, shipped or not; if it has nothing any more, all that was ever reserved
    /// for it.
    allocations: Vec<Allocation>,
    /// The products that were short when the order last asked for more than it had.
    shortages: Vec<Shortage>,
    /// What came back from the customer.
    returns: Vec<ReturnedView>,
    /// The entries of the ledger that the order caused, the oldest first.
    movements: Vec<MovementView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

/// What came back of one product to one location.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReturnedStock)]
struct ReturnedView {
    #[schema(example = "789")]
    product_id: String,
    /// The location that the return named.
    #[schema(example = "main")]
    location_id: String,
    /// Units that can be sold again.
    restocked: u32,
    /// Units that were quarantined.
    quarantined: u32,
    /// Units that were written off at once. They are not on hand.
    written_off: u32,
    /// The location whose stock the units were added to: another one if nobody had created the one
    /// that the return named.
    #[schema(example = "main")]
    booked_at: String,
}

impl From<&ReturnedStock> for ReturnedView {
    fn from(found: &ReturnedStock) -> Self {
        let ReturnedUnits { product_id, location_id, restocked, quarantined, written_off } =
            &found.units;
        Self {
            product_id: product_id.to_string(),
            location_id: location_id.to_string(),
            restocked: *restocked,
            quarantined: *quarantined,
            written_off: *written_off,
            booked_at: found.booked_at.to_string(),
        }
    }
}

impl ReservationView {
    fn new(reservation: &Reservation, movements: Vec<Movement>) -> Self {
        let shortfalls = reservation.shortfalls();
        Self {
            order_id: reservation.order_id.to_string(),
            state: reservation.state().as_str(),
            revision: reservation.revision.get(),
            allocations: reservation.last_allocated().into(),
            shortages: shortfalls.iter().map(|short| short.shortage.clone()).collect(),
            returns: reservation.returns.iter().map(ReturnedView::from).collect(),
            movements: movements.into_iter().map(MovementView::from).collect(),
            created_at: Timestamp(reservation.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(reservation.updated_at_micros).to_rfc3339(),
        }
    }
}

/// Get an order's reservation
#[utoipa::path(
    get, path = "/api/inventory/reservations/{order_id}", tag = "inventory", operation_id = "getReservation",
    params(("order_id" = String, Path)),
    responses(
        (status = 200, description = "The reservation", body = ReservationView),
        (status = 404, description = "`reservation_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(order_id): Path<String>,
    query: Query,
) -> Result<Json<ReservationView>, Problem> {
    query.finish()?;
    let order_id = order_id.parse().map_err(|_| reservation_not_found())?;
    let found = service.store.reservation(order_id).await?;
    let reservation = found.ok_or_else(reservation_not_found)?;
    let movements = movements(&service, &reservation).await?;
    Ok(Json(ReservationView::new(&reservation, movements)))
}

/// The movements that a reservation lists. They never change, so they may be read after it.
async fn movements(service: &Service, reservation: &Reservation) -> Result<Vec<Movement>, Problem> {
    let numbers: Vec<i64> = reservation.movements().collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let found = service.audit.movements_by_number(numbers).await?;
    Ok(found.into_iter().map(|stored| stored.row).collect::<Result<_, _>>()?)
}

fn reservation_not_found() -> Problem {
    Problem::new(codes::RESERVATION_NOT_FOUND, "no reservation exists for an order with this id")
}
