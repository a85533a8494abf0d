//! `POST /api/orders/{order_id}/cancel` and `/fulfill`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use contract::OrderId;
use http::HeaderMap;
use orders_core::decide::{OrderCommand, OrderRequest};
use platform::keys::Principal;
use web::problem::{BodyProblems, Problem, WriteProblems};
use web::{self as edge, OptionalJson, TraceParent};

use super::refusals::Asked;
use super::request::{self, Cancellation};
use super::view::ReceiptView;
use crate::service::Service;

/// Cancel an order
///
/// Stops the order and releases its stock, as long as nothing is shipped. The status is `cancelling`
/// until the Inventory Service confirms the release, then `cancelled`. What was paid is then
/// `refund_due`. Cancelling again has no effect.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/cancel", tag = "orders", operation_id = "cancelOrder",
    request_body = Option<Cancellation>,
    params(
        ("order_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the outcome"),
    ),
    responses(
        (status = 200, description = "The order as it is now", body = ReceiptView),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid_transition`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Extension(trace): Extension<TraceParent>,
    Extension(client): Extension<Arc<Principal>>,
    Path(order_id): Path<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let reason = request::cancellation(body.as_ref())?;
    let order_id = order_id.parse().map_err(|_| super::order_not_found())?;
    refuse_order_of_another(&service, &client, order_id).await?;
    let context = super::context(&client, trace);
    let request = Box::new(OrderRequest::Cancel { reason });
    execute(&service, OrderCommand::Request { order_id, request, context }, &headers).await
}

/// Fulfill an order
///
/// Ships all that an order holds. The status is `fulfilling` until the Inventory Service confirms the
/// shipment, then `fulfilled`. Fulfilling again has no effect.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/fulfill", tag = "orders", operation_id = "fulfillOrder",
    params(
        ("order_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the outcome"),
    ),
    responses(
        (status = 200, description = "The order as it is now", body = ReceiptView),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid_transition`, or `order_busy` with `Retry-After`", body = Problem, content_type = "application/problem+json", headers(
            ("Retry-After" = Option<u32>, description = "Only of `order_busy`: seconds until a repeat may succeed"),
        )),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn fulfill(
    State(service): State<Arc<Service>>,
    Extension(trace): Extension<TraceParent>,
    Extension(client): Extension<Arc<Principal>>,
    Path(order_id): Path<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    request::nothing(body.as_ref())?;
    let order_id = order_id.parse().map_err(|_| super::order_not_found())?;
    let context = super::context(&client, trace);
    let request = Box::new(OrderRequest::Fulfill);
    execute(&service, OrderCommand::Request { order_id, request, context }, &headers).await
}

/// The key of one customer finds no orders of others. An order never changes its customer, so it
/// may be looked at before the command is decided.
async fn refuse_order_of_another(
    service: &Service,
    client: &Principal,
    order_id: OrderId,
) -> Result<(), Problem> {
    if client.customer_id.is_none() {
        return Ok(());
    }
    let order = service.store.order(order_id).await?;
    let own = order.filter(|order| !super::is_of_another(client, &order.terms.customer_id));
    own.map(|_| ()).ok_or_else(super::order_not_found)
}

async fn execute(
    service: &Service,
    command: OrderCommand,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let outcome = service.batcher.submit(command).await?;
    let receipt = super::receipt(outcome, Asked::Transition)?;
    Ok(super::place::answer(service, receipt, edge::preferred_wait(headers)).await)
}
