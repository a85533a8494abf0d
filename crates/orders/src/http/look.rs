//! `GET /api/orders` and `GET /api/orders/{order_id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use orders_core::status::Status;
use platform::keys::Principal;
use serde::Serialize;
use utoipa::ToSchema;
use web::problem::{FaultCode, Problem, ReadProblems};
use web::{Query, cursor, page};

use super::request;
use super::view::{FullView, SummaryView};
use crate::service::Service;
use crate::store::Filter;

/// The name of the list in its cursors.
const LIST: &str = "orders";

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderPage {
    data: Vec<SummaryView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// Get an order
#[utoipa::path(
    get, path = "/api/orders/{order_id}", tag = "orders", operation_id = "getOrder",
    params(("order_id" = String, Path)),
    responses(
        (status = 200, description = "The order", body = FullView),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    Path(order_id): Path<String>,
    query: Query,
) -> Result<Json<FullView>, Problem> {
    query.finish()?;
    let order_id = order_id.parse().map_err(|_| super::order_not_found())?;
    let order = service.store.order(order_id).await?;
    let own = order.filter(|order| !super::is_of_another(&client, &order.terms.customer_id));
    own.map(|order| Json(FullView::from(order))).ok_or_else(super::order_not_found)
}

/// The statuses that a list can be narrowed to.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the parameter to readers of the API")]
enum StatusFilter {
    Received,
    Confirmed,
    Rejected,
    Cancelling,
    Cancelled,
    Fulfilling,
    Fulfilled,
}

/// List orders
///
/// Lists orders, newest first, without products, allocations, shortages and history.
#[utoipa::path(
    get, path = "/api/orders", tag = "orders", operation_id = "listOrders",
    params(
        ("status" = inline(Option<StatusFilter>), Query, description = "Only orders with this status"),
        ("customer_id" = Option<String>, Query, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description = "Only this customer's orders"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Orders per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of orders", body = OrderPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    query: Query,
) -> Result<Json<OrderPage>, Problem> {
    let (mut filter, limit) = filter(query)?;
    if let Some(own) = &client.customer_id {
        let own = own.parse().map_err(|_| Problem::internal())?;
        // The key of one customer finds no orders of others.
        if filter
            .customer_id
            .replace(own)
            .is_some_and(|asked| super::is_of_another(&client, &asked))
        {
            return Ok(Json(OrderPage { data: Vec::new(), next_cursor: None }));
        }
    }
    let mut orders = service.store.orders(filter).await?;
    let next_cursor =
        page::cut(&mut orders, limit, |order| cursor::encode(LIST, &order.order_id.to_string()));
    Ok(Json(OrderPage { data: orders.into_iter().map(SummaryView::from).collect(), next_cursor }))
}

/// The filter for the store, and the limit of the page.
fn filter(mut query: Query) -> Result<(Filter, usize), Problem> {
    let status = query.optional("status", |text| {
        Status::parse(text).ok_or_else(|| {
            let names = Status::ALL.map(Status::as_str).join(", ");
            (FaultCode::BAD_FORMAT, format!("must be one of {names}"))
        })
    });
    let customer_id = query.optional("customer_id", request::id_text);
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let before = after.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    Ok((Filter { status, customer_id, before, limit: page::one_more(limit) }, limit))
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_description_lists_every_status() {
        let schema = serde_json::to_value(StatusFilter::schema()).expect("JSON");
        assert_eq!(schema["enum"], serde_json::json!(Status::ALL.map(Status::as_str)));
    }
}
