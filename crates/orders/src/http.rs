//! The HTTP API of the Order Service: one file per kind of request.

use std::sync::Arc;

use orders_core::decide::{OrderOutcome, Receipt};
use orders_core::status::Status;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use web::problem::{Code, Problem};

use crate::service::Service;

pub(crate) use codes::own_codes;
pub use place::{read_placement, write_receipt};
pub use request::{ReadOrder, read_order};

mod codes;
mod look;
mod place;
mod request;
mod transition;
mod view;

/// Routes `/api/orders` with their description.
pub(crate) fn routes(service: Arc<Service>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(place::place, look::list))
        .routes(routes!(look::get))
        .routes(routes!(transition::cancel))
        .routes(routes!(transition::fulfill))
        .with_state(service)
}

/// The receipt or the problem that an outcome is to the client.
fn receipt(outcome: OrderOutcome) -> Result<Receipt, Problem> {
    match outcome {
        OrderOutcome::Placed(receipt)
        | OrderOutcome::Replayed(receipt)
        | OrderOutcome::Accepted(receipt) => Ok(receipt),
        OrderOutcome::KeyReused => Err(Problem::new(
            Code::IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used for a different order; use a new key for a new order",
        )),
        OrderOutcome::NotFound => Err(order_not_found()),
        OrderOutcome::InvalidTransition(status) => Err(invalid_transition(status)),
        OrderOutcome::Settled(_) | OrderOutcome::Stale | OrderOutcome::Anomaly(_) => {
            Err(Problem::internal())
        }
    }
}

fn invalid_transition(status: Status) -> Problem {
    let detail = format!("the order is {}, which does not allow this transition", status.as_str());
    Problem::new(codes::INVALID_TRANSITION, detail)
}

fn order_not_found() -> Problem {
    Problem::new(codes::ORDER_NOT_FOUND, "no order has this id")
}
