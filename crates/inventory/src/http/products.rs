//! `/api/inventory/products`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use contract::{LocationId, ProductId};
use http::{HeaderMap, StatusCode};
use inventory_core::admin;
use inventory_core::decide::{InventoryCommand, InventoryOutcome, Precondition, PutProduct};
use inventory_core::stock::{Level, ProductStock};
use platform::clock::Timestamp;
use platform::keys::Principal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::body::{self, Object, Parsed, Reader};
use web::problem::{BodyProblems, FaultCode, Problem, ReadProblems, SearchProblems, WriteProblems};
use web::{Json as Body, Query, Requester, count_search, cursor, page};

use crate::service::Service;
use crate::store::ProductFilter;

/// The name of the list in its cursors.
const LIST: &str = "products";
/// The most ids that one request may ask for.
const MAX_IDS: usize = 100;
/// The longest text to search for, in characters.
const MAX_SEARCH_TEXT: usize = 200;
const MAX_LOW_STOCK_AT: i64 = 1_000_000_000;

/// A product to create or replace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body to readers of the API; bodies are read by `Reader`, fault by fault"
)]
pub(super) struct NewProduct {
    #[schema(example = "Blue mug", min_length = 1, max_length = 200)]
    name: String,
    /// The product is low on stock while at most this many units are available; never if null or
    /// absent.
    #[schema(example = 10, minimum = 0, maximum = 1_000_000_000)]
    low_stock_at: Option<i64>,
}

/// A product and its stock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(super) struct ProductView {
    #[schema(example = "789")]
    product_id: String,
    #[schema(example = "Blue mug")]
    name: String,
    low_stock_at: Option<i64>,
    /// Units on hand at all locations.
    on_hand: i64,
    /// Units reserved for orders and not shipped yet.
    reserved: i64,
    /// Units on hand that cannot be sold until somebody has looked at them.
    quarantined: i64,
    /// Units that new orders can reserve: `on_hand` − `reserved` − `quarantined`.
    available: i64,
    /// The stock at every location that has ever held the product.
    locations: Vec<LevelView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

/// The stock of a product at one location.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StockLevel)]
pub(super) struct LevelView {
    #[schema(example = "main")]
    location_id: String,
    on_hand: i64,
    reserved: i64,
    quarantined: i64,
    available: i64,
}

/// A page of products, sorted by id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductPage {
    data: Vec<ProductView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl From<ProductStock> for ProductView {
    fn from(ProductStock { product, levels }: ProductStock) -> Self {
        Self {
            product_id: product.product_id.to_string(),
            name: product.name,
            low_stock_at: product.low_stock_at,
            on_hand: levels.values().map(|level| level.on_hand).sum(),
            reserved: levels.values().map(|level| level.reserved).sum(),
            quarantined: levels.values().map(|level| level.quarantined).sum(),
            available: levels.values().map(|level| level.available()).sum(),
            locations: levels.into_iter().map(LevelView::from).collect(),
            created_at: Timestamp(product.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(product.updated_at_micros).to_rfc3339(),
        }
    }
}

impl From<(LocationId, Level)> for LevelView {
    fn from((location_id, level): (LocationId, Level)) -> Self {
        Self {
            location_id: location_id.to_string(),
            on_hand: level.on_hand,
            reserved: level.reserved,
            quarantined: level.quarantined,
            available: level.available(),
        }
    }
}

/// Create or replace a product
///
/// Replaces every member: an absent member is reset to its default. The stock does not change.
#[utoipa::path(
    put, path = "/api/inventory/products/{product_id}", tag = "inventory", operation_id = "putProduct",
    request_body = NewProduct,
    params(
        ("product_id" = String, Path, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        ("If-Match" = Option<String>, Header, description = "`*`, or the `ETag` of the product: replace it only if its name and threshold are still the same"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only create it"),
    ),
    responses(
        (status = 200, description = "The product was replaced", body = ProductView),
        (status = 201, description = "The product was created", body = ProductView),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    client: Requester,
    Path(product_id): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let precondition = super::precondition(&headers)?;
    let product_id = super::named("product_id", &product_id)?;
    let put = read(product_id, precondition, super::requester(client), &body)?;
    match service.batcher.submit(InventoryCommand::PutProduct(put)).await? {
        InventoryOutcome::ProductPut { stock, created } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let etag = super::etag(stock.product.version());
            Ok((status, etag, Json(ProductView::from(stock))).into_response())
        }
        other => Err(super::problem(&other)),
    }
}

fn read(
    product_id: ProductId,
    precondition: Precondition,
    requester: admin::Requester,
    object: &Object,
) -> Result<PutProduct, Problem> {
    let mut body = Reader::new(object);
    let name = body.required("name", body::text_not_blank(super::MAX_TEXT));
    let low_stock_at = body.optional("low_stock_at", body::integer(0..=MAX_LOW_STOCK_AT));
    body.finish(|| {
        Some(PutProduct { product_id, name: name?, low_stock_at, precondition, requester })
    })
}

/// Get a product
#[utoipa::path(
    get, path = "/api/inventory/products/{product_id}", tag = "inventory", operation_id = "getProduct",
    params(("product_id" = String, Path)),
    responses(
        (status = 200, description = "The product and its stock", body = ProductView, headers(("ETag" = String, description = "Send it in `If-Match` to replace exactly this name and threshold"))),
        (status = 404, description = "`product_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(product_id): Path<String>,
    query: Query,
) -> Result<impl IntoResponse, Problem> {
    query.finish()?;
    let product_id = product_id.parse().map_err(|_| super::product_not_found())?;
    let stock = service.store.product(product_id).await?;
    let stock = stock.ok_or_else(super::product_not_found)?;
    Ok((super::etag(stock.product.version()), Json(ProductView::from(stock))))
}

/// List products
///
/// Lists products, sorted by id. If several filters are given, a product must match all of them.
#[utoipa::path(
    get, path = "/api/inventory/products", tag = "inventory", operation_id = "listProducts",
    params(
        ("q" = Option<String>, Query, max_length = 200, description = "The start of the id or a part of the name, ignoring case"),
        ("ids" = Option<String>, Query, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(,[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,99}$", description = "Only these products: up to 100 ids, separated by commas"),
        ("low_stock" = Option<bool>, Query, description = "`true`: only products with at most `low_stock_at` units available"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Products per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of products", body = ProductPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        SearchProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    query: Query,
) -> Result<Json<ProductPage>, Problem> {
    let (filter, limit) = filter(query)?;
    let mut products = if filter.is_search() {
        count_search(&client)?;
        service.searches.run(service.store.clone(), filter).await?
    } else {
        service.store.products(filter).await?
    };
    let next_cursor = page::cut(&mut products, limit, |stock| {
        cursor::encode(LIST, stock.product.product_id.as_str())
    });
    Ok(Json(ProductPage {
        data: products.into_iter().map(ProductView::from).collect(),
        next_cursor,
    }))
}

fn filter(mut query: Query) -> Result<(ProductFilter, usize), Problem> {
    let text = query.optional("q", search_text);
    let ids = query.optional("ids", ids);
    let low_stock = query.optional("low_stock", boolean);
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let after = after.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let low_stock = low_stock.unwrap_or(false);
    Ok((ProductFilter { text, ids, low_stock, after, limit: page::one_more(limit) }, limit))
}

fn search_text(text: &str) -> Parsed<String> {
    let text = body::composed(text);
    if text.chars().count() > MAX_SEARCH_TEXT {
        return Err((
            FaultCode::OUT_OF_RANGE,
            format!("must have at most {MAX_SEARCH_TEXT} characters"),
        ));
    }
    Ok(text)
}

fn ids(text: &str) -> Parsed<Vec<ProductId>> {
    if text.split(',').count() > MAX_IDS {
        return Err((FaultCode::OUT_OF_RANGE, format!("must have at most {MAX_IDS} ids")));
    }
    text.split(',').map(super::id_text).collect()
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| (FaultCode::BAD_FORMAT, "must be true or false".to_owned()))
}
