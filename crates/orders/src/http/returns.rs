//! `POST /api/orders/{order_id}/returns`.

use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use web::Json;
use web::problem::{BodyProblems, Problem, WriteProblems};

use super::change::Client;
use super::refusals::Asked;
use super::request::changes::{self, NewReturn};
use super::view::{ReceiptView, ReturnView};

/// The response to a return.
#[derive(Debug, Serialize, ToSchema)]
struct ReturnReceipt {
    #[serde(flatten)]
    receipt: ReceiptView,
    r#return: ReturnView,
}

/// Take units of an order back
///
/// Books units that were shipped and came back: they can be sold again, are kept apart until
/// somebody has looked at them, or are written off. The status is `amending` until the Inventory
/// Service has booked them. The order keeps what it paid for: give money back with a refund. A
/// request that is repeated with the same `Idempotency-Key` books nothing again.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/returns", tag = "orders", operation_id = "returnUnits",
    request_body = NewReturn,
    params(
        ("order_id" = String, Path),
        ("Idempotency-Key" = String, Header, description = "1–255 visible ASCII characters; kept as long as the order, to which it belongs"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service"),
    ),
    responses(
        (status = 201, description = "The order as it is now, and what came back", body = ReturnReceipt, headers(
            ("Location" = String, description = "Path of the order, which shows the return"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` if an earlier request with the same key booked these units"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`quantity_unavailable`, whose `errors` name the lines, `invalid_transition` or `too_many_changes`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn take_back(
    client: Client,
    Path(order_id): Path<String>,
    Json(body): Json,
) -> Result<Response, Problem> {
    let (order_id, _) = client.found(&order_id).await?;
    let units = changes::units_back(&body, client.key()?)?;
    let done = client.change(order_id, units, Asked::Return).await?;
    let seq = done.entry()?;
    let order = done.order().await?;
    let made = order.registers.returns.iter().find(|made| made.seq == seq);
    let r#return = ReturnView::new(made.ok_or_else(Problem::internal)?, &order.registers);
    let receipt = ReceiptView::from(&order);
    Ok(done.created(&done.path(), ReturnReceipt { receipt, r#return }))
}
