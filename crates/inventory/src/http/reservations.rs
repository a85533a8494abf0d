//! `/api/inventory/reservations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use contract::answers::{Allocation, Shortage};
use inventory_core::reservation::Reservation;
use platform::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use web::Query;
use web::problem::{Code, Problem, ReadProblems};

use crate::service::Service;

/// What the stock has promised to an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reservation)]
pub(super) struct ReservationView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    /// `reserved`, `rejected`, `released` or `shipped`.
    #[schema(example = "reserved")]
    state: &'static str,
    /// What was promised. The units are held while the state is `reserved`.
    allocations: Vec<AllocationView>,
    /// What there was not enough of when the order was decided.
    shortages: Vec<ShortageView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

/// Units of one product that one location gives to the order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Allocation)]
pub(super) struct AllocationView {
    product_id: String,
    location_id: String,
    quantity: u32,
}

impl From<&Allocation> for AllocationView {
    fn from(allocation: &Allocation) -> Self {
        Self {
            product_id: allocation.product_id.to_string(),
            location_id: allocation.location_id.to_string(),
            quantity: allocation.quantity.get(),
        }
    }
}

/// A product of which there was not enough over all locations, at the moment of the decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shortage)]
pub(super) struct ShortageView {
    product_id: String,
    requested: u32,
    available: i64,
    #[schema(example = "out_of_stock")]
    reason: &'static str,
}

impl From<&Shortage> for ShortageView {
    fn from(shortage: &Shortage) -> Self {
        Self {
            product_id: shortage.product_id.to_string(),
            requested: shortage.requested.get(),
            available: shortage.available,
            reason: shortage.reason.as_str(),
        }
    }
}

impl From<Reservation> for ReservationView {
    fn from(reservation: Reservation) -> Self {
        let state = &reservation.state;
        Self {
            order_id: reservation.order_id.to_string(),
            state: state.name().as_str(),
            allocations: state.allocations().iter().map(AllocationView::from).collect(),
            shortages: state.shortfalls().iter().map(|short| ShortageView::from(&short.shortage)).collect(),
            created_at: Timestamp(reservation.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(reservation.updated_at_micros).to_rfc3339(),
        }
    }
}

/// Look up what an order was promised
#[utoipa::path(
    get, path = "/api/inventory/reservations/{order_id}", tag = "inventory", operation_id = "getReservation",
    params(("order_id" = String, Path)),
    responses(
        (status = 200, body = ReservationView),
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
    found.map(|reservation| Json(ReservationView::from(reservation))).ok_or_else(reservation_not_found)
}

fn reservation_not_found() -> Problem {
    Problem::new(Code::ReservationNotFound, "nothing was decided for an order with this id")
}
