//! `/api/inventory/reservations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use contract::{Allocation, Shortage};
use inventory_core::reservation::Reservation;
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
    /// The units that were reserved. They are held while the state is `reserved`.
    allocations: Vec<Allocation>,
    /// The products that were short when the Inventory Service decided the order.
    shortages: Vec<Shortage>,
    /// The entries of the ledger that the order caused, the oldest first.
    movements: Vec<MovementView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

impl ReservationView {
    fn new(reservation: &Reservation, movements: Vec<Movement>) -> Self {
        let shortfalls = reservation.shortfalls();
        Self {
            order_id: reservation.order_id.to_string(),
            state: reservation.state().as_str(),
            allocations: reservation.last_allocated().into(),
            shortages: shortfalls.iter().map(|short| short.shortage.clone()).collect(),
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
    let holdings = reservation.holdings.iter();
    let numbers: Vec<i64> =
        holdings.flat_map(|holding| holding.movements.iter().copied()).collect();
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let found = service.audit.movements_by_number(numbers).await?;
    Ok(found.into_iter().map(|stored| stored.row).collect::<Result<_, _>>()?)
}

fn reservation_not_found() -> Problem {
    Problem::new(codes::RESERVATION_NOT_FOUND, "no reservation exists for an order with this id")
}
