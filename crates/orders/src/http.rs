//! The HTTP API of the Order Service: one file per kind of request.

use std::sync::Arc;

use orders_core::decide::{OrderOutcome, Receipt, RequestContext};
use orders_core::order::CustomerId;
use platform::keys::{Principal, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use web::problem::Problem;
use web::{Rule, TraceParent};

use crate::service::Service;

pub(crate) use codes::own_codes;
pub use events::EVENT_TYPES;
pub(crate) use events::OrderEvents;
pub use place::{read_placement, write_receipt};
use refusals::Asked;
pub use request::{ReadOrder, read_order};

mod admin_log;
mod audit;
mod cancellations;
mod change;
mod codes;
mod events;
mod look;
mod payments;
mod pending;
mod place;
mod quarantine;
mod refusals;
mod request;
mod returns;
mod shipments;
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
    Rule::needs("POST", "/api/orders/{order_id}/cancellations", &[Scope::OrdersCancel])
        .also_of_one_customer(),
    Rule::needs("POST", "/api/orders/{order_id}/fulfill", &[Scope::OrdersFulfill]),
    Rule::needs("POST", "/api/orders/{order_id}/pay", &[Scope::OrdersPay]),
    Rule::needs("POST", "/api/orders/{order_id}/refunds", &[Scope::OrdersPay]),
    Rule::needs("POST", "/api/orders/{order_id}/returns", &[Scope::OrdersFulfill]),
    Rule::needs("POST", "/api/orders/{order_id}/shipments", &[Scope::OrdersFulfill]),
    Rule::needs("GET", "/api/orders/{order_id}/shipments/{shipment_id}", &[Scope::OrdersRead])
        .also_of_one_customer(),
    Rule::needs(
        "PUT",
        "/api/orders/{order_id}/shipments/{shipment_id}/tracking",
        &[Scope::OrdersFulfill],
    ),
    Rule::needs(
        "POST",
        "/api/orders/{order_id}/shipments/{shipment_id}/cancel",
        &[Scope::OrdersFulfill],
    ),
    Rule::needs("GET", "/api/orders/pending", &[Scope::OrdersRead]),
    Rule::needs("POST", "/api/orders/pending/{order_id}/retry", &[Scope::OpsWrite]),
    Rule::needs("GET", "/api/orders/quarantine", &[Scope::OrdersRead]),
    Rule::needs("GET", "/api/orders/quarantine/{id}", &[Scope::OrdersRead]),
    Rule::needs("POST", "/api/orders/quarantine/{id}/discard", &[Scope::OpsWrite]),
    Rule::needs("POST", "/api/orders/quarantine/{id}/retry", &[Scope::OpsWrite]),
    Rule::needs("GET", "/api/orders/audit", &[Scope::OrdersRead]),
    Rule::needs("GET", "/api/orders/admin-log", &[Scope::KeysAdmin]),
];

/// Routes `/api/orders` with their description.
pub(crate) fn routes(service: Arc<Service>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(place::place, look::list))
        .routes(routes!(events::list))
        .routes(routes!(look::get))
        .routes(routes!(transition::cancel))
        .routes(routes!(transition::fulfill))
        .routes(routes!(payments::pay))
        .routes(routes!(payments::refund))
        .routes(routes!(cancellations::cancel_units))
        .routes(routes!(shipments::ship))
        .routes(routes!(shipments::get))
        .routes(routes!(shipments::track))
        .routes(routes!(shipments::cancel))
        .routes(routes!(returns::take_back))
        .routes(routes!(pending::list))
        .routes(routes!(pending::retry))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::get))
        .routes(routes!(quarantine::discard))
        .routes(routes!(quarantine::retry))
        .routes(routes!(audit::get))
        .routes(routes!(admin_log::list))
        .with_state(service)
}

/// The receipt or the problem that an outcome is to the client, who asked for this.
fn receipt(outcome: OrderOutcome, asked: Asked) -> Result<Receipt, Problem> {
    match outcome {
        OrderOutcome::Placed(receipt)
        | OrderOutcome::Replayed(receipt)
        | OrderOutcome::Accepted { receipt, .. } => Ok(receipt),
        OrderOutcome::Refused(refusal) => Err(refusals::problem(refusal, asked)),
        OrderOutcome::Settled { .. }
        | OrderOutcome::Expired(_)
        | OrderOutcome::Stale
        | OrderOutcome::Anomaly(_) => Err(Problem::internal()),
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

fn order_not_found() -> Problem {
    Problem::new(codes::ORDER_NOT_FOUND, "no order has this id")
}
