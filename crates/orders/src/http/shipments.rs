//! `/api/orders/{order_id}/shipments` and what is below it.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use orders_core::decide::OrderRequest;
use serde::Serialize;
use utoipa::ToSchema;
use web::problem::{BodyProblems, Problem, ReadProblems, WriteProblems};
use web::{Json as JsonBody, OptionalJson, Query};

use super::change::{Client, Done};
use super::refusals::{Asked, shipment_not_found};
use super::request::changes::{self, NewShipment, NewTracking};
use super::request::{self, Cancellation};
use super::view::{ReceiptView, ShipmentView};
use crate::store::OrderView;

/// The response to a change of a shipment.
#[derive(Debug, Serialize, ToSchema)]
struct ShipmentReceipt {
    #[serde(flatten)]
    receipt: ReceiptView,
    shipment: ShipmentView,
}

/// Ship units of an order
///
/// Ships units that the order holds: all of them, or those of the lines. The status is `amending`,
/// or `fulfilling` if they are the last, until the Inventory Service has taken them from the stock. A
/// request that is repeated with the same `Idempotency-Key` ships nothing again.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/shipments", tag = "orders", operation_id = "shipUnits",
    request_body = Option<NewShipment>,
    params(
        ("order_id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1–255 visible ASCII characters; kept as long as the order, to which it belongs"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service"),
    ),
    responses(
        (status = 201, description = "The order as it is now, and the shipment", body = ShipmentReceipt, headers(
            ("Location" = String, description = "Path of the shipment"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` if an earlier request with the same key made this shipment"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`quantity_unavailable`, whose `errors` name the lines, `order_busy` with `Retry-After`, `invalid_transition` or `too_many_changes`", body = Problem, content_type = "application/problem+json", headers(
            ("Retry-After" = Option<u32>, description = "Only of `order_busy`: seconds until a repeat may succeed"),
        )),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ship(
    client: Client,
    Path(order_id): Path<String>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let (order_id, _) = client.found(&order_id).await?;
    let shipment = changes::shipment(body.as_ref(), client.key()?)?;
    let done = client.change(order_id, shipment, Asked::Shipment).await?;
    let seq = done.entry()?;
    let path = format!("{}/shipments/{seq}", done.path());
    Ok(done.created(&path, receipt(&done, seq).await?))
}

/// Get a shipment
#[utoipa::path(
    get, path = "/api/orders/{order_id}/shipments/{shipment_id}", tag = "orders", operation_id = "getShipment",
    params(("order_id" = String, Path), ("shipment_id" = String, Path)),
    responses(
        (status = 200, description = "The shipment", body = ShipmentView),
        (status = 404, description = "`order_not_found` or `shipment_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    client: Client,
    Path((order_id, shipment_id)): Path<(String, String)>,
    query: Query,
) -> Result<Json<ShipmentView>, Problem> {
    query.finish()?;
    let order = client.order(&order_id).await?;
    view(&order, number(&shipment_id)?).map(Json)
}

/// Say how to follow a shipment
///
/// Replaces what was said before. The Inventory Service is not asked.
#[utoipa::path(
    put, path = "/api/orders/{order_id}/shipments/{shipment_id}/tracking", tag = "orders", operation_id = "trackShipment",
    request_body = NewTracking,
    params(
        ("order_id" = String, Path),
        ("shipment_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service to an earlier change"),
    ),
    responses(
        (status = 200, description = "The order as it is now, and the shipment", body = ShipmentReceipt, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if this was said before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found` or `shipment_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`too_many_changes`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn track(
    client: Client,
    Path((order_id, shipment_id)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let order = client.order(&order_id).await?;
    let shipment = number(&shipment_id)?;
    view(&order, shipment)?;
    let tracking = changes::tracking(&body)?;
    let track = OrderRequest::Track { shipment, tracking };
    let done = client.change(order.order_id, track, Asked::ChangeOfShipment).await?;
    Ok(done.answer(StatusCode::OK, receipt(&done, shipment).await?))
}

/// Cancel a shipment
///
/// Takes a shipment back whose units did not leave after all: they are held for the order again. The
/// status is `amending` until the Inventory Service has booked that. Cancelling again has no effect.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/shipments/{shipment_id}/cancel", tag = "orders", operation_id = "cancelShipment",
    request_body = Option<Cancellation>,
    params(
        ("order_id" = String, Path),
        ("shipment_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service"),
    ),
    responses(
        (status = 200, description = "The order as it is now, and the shipment", body = ShipmentReceipt, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if the shipment was cancelled before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found` or `shipment_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`quantity_unavailable` if units of it came back, `invalid_transition` or `too_many_changes`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn cancel(
    client: Client,
    Path((order_id, shipment_id)): Path<(String, String)>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let order = client.order(&order_id).await?;
    let shipment = number(&shipment_id)?;
    view(&order, shipment)?;
    let reason = request::cancellation(body.as_ref())?;
    let cancel = OrderRequest::CancelShipment { shipment, reason };
    let done = client.change(order.order_id, cancel, Asked::ChangeOfShipment).await?;
    Ok(done.answer(StatusCode::OK, receipt(&done, shipment).await?))
}

async fn receipt(done: &Done, shipment: u32) -> Result<ShipmentReceipt, Problem> {
    let order = done.order().await?;
    let shipment = view(&order, shipment)?;
    Ok(ShipmentReceipt { receipt: ReceiptView::from(&order), shipment })
}

fn view(order: &OrderView, shipment: u32) -> Result<ShipmentView, Problem> {
    let found = order.registers.shipments.iter().find(|made| made.seq == shipment);
    let found = found.ok_or_else(shipment_not_found)?;
    Ok(ShipmentView::new(found, &order.registers))
}

/// The number of a shipment, in its one spelling.
fn number(shipment_id: &str) -> Result<u32, Problem> {
    let number = shipment_id.parse::<u32>().ok();
    number.filter(|number| number.to_string() == shipment_id).ok_or_else(shipment_not_found)
}
