//! The HTTP API of the Order Service: one file per kind of request.

use std::sync::Arc;

use orders_core::decide::{OrderOutcome, Receipt, Refusal, RequestContext};
use orders_core::order::CustomerId;
use orders_core::status::Status;
use platform::keys::{Principal, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use web::problem::{Code, Problem};
use web::{Rule, TraceParent};

use crate::service::Service;

pub(crate) use codes::own_codes;
pub use events::EVENT_TYPES;
pub(crate) use events::OrderEvents;
pub use place::{read_placement, write_receipt};
pub use request::{ReadOrder, read_order};

mod audit;
mod codes;
mod events;
mod look;
mod pending;
mod place;
mod quarantine;
mod request;
mod transition;
mod view;

/// What each route asks of a client.
pub(crate) const RULES: &[Rule] = &[
    Rule::needs("POST", "/api/orders", &[Scope::OrdersWrite]).also_of_one_customer(),
    Rule::needs("GET", "/api/orders", &[Scope::OrdersRead]).also_of_one_customer(),
    // It shows the orders of all customers.
    Rule::needs("GET", "/api/orders/events", &[Scope::OrdersRead]),
    Rule::needs("GET", "/api/orders/{order_id}", &[Scope::OrdersRead]).also_of_one_customer(),
    Rule::needs("POST", "/api/orders/{order_id}/cancel", &[Scope::OrdersCancel])
        .also_of_one_customer(),
    Rule::needs("POST", "/api/orders/{order_id}/fulfill", &[Scope::OrdersFulfill]),
    Rule::needs("GET", "/api/orders/pending", &[Scope::OrdersRead]),
    Rule::needs("POST", "/api/orders/pending/{order_id}/retry", &[Scope::OpsWrite]),
    Rule::needs("GET", "/api/orders/quarantine", &[Scope::OrdersRead]),
    Rule::needs("GET", "/api/orders/quarantine/{id}", &[Scope::OrdersRead]),
    Rule::needs("POST", "/api/orders/quarantine/{id}/discard", &[Scope::OpsWrite]),
    Rule::needs("POST", "/api/orders/quarantine/{id}/retry", &[Scope::OpsWrite]),
    Rule::needs("GET", "/api/orders/audit", &[Scope::OrdersRead]),
];

/// Routes `/api/orders` with their description.
pub(crate) fn routes(service: Arc<Service>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(place::place, look::list))
        .routes(routes!(events::list))
        .routes(routes!(look::get))
        .routes(routes!(transition::cancel))
        .routes(routes!(transition::fulfill))
        .routes(routes!(pending::list))
        .routes(routes!(pending::retry))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::get))
        .routes(routes!(quarantine::discard))
        .routes(routes!(quarantine::retry))
        .routes(routes!(audit::get))
        .with_state(service)
}

/// The receipt or the problem that an outcome is to the client.
fn receipt(outcome: OrderOutcome) -> Result<Receipt, Problem> {
    match outcome {
        OrderOutcome::Placed(receipt)
        | OrderOutcome::Replayed(receipt)
        | OrderOutcome::Accepted { receipt, .. } => Ok(receipt),
        OrderOutcome::Refused(refusal) => Err(refused(&refusal)),
        OrderOutcome::Settled { .. }
        | OrderOutcome::Expired(_)
        | OrderOutcome::Stale
        | OrderOutcome::Anomaly(_) => Err(Problem::internal()),
    }
}

/// The problem that a refusal is to the client.
fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::KeyReused => Problem::new(
            Code::IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used for a different order; use a new key for a new order",
        ),
        Refusal::NotFound => order_not_found(),
        Refusal::InvalidTransition(status) => invalid_transition(*status),
        // No route asks for what these refuse.
        _ => Problem::internal(),
    }
}

/// Whether the key of one customer is of another one than this.
fn is_of_another(client: &Principal, customer_id: &CustomerId) -> bool {
    client.customer_id.as_deref().is_some_and(|own| own != customer_id.as_str())
}

/// Where a request of this client comes from.
fn context(client: &Principal, trace: TraceParent) -> RequestContext {
    RequestContext { actor: client.actor.as_deref().map(str::to_owned), traceparent: trace.0 }
}

fn invalid_transition(status: Status) -> Problem {
    let detail = format!("the order is {}, which does not allow this transition", status.as_str());
    Problem::new(codes::INVALID_TRANSITION, detail)
}

fn order_not_found() -> Problem {
    Problem::new(codes::ORDER_NOT_FOUND, "no order has this id")
}
