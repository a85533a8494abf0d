//! `GET /api/inventory/products/{product_id}/holders`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use platform::clock::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use web::problem::{Problem, ReadProblems};
use web::{Query, cursor};

use super::ledger::LedgerQuery;
use crate::service::Service;
use crate::store::{Holder, HolderFilter, HolderPage, HolderPosition};

/// An order that holds units of a product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Holder)]
struct HolderView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    #[schema(example = "main")]
    location_id: String,
    /// The units that are reserved for it there.
    quantity: i64,
    /// When they were reserved.
    #[schema(value_type = String, format = "date-time")]
    since: String,
}

/// A page of holders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HolderPage)]
pub(super) struct PageView {
    data: Vec<HolderView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl From<Holder> for HolderView {
    fn from(holder: Holder) -> Self {
        Self {
            order_id: holder.order_id.to_string(),
            location_id: holder.location_id.to_string(),
            quantity: holder.quantity,
            since: Timestamp(holder.since_micros).to_rfc3339(),
        }
    }
}

/// List the orders that hold a product
///
/// Lists the orders for which units of the product are reserved now, those whose units moved last
/// first. Together they hold what is `reserved`, if no units move while the pages are read. A page
/// may have fewer holders than `limit`, or none, also if `next_cursor` is not null.
#[utoipa::path(
    get, path = "/api/inventory/products/{product_id}/holders", tag = "inventory", operation_id = "listHolders",
    params(
        ("product_id" = String, Path),
        ("location_id" = Option<String>, Query, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description = "Only units at this location"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Holders per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of holders", body = PageView),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`product_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(product_id): Path<String>,
    query: Query,
) -> Result<Json<PageView>, Problem> {
    let LedgerQuery { product_id, location_id, from, limit, list } =
        LedgerQuery::read("holders", &product_id, query)?;
    let from = from.map(|key| position(&key).ok_or_else(cursor::invalid)).transpose()?;
    let filter = HolderFilter { product_id, location_id, from, limit };
    let page = service.store.holders(filter).await?.ok_or_else(super::product_not_found)?;
    let HolderPage { holders, next, begins } = page;
    if !begins {
        return Err(cursor::invalid());
    }
    let next_cursor =
        next.map(|next| cursor::encode(&list, &format!("{} {}", next.movement, next.units)));
    Ok(Json(PageView { data: holders.into_iter().map(HolderView::from).collect(), next_cursor }))
}

fn position(key: &str) -> Option<HolderPosition> {
    let (movement, units) = key.split_once(' ')?;
    let (movement, units) = (movement.parse().ok()?, units.parse().ok()?);
    (units > 0).then_some(HolderPosition { movement, units })
}
