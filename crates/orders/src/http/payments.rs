//! `POST /api/orders/{order_id}/pay` and `/refunds`.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use web::Json as JsonBody;
use web::problem::{BodyProblems, Problem, WriteProblems};

use super::change::Client;
use super::refusals::Asked;
use super::request::changes::{self, NewPayment, NewRefund};
use super::view::{ReceiptView, RefundView};

/// The response to a refund.
#[derive(Debug, Serialize, ToSchema)]
struct RefundReceipt {
    #[serde(flatten)]
    receipt: ReceiptView,
    refund: RefundView,
}

/// Record a payment
///
/// Records that an order was paid: no money is moved. A `reserved` order is `confirmed` at once, and
/// Inventory is not asked. A payment after the deadline asks for the units again: the order is
/// `reviving` until the Inventory Service answers. If there are too few units then, or if the order
/// was cancelled or rejected, the money is recorded and `refund_due` says how much must be given
/// back. The same `reference` is recorded once.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/pay", tag = "orders", operation_id = "payOrder",
    request_body = NewPayment,
    params(
        ("order_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service, if it is asked"),
    ),
    responses(
        (status = 200, description = "The order as it is now", body = ReceiptView, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if the payment with this reference was recorded before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`already_paid`, `underpaid` or `payment_not_expected`; nothing was recorded", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`: the reference was recorded with another amount", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn pay(
    client: Client,
    Path(order_id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (order_id, currency) = client.found(&order_id).await?;
    let payment = changes::payment(&body, currency)?;
    let done = client.change(order_id, payment, Asked::Money(currency)).await?;
    Ok(done.answer(StatusCode::OK, done.receipt()))
}

/// Record a refund
///
/// Records that money of an order was given back: no money is moved. At most what was paid and not
/// refunded can be, whatever `refund_due` says. The same `reference` is recorded once.
#[utoipa::path(
    post, path = "/api/orders/{order_id}/refunds", tag = "orders", operation_id = "refundOrder",
    request_body = NewRefund,
    params(
        ("order_id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds (at most 30) for the answer of the Inventory Service to an earlier change"),
    ),
    responses(
        (status = 201, description = "The order as it is now, and the refund", body = RefundReceipt, headers(
            ("Location" = String, description = "Path of the order, which shows the refund"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` if the refund with this reference was recorded before"),
            ("Preference-Applied" = Option<String>, description = "The wait that the service applied"),
        )),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`refund_exceeds_payment` or `too_many_changes`; nothing was recorded", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`: the reference was recorded with another amount", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn refund(
    client: Client,
    Path(order_id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (order_id, currency) = client.found(&order_id).await?;
    let refund = changes::refund(&body, currency)?;
    let done = client.change(order_id, refund, Asked::Money(currency)).await?;
    let seq = done.entry()?;
    let order = done.order().await?;
    let refund = order.registers.refunds.iter().find(|refund| refund.seq == seq);
    let refund = RefundView::new(refund.ok_or_else(Problem::internal)?, currency);
    let receipt = ReceiptView::from(&order);
    Ok(done.created(&done.path(), RefundReceipt { receipt, refund }))
}
