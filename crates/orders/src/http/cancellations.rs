//! `POST /api/orders/{order_id}/cancellations`.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use web::Json;
use web::problem::{BodyProblems, Problem, WriteProblems};

use super::change::Client;
use super::refusals::Asked;
use super::request::changes::{self, NewCancellation};
use super::view::{CancellationView, ReceiptView};

/// The response to a cancellation of units.
#[derive(Debug, Serialize, ToSchema)]
struct CancellationReceipt {
    #[serde(flatten)]
    receipt: ReceiptView,
    cancellation: CancellationView,
}

/// Cancel units of an order
///
/// Cancels units that are not shipped, of an order that is `confirmed` or later. Their stock is
/// released: the status is `amending` until the Inventory Service confirms that. What was paid for
/// them is then `refund_due`. A request that is repeated with the same `Idempotency-Key` cancels
/// nothing again.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/cancellations", tag = "orders", operation_id = "cancelUnits",
    request_body = NewCancellation,
    params(
        ("order_id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1–255 visible ASCII characters; kept as long as the order, to which it belongs"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service"),
    ),
    responses(
        (status = 200, description = "The order as it is now, and what was cancelled", body = CancellationReceipt, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if an earlier request with the same key cancelled these units"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`quantity_unavailable`, whose `errors` name the lines, `invalid_transition` or `too_many_changes`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel_units(
    client: Client,
    Path(order_id): Path<String>,
    Json(body): Json,
) -> Result<Response, Problem> {
    let (order_id, _) = client.found(&order_id).await?;
    let cancellation = changes::cancellation(&body, client.key()?)?;
    let done = client.change(order_id, cancellation, Asked::Cancellation).await?;
    let seq = done.entry()?;
    let order = done.order().await?;
    let made = order.registers.cancellations.iter().find(|made| made.seq == seq);
    let made = made.ok_or_else(Problem::internal)?;
    let cancellation = CancellationView::new(made, order.terms.currency);
    let receipt = ReceiptView::from(&order);
    Ok(done.answer(StatusCode::OK, CancellationReceipt { receipt, cancellation }))
}
