//! `POST /api/orders/{order_id}/cancel` and `/fulfill`.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use orders_core::decide::OrderRequest;
use web::OptionalJson;
use web::problem::{BodyProblems, Problem, WriteProblems};

use super::change::Client;
use super::refusals::Asked;
use super::request::{self, Cancellation};
use super::view::ReceiptView;

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
        (status = 200, description = "The order as it is now", body = ReceiptView, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if the order was cancelled before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid_transition`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn cancel(
    client: Client,
    Path(order_id): Path<String>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let order_id = client.order_id(&order_id).await?;
    let reason = request::cancellation(body.as_ref())?;
    let done = client.change(order_id, OrderRequest::Cancel { reason }, Asked::Transition).await?;
    Ok(done.answer(StatusCode::OK, done.receipt()))
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
        (status = 200, description = "The order as it is now", body = ReceiptView, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if the order was fulfilled before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`invalid_transition`, or `order_busy` with `Retry-After`", body = Problem, content_type = "application/problem+json", headers(
            ("Retry-After" = Option<u32>, description = "Only of `order_busy`: seconds until a repeat may succeed"),
        )),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn fulfill(
    client: Client,
    Path(order_id): Path<String>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let order_id = client.order_id(&order_id).await?;
    request::nothing(body.as_ref())?;
    let done = client.change(order_id, OrderRequest::Fulfill, Asked::Transition).await?;
    Ok(done.answer(StatusCode::OK, done.receipt()))
}
