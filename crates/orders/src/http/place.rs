//! `POST /api/orders`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::OrderId;
use faults::fault_point;
use http::{HeaderMap, HeaderValue, header};
use orders_core::decide::{OrderCommand, OrderOutcome, Placement, Receipt};
use orders_core::money::Currency;
use platform::clock::Ids;
use platform::keys::Principal;
use web::problem::{BodyProblems, Code, Problem, WriteProblems};
use web::{self as edge, IDEMPOTENT_REPLAYED, JsonBytes, TraceParent, Wait};

use super::refusals::Asked;
use super::request::{self, NewOrder, ReadOrder};
use super::view::ReceiptView;
use crate::service::Service;

/// Place an order
///
/// Stores the order durably and returns a receipt. The Inventory Service then reserves the stock
/// and the order becomes `confirmed`, or stock is short and it becomes `rejected`. An order with
/// `payment` is `reserved` instead of `confirmed` until it is paid, and `expires` if it is not paid in
/// time. With `Prefer: wait=N` the response waits up to N seconds for that outcome. A request that is repeated
/// with the same `Idempotency-Key` never places a second order.
#[utoipa::path(
    post, path = "/api/orders", tag = "orders", operation_id = "placeOrder", request_body = NewOrder,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1–255 visible ASCII characters; kept as long as the order"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the outcome"),
    ),
    responses(
        (status = 200, description = "The order is stored", body = ReceiptView, headers(
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
    Extension(client): Extension<Arc<Principal>>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    fault_point!("orders.handling");
    let placement =
        read_placement(&headers, &client, trace, &body, service.currency, &*service.ids)?;
    let outcome = service.batcher.submit(OrderCommand::Place(Box::new(placement))).await?;
    let replayed = matches!(outcome, OrderOutcome::Replayed(_));
    let receipt = super::receipt(outcome, Asked::Placement)?;
    let order_id = receipt.order_id;
    let response = answer(&service, receipt, edge::preferred_wait(&headers)).await;
    let mut response = with_location(response, order_id);
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Reads a request to place an order, before anything is stored.
///
/// # Errors
///
/// 400 for a bad idempotency key and a body that is no JSON object, 422 with every fault, 403 for
/// an order of another customer than the client's.
pub fn read_placement(
    headers: &HeaderMap,
    client: &Principal,
    trace: TraceParent,
    body: &[u8],
    default_currency: Currency,
    ids: &dyn Ids,
) -> Result<Placement, Problem> {
    let key = edge::idempotency_key(headers, client)?;
    let ReadOrder { terms, has_default_currency } = request::read_order(body, default_currency)?;
    if super::is_of_another(client, &terms.customer_id) {
        let detail = "the key allows orders of one customer, and this one is of another";
        return Err(Problem::new(Code::FORBIDDEN, detail));
    }
    let digest = contract::Intent::placed(terms.ordered()).digest();
    let order_id = OrderId(ids.uuid());
    let context = super::context(client, trace);
    Ok(Placement { order_id, key, terms, has_default_currency, digest, context })
}

/// The response to an order that was placed just now, for a client that does not wait for the
/// outcome.
pub fn write_receipt(receipt: Receipt) -> Response {
    let order_id = receipt.order_id;
    with_location(axum::Json(ReceiptView::from(receipt)).into_response(), order_id)
}

fn with_location(mut response: Response, order_id: OrderId) -> Response {
    let location = format!("/api/orders/{order_id}");
    let location = HeaderValue::from_str(&location).expect("a path of plain ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The receipt as a response, after waiting for the outcome if the client prefers that.
async fn answer(service: &Service, receipt: Receipt, wait: Option<Wait>) -> Response {
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
