//! `POST /api/orders`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use faults::fault_point;
use http::{HeaderMap, HeaderValue, header};
use orders_core::decide::{OrderCommand, OrderOutcome, Placement, Receipt};
use web::problem::{BodyProblems, Problem, WriteProblems};
use web::{self as edge, IDEMPOTENT_REPLAYED, JsonBytes, TraceParent, Wait};

use super::request::{self, NewOrder};
use super::view::ReceiptView;
use crate::service::Service;

/// Place an order
///
/// Stores the order durably and returns a receipt. The Inventory Service then reserves the stock
/// and the order becomes `confirmed`, or stock is short and it becomes `rejected`. With
/// `Prefer: wait=N` the response waits up to N seconds for that outcome. A request that is repeated
/// with the same `Idempotency-Key` never places a second order.
#[utoipa::path(
    post, path = "/api/orders", tag = "orders", operation_id = "placeOrder", request_body = NewOrder,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1–255 visible ASCII characters; kept as long as the order"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the outcome"),
    ),
    responses(
        (status = 200, body = ReceiptView, headers(
            ("Location" = String, description = "Path of the order"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` if an earlier request with the same key placed this order"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn place(
    State(service): State<Arc<Service>>,
    Extension(trace): Extension<TraceParent>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    fault_point!("orders.handling");
    let key = edge::idempotency_key(&headers)?;
    let terms = request::read_order(&body, service.currency)?;
    let digest = contract::Intent::placed(terms.ordered()).digest();
    let placement = Placement {
        order_id: contract::OrderId(service.ids.uuid()),
        key,
        terms,
        digest,
        traceparent: trace.0,
    };
    let outcome = service.batcher.submit(OrderCommand::Place(Box::new(placement))).await?;
    let replayed = matches!(outcome, OrderOutcome::Replayed(_));
    let receipt = super::receipt(outcome)?;
    let location = format!("/api/orders/{}", receipt.order_id);
    let location = HeaderValue::from_str(&location).expect("a path of plain ASCII");
    let mut response = answer(&service, receipt, edge::preferred_wait(&headers)).await;
    response.headers_mut().insert(header::LOCATION, location);
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The receipt as a response, after waiting for the outcome if the client prefers that.
pub(super) async fn answer(service: &Service, receipt: Receipt, wait: Option<Wait>) -> Response {
    let receipt = match wait {
        Some(wait) => service.wait(receipt, wait.duration()).await,
        None => receipt,
    };
    let mut response = axum::Json(ReceiptView::from(receipt)).into_response();
    if let Some((name, value)) = wait.map(Wait::applied) {
        response.headers_mut().insert(name, value);
    }
    response
}
