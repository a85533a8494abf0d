//! `GET /api/orders` and `GET /api/orders/{order_id}`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use orders_core::status::Status;
use platform::keys::Principal;
use serde::Serialize;
use utoipa::ToSchema;
use web::body::Parsed;
use web::problem::{FaultCode, Problem, ReadProblems};
use web::{Query, cursor, page};

use super::request;
use super::view::{FullView, SummaryView};
use crate::service::Service;
use crate::store::{Filter, PaymentFilter};

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

/// List orders
///
/// Lists orders, newest first, without their products, stock, changes and history. The newest is the
/// one that was accepted last. All conditions that are given must hold.
#[utoipa::path(
    get, path = "/api/orders", tag = "orders", operation_id = "listOrders",
    params(
        ("status" = Option<String>, Query, pattern = "^(received|reserved|confirmed|rejected|amending|cancelling|cancelled|fulfilling|fulfilled|expiring|expired|reviving)(,(received|reserved|confirmed|rejected|amending|cancelling|cancelled|fulfilling|fulfilled|expiring|expired|reviving)){0,11}$", description = "Only orders with one of these statuses: one, or several separated by commas"),
        ("customer_id" = Option<String>, Query, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description = "Only this customer's orders"),
        ("payment" = Option<String>, Query, pattern = "^(due|refund_due)$", description = "Only orders that wait for their payment (`due`: those that are `reserved`), or of which money must be given back (`refund_due`)"),
        ("from" = Option<String>, Query, format = "date-time", description = "Only orders that were accepted at this time or later"),
        ("to" = Option<String>, Query, format = "date-time", description = "Only orders that were accepted before this time"),
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
    let statuses = query.optional("status", statuses).unwrap_or_default();
    let payment = query.optional("payment", payment);
    let customer_id = query.optional("customer_id", request::id_text);
    let (from, to) = (query.time("from"), query.time("to"));
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let before = after.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let one_more = page::one_more(limit);
    let filter = Filter { statuses, payment, customer_id, from, to, before, limit: one_more };
    Ok((filter, limit))
}

/// Parses what the money of an order is like.
fn payment(text: &str) -> Parsed<PaymentFilter> {
    match text {
        "due" => Ok(PaymentFilter::Due),
        "refund_due" => Ok(PaymentFilter::RefundDue),
        _ => Err((FaultCode::BAD_FORMAT, "must be due or refund_due".to_owned())),
    }
}

/// Parses one status, or several that are separated by commas.
fn statuses(text: &str) -> Parsed<Vec<Status>> {
    let known = |name: &str| {
        Status::parse(name).ok_or_else(|| {
            let names = Status::ALL.map(Status::as_str).join(", ");
            let rule = format!("must be one of {names}, or several of them separated by commas");
            (FaultCode::BAD_FORMAT, rule)
        })
    };
    let statuses: BTreeSet<Status> = text.split(',').map(known).collect::<Result<_, _>>()?;
    Ok(statuses.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_status_or_several_are_read_and_nothing_else() {
        for status in Status::ALL {
            assert_eq!(statuses(status.as_str()), Ok(vec![status]));
        }
        let all = Status::ALL.map(Status::as_str).join(",");
        assert_eq!(statuses(&all).map(|found| found.len()), Ok(Status::ALL.len()));
        assert_eq!(statuses("received,received"), Ok(vec![Status::Received]));
        for wrong in
            ["", ",", "received,", "lost", "received,lost", "received cancelled", "Received"]
        {
            let (code, detail) = statuses(wrong).expect_err(wrong);
            assert_eq!(code, FaultCode::BAD_FORMAT);
            assert!(detail.contains("cancelling"), "{detail}");
        }
    }

    /// The pattern of the parameter names each status twice.
    #[test]
    fn the_description_lists_every_status() {
        let operation = <__path_list as utoipa::Path>::operation();
        let operation = serde_json::to_value(operation).expect("JSON");
        let names = Status::ALL.map(Status::as_str).join("|");
        let pattern = format!("^({names})(,({names})){{0,11}}$");
        assert_eq!(operation["parameters"][0]["schema"]["pattern"], pattern);
    }
}
