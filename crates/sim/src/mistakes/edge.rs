//! A mistaken HTTP edge of the Order Service.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::Method;
use orders_core::status::Status;
use serde_json::json;

use crate::node::NodeIds;

/// Answers a new order as soon as it waits for its commit.
pub(super) fn answer_before_commit(router: Router, ids: &Arc<NodeIds>) -> Router {
    let ids = ids.clone();
    router.layer(from_fn(move |request: Request, next: Next| {
        let ids = ids.clone();
        async move {
            if request.method() == Method::POST && request.uri().path() == "/api/orders" {
                answer_early(request, next, &ids)
            } else {
                next.run(request).await
            }
        }
    }))
}

fn answer_early(request: Request, next: Next, ids: &NodeIds) -> Response {
    // The first poll queues the order. Dropping the rest ends the waiting only (R2).
    next.run(request).now_or_never().unwrap_or_else(|| {
        let order_id = ids.last().to_string();
        axum::Json(json!({"order_id": order_id, "status": Status::Received.as_str()}))
            .into_response()
    })
}
